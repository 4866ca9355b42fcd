"""The page as a person sees it: headless Chromium at phone and desktop width."""
import functools
import html
import re
import warnings

import pytest
from browser_fixture import browser, show, wider_than  # noqa: F401: browser is a fixture
from fixture import write_run

from yardstick.drawing import figures
from yardstick.cli import main
from yardstick.pages.report import FIGURES, make_report


def full(folder):
    return write_run(folder, evaluations=3, choices=2)


def dense(folder):
    return write_run(folder, layers=0)


def resumed(folder):
    write_run(folder, first=1, rows=20, layers=4, experts=12, choices=3)
    return write_run(folder, first=21, rows=10, layers=4, experts=12, choices=3, ranks=12, bins=8, segment=1)


def rare(folder):
    return write_run(folder, layers=1, ranks=1, drops=False, evaluations=0,
                     config="train:  # how\n  evaluate_every: 0  # never\nmoe:\n  capacity_factor: 0\n")


def roomy(folder):
    return write_run(folder, layers=1, drops=False, domains=(), config="moe:\n  capacity_factor: 4\n")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page of one of the runs above, made once."""
    @functools.cache
    def made(run):
        folder = run(tmp_path_factory.mktemp(run.__name__))
        (folder / "report").mkdir()
        (folder / "report/traffic.png").write_bytes(b"of an earlier report")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return make_report(folder)
    return made


def figure_of(page, name):
    return html.unescape(re.search(rf'<figure id="{name}".*?</figure>', page.read_text(), re.DOTALL)[0])


def test_every_figure_is_made(page):
    for entry in FIGURES:
        assert (page(full).parent / f"{entry.name}.png").stat().st_size > 5000, entry.name
        assert "<img" in figure_of(page(full), entry.name)
    assert "Not drawn" not in page(full).read_text() and 'id="lacks"' not in page(full).read_text()


DENSE = "the model is dense"
NO_EVALUATION = r"no held-out routing .*\(train.evaluate_every: 0\)"
ANALYSES = ["saturation", "persistence", "coactivation", "vocabulary", "locality", "class_entropy", "information", "domain_control"]
ROUTING = ["load", "max_vio", "bias", "entropy", "margins", "drops", "classes", "domains", "traffic"]
ABSENT = [(dense, dict.fromkeys([*ROUTING, *ANALYSES], DENSE)),
          (rare, dict(drops=r"no tokens were dropped, since experts have no capacity limit \(moe.capacity_factor: 0\)", traffic="one rank",
                      loss_by_domain="no held-out text was evaluated",
                      **dict.fromkeys(["classes", "domains", *ANALYSES], NO_EVALUATION))),
          (roomy, dict(drops=r"no tokens were dropped, since no expert was ever full \(moe.capacity_factor: 4\)",
                       **dict.fromkeys(["saturation", "persistence"], "only one evaluation"),
                       coactivation="every token is given to one expert",
                       **dict.fromkeys(["domains", "domain_control", "loss_by_domain"], "does not tell domains apart")))]


@pytest.mark.parametrize("run,reasons", ABSENT)
def test_an_absent_figure_says_why(page, run, reasons):
    for entry in FIGURES:
        shown = figure_of(page(run), entry.name)
        assert ("Not drawn" in shown) == (entry.name in reasons), entry.name
        if entry.name in reasons:
            assert re.search(reasons[entry.name], shown) and f"<h3>{entry.title}</h3>" in shown
        assert (page(run).parent / f"{entry.name}.png").exists() == (entry.name not in reasons)


def test_traffic_of_the_last_segment(tmp_path, capsys):
    write_run(tmp_path, first=1, rows=20, layers=1, ranks=2)
    write_run(tmp_path, first=21, rows=10, layers=1, ranks=3, bins=8, segment=1)
    assert main(["report", str(tmp_path)]) == 0
    text = (tmp_path / "report/index.html").read_text()
    shown = figure_of(tmp_path / "report/index.html", "traffic")
    assert "Segments differ: this is the last segment (001, steps 21 to 30)." in shown and "<img" in shown
    assert "2 (from segment 000, step 1), then 3 (from segment 001, step 21)" in text
    notes = re.search(r'id="lacks".*?</section>', text, re.DOTALL)[0]
    err = capsys.readouterr().err
    for said in ("margin: left out, since segments 000, 001 differ in margin_bin (4, 8)", "traffic: left out"):
        assert said in notes and f"yardstick: {said}" in err


def test_a_killed_segment_is_noted(tmp_path):
    write_run(tmp_path, layers=0)
    (tmp_path / "segments/001").mkdir()
    (tmp_path / "segments/001/run.h5").write_bytes(b"")
    with pytest.warns(match="Segment 001"):
        made = make_report(tmp_path)
    assert re.search(r'id="lacks".*segments/001/run.h5', made.read_text(), re.DOTALL)


def test_typical_tokens_show_chance_and_lift(page):
    text = page(full).read_text()
    row = re.search(r"<summary>Block 1</summary>.*?<tr><td class=\"number\">0</td>(.*?)</tr>", text, re.DOTALL)[1]
    chance = re.search(r"<td class=\"number\">([\d.]+)&nbsp;%", row)[1]
    assert 20 < float(chance) < 30 and re.search(r"<code class=\"token\">7</code> 100&nbsp;%, ×[34]\.\d", row)


def test_wrong_folder_says_so(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 2
    assert "not a run folder" in capsys.readouterr().err


@pytest.mark.parametrize("run", [full, dense, resumed])
@pytest.mark.parametrize("width", [375, 390, 1280])
def test_page_in_a_browser(page, browser, width, run):
    show(browser, page(run), width)
    assert browser.get_log("browser") == []
    images = browser.execute_script("return [...document.images].map(i => [i.naturalWidth, i.getBoundingClientRect().width, i.alt])")
    assert len(images) == len(FIGURES) - (len(ABSENT[0][1]) if run is dense else 0)
    shown_as = browser.execute_script("return [...document.querySelectorAll('figure')]"
                                      ".map(f => [f.innerText.trim().length, f.getBoundingClientRect().width])")
    assert len(shown_as) == len(FIGURES) and all(text > 20 and shown > 250 for text, shown in shown_as)
    for natural, shown, alt in images:
        assert natural > 300 and shown > 250 and alt
        assert figures.plt.rcParams["font.size"] / 72 * figures.DPI * shown / natural >= 9, "letters of a figure that cannot be read"
    assert wider_than(browser, width) == []
    assert float(browser.execute_script("return parseFloat(getComputedStyle(document.body).fontSize)")) >= 15
