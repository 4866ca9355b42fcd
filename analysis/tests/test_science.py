"""docs/science.md: what cites it names a section that it has, nothing cites the private file that it replaced, and the closed forms in its
tables are those of the code."""
import pathlib
import re

import pytest

from yardstick.experiments.communication_results import node_rows, straight_rows
from yardstick.law import curves
from yardstick.sweeps import capacity

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "science.md"
PLACES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs", "experiments", "analysis", "src", "tests", "bench", "scripts", "slurm"]
TEXTS = {".md", ".py", ".hpp", ".cpp", ".cu", ".sh", ".yaml", ".cmake", ".html"}
CITED = re.compile(r'docs/science\.md, "([^"\n]*)"')  # in code; documents link
LINKED = re.compile(r"\]\(([^()\s]*science\.md)(#[^()\s]*)?\)")


def texts():
    """Every text of the tree but this one, which has bad citations to be refused."""
    found = [path for place in PLACES for path in ([ROOT / place] if (ROOT / place).is_file() else sorted((ROOT / place).rglob("*")))]
    return [path for path in found if path.suffix in TEXTS and path.is_file() and path != pathlib.Path(__file__).resolve()]


def headings(text):
    return re.findall(r"^#+ (.*)$", text, re.MULTILINE)


def anchor(heading):
    """As GitHub makes them, of headings without markup."""
    return "#" + re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def faults(text, folder, names):
    """What is wrong with the citations of a text in `folder`, where the page has sections `names`."""
    found = [f"no section '{name}'" for name in CITED.findall(text) if name not in names]
    for path, place in LINKED.findall(text):
        found += [f"no such file: {path}"] * ((folder / path).resolve() != PAGE)
        found += [f"no section {place}"] * (bool(place) and place not in map(anchor, names))
    rest = LINKED.sub("]", CITED.sub("", text))
    return found + [f"cites no section: {said}" for said in re.findall(r".{0,30}science\.md.{0,20}", rest)]


def test_every_citation_names_a_section():
    names = headings(PAGE.read_text(encoding="utf-8"))
    assert len(set(map(anchor, names))) == len(names)
    wrong = {str(path.relative_to(ROOT)): found for path in texts()
             if (found := faults(path.read_text(encoding="utf-8"), path.parent, names))}
    assert wrong == {}


def test_citations_are_found():
    """So that the test above cannot pass for want of texts."""
    cited = [path.relative_to(ROOT).parts[0] for path in texts() if "science.md" in path.read_text(encoding="utf-8")]
    assert {"README.md", "docs", "experiments", "analysis", "tests"} <= set(cited) and len(cited) > 15


@pytest.mark.parametrize("text,wrong", [
    ('# docs/science.md, "Capacity"', None), ("[what](science.md#capacity)", None), ("[what](science.md)", None),
    ('# docs/science.md, "Capacities"', "no section 'Capacities'"), ("[what](science.md#capacities)", "no section #capacities"),
    ("[what](../science.md#capacity)", "no such file"), ("as `science.md` 7.2 has it", "cites no section"),
    ("(science.md part 9)", "cites no section"), ("docs/science.md has it", "cites no section")])
def test_what_a_bad_citation_is(text, wrong):
    found = faults(text, PAGE.parent, ["Science", "Capacity"])
    assert not found if wrong is None else len(found) == 1 and wrong in found[0]


def table(section, first):
    """Rows of the table of a section whose head begins so, each a list of cells."""
    text = PAGE.read_text(encoding="utf-8").split(f"## {section}\n", 1)[1].split("\n## ", 1)[0]
    lines = text[text.index(f"| {first}"):].split("\n\n", 1)[0].split("\n")
    return [[cell.strip() for cell in line.strip("| ").split("|")] for line in lines if not line.startswith("|---")]


def test_the_capacity_table_is_the_null_model():
    (_, *factors), *rows = table("Capacity", "σ ")
    assert len(factors) == 7 and len(rows) == 5
    for sigma, *cells in rows:
        assert cells == [f"{100 * float(capacity.drop(float(cf), float(sigma))):.2f} %" for cf in factors]


def test_the_rows_across_nodes_are_the_closed_forms():
    (*_, four, three, two), *rows = table("Rows across nodes", "E, k, M")
    assert [four, three, two] == ["limit 4", "limit 3", "limit 2"] and len(rows) == 6
    for sizes, straight, by_nodes, saved, *limited in rows:
        experts, top_k, nodes = map(int, sizes.split(", "))
        all_rows, node = straight_rows(nodes, top_k), node_rows(nodes, experts, top_k)
        assert [straight, by_nodes, saved] == [f"{all_rows:.2f}", f"{node:.2f}", f"{100 * (1 - node / all_rows):.1f} %"]
        limits = [f"{100 * (1 - node_rows(nodes, experts, top_k, g) / all_rows):.1f} %" if g < min(top_k, nodes) else "" for g in (4, 3, 2)]
        assert limited + [""] * (3 - len(limited)) == limits


def test_what_was_registered_of_e_max():
    (_, _, _, first, *ratios), *rows = table("E_max and tokens per parameter", "router")
    ratios = [float(first.removeprefix("D/N = ")), *map(float, ratios)]
    assert {row[0]: (float(row[1]), float(row[2])) for row in rows} == curves.REGISTERED
    for name, _, _, *cells in rows:
        assert cells == [f"{curves.predict(*curves.REGISTERED[name], ratio):.0f}" for ratio in ratios]


def test_the_paper_is_as_the_code_has_it():
    (_, *names), *rows = table("The law of the number of experts", "Table 3")
    for router, *cells in rows:
        found = dict(zip(map(str.lower, names), (float(cell.replace("−", "-")) for cell in cells)))
        assert found == curves.PAPER[router]
