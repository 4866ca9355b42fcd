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
from yardstick.base.faults import SchemaError

COMMITTED = pathlib.Path(__file__).resolve().parents[2] / "experiments/known-answer/results"


@pytest.fixture
def results(tmp_path):
    """A copy of the committed tables."""
    return pathlib.Path(shutil.copytree(COMMITTED, tmp_path / "results"))


def changed(results, name, change):
    table = pd.read_csv(results / name, comment="#")
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
    ("knee-64-oracle.csv", at("trained", 4, 0.02), "direction only"), ("clark-256-hash.csv", at("trained", 256, 0.1), "not reproduced"),
    ("bend-16-oracle.csv", at("trained", 4, 0.02), "direction only"), ("bend-16-oracle.csv", at("trained", 4, -0.03), "direction only"),
    ("bend-64-oracle.csv", at("trained", 128, -0.0031), "not reproduced"),
    ("bend-256-oracle.csv", at("trained", 256, 0.1), "not reproduced"), ("bend-16-hash.csv", fewer_samples, "not testable here")])
def test_verdicts_on_the_known_answer(results, name, change, status):
    assert changed(results, name, change)[0] == status


def test_what_is_measured_is_that_of_the_page():
    status, measured = known_answer.known_answer(known_answer.read(COMMITTED))
    assert status == "reproduced"
    exact = {curve: measured["exact"][curve] for curve in ("bend 16", "bend 64", "bend 256")}
    assert [round(one["oracle"]["largest_difference"], 4) for one in exact.values()] == [0.003, 0.0089, 0.0165]
    assert [one["hash"]["answer"] for one in exact.values()] == [16, 64, 256]
    assert measured["answers"]["knee 64"] == 64 and measured["answers"]["clark 256"] == 256


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
    hashed = pd.read_csv(results / "bend-64-hash.csv", comment="#")
    hashed.assign(router="learned").to_csv(results / "bend-64-learned-aux.csv", index=False)
    for path in results.glob("facts-*.csv"):
        path.unlink()
    for i, table in enumerate(SAME):
        table.to_csv(results / f"facts-{i}.csv", index=False)
    out = results.parent / "out"
    assert main(["known-answer", str(results), "--out", str(out)]) == 0
    first, second = json.loads((out / "acceptance.json").read_text())
    assert "learned" in capsys.readouterr().out
    assert first["measured"]["learned"]["bend 64 learned-aux"]["largest_above_hash"] == pytest.approx(0.0089, abs=1e-4)
    assert second["status"] == "reproduced" and second["files"] == [*(f"results/facts-{i}.csv" for i in range(3)), "known-answer.svg"]
    origin = figure_file.read_origin(out / "known-answer.png")
    assert {"facts-0.csv", "bend-64-learned-aux.csv"} <= {pathlib.Path(path).name for path in origin.inputs}
    assert "not run" not in origin.caption and "settings were chosen so that both widths agree" in origin.caption


def test_tables_say_what_made_them(results, tmp_path):
    path = results / "bend-16-oracle.csv"
    table = path.read_text().split("\n", 1)[1]
    path.write_text('# {"command":"switchyard data laboratory there --experts 1","commit":"0123abc","seed":7}\n' + table)
    (results / "bend-16-hash.csv").write_text((results / "bend-16-hash.csv").read_text().split("\n", 1)[1])  # of an older program
    assert main(["known-answer", str(results), "--out", str(tmp_path / "out")]) == 0
    traced = figure_file.trace(tmp_path / "out/known-answer.svg")
    assert "1 run of commit 0123abc\n    seed 7  " in traced and "switchyard data laboratory there --experts 1" in traced
    assert "1 run of commit unknown" in traced
    assert "0123abc" in json.loads((tmp_path / "out/acceptance.json").read_text())[0]["runs_commits"]
    path.write_text("# {broken\n" + table)
    with pytest.raises(SchemaError, match="bend-16-oracle.csv: its first line: cannot be read"):
        known_answer.read(results)


def samples_table(excess, loss=0.0):
    """Of 64 tasks, 16 keys, 7 levels at E = 16, 32, 64: trained losses `loss` above the excess."""
    return pd.DataFrame(dict(experts=[16, 32, 64], assignment=loss, trained=np.array(excess) + loss))


def test_kappa_and_break_evens_by_hand():
    held = np.array([1792, 3584, 7168])
    fewer = {10_000: samples_table([1, 2, 1.5]), 100_000: samples_table([1, 0, 1.5]), 2_000_000: samples_table(5 * held / 2e6)}
    found = known_answer.fewer_samples(fewer)
    assert found["kappa"] == 5 and found["each"] == {"16": 5, "32": 5, "64": 5}
    assert found["break_even"] == {"16 to 32": round(5 * 1792 / (np.log(2) * 2 / 7)), "32 to 64": round(5 * 3584 / (np.log(2) / 7))}
    # from 1 worse to 1 better: in the middle of the logarithms; 32 to 64 pays with few samples, then never again
    assert found["observed"] == {"16 to 32": round(np.sqrt(1e9)), "32 to 64": None}
    assert known_answer.fewer_samples({10_000: fewer[10_000]}) is None


def test_the_tax_of_balance_is_exact():
    tax = known_answer.balance_tax(known_answer.read(COMMITTED))
    assert [tax["balanced"][e] for e in ("4", "16", "64")] == [[2.0842, 0], [1.072, 0], [0.4265, 0]]  # docs/science.md, "Tax of balance"
    share = 1 / sum(1 / r for r in range(1, 65))  # of the heaviest task, which has an expert of its own
    assert tax["oracle"]["64"] == [0, pytest.approx(64 * share - 1, abs=1e-3)]


def test_without_facts_the_row_says_so():
    (_, row) = known_answer.entries(known_answer.read(COMMITTED)._replace(facts=None))
    assert row["status"] == "not testable here" and "no facts-*.csv" in row["measured"]["why"]


def test_other_folders_say_so(results, capsys):
    (results / "bend-64-oracle.csv").write_text("experts,router\n")
    assert main(["known-answer", str(results)]) == 2 and "no column samples" in capsys.readouterr().err
    (results / "bend-64-oracle.csv").unlink()
    with pytest.raises(SchemaError, match="run.sh"):
        known_answer.read(results)
