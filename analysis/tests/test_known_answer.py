"""The known answers: the committed results, and results that break each part of the rules."""
import json
import pathlib
import shutil

import numpy as np
import pandas as pd
import pytest

from yardstick.drawing import figure_file
from yardstick.experiments import known_answer
from yardstick.cli import main
from yardstick.records.run_folder import SchemaError

COMMITTED = pathlib.Path(__file__).resolve().parents[2] / "experiments/known-answer/results"


@pytest.fixture
def results(tmp_path):
    """A copy of the committed tables."""
    return pathlib.Path(shutil.copytree(COMMITTED, tmp_path / "results"))


def changed(results, name, change):
    table = pd.read_csv(results / name)
    change(table)
    table.to_csv(results / name, index=False)
    return known_answer.known_answer(known_answer.read(results))


def at(column, experts, value):
    def change(table):
        table.loc[table["experts"] == experts, column] += value
    return change


def fewer_samples(table):
    table["samples"] = 2_999_999


@pytest.mark.parametrize("name,change,status", [
    ("bend-64-hash.csv", at("trained", 8, 0), "reproduced"), ("bend-64-hash.csv", at("trained", 8, 0.02), "direction only"),
    ("bend-16-oracle.csv", at("trained", 4, 0.02), "direction only"), ("bend-16-oracle.csv", at("trained", 4, -0.03), "direction only"),
    ("bend-64-oracle.csv", at("trained", 128, -0.0031), "not reproduced"),
    ("bend-256-oracle.csv", at("trained", 256, 0.1), "not reproduced"), ("bend-16-hash.csv", fewer_samples, "not testable here")])
def test_verdicts_on_the_known_answer(results, name, change, status):
    assert changed(results, name, change)[0] == status


def test_what_is_measured_is_that_of_the_page():
    status, measured = known_answer.known_answer(known_answer.read(COMMITTED))
    assert status == "reproduced"
    assert [round(measured["exact"][n]["oracle"]["largest_difference"], 4) for n in ("16", "64", "256")] == [0.003, 0.0089, 0.0165]
    assert [measured["exact"][n]["hash"]["answer"] for n in ("16", "64", "256")] == [16, 64, 256]


def without(experts):
    def change(table):
        table.loc[table["experts"] == experts, "experts"] = 3
    return change


def twice(table):
    table.loc[table["experts"] == 8, "experts"] = 4


@pytest.mark.parametrize("name,change,complaint", [
    ("bend-64-hash.csv", without(4), "bend-64-hash.csv: lacks a row of its own for E = 4; the rule needs 1, 2, 4, ..., 128"),
    ("bend-16-oracle.csv", without(32), "bend-16-oracle.csv: lacks a row of its own for E = 32"),
    ("bend-256-ideal.csv", without(1), "bend-256-ideal.csv: lacks a row of its own for E = 1"),
    ("bend-64-hash.csv", twice, "for E = 4, 8"), ("bend-16-hash.csv", at("trained", 4, np.nan), "for E = 4"),
    ("bend-64-hash.csv", at("assignment", 8, 2e-5), "bend-64-hash.csv: at E = 8 its assignment does not cost what bend-64-ideal.csv"),
    ("bend-16-oracle.csv", at("assignment", 4, -2e-5), "in column ideal")])
def test_curves_that_the_rule_cannot_judge_are_refused(results, name, change, complaint):
    with pytest.raises(SchemaError, match=complaint):
        changed(results, name, change)


def curve(facts, hidden, shift=0.0):
    """Loss of facts at rho = facts/(E P_e), P_e = 100 hidden: 0 below rho = 0.25, then a line in log2 rho, so E* is as facts/hidden."""
    experts = 2 ** np.arange(1, 9)
    rho = facts / (experts * 100 * hidden)
    return pd.DataFrame(dict(facts=facts, hidden=hidden, experts=experts, exposures=1000, rho=rho,
                             loss=np.maximum(0, np.log2(rho / 0.25)) + shift, ideal=0.0))


SAME = [curve(25600, 16), curve(51200, 16), curve(25600, 32)]


@pytest.mark.parametrize("tables,status", [
    (SAME, "reproduced"), ([*SAME[:2], curve(25600, 32, shift=0.04)], "reproduced"),
    ([*SAME[:2], curve(25600, 32, shift=0.06)], "direction only"),
    ([SAME[0], SAME[1].assign(loss=SAME[0]["loss"]), SAME[2]], "not reproduced"), (SAME[:2], "not testable here"),
    ([t.assign(loss=t["loss"] + 1) for t in SAME], "not testable here")])
def test_verdicts_on_facts(tables, status):
    verdict, _ = known_answer.facts_collapse(pd.concat(tables, ignore_index=True))
    assert verdict[0] == status


def test_ratios_and_spread_of_facts_by_hand():
    (_, measured), spread = known_answer.facts_collapse(pd.concat([*SAME[:2], curve(25600, 32, shift=0.03)], ignore_index=True))
    assert spread == pytest.approx([0, 0.03]) and measured["ratios"]["facts doubled from 25600 facts, hidden 16"] == pytest.approx(2)
    assert "the ratio says little beyond the collapse" in measured["note"]
    # loss 0.1 lies at rho = 0.25 · 2^0.1
    assert measured["answers"]["51200 facts, hidden 16"] == pytest.approx(51200 / (1600 * 0.25 * 2**0.1))


def test_learned_routers_and_facts_are_drawn_and_judged(results, capsys):
    pd.read_csv(results / "bend-64-hash.csv").assign(router="learned").to_csv(results / "bend-64-learned-aux.csv", index=False)
    pd.concat(SAME).to_csv(results / "facts.csv", index=False)
    out = results.parent / "out"
    assert main(["known-answer", str(results), "--out", str(out)]) == 0
    first, second = json.loads((out / "acceptance.json").read_text())
    assert "learned" in capsys.readouterr().out
    assert first["measured"]["learned"]["64 learned-aux"]["largest_above_hash"] == pytest.approx(0.0089, abs=1e-4)
    assert second["status"] == "reproduced" and second["files"] == ["results/facts.csv", "known-answer.svg"]
    origin = figure_file.read_origin(out / "known-answer.png")
    assert {"facts.csv", "bend-64-learned-aux.csv"} <= {pathlib.Path(path).name for path in origin.inputs}
    assert "not run" not in origin.caption and "settings were chosen so that both widths agree" in origin.caption


def test_without_facts_the_row_says_so():
    (_, row) = known_answer.entries(known_answer.read(COMMITTED)._replace(facts=None))
    assert row["status"] == "not testable here" and "no facts.csv" in row["measured"]["why"]


def test_other_folders_say_so(results, capsys):
    (results / "bend-64-oracle.csv").write_text("experts,router\n")
    assert main(["known-answer", str(results)]) == 2 and "no column samples" in capsys.readouterr().err
    (results / "bend-64-oracle.csv").unlink()
    with pytest.raises(SchemaError, match="run.sh"):
        known_answer.read(results)
