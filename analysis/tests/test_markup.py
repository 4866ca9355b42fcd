"""Nothing from data is markup: names of domains, arms and files, in figures, pages and tables."""
import json
import xml.etree.ElementTree as xml

import h5py
import matplotlib.pyplot as plt
import pandas as pd
import pytest
from fixture import write_run
from sweep_fixture import config_of, write_sweep

from yardstick.base import text, writing
from yardstick.cli import main
from yardstick.drawing import figure_file
from yardstick.pages import acceptance_table
from yardstick.verdicts import acceptance, claims

NAMES = ["$HOME_$USER", "price_$_$", "\\frac{$", "<script>alert('x')</script>", "a|b`c*d_[e](f)\n# g", "=1+1", "\u202eright\u0000\x1b[2J",
         "\U0001f600\ue000", "x" * 5000, "", "]]>--><!--", "{{ 7 * 7 }}", "&amp;"]


@pytest.mark.parametrize("command", ["report", "routing", "specialisation"])
def test_domains_of_any_name(tmp_path, capfd, command):
    run = write_run(tmp_path / "r", domains=NAMES, choices=2, evaluations=2)
    assert main([command, str(run), "--out", str(tmp_path / "o")]) == 0
    out, err = capfd.readouterr()
    assert err == "" and "\x1b" not in out and "\u202e" not in out and "\0" not in out
    for path in (tmp_path / "o").glob("*.svg"):
        xml.parse(path)
        assert "<script" not in path.read_text(encoding="utf-8") and figure_file.read_origin(path).command
    if command == "report":
        page = (tmp_path / "o/index.html").read_text(encoding="utf-8")
        assert "<script" not in page and "\u202e" not in page and "Domains beyond" in page
    else:
        table = pd.read_csv(tmp_path / f"o/{command}.csv", keep_default_na=False)
        assert {"'=1+1", "$HOME_$USER", NAMES[4]} <= set(table["label"])


def test_the_page_of_a_run_with_any_name_and_configuration(tmp_path):
    run = write_run(tmp_path / "<b onload=x>\"'&", layers=0, evaluations=0, rows=5, config="model: {} # <script>\u202e\x07</script>\n")
    assert main(["report", str(run)]) == 0
    page = (run / "report/index.html").read_text(encoding="utf-8")
    assert "<b onload" not in page and "<script>" not in page and "\x07" not in page and "&lt;script&gt;" in page


def test_arms_of_any_name(tmp_path, capfd):
    config = config_of(train__steps=40, train__batch=8, train__grains=4, moe__capacity_factor=0.0)
    arms = {name: (4.0 + i, config) for i, name in enumerate(["$_$^{", "<b>|`", "=a+b", "\u202e\x07"])}
    assert main(["balancing", str(write_sweep(tmp_path / "s", arms, seeds=(1,))), "--out", str(tmp_path / "o")]) == 0
    xml.parse(tmp_path / "o/balancing.svg")
    assert "'=a+b" in (tmp_path / "o/balancing.csv").read_text() and capfd.readouterr().err == ""


def test_no_text_of_a_figure_is_a_formula(tmp_path):
    figure, axis = plt.subplots()
    axis.plot([1, 10, 100], [1, 2, 3], label="$a_$")
    axis.set(xscale="log", title="$\\frac{$", yticks=[1, 2], yticklabels=["$_$", "y" * 99], xlabel="\u202e\x00\n")
    axis.legend(title="$^$")
    figure_file.save(figure, tmp_path, "a", figure_file.Origin("c", "d", {}, []))
    labels = [label.get_text() for label in axis.get_yticklabels()]
    assert labels == ["$_$", "y" * 27 + "\u2026"] and axis.get_xlabel() == "\ufffd\ufffd\n"
    assert all("$" not in label.get_text() for label in axis.get_xticklabels())
    assert "10" in [label.get_text() for label in axis.get_xticklabels()]


def test_entries_of_any_text_stand_in_their_cell(tmp_path):
    bad = "|`*_x_<b>\n```\n# [a](b)"
    made = [claims.entry("gains-diminish", ("reproduced", {bad: bad, "why": bad}), {bad: [0, 1]},
                         [bad, "../../x", "/etc/passwd", "\0"], bad)]
    (tmp_path / bad.replace("/", "")).mkdir()
    acceptance.write(tmp_path / bad / "acceptance.json", made, f"yardstick {bad}", bad)
    page = acceptance_table.page(tmp_path, tmp_path / "a.md")
    row = next(line for line in page.splitlines() if line.startswith("| gains diminish"))
    assert row.replace("\\|", "").count("|") == 6 and "\\<b>" in row or "\\<b\\>" in row
    assert "[a](b)" not in page.split("## What was measured")[0] and "(/etc/passwd)" not in page and "\n# " not in page[20:]
    fences = [line for line in page.splitlines() if line.startswith("```")]
    assert len(fences) == 2 and len(set(fences)) == 1


@pytest.mark.parametrize("given,shown", [("a_b", "a_b"), ("_a_", "\\_a\\_"), ("a]b[c", "a]b[c"), ("](", "\\]("),
                                         ("a\nb", "a\u21b5b"), ("R&D", "R&D"),
                                         ("&lt;", "\\&lt;"), ("#1", "\\#1"), ("a<b", "a\\<b")])
def test_words_of_a_page(given, shown):
    assert text.markdown(given) == shown


def test_code_and_links_of_a_page():
    assert text.code("a`b") == "``a`b``" and text.code("`") == "`` ` ``" and text.link("a|b", "x y/(z).svg") == "[a\\|b](x%20y/%28z%29.svg)"


def test_a_cell_is_no_formula(tmp_path):
    writing.write_table(tmp_path / "t.csv", pd.DataFrame({"=x": ["=a", "-", "-1", "b,\"c\"", "d\ne"], "n": [-1, 2, 3, 4, 5.5]}))
    assert (tmp_path / "t.csv").read_text() == "'=x,n\n'=a,-1.0\n-,2.0\n'-1,3.0\n\"b,\"\"c\"\"\",4.0\n\"d\ne\",5.5\n"


def test_domains_that_are_no_names_are_damage(tmp_path, capsys):
    run = write_run(tmp_path)
    for value in ("[1]", "{}", "[[", json.dumps("x")):
        with h5py.File(run / "segments/000/evaluation.h5", "a") as f:
            f.attrs["domains"] = value
        assert main(["specialisation", str(run)]) == 2 and "domains is no list of names" in capsys.readouterr().err
