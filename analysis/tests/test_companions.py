"""What other sweeps add to a curve: undisturbed durations, and runs cooled at their own end."""
import json

import numpy as np
import pandas as pd
import pytest

from yardstick.cli import main
from yardstick.law.saturation import Interval
from yardstick.records.run_folder import SchemaError
from yardstick.sweeps import companions, costs, results

EXPERTS = (1, 2, 4, 64)
SEEDS = (1, 2, 3)


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr("yardstick.law.saturation.DRAWS", 400)


def frame(experts=EXPERTS, seeds=SEEDS, steps=(50, 100), **columns):
    rows = [dict(num_experts=e, k=1, seed=s, step=t, tokens=t * 1000, loss_validation=4 - 0.1 * np.log2(e) + 10 / t + 0.02 * s,
                 dense_parameter_count=5e4, total_parameter_count=1e5 * e, router_type="softmax",
                 seconds_per_step=1 + 0.01 * s) for s in seeds for e in experts for t in steps]
    return pd.DataFrame(rows).assign(**columns)


@pytest.fixture
def saved(tmp_path):
    def save(name, table):
        table.to_csv(tmp_path / name, index=False)
        return str(tmp_path / name)
    return save


def curve(saved):
    return results.tables(results.read(saved("curve.csv", frame())))[0]


def test_durations_come_from_the_other_sweep(saved):
    table = curve(saved)
    timed = frame(seeds=(4, 5), steps=(10,))
    timed["seconds_per_step"] = 0.5 + 0.1 * (timed["num_experts"] == 64) + 0.05 * (timed["seed"] == 5)
    found = costs.measure(table, companions.durations(saved("times.csv", timed), table))
    assert found.seconds == pytest.approx([0.5, 0.5, 0.5, 0.6]), "the smallest of the seeds"
    assert found.speed == pytest.approx((0.5 / 0.6, 0.5 / 0.6, 0.55 / 0.65))
    assert costs.measure(table).speed == pytest.approx((1, 1, 1)), "without it those of the curve's own runs"


@pytest.mark.parametrize("columns,experts", [(dict(router_type="sigmoid"), EXPERTS), (dict(k=2), EXPERTS), ({}, (1, 2, 4))])
def test_durations_of_another_setting_are_refused(saved, columns, experts):
    with pytest.raises(SchemaError, match="seconds_per_step of all of E = 1, 2, 4, 64"):
        companions.durations(saved("times.csv", frame(experts=experts, **columns)), curve(saved))


def test_a_shorter_run_is_paired_with_the_dense_model(saved):
    cooled = frame(experts=(64,), seeds=(2, 3), steps=(40,))
    cooled["loss_validation"] = 4.05 + 0.02 * cooled["seed"]
    (found,) = companions.shorter(saved("cooled.csv", cooled), curve(saved))
    # dense at its end: 4.1 + 0.02 s; what seeds share falls out, so the limits are the value
    assert found == (64, 40, 2.5, 2, pytest.approx(4.1), pytest.approx(Interval(0.05, 0.05, 0.05)))
    assert "in 40 steps to 4.1000 nat, 0.0500 (95 % interval 0.0500 to 0.0500) below the dense model's 4.1400 after 100" \
        in companions.sentence(found, 4.14)


@pytest.mark.parametrize("below,side,verdict", [((0.1, 0.05, 0.2), "0.1000 (95 % interval 0.0500 to 0.2000) below", "is reached"),
                                                ((-0.1, -0.2, -0.05), "0.1000 (95 % interval 0.0500 to 0.2000) above", "is not reached"),
                                                ((0.1, -0.1, 0.2), "(95 % interval -0.1000 to 0.2000) below", "is not resolved")])
def test_what_a_shorter_run_says(below, side, verdict):
    said = companions.sentence(companions.Shorter(64, 667, 1.5, 3, 4.1, Interval(*below)), 4.2)
    assert side in said and said.endswith(f"a speed-up in steps of 1.50 {verdict}.")


@pytest.mark.parametrize("other,complaint", [(dict(experts=(64,), router_type="sigmoid"), "has no runs with"),
                                             (dict(experts=(64,), seeds=(9,)), "has none of the seeds 1, 2, 3")])
def test_shorter_runs_of_another_setting_are_refused(saved, other, complaint):
    with pytest.raises(SchemaError, match=complaint):
        companions.shorter(saved("cooled.csv", frame(**other)), curve(saved))


def test_the_command_takes_both(saved, tmp_path, capsys):
    main_results, out = saved("curve.csv", frame()), tmp_path / "out"
    times, cooled = saved("times.csv", frame(seeds=(1,))), saved("cooled.csv", frame(experts=(64,), steps=(40,)))
    assert main(["saturation", main_results, "--times", times, "--cooled", cooled, "--out", str(out)]) == 0
    assert "one task at a time" in (out / "curve-00.svg").read_text()
    (made,) = json.loads((out / "saturation.json").read_text())["curves"]
    assert [run["steps"] for run in made["shorter"]] == [40]
    capsys.readouterr()
    assert main(["trace", str(out / "curve-00.svg")]) == 0
    told = capsys.readouterr().out
    assert times in told and cooled in told
    assert main(["saturation", main_results, "--times", saved("t.csv", frame(experts=(1, 2, 4)))]) == 2


def test_every_evaluation_is_written(saved, tmp_path):
    assert main(["saturation", saved("curve.csv", frame()), "--out", str(tmp_path / "out")]) == 0
    rows = pd.read_csv(tmp_path / "out" / "curve-00-runs.csv")
    assert len(rows) == len(frame()) and rows["loss_validation"].sum() == pytest.approx(frame()["loss_validation"].sum(), abs=1e-3)
