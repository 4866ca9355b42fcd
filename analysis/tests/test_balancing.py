"""Arms of a sweep compared, and `yardstick balancing`: planted effects, the reading of sweeps, every verdict, the command."""
import json
import re

import h5py
import numpy as np
import pandas as pd
import pytest
from fixture import write_run
from sweep_fixture import config_of, write_results, write_sweep

import yardstick
from yardstick.records import run_folder
from yardstick.verdicts import acceptance
from yardstick.sweeps import arms, balancing
from yardstick.cli import main
from yardstick.base.faults import SchemaError
from yardstick.routing.nulls import max_vio_floor


def compared(losses, names):
    """Arms of losses (S, A, B) without run folders."""
    count = losses.shape[1]
    return arms.Arms(list(names), list(range(losses.shape[0])), losses, {}, 1e4, 4e4, np.full(count, 1e5), [4] * count, 1, [])


def noisy(effects, own=1e-4, seeds=3, blocks=64):
    """(S, A, B) losses: what seeds and blocks are harder by is the same in every arm."""
    rng = np.random.default_rng(2)
    return (4 + np.array(effects)[None, :, None] + 0.1 * rng.normal(size=(seeds, 1, 1)) + 0.3 * rng.normal(size=(1, 1, blocks)) +
            own * rng.normal(size=(seeds, len(effects), blocks)))


def test_a_planted_difference_is_found_through_common_noise():
    found = arms.sample("ab", noisy([0, 0.01]), 2000)
    d = found.difference("b", "a")
    assert d.low < 0.01 < d.high and d.high - d.low < 3e-4
    assert found.of("a").high - found.of("a").low > 0.1
    assert found.difference("a", "a") == (0, 0, 0)
    assert found.sum_of({"a": 1, "b": -0.5}).value == pytest.approx(noisy([0, 0.01]).mean((0, 2)) @ [1, -0.5])


def test_draws_are_those_of_a_plain_loop():
    """Mean and spread of the difference against seeds and blocks drawn one by one."""
    losses, rng, loop = noisy([0, 0.02], own=0.05, blocks=8), np.random.default_rng(7), []
    for _ in range(4000):
        seeds, blocks = rng.integers(0, 3, 3), rng.integers(0, 8, 8)
        loop.append(np.mean([[losses[s, 1, b] - losses[s, 0, b] for b in blocks] for s in seeds]))
    d = arms.sample("ab", losses, 4000).difference("b", "a")
    assert [d.low, d.high] == pytest.approx(np.quantile(loop, [0.025, 0.975]), abs=0.08 * np.std(loop) * 4)


def test_one_seed_without_blocks_has_no_interval():
    d = arms.sample("ab", np.array([[1.0, 2.0]])).difference("b", "a")
    assert d.value == 1 and np.isnan(d.low) and np.isnan(d.high)
    assert np.isnan(arms.seed_sd(compared(noisy([0, 1], seeds=1), "ab"), "a", "b"))


NONE = config_of(train__steps=40)


def test_a_sweep_is_read_by_arm_and_seed(tmp_path):
    found = arms.read(write_sweep(tmp_path, {"b": (4, None), "a": (5, None)}))
    assert found.names == ["b", "a"] and found.seeds == [1, 2, 3] and found.losses.shape == (3, 2, 16)
    assert found.folders["a", 2] == tmp_path / "tasks/3"
    assert found.losses.mean((0, 2))[1] - found.losses.mean((0, 2))[0] == pytest.approx(1, abs=1e-3)


def test_arms_that_never_learn_are_known_from_the_settings_of_their_tasks(tmp_path):
    rates = dict(a=1.0, b=0.0)
    sweep = write_sweep(tmp_path, dict(a=(4, None), b=(5, None)), **{arm: {"train.router_rate": rate} for arm, rate in rates.items()})
    found = arms.read(sweep)
    assert found.still == ("b",) and found.hashed == ()
    arms.losses_of(found).to_csv(tmp_path / "losses.csv", index=False)
    names, losses, hashed, still = arms.read_losses(tmp_path / "losses.csv")
    assert (names, hashed, still) == (["a", "b"], (), ("b",)) and losses == pytest.approx(found.losses)
    assert arms.read(write_sweep(tmp_path / "old", dict(a=(4, None), b=(5, None)))).still == ()


def test_what_is_not_finished_is_left_out_and_named(tmp_path):
    rows = [dict(task=i, arm=arm, num_experts=4, k=1, granularity=1, seed=seed, step=20 if (arm, seed) == ("b", 2) else 40,
                 tokens=40960, loss_validation=4.0, dense_parameter_count=1e4, total_parameter_count=1e5)
            for i, (arm, seed) in enumerate([("a", 1), ("b", 1), ("a", 2), ("b", 2)])]
    write_results(tmp_path, rows, np.full((4, 4), 4.0))
    found = arms.read(tmp_path)
    assert found.seeds == [1]
    assert found.lacks == ["arm b, seed 2 is left out: it ended at step 20 of 40.", "Seed 2 is left out: it lacks arm b."]


@pytest.mark.parametrize("sweep,complaint",
                         [(dict(a=(4, None), b=(4, None)), "differ in num_experts"), (dict(a=(4, None)), "one value of arm only")])
def test_what_cannot_be_compared_is_refused(tmp_path, sweep, complaint):
    with pytest.raises(SchemaError, match=complaint):
        arms.read(write_sweep(tmp_path, sweep, a=dict(num_experts=8)))


def test_a_folder_without_results_is_refused(tmp_path, capsys):
    assert main(["balancing", str(tmp_path)]) == 2 and "has no results.h5" in capsys.readouterr().err
    folder = write_sweep(tmp_path, {"a": (4, None), "b": (4, None)})
    with h5py.File(folder / "results.h5", "a") as f:
        del f.attrs["tasks"]
    assert main(["balancing", str(tmp_path)]) == 2 and "does not name its run folders" in capsys.readouterr().err


def test_evenness_against_plain_loops(tmp_path):
    run = write_run(tmp_path, choices=2, experts=5)
    found, opened = balancing.held_out(yardstick.open(run), run), yardstick.open(run)
    chosen, vio = run_folder.open_evaluation(run)["expert"].values[-1], []
    for layer in range(2):
        counts = [0] * 5
        for token in chosen[:, layer]:
            for e in token:
                counts[e] += 1
        vio.append(max(counts) / (sum(counts) / 5) - 1)
    assert found["max_vio_global"] == pytest.approx(np.mean(vio)) and found["tokens_global"] == 4000
    assert found["excess_global"] == pytest.approx(np.mean(vio) - max_vio_floor(4000, 2, 5))
    values = opened["max_vio"].values - opened["max_vio_floor"].values
    trained = balancing.training(opened)
    assert trained["excess_early"] == pytest.approx(values[:4].mean()) and trained["excess_late"] == pytest.approx(values[-4:].mean())


def planted(changes=None):
    """Arms and samples in which every claim holds, with {quantity: {arm: value}} changed."""
    names = ["aux-sequence", "aux-batch", "free-low", "free-mid", "free-high", "softmax-free"]
    values = dict(loss=[0.006, 0, 0.002, 0, 0.002, 0.003], excess_global=[0.6, 0.5, 0.3, 0.05, 0.1, 0.05],
                  excess_early=[1, 1, 2, 0.5, 0.7, 0.5], excess_late=[0.5, 0.5, 0.4, 0.1, 0.9, 0.1])
    for part, arm, value in changes or []:
        values[part][names.index(arm)] = value
    made = compared(noisy(values["loss"]), names)
    over_seeds = np.array([np.roll([-0.005, 0, 0.005], i) for i in range(len(names))]).T  # of mean 0 in every arm
    even = {part: arms.sample(names, np.array(values[part]) + over_seeds) for part in balancing.PARTS}
    way = dict(balancing.FREE, **{"softmax-free": 15.0})
    table = pd.DataFrame([dict(arm=n, alpha=1e-3 if n in balancing.AUX else 0.0, u_steps=way.get(n, np.nan)) for n in names])
    return made, dict(even, loss=arms.sample(names, made.losses)), table


BETTER, COSTS, RATE, SIGMOID = balancing.VERDICTS.values()


@pytest.mark.parametrize("verdict,changes,status", [
    (BETTER, [], "reproduced"), (BETTER, [("excess_global", "free-mid", 0.2)], "not reproduced"),
    (BETTER, [("excess_global", "free-mid", 0.1001)], "direction only"),
    (BETTER, [("excess_global", "aux-batch", -0.1)], "not testable here"),
    (COSTS, [], "reproduced"), (COSTS, [("loss", "free-mid", 0.01)], "not reproduced"),
    (COSTS, [("loss", "free-mid", 0.00201)], "not testable here"),
    (RATE, [], "reproduced"), (RATE, [("excess_late", "free-low", 0.05)], "not reproduced"),
    (RATE, [("excess_early", "free-high", 0.5005)], "direction only"),
    (SIGMOID, [], "reproduced"), (SIGMOID, [("loss", "softmax-free", -0.003)], "not reproduced")])
def test_verdicts(verdict, changes, status):
    (found, measured), limits = verdict(*planted(changes))
    assert found == status, measured
    if verdict is BETTER and limits:  # what decides is printed
        assert any(limits[f"excess − {aux}'s/5"][0] > 0 for aux in balancing.AUX) == (status == "not reproduced")


def test_a_gain_is_named_where_the_interval_is_below_zero():
    (_, measured), limits = COSTS(*planted())
    assert measured["aux-sequence"]["gain"] and not measured["aux-batch"]["gain"] and limits["difference to aux-sequence"][1] < 0


def test_noise_over_seeds_makes_the_cost_untestable():
    made, found, table = planted()
    shift = np.array([-0.004, 0, 0.004])[:, None] * (np.array(made.names) == "free-mid")
    made = made._replace(losses=made.losses + shift[:, :, None])
    (status, measured), _ = COSTS(made, dict(found, loss=arms.sample(made.names, made.losses)), table)
    assert status == "not testable here" and "at most 0.002 nat, has 0.0040" in measured["why"]


@pytest.mark.parametrize("verdict,column,arm,complaint", [*[(verdict, "u_steps", "free-mid", "free-mid has u times steps 40, not 15")
                                                            for verdict in (BETTER, COSTS, RATE, SIGMOID)],
                                                          (SIGMOID, "u_steps", "softmax-free", "softmax-free has u times steps 40, not 15"),
                                                          (COSTS, "alpha", "aux-sequence", "moe.aux_loss 40, not 0.001"),
                                                          (BETTER, "alpha", "aux-batch", "moe.aux_loss 40, not 0.001")])
def test_other_settings_than_the_rules_are_named(verdict, column, arm, complaint):
    made, found, table = planted()
    table.loc[table["arm"] == arm, column] = 40.0
    (status, measured), _ = verdict(made, found, table)
    assert status == "not testable here" and complaint in measured["why"]


@pytest.mark.parametrize("mid,softmax,broken", [(0.0019, 0.0015, []), (0.0, 0.003, ["softmax-free"]), (0.5, 0.0, ["free-mid"]),
                                                (0.5, 0.6, ["free-mid", "softmax-free"])])
def test_arms_that_have_broken_down_say_nothing_of_softmax(mid, softmax, broken):
    """Of a router that is worse than without balancing nobody asks which is better; the arm `none` is at 0 here."""
    made, found, table = planted([("loss", "free-mid", mid), ("loss", "softmax-free", softmax)])
    names = [n.replace("free-low", "none") for n in made.names]
    losses = np.where((np.array(names) == "none")[None, :, None], made.losses - 0.002, made.losses)
    (status, measured), limits = SIGMOID(made._replace(names=names), dict(found, loss=arms.sample(names, losses)), table)
    assert (status == "not testable here") == bool(broken) and limits[0] < limits[1]
    assert [name for name in ("free-mid", "softmax-free") if f"{name} by" in measured.get("why", "")] == broken
    assert measured["difference"] == pytest.approx(softmax - mid, abs=1e-4)


def test_absent_arms_are_named():
    made, found, table = planted()
    found = balancing.entries(made._replace(names=[n.replace("free-mid", "other") for n in made.names]), found, table, [])
    assert all(e["status"] == "not testable here" and "no finished arm free-mid" in e["measured"]["why"] for e in found)


RATES = {"free-low": 1.5, "free-mid": 15, "free-high": 150}
SWEEP = {"none": (4.01, NONE), "aux-sequence": (4.006, config_of(train__steps=40, moe__aux_loss=0.001)),
         "aux-batch": (4.0, config_of(train__steps=40, moe__aux_loss=0.001)),
         **{n: (4.0, config_of(train__steps=40, moe__bias_rule="sign", moe__bias_rate=u / 40)) for n, u in RATES.items()}}
# share of tokens moved to expert 0
SKEW = {"none": 0.6, "aux-sequence": 0.4, "aux-batch": 0.3, "free-low": 0.2, "free-mid": 0.0, "free-high": 0.05}
BATCH = {"free-low": (2, 1), "free-mid": (0.5, 0.2), "free-high": (0.8, 0.9)}                                    # excess, early and late


def plant(run, arm, seed):
    rng = np.random.default_rng(seed)
    with h5py.File(run / "segments/000/run.h5", "a") as f:
        early, late = BATCH.get(arm, (2, 2))
        f["max_vio"][...] = f["max_vio_floor"][...] + np.where(np.arange(40) < 20, early, late)[:, None] + 0.01 * rng.normal(size=(40, 2))
    with h5py.File(run / "segments/000/evaluation.h5", "a") as f:
        expert = rng.integers(0, 4, f["expert"].shape)
        f["expert"][...] = np.where(rng.random(expert.shape) < SKEW[arm], 0, expert)


def test_the_command_writes_what_it_says(tmp_path, capsys):
    sweep, out = write_sweep(tmp_path / "sweep", SWEEP, plant=plant), tmp_path / "out"
    assert main(["balancing", str(sweep), "--out", str(out)]) == 0
    text, claims = capsys.readouterr().out, json.loads((out / "acceptance.json").read_text())
    assert [c["key"] for c in claims] == ["loss-free-balances", "loss-free-costs-nothing", "bias-rate", "softmax-sigmoid"]
    assert [c["status"] for c in claims] == ["reproduced"] * 3 + ["not testable here"]
    assert all(c["status"] in acceptance.STATUSES for c in claims)
    assert claims[0]["command"] == f"yardstick balancing {sweep} --out {out}"
    assert all(c["runs_commits"] == ["abc"] for c in claims) and claims[0]["commit"] != "abc"
    assert all((out / f).stat().st_size for c in claims for f in c["files"])
    for part in ("Loss-free (u·steps = 15) against aux-sequence: excess MaxVio", "a gain", "not worse by 0.002 nat",
                 "free-mid has the least excess", "optimum of u: reproduced", "no finished arm softmax-free"):
        assert part in text
    table, runs = pd.read_csv(out / "balancing.csv").set_index("arm"), pd.read_csv(out / "balancing-runs.csv")
    assert len(runs) == 18 and table.loc["free-mid", "excess_late"] == pytest.approx(0.2, abs=0.01)
    assert table.loc["free-mid", "excess_early"] == pytest.approx(0.5, abs=0.01)
    assert table.loc["none", "excess_global"] == pytest.approx(3 * 0.6, abs=0.1)
    assert table.loc["none", "effective_experts"] < table.loc["free-mid", "effective_experts"]
    assert main(["trace", str(out / "balancing.svg")]) == 0 and "18 runs of commit abc" in capsys.readouterr().out


def test_the_sentence_and_the_claims_have_the_rate_of_the_runs(tmp_path, capsys):
    slow = {"free-mid": (4.0, config_of(train__steps=40, moe__bias_rule="sign", moe__bias_rate=0.03))}
    assert main(["balancing", str(write_sweep(tmp_path, SWEEP | slow, plant=plant))]) == 0
    text = capsys.readouterr().out
    assert "Loss-free (u·steps = 1.2) against aux-batch" in text and "u·steps = 15" not in text
    for claim in ("loss-free balances better", "loss-free costs nothing or gains", "optimum of u"):
        assert re.search(f"{claim}: not testable here.*free-mid has u times steps 1.2, not 15", text)
