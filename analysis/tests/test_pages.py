"""The pages that commands make of all experiments: they are as the commands print them, and every claim has a row."""
import json
import pathlib

import matplotlib.pyplot as plt
import pytest

from yardstick.verdicts import acceptance, claims
from yardstick.drawing import figure_file
from yardstick.pages import acceptance_table, gallery
from yardstick.cli import main
from yardstick.drawing.figure_file import Origin

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name,module", [("acceptance", acceptance_table), ("gallery", gallery)])
def test_the_committed_page_is_what_the_command_makes(name, module, monkeypatch):
    monkeypatch.chdir(ROOT)
    made = module.page("experiments", f"docs/{name}.md")
    assert pathlib.Path(f"docs/{name}.md").read_text() == made, f"run `yardstick {name}` in the root of the repository"


def experiment(folder, name, entries):
    (folder / name).mkdir(parents=True)
    acceptance.write(folder / name / "acceptance.json", entries, "yardstick x", "abc")


def untested(folder):
    """A folder of experiments with one result, which says nothing, and one figure."""
    experiment(folder, "one", [claims.entry("accounting", claims.untested("too short"), None, [])])
    figure_file.save(plt.figure(), folder / "one", "curve", Origin("yardstick x", "abc", {}, [], "A caption."))
    return folder


def row_of(page, key):
    return next(line for line in page.splitlines() if line.startswith(f"| {claims.CLAIMS[key].claim} |"))


def test_every_claim_has_a_row_in_its_order(tmp_path):
    lines = acceptance_table.page(untested(tmp_path), tmp_path / "a.md").splitlines()
    rows = [line for line in lines if line.startswith("| ")][1:]
    assert len(rows) == len(claims.CLAIMS) == 28 and all("**not testable here**" in row and row.count("|") == 6 for row in rows)
    assert [row.split(" | ")[0][2:] for row in rows] == [c.claim for c in claims.CLAIMS.values()]
    assert all(c.absent and c.absent in row for (key, c), row in zip(claims.CLAIMS.items(), rows) if key != "accounting")


def test_a_rule_that_was_changed_later_is_named(tmp_path, monkeypatch):
    untested(tmp_path)

    def head():
        return " ".join(acceptance_table.page(tmp_path, tmp_path / "a.md").split("| claim")[0].split())
    assert "neither arm above `none` by 0.002 nat (added after the runs of 2026-11-23)" in claims.CLAIMS["softmax-sigmoid"].rule
    assert "fixed before the runs, but for what a row dates later (softmax or sigmoid). *Reproduced*" in head()
    monkeypatch.setitem(claims.CLAIMS, "fp8", claims.Claim("8 bits", "", "a rule (added after the runs of 2027-01-01)", ""))
    assert "(softmax or sigmoid, 8 bits)." in head()


def test_entries_fill_their_row(tmp_path):
    verdicts = [("reproduced", dict(slope=-0.00512345, predicted=[32.0, 41.0], gains={"1": 0.02}, deep={"a": [1]})),
                claims.untested("too | short", last=1)]
    experiment(tmp_path, "b", [claims.entry("gains-diminish", v, [-0.006, -0.004], ["curve.csv"], label)
                               for v, label in zip(verdicts, ("k = 1", "k = 2"))])
    experiment(tmp_path, "a", [claims.entry("gains-diminish", ("not reproduced", {}), None, [])])
    (tmp_path / "b/curve.csv").write_text("")
    page = acceptance_table.page(tmp_path, tmp_path / "docs/a.md")
    row = row_of(page, "gains-diminish")
    assert "**not reproduced**<br>**reproduced** (k = 1)<br>**not testable here** (k = 2)" in row and "too \\| short" in row
    assert "slope -0.005123, predicted 32 to 41, gains (1: 0.02), interval -0.006 to -0.004" in row and "deep" not in row
    parts = {"slope": [-0.006, -0.004], "unknown": [None, None], "deep": {"a": [1, 2]}}
    experiment(tmp_path, "c", [claims.entry("gains-diminish", ("reproduced", {}), parts, [])])
    row = row_of(acceptance_table.page(tmp_path, tmp_path / "docs/a.md"), "gains-diminish")
    assert "interval of slope -0.006 to -0.004 [" in row and "unknown" not in row and "deep" not in row, "those that fit a cell are shown"
    assert 'deep: {"a": [1]}' in page and "[curve.csv](../b/curve.csv)" in page and page.count("command: yardstick x") == 3
    assert "1 of 28 claims have measurements: 1 reproduced, 0 direction only, 1 not reproduced, 1 not testable here." in page


def test_an_entry_says_what_ran_and_what_judged(tmp_path):
    entries = [claims.entry("bias-rate", ("reproduced", {}), None, [])]
    runs = [figure_file.Run(f"tasks/{i}", commit=commit) for i, commit in enumerate(["late", "early", "late"])]
    experiment(tmp_path, "a", acceptance.of_runs(entries, runs))
    experiment(tmp_path, "b", entries)
    experiment(tmp_path, "c", acceptance.of_runs(entries, []))
    page = acceptance_table.page(tmp_path, tmp_path / "a.md")
    assert page.count("\nruns at early, late, evaluated at abc\n") == 1 and page.count("\ncommit: abc\n") == 2
    assert "excludes 0 about one time in four" in page.replace("\n", " ")


def test_a_corrected_verdict_stands_beside_the_registered_one(tmp_path):
    beside = {("top-2", ""): claims.corrected("top-2", ("direction only", dict(gain=0.13)), [-0.0135, 0.2727]),
              ("bias-rate", "x"): claims.not_trained(dict(learned_less_hash=0.1), [0.05, 0.15])}
    entries = [claims.entry("top-2", ("reproduced", dict(gain=0.13)), [0.0756, 0.185], []),
               claims.entry("bias-rate", ("reproduced", {}), None, [], "x")]
    experiment(tmp_path, "a", entries)
    before = json.loads((tmp_path / "a/acceptance.json").read_text())
    acceptance.rewrite(tmp_path / "a/acceptance.json", before, beside, "yardstick judge a", "def")
    after = json.loads((tmp_path / "a/acceptance.json").read_text())
    assert [{k: v for k, v in e.items() if k != "corrected"} for e in after] == before, "what was registered stays to the last digit"
    page = acceptance_table.page(tmp_path, tmp_path / "a.md")
    row = row_of(page, "top-2")
    assert "**reproduced**<br>*corrected:* **direction only**" in row and "interval -0.0135 to 0.2727" in row
    assert f"<br>*corrected on {claims.CORRECTED_ON}:* sign with interval by Student's t" in row.replace("&#39;", "'")
    assert "**router not trained: not testable**" in row_of(page, "bias-rate")
    assert page.count("command: yardstick judge a\ncommit: def") == 2 and page.count("command: yardstick x\ncommit: abc") == 2
    assert "2 reproduced, 0 direction only, 0 not reproduced, 0 not testable here. By corrected rules, 2 of them: 1 direction only, " \
        "1 router not trained: not testable." in page


def test_a_registered_verdict_has_no_words_of_corrected_ones():
    with pytest.raises(ValueError, match="none of reproduced"):
        claims.entry("top-2", ("underpowered", {}), None, [])
    with pytest.raises(ValueError, match="none of .*underpowered"):
        claims.corrected("top-2", ("surely", {}), None)
    assert set(claims.CORRECTED) < set(claims.CLAIMS)


ENTRY = dict.fromkeys(acceptance_table.NEEDED, "x") | dict(key="accounting", status="reproduced", files=[])
BROKEN = [(json.dumps([ENTRY | dict(corrected=dict(date=1))]), "is not what yardstick writes"),
          (json.dumps([ENTRY | dict(corrected=dict.fromkeys((*acceptance_table.PARTS, "measured", "interval"), "x"))]),
           "the corrected verdict of the entry 'accounting' has something else where it belongs"),
          ("[{}]", "has no key"), ("{", "cannot be read as JSON"),
          (json.dumps([dict.fromkeys(acceptance_table.NEEDED, "x")]), "key 'x' and status 'x'"),
          (json.dumps([dict.fromkeys(acceptance_table.NEEDED, "x") | dict(status="reproduced")]), "key 'x'"),
          (json.dumps([dict.fromkeys(acceptance_table.NEEDED, "x") | dict(key="accounting")]), "status 'x'")]


@pytest.mark.parametrize("text,complaint", BROKEN)
def test_entries_of_other_hands_are_refused(tmp_path, capsys, text, complaint):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/acceptance.json").write_text(text)
    assert main(["acceptance", str(tmp_path), "--out", str(tmp_path / "a.md")]) == 2
    said = capsys.readouterr().err
    assert complaint in said and "make it anew" in said and not (tmp_path / "a.md").exists()


def test_a_folder_that_is_none_says_so(tmp_path, capsys):
    for command in ("acceptance", "gallery"):
        assert main([command, str(tmp_path / "none"), "--out", str(tmp_path / "a.md")]) == 2 and "no such folder" in capsys.readouterr().err


EXPECTED = [("acceptance", "EXPERIMENT/acceptance.json"), ("gallery", "EXPERIMENT/FIGURE.svg")]


@pytest.mark.parametrize("command,expected", EXPECTED)
def test_a_folder_without_results_leaves_the_committed_page(tmp_path, capsys, monkeypatch, command, expected):
    monkeypatch.chdir(tmp_path)
    page = tmp_path / f"docs/{command}.md"
    page.parent.mkdir()
    page.write_text("of before")
    experiment(tmp_path / "begun", "no-entries", [])
    experiment(tmp_path / "deep/above", "one", [claims.entry("accounting", claims.untested("too short"), None, [])])
    for folder in ("docs", "begun", "deep/above/one", *["deep"] * (command == "acceptance")):
        assert main([command, folder]) == 2
        said = capsys.readouterr().err.splitlines()
        assert len(said) == 1 and said[0].startswith(f"yardstick: {folder}: no experiment in it has ") and expected in said[0]
    assert page.read_text() == "of before" and [p.name for p in page.parent.iterdir()] == [page.name]


@pytest.mark.parametrize("command", ["acceptance", "gallery"])
def test_a_page_makes_its_folder_or_says_why_not(tmp_path, capsys, command):
    page = tmp_path / "new/deep/x.md"
    assert main([command, str(untested(tmp_path)), "--out", str(page)]) == 0 and page.stat().st_size
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file/x.md", tmp_path / "new"):
        assert main([command, str(tmp_path), "--out", str(out)]) == 2 and "cannot be written" in capsys.readouterr().err


def test_the_gallery_shows_every_figure_with_its_caption(tmp_path, capsys):
    (tmp_path / "one/more").mkdir(parents=True)
    (tmp_path / "one/README.md").write_text("# What is asked\n")
    for where in ("one", "one/more"):
        figure_file.save(plt.figure(), tmp_path / where, "curve", Origin("yardstick x", "abc", {}, [], f"Caption of {where}."))
    assert main(["gallery", str(tmp_path), "--out", str(tmp_path / "g.md")]) == 0
    page = (tmp_path / "g.md").read_text()
    assert "## [What is asked](one)" in page and page.count("![curve]") == 2
    assert "Caption of one." in page and "Caption of one/more." in page
    figure = plt.figure()
    figure.savefig(tmp_path / "one/bare.svg")
    plt.close(figure)
    assert main(["gallery", str(tmp_path), "--out", str(tmp_path / "g.md")]) == 2
    assert "does not say where it comes from" in capsys.readouterr().err
