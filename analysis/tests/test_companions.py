"""What other sweeps add to a curve: undisturbed durations, and runs cooled at their own end."""
import json

import h5py
import numpy as np
import pandas as pd
import pytest
from sweep_fixture import BLOCKS, write_results

from yardstick.cli import main
from yardstick.drawing import figure_file
from yardstick.law.saturation import Interval
from yardstick.base.faults import SchemaError
from yardstick.sweeps import companions, costs, results

EXPERTS = (1, 2, 4, 64)
SEEDS = (1, 2, 3)
BY_BLOCK = 0.5 * np.random.default_rng(3).normal(size=BLOCKS)


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr("yardstick.law.saturation.DRAWS", 400)


def frame(experts=EXPERTS, seeds=SEEDS, steps=(50, 100), loss=lambda e, s, t: 4 - 0.1 * np.log2(e) + 10 / t + 0.02 * s, **columns):
    rows = [dict(num_experts=e, k=1, seed=s, step=t, tokens=t * 1000, loss_validation=loss(e, s, t), dense_parameter_count=5e4,
                 total_parameter_count=1e5 * e, router_type="softmax", seconds_per_step=1 + 0.01 * s, bits_per_byte=2.0 + 0.1 * s,
                 peak_bytes=1e6 * e) for s in seeds for e in experts for t in steps]
    return pd.DataFrame(rows).assign(**columns)


@pytest.fixture
def save(tmp_path):
    """Writes NAME/results.h5 of a frame, a task for each run and a row for each evaluation, made at commit NAME."""
    def write(name, table, blocks=BY_BLOCK - BY_BLOCK.mean()):
        (tmp_path / name).mkdir()
        write_results(tmp_path / name, table.to_dict("records"), table["loss_validation"].values[:, None] + blocks)
        keys = list(zip(table["num_experts"], table["seed"]))
        tasks = list(dict.fromkeys(keys))
        with h5py.File(tmp_path / name / "results.h5", "a") as f:
            f["task"] = [tasks.index(key) for key in keys]
            f.attrs["tasks"] = json.dumps([f"{name}/{e}-{s}" for e, s in tasks])
            f.attrs["runs"] = json.dumps([dict(run=f"{name}/{e}-{s}", commit=name, backend="OpenMP") for e, s in tasks])
        return str(tmp_path / name / "results.h5")
    return write


@pytest.fixture
def curve(save):
    return results.tables(results.read(save("curve", frame())))[0]


def test_durations_are_the_last_ones_of_the_other_sweep(save, curve):
    timed = frame(seeds=(4, 5), steps=(10, 20))
    timed["seconds_per_step"] = 0.5 + 0.1 * (timed["num_experts"] == 64) + 0.05 * (timed["seed"] == 5) - 0.4 * (timed["step"] == 10)
    found = companions.durations(save("times", timed), curve)
    cost = costs.measure(curve, found.found)
    assert cost.seconds == pytest.approx([0.5, 0.5, 0.5, 0.6]), "the smallest of the seeds"
    assert cost.speed == pytest.approx((0.5 / 0.6, 0.5 / 0.6, 0.55 / 0.65))
    assert costs.measure(curve).speed == pytest.approx((1, 1, 1)), "without it those of the curve's own runs"
    assert len(found.runs) == 8 and set(found.rows["step"]) == {20} and found.lacks == []


def test_what_durations_leave_out_is_said(save, curve):
    timed = frame(seeds=(1, 2))
    timed = timed[~((timed["num_experts"] == 64) & (timed["seed"] == 2) & (timed["step"] == 100))]
    path = save("times", timed)
    found = companions.durations(path, curve)
    assert found.lacks == [f"{path}: Seed 2 is left out: it lacks E = 64."]
    assert [run.run for run in found.runs] == ["times/1-1", "times/2-1", "times/4-1", "times/64-1"]


@pytest.mark.parametrize("columns,experts", [(dict(router_type="sigmoid"), EXPERTS), (dict(k=2), EXPERTS), ({}, (1, 2, 4))])
def test_durations_of_another_setting_are_refused(save, curve, columns, experts):
    with pytest.raises(SchemaError, match="seconds_per_step of all of E = 1, 2, 4, 64"):
        companions.durations(save("times", frame(experts=experts, **columns)), curve)


def shorter_runs(seeds=(2, 3), steps=(40,), above=0.0, **columns):
    """Runs of 64 experts that end 0.05 nat below the dense ones of their seeds, whose last loss is 4.1 + 0.02 s, and by `above` higher."""
    return frame(experts=(64,), seeds=seeds, steps=steps, loss=lambda e, s, t: 4.05 + 0.02 * s + above, **columns)


def test_a_shorter_run_is_paired_with_the_dense_model(save, curve):
    found = companions.shorter(save("cooled", shorter_runs()), curve)
    # what seeds and blocks share falls out, so the limits are the value; unpaired blocks would spread by 0.1 nat
    assert [run[:6] for run in found.found] == [(64, 40, 2.5, 2, pytest.approx(4.1), pytest.approx(Interval(0.05, 0.05, 0.05)))]
    assert found.found[0].by_t == pytest.approx(Interval(0.05, 0.05, 0.05))
    assert [run.run for run in found.runs] == ["cooled/64-2", "cooled/64-3"] and found.lacks == []
    assert "in 40 steps to 4.1000 nat, 0.0500 (95 % interval 0.0500 to 0.0500) below the dense model's 4.1400 after 100" \
        in companions.sentence(found.found[0], 4.14)


def test_without_blocks_the_means_are_paired(save, curve):
    (found,) = companions.shorter(save("cooled", shorter_runs(), blocks=np.full(BLOCKS, np.nan)), curve).found
    assert found.below == pytest.approx(Interval(0.05, 0.05, 0.05))


def test_what_ended_early_is_said(save, curve):
    runs = shorter_runs(steps=(20, 40))
    path = save("cooled", runs[~((runs["seed"] == 3) & (runs["step"] == 40))])
    found = companions.shorter(path, curve)
    assert found.lacks == [f"{path}: E = 64, seed 3 is left out: it ended at step 20 of 40."] and found.found[0].seeds == 1


@pytest.mark.parametrize("below,side,verdict", [((0.1, 0.05, 0.2), "0.1000 (95 % interval 0.0500 to 0.2000) below", "is reached"),
                                                ((-0.1, -0.2, -0.05), "0.1000 (95 % interval 0.0500 to 0.2000) above", "is not reached"),
                                                ((0.1, -0.1, 0.2), "(95 % interval -0.1000 to 0.2000) below", "is not resolved")])
def test_what_a_shorter_run_says(below, side, verdict):
    said = companions.sentence(companions.Shorter(64, 667, 1.5, 3, 4.1, Interval(*below)), 4.2)
    assert side in said and said.endswith(f"a speed-up in steps of 1.50 {verdict}.")


@pytest.mark.parametrize("other,complaint", [(dict(router_type="sigmoid"), "has no runs with"),
                                             (dict(seeds=(9,)), "has none of the seeds 1, 2, 3"),
                                             (dict(tokens=80000), "2,000 tokens a step, the curve on 1,000")])
def test_shorter_runs_of_another_setting_are_refused(save, curve, other, complaint):
    with pytest.raises(SchemaError, match=complaint):
        companions.shorter(save("cooled", shorter_runs(**other)), curve)


def test_the_command_takes_both_and_names_the_runs_of_each(save, tmp_path):
    paths, out = [save("curve", frame()), save("times", frame(seeds=(1,))), save("cooled", shorter_runs(above=0.1))], tmp_path / "out"
    assert main(["saturation", paths[0], "--times", paths[1], "--cooled", paths[2], "--out", str(out)]) == 0
    origin = figure_file.read_origin(out / "curve-00.svg")
    assert "the sweep given by --times" in origin.caption and set(paths) == set(origin.inputs)
    assert {run.commit for run in origin.runs} == {"curve", "times"} and len(origin.runs) == 16
    (made,) = json.loads((out / "saturation.json").read_text())["curves"]
    assert [run["steps"] for run in made["shorter"]] == [40] and made["shorter"][0]["below"]["value"] == pytest.approx(-0.05)
    claims = {e["key"]: e for e in json.loads((out / "acceptance.json").read_text())}
    commits = {key: claim["runs_commits"] for key, claim in claims.items()}
    assert commits["more-experts-help"] == ["cooled", "curve"] and commits["speed-holds"] == ["times"]
    assert commits["memory-linear"] == commits["gains-stop"] == ["curve"]
    assert claims["more-experts-help"]["measured"]["shorter"] == made["shorter"]
    assert [len(pd.read_csv(out / f"curve-00-{kind}.csv")) for kind in ("runs", "times", "cooled")] == [24, 4, 2]


def test_every_evaluation_of_its_own_curve_is_written(save, tmp_path):
    both = pd.concat([frame(), frame(experts=(2, 4, 64), router_type="sigmoid")])
    both.to_csv(tmp_path / "two.csv", index=False)
    assert main(["saturation", str(tmp_path / "two.csv"), "--out", str(tmp_path / "out")]) == 0
    for name in ("curve-00", "curve-01"):
        rows = pd.read_csv(tmp_path / "out" / f"{name}-runs.csv")
        assert len(rows) == 24 and not rows.duplicated(["num_experts", "seed", "step"]).any()
        assert pd.read_csv(tmp_path / "out" / f"{name}.csv")["bits_per_byte"].tolist() == pytest.approx([2.2] * 4)
