"""What the README says was found: it is what the command makes, its words follow the verdicts, and nothing is said without an entry."""
import json
import pathlib
import shutil

import pytest

from yardstick.base.faults import SchemaError
from yardstick.cli import main
from yardstick.pages import findings

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_the_readme_is_what_the_command_makes(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert pathlib.Path("README.md").read_text() == findings.page(pathlib.Path("experiments"), "README.md"), "run `yardstick findings`"


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """The committed results, to be changed; paths as in the root."""
    for path in (ROOT / "experiments").glob("*/*"):
        if path.suffix in (".json", ".csv") and path.stat().st_size < 1 << 20:
            (tmp_path / "experiments" / path.parent.name).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, tmp_path / "experiments" / path.parent.name)
    monkeypatch.chdir(tmp_path)
    return pathlib.Path("experiments")


def change(folder, key, do):
    path = next(p for p in folder.glob("*/acceptance.json") if any(e["key"] == key for e in json.loads(p.read_text())))
    entries = json.loads(path.read_text())
    for e in entries:
        if e["key"] == key:
            do(e)
    path.write_text(json.dumps(entries))


def words(folder):
    return " ".join(findings.text(folder).split())


def test_words_follow_the_verdicts(copy):
    assert "gains end where they must: at 16, 64 and 256 experts" in words(copy)
    change(copy, "known-answer", lambda e: e.update(status="not reproduced"))
    assert "gains end elsewhere than they must (not reproduced)" in words(copy)
    change(copy, "more-experts-help", lambda e: e["corrected"].update(status="reproduced"))
    change(copy, "more-experts-help", lambda e: e["corrected"]["measured"].update(gain=0.5))
    assert "64 experts end 0.500 nat [" in words(copy) and "by the corrected one: reproduced" in words(copy)
    change(copy, "gains-diminish", lambda e: e["corrected"]["measured"].pop("met_by_a_true_law"))
    assert "times in 100" not in words(copy)
    change(copy, "router-learns", lambda e: e["measured"].update({"loss less that of hash": -0.25}))
    assert "is −0.250 nat [" in words(copy)
    change(copy, "quantile-balances", lambda e: e["measured"]["E = 4"].update(vio_by_floor=1.25))
    assert "MaxVio at 1.2 to 5.2 times" in words(copy)
    change(copy, "loss-free-balances", lambda e: e["corrected"]["measured"].update({"ratio to aux-batch": 0.5}))
    assert "leaves 9 to 50 % of" in words(copy)


def test_what_was_not_measured_has_no_sentence(copy):
    for name in ("router-learning", "known-answer"):
        shutil.rmtree(copy / name)
    said = words(copy)
    assert "hash of the token id" not in said and "laboratory" not in said and "64 experts end" in said
    (copy / "balancing/acceptance.json").unlink()
    assert "Loss-free" not in words(copy)


def test_every_sweep_of_a_claim_is_named_with_its_verdict(copy):
    assert "(laptop scale: not testable here)" in words(copy) and "(longer, 100 million tokens: direction only)" in words(copy)
    path = copy / "router-learning/acceptance.json"
    path.write_text(json.dumps([e for e in json.loads(path.read_text()) if "longer" not in e["label"]]))
    assert "100 million" not in words(copy)


def test_a_page_without_the_marks_is_refused(copy, capsys):
    pathlib.Path("README.md").write_text("# none\n")
    assert main(["findings"]) == 2
    assert "README.md: has not one line '<!-- begin: yardstick findings -->'" in capsys.readouterr().err
    assert pathlib.Path("README.md").read_text() == "# none\n"


def test_an_entry_that_lacks_its_numbers_is_refused(copy):
    change(copy, "fit-code", lambda e: e.update(measured={"HASH": {}}))
    with pytest.raises(SchemaError, match="an entry is not what yardstick writes"):
        findings.text(copy)
