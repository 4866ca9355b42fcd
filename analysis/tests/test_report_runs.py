"""Reports of several runs, and the page that lists them."""
import html
import re
import time

import pytest
from browser_fixture import browser, show, wider_than  # noqa: F401: browser is a fixture
from fixture import write_run
from sweep_fixture import config_of

from yardstick.cli import main
from yardstick.pages import runs as pages


@pytest.fixture
def runs(tmp_path):
    configs = {name: config_of(moe__bias_rule=rule, train__seed=1) for name, rule in (("a/run", "sign"), ("b/r & d?", "none"))}
    return [str(write_run(tmp_path / name, config=config, layers=0)) for name, config in configs.items()]


def rows_of(page):
    """Cells of the table as text, the head first."""
    found = re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)
    return [[html.unescape(re.sub("<.*?>", "", cell)).strip() for cell in re.findall(r"<t[hd].*?>(.*?)</t[hd]>", row)] for row in found]


def test_a_list_of_reports(runs, tmp_path, capsys):
    assert main(["report", *runs, "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "out/index.html")
    page = (tmp_path / "out/index.html").read_text()
    head, first, second = rows_of(page)
    assert head[0] == "run" and head[-1] == "moe.bias_rule" and (first[-1], second[-1]) == ("sign", "none")
    assert (first[0], second[0]) == ("run", "r & d?")
    assert first[head.index("steps")] == "40" and first[head.index("held-out loss (nat)")] == "4"
    assert first[head.index("MaxVio, last tenth")] == ""
    assert "train.seed" in page.split("What all runs share")[1]
    for link in re.findall(r'<a href="(.*?)"', page):
        assert link in ("000-run/index.html", "001-r%20%26%20d%3F/index.html")
    for folder in ("000-run", "001-r & d?"):
        assert (tmp_path / "out" / folder / "index.html").exists() and (tmp_path / "out" / folder / "loss.png").exists()


def test_a_run_without_a_report_is_listed_with_the_reason(runs, tmp_path, capsys):
    (tmp_path / "none").mkdir()
    assert main(["report", runs[0], str(tmp_path / "none"), "--out", str(tmp_path / "out")]) == 0
    assert "Without a report: " in capsys.readouterr().err
    page = (tmp_path / "out/index.html").read_text()
    assert "not a run folder" in page.split("Runs without a report")[1] and len(rows_of(page)) == 2
    assert main(["report", str(tmp_path / "none"), str(tmp_path), "--out", str(tmp_path / "other")]) == 2
    assert not (tmp_path / "other").exists()


def test_a_report_that_fails_half_way_leaves_no_figures(runs, tmp_path, monkeypatch):
    real = pages.make_report

    def fails(run, out, command):
        real(run, out, command)
        if run == runs[1]:
            raise pages.SchemaError("broken")
    monkeypatch.setattr(pages, "make_report", fails)
    with pytest.warns(pages.RecordWarning, match="Without a report: broken"):
        pages.make(runs, tmp_path / "out")
    assert (tmp_path / "out/000-run/loss.png").exists() and not list((tmp_path / "out").glob("001*/*"))


def test_several_runs_need_a_place(runs, capsys):
    assert main(["report", *runs]) == 2 and "give --out FOLDER" in capsys.readouterr().err
    assert main(["report", runs[0]]) == 0


def test_a_hundred_reports_take_less_than_a_quarter_of_an_hour(tmp_path):
    """Of two runs with experts, in processor time."""
    runs = [str(write_run(tmp_path / str(i), seed=i, evaluations=3, choices=2)) for i in range(2)]
    start = time.process_time()
    pages.make(runs, tmp_path / "out")
    assert (time.process_time() - start) / 2 < 9


PHONE = 390  # pixels
LONG = "a-name-of-a-run-that-somebody-made-of-all-of-its-settings-as-people-do-who-cannot-find-them-again"


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """The pages of runs with many results, long names and long values."""
    folder = tmp_path_factory.mktemp("wide")
    text = {f"train__seed_{i}": i for i in range(20)}
    made = [str(write_run(folder / name, config=config_of(moe__bias_rule=rule, data__path="/" + "long/" * 30, **text), evaluations=3,
                          choices=2)) for name, rule in (("x/" + LONG, "sign"), ("y/" + LONG, LONG * 2))]
    index = pages.make(made, folder / "out")
    return [index, *sorted(index.parent.glob("*/index.html"))]


def test_pages_share_a_head_that_fits_a_phone(wide):
    heads = []
    for page in wide:
        text = page.read_text()
        head = re.search(r"<head>.*?</head>", text, re.DOTALL)[0]
        assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in head and "<style" not in text.replace(head, "")
        heads.append(re.sub("<title>.*?</title>", "", head, flags=re.DOTALL))
        widths = [int(n) for n in re.findall(r"(?<!max-)\bwidth=\"(\d+)\"|(?<![-\w])(?:min-)?width:\s*(\d+)px", text) for n in n if n]
        assert all(width < PHONE for width in widths), "a width that no phone has"
    assert len(set(heads)) == 1 and len(wide) == 3


def test_pages_on_a_phone(wide, browser):  # noqa: F811
    for page in wide:
        show(browser, page, PHONE)
        assert wider_than(browser, PHONE) == [], page
    show(browser, wide[0], PHONE)
    names = "return [...document.querySelectorAll('#runs td:first-child')].map(e => e.getBoundingClientRect().width)"
    cells = browser.execute_script(names)
    assert len(cells) == 2 and all(width < PHONE / 2 for width in cells), "a name that takes the whole table"
