"""Corrected verdicts: their branches, the rule of the hash arm, and that all of them recompute from files that are committed."""
import json
import pathlib
import shutil

import numpy as np
import pandas as pd
import pytest
from sweep_fixture import config_of, write_sweep
from test_balancing import SKEW, SWEEP, plant
from test_companions import frame, save, shorter_runs  # noqa: F401: save is a fixture

from yardstick.cli import main
from yardstick.drawing import figure_file
from yardstick.law import contrasts, coverage, half, intervals, power, saturation
from yardstick.sweeps import arms_corrected, companions, corrected, judging, results, trained
from yardstick.verdicts import acceptance

EXPERIMENTS = pathlib.Path(__file__).resolve().parents[2] / "experiments"
EXPERTS = 2.0 ** np.arange(8)


def stated(value, low, high):
    return intervals.Stated(value, low, high, "t", 0.01, 14, 0.0)


def found(**changes):
    """Contrasts of a curve that diminishes as the law says, at little noise."""
    parts = dict(trend=stated(-0.02, -0.025, -0.015), gain=stated(0.15, 0.1, 0.2), bend=stated(-0.006, -0.008, -0.004),
                 covers=dict(trend=0.95, gain=0.95, bend=0.95),
                 half=half.Half(intervals.Interval(35, 30, 45), intervals.Interval(38, 32, 50)), predicted=(37.0, 41.0),
                 bias=None, alike=0.5,
                 design=coverage.Design(3, 8, 1, 0.01, 0.0), powers={"the trend": STRONG, "the bend": STRONG})
    return contrasts.Contrasts(**parts | changes)


STRONG, WEAK = (power.Power(met, 3, 0.04, 0.5, None, 0.01) for met in (0.9, 0.1))
OPEN = dict(bend=stated(-0.006, -0.014, 0.001))
WIDE = dict(half=half.Half(intervals.Interval(2, 1.4, 33), intervals.Interval(6, 6, np.inf)))
DIMINISH = [({}, "reproduced"), (OPEN, "direction only"), (OPEN | dict(powers={"the bend": WEAK}), "underpowered"), (WIDE, "not resolved"),
            (WIDE | OPEN | dict(powers={"the bend": WEAK}), "underpowered"), (dict(bend=stated(0.004, 0.001, 0.007)), "not reproduced"),
            (dict(half=half.Half(intervals.Interval(5, 4, 10), intervals.NOWHERE)), "not reproduced"),
            (dict(half=half.Half(intervals.Interval(8, 6, 22), intervals.NOWHERE)), "direction only"),
            (dict(gain=stated(-0.1, -0.2, 0.1)), "not testable here"), (dict(bend=stated(-0.006, np.nan, np.nan)), "not testable here")]


@pytest.mark.parametrize("changes,status", DIMINISH)
def test_gains_diminish(changes, status):
    assert corrected.diminish(found(**changes), 3)[0][0] == status


def run(below=(0.1, 0.05, 0.15), experts=64.0, fewer=1.4992):
    return companions.Shorter(experts, 667, fewer, 3, 4.0, saturation.NOWHERE, intervals.Interval(*below))


HELPS = [({}, [run()], EXPERTS, "reproduced"), ({}, [], EXPERTS, "not testable here"), ({}, [run(fewer=1.4)], EXPERTS, "not testable here"),
         ({}, [run(experts=32.0)], EXPERTS, "not testable here"), ({}, [run((-0.2, -0.3, -0.1))], EXPERTS, "not reproduced"),
         ({}, [run((-0.01, -0.03, 0.1))], EXPERTS, "not testable here"), ({}, [run((0.01, -0.03, 0.1))], EXPERTS, "direction only"),
         (dict(trend=stated(0.02, 0.01, 0.03)), [], EXPERTS, "not reproduced"),
         (dict(trend=stated(-0.02, -0.05, 0.01), powers={"the trend": WEAK}), [run()], EXPERTS, "underpowered"),
         ({}, [run()], EXPERTS[1:], "not testable here"), ({}, [run()], EXPERTS[:6], "not testable here")]


@pytest.mark.parametrize("changes,shorter,experts,status", HELPS)
def test_more_experts_help(changes, shorter, experts, status):
    assert corrected.helps(found(**changes), experts, 3, shorter)[0][0] == status


def test_sentences_say_what_is_not_resolved_and_what_no_one_could_resolve():
    bias = half.Bias(39.0, 6.0, 19.0, 44.0, 0.94, 120)
    said = " ".join(corrected.sentences(found(**WIDE | dict(bias=bias, powers={"x": WEAK})), 64))
    for part in ("-0.0200 nat a doubling (95 % interval -0.0250 to -0.0150 by t; such intervals hold the truth in 95.0 %",
                 "E_half is 2 by smoothed gains and 6 by the fitted law; 95 % interval 1 to beyond the curve: not resolved",
                 "a true E_half of 39 is found at 6 by the first gain", "holds it in 94 % of them", "gives 37 to 41",
                 "“x”: a law with the whole gain of this curve would meet it with probability 0.10 at 3 seeds",
                 "underpowered; 31 seeds would meet it with 0.50, 5 seeds would do at 0.0100 nat (80 %)"):
        assert part in said
    clear = " ".join(corrected.sentences(found(), 64))
    assert "which resolves it" in clear and "underpowered" not in clear


def beside(shift, seeds=3):
    rng = np.random.default_rng(1)
    losses = 4 + rng.normal(size=(seeds, 1, 1)) + np.array([0.0, shift, 0.3])[None, :, None] + 0.001 * rng.normal(size=(seeds, 3, 4))
    return trained.arms(["hash", "softmax", "worse"], losses, ("hash",))


def test_a_learned_arm_that_loses_to_a_hash():
    lost, won, open_ = beside(0.1), beside(-0.1), beside(0.0)
    assert lost.lost and lost.learned == "the best learned arm, softmax," and lost.less.value == pytest.approx(0.1, abs=0.002)
    assert not won.lost and not open_.lost
    assert "claims on text are not testable" in trained.sentence(lost) and "is the better one" in trained.sentence(won)
    assert "which of the two is better is not resolved" in trained.sentence(open_)
    losses = np.array([4.0, 3.0, 5.0])[None, :, None] * np.ones((3, 1, 1))
    still = trained.arms(["hash", "frozen", "softmax"], losses, ("hash",), ("frozen",))
    assert "softmax" in still.learned and still.less.value == 1.0, "a router that stands still has learned nothing"
    assert trained.arms(["a", "b"], np.ones((3, 2, 1)), ("a",), ("b",)) is None
    assert trained.arms(["a", "b"], np.ones((3, 2, 1)), ()) is None and trained.arms(["a"], np.ones((3, 1, 1)), ("a",)) is None
    entries = [dict(key="top-2", label=""), dict(key="memory-linear", label="")]
    (text, other) = trained.judged(entries, lost, ("top-2",))
    assert text["corrected"]["status"] == acceptance.UNTRAINED and "corrected" not in other
    assert trained.judged(entries, won, ("top-2",)) == entries == trained.judged(entries, None, ("top-2",))


def curves_of(hash_loss, **columns):
    rows = [frame(), frame(experts=(2, 4, 64), router_type="hash", loss=lambda e, s, t: hash_loss(e, s, t), **columns)]
    return results.tables(pd.concat(rows).pipe(lambda f: results.checked(f, "x")))


@pytest.mark.parametrize("shift,lost", [(-0.05, True), (0.05, False)])
def test_a_curve_whose_router_loses_to_the_hash_is_not_testable(shift, lost):
    tables = curves_of(lambda e, s, t: 4 + shift - 0.1 * np.log2(e) + 10 / t + 0.02 * s + 1e-4 * (s * e % 3))
    learned = next(t for t in tables if t.router == "softmax")
    found = trained.curve(learned, tables)
    assert found.lost == lost and found.less.value == pytest.approx(-shift, abs=2e-3)
    parts = corrected.verdicts(contrasts.measure(learned), learned, [], found)
    assert {part["status"] == acceptance.UNTRAINED for part in parts.values()} == {lost}
    assert trained.curve(next(t for t in tables if t.router == "hash"), tables) is None and trained.curve(learned, [learned]) is None
    for columns in (dict(granularity=2), dict(tokens=7), dict(routing_frequency=1.0)):
        other = curves_of(lambda e, s, t: 3.9, **columns)
        assert trained.curve(next(t for t in other if t.router == "softmax"), other) is None, f"{columns}: no hash arm of this curve"
    named = learned._replace(frame=learned.frame.assign(arm="learned"))
    assert trained.curve(named, tables) == found, "arms have names of their own"


def test_the_command_knows_a_hash_arm(tmp_path, capsys):
    arms = {name: SWEEP[name] for name in ("none", "aux-sequence", "aux-batch", "free-low", "free-mid", "free-high")}
    hashed = (3.9, config_of(train__steps=40, moe__router="hash"))
    sweep = write_sweep(tmp_path / "sweep", arms | {"hash": hashed}, hash=dict(router_type="hash"),
                        plant=lambda run, arm, seed: plant(run, arm, seed) if arm in SKEW else None)
    assert main(["balancing", str(sweep), "--out", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    assert "Against a hash of the token id the loss of the best learned arm" in text and "router not trained: not testable" in text
    claims = {e["key"]: e for e in json.loads((tmp_path / "out/acceptance.json").read_text())}
    assert claims["loss-free-costs-nothing"]["corrected"]["status"] == acceptance.UNTRAINED
    assert claims["loss-free-balances"]["corrected"]["status"] == "reproduced", "evenness is no claim on text"
    before = parts_of(tmp_path / "out/acceptance.json")
    assert main(["judge", str(tmp_path / "out"), "--out", str(tmp_path / "out")]) == 0
    assert same(before, parts_of(tmp_path / "out/acceptance.json")), "what is committed has the hash arm too"
    assert [part["status"] for part in before.values()].count(acceptance.UNTRAINED) == 2, "of its cost, and of softmax or sigmoid"


NAMES = ["aux-sequence", "aux-batch", "free-low", "free-mid"]


def planted(losses=(4.0, 4.0, 3.99, 4.4), excess=(3.0, 2.8, 0.2, 0.8), noise=1e-4, seeds=3):
    rng = np.random.default_rng(2)
    shape = (seeds, 4)
    return (4 * rng.normal(size=(seeds, 1)) + np.array(losses) + noise * rng.normal(size=shape))[:, :, None], \
        np.array(excess) + 0.01 * rng.normal(size=shape)


BALANCING = [({}, "reproduced", "reproduced"), (dict(noise=0.3), "reproduced", "underpowered"),
             (dict(losses=(4.0, 4.0, 4.1, 4.0)), "reproduced", "not reproduced"),
             (dict(excess=(3.0, 2.8, 0.9, 1.0)), "not reproduced", "reproduced"),
             (dict(seeds=2), "direction only", "direction only")]


@pytest.mark.parametrize("changes,balances,costs", BALANCING)
def test_arms_of_balancing(changes, balances, costs):
    """The rate is the one with the least excess, whatever its loss."""
    losses, excess = planted(**changes)
    parts = arms_corrected.balancing(NAMES, losses, excess, ("hash",))
    assert [parts[key]["status"] for key in ("loss-free-balances", "loss-free-costs-nothing")] == [balances, costs]
    assert parts["loss-free-balances"]["measured"]["arm"] == "free-low"
    alone = arms_corrected.balancing(NAMES, losses, excess)
    assert alone["loss-free-balances"] == parts["loss-free-balances"]
    assert alone["loss-free-costs-nothing"]["status"] == ("not testable here" if costs == "reproduced" else costs)
    assert alone["loss-free-costs-nothing"]["measured"]["hash_arm"] == "none among these runs"
    assert arms_corrected.balancing(NAMES[1:], losses[:, 1:], excess[:, 1:]) == {} == arms_corrected.top_2(["1", "4"], losses[:, :2])


def parts_of(path):
    return {(e["key"], e["label"]): {k: v for k, v in e["corrected"].items() if k not in ("command", "commit")}
            for e in json.loads(path.read_text()) if "corrected" in e}


def same(a, b):
    """Whether two structures of JSON agree, numbers to 6 digits."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == pytest.approx(b, rel=1e-5, abs=1e-7) if isinstance(a, float) and isinstance(b, float) else a == b


@pytest.mark.parametrize("name", ["saturation", "balancing", "top-k"])
def test_committed_corrected_verdicts_recompute_from_committed_files(name, tmp_path):
    shutil.copytree(EXPERIMENTS / name, tmp_path / name)
    judging.make(tmp_path / name, tmp_path / name, "yardstick judge")
    before, after = (parts_of(folder / "acceptance.json") for folder in (EXPERIMENTS / name, tmp_path / name))
    assert before and same(before, after)
    tables = [f.name for kind in ("contrasts", "power") for f in (EXPERIMENTS / name).glob(f"curve-*-{kind}.csv")]
    assert len(tables) == (2 if name == "saturation" else 0)
    for table in tables:
        pd.testing.assert_frame_equal(*(pd.read_csv(folder / table) for folder in (EXPERIMENTS / name, tmp_path / name)), rtol=1e-4)


def test_everything_of_a_new_curve_recomputes_from_its_csv(save, tmp_path, monkeypatch):  # noqa: F811
    """Registered intervals too, with blocks: the csv of runs is a results table."""
    noisy = frame(experts=(1, 2, 4, 8, 16, 32, 64, 128))
    noisy["loss_validation"] += 0.01 * np.random.default_rng(1).normal(size=len(noisy))
    first, again = tmp_path / "first", tmp_path / "again"
    blocks = 0.1 * np.random.default_rng(2).normal(size=(len(noisy), 16))
    made = [save("curve", noisy, blocks - blocks.mean(1, keepdims=True)), save("cooled", shorter_runs())]
    assert main(["saturation", made[0], "--cooled", made[1], "--out", str(first)]) == 0
    assert main(["saturation", str(first / "curve-00-runs.csv"), "--cooled", str(first / "curve-00-cooled.csv"), "--out", str(again)]) == 0
    entries = [json.loads((folder / "acceptance.json").read_text()) for folder in (first, again)]
    for a, b in zip(*entries):
        assert a["status"] == b["status"] and same(a["interval"], b["interval"]) and same(a["measured"], b["measured"])
    assert same(parts_of(first / "acceptance.json"), parts_of(again / "acceptance.json")) and len(parts_of(first / "acceptance.json")) == 2
    before = parts_of(first / "acceptance.json")
    assert main(["judge", str(first), "--out", str(first)]) == 0 and same(before, parts_of(first / "acceptance.json"))


def test_arms_recompute_from_their_csv(tmp_path):
    arms = {name: SWEEP[name] for name in ("none", "aux-sequence", "aux-batch", "free-low", "free-mid", "free-high")}
    assert main(["balancing", str(write_sweep(tmp_path / "sweep", arms, plant=plant)), "--out", str(tmp_path / "out")]) == 0
    before = parts_of(tmp_path / "out/acceptance.json")
    assert len(before) == 2 and len(pd.read_csv(tmp_path / "out/balancing-losses.csv").filter(like="block_loss_").columns) == 16
    assert main(["judge", str(tmp_path / "out"), "--out", str(tmp_path / "out")]) == 0
    assert same(before, parts_of(tmp_path / "out/acceptance.json"))


def test_what_cannot_be_judged_says_so(tmp_path, capsys):
    assert main(["judge", str(tmp_path)]) == 2 and "has none of saturation.json" in capsys.readouterr().err
    (tmp_path / "saturation.json").write_text('{"curves": [{}]}')
    (tmp_path / "acceptance.json").write_text("[]")
    assert main(["judge", str(tmp_path)]) == 2 and "is not what yardstick writes" in capsys.readouterr().err
    (tmp_path / "saturation.json").unlink()
    (tmp_path / "balancing-runs.csv").write_text("arm,seed,loss,excess_global\na,1,4,1\na,1,4,1\nb,2,4,1\n")
    assert main(["judge", str(tmp_path)]) == 2 and "has not one row for each arm and seed" in capsys.readouterr().err


def test_figures_of_a_committed_curve_are_redrawn_from_its_tables(tmp_path):
    """Tables of before, which lack what all runs share, are completed, so that `yardstick saturation` reads them; the dense model has no
    MaxVio."""
    folder = shutil.copytree(EXPERIMENTS / "saturation", tmp_path / "saturation")
    shutil.copytree(EXPERIMENTS / "law-from-published-curves", tmp_path / "law-from-published-curves")
    rows = pd.read_csv(folder / "curve-00-runs.csv")
    shared = ["router_type", "k", "granularity", "routing_frequency", "dense_parameter_count", "total_parameter_count"]
    rows.drop(columns=shared).fillna({"max_vio": 0}).to_csv(folder / "curve-00-runs.csv", index=False)
    runs = figure_file.read_origin(folder / "curve-00.svg").runs
    assert main(["judge", str(folder), "--out", str(folder)]) == 0
    pd.testing.assert_frame_equal(pd.read_csv(folder / "curve-00-runs.csv"), rows)
    assert rows[rows["num_experts"] == 1]["max_vio"].isna().all()
    made = figure_file.read_origin(folder / "curve-00.svg")
    assert made.runs == runs and len(made.inputs) == 4 and "judge" in made.command
    assert main(["saturation", str(folder / "curve-00-runs.csv")]) == 0
