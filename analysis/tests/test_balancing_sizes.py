"""Whether a rule balances at every number of experts: planted ratios and losses, every verdict, the reading of sweeps, the command."""
import json

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sweep_fixture import config_of, write_sweep

from yardstick.base.faults import SchemaError
from yardstick.cli import main
from yardstick.sweeps import arms, balancing_sizes
from yardstick.sweeps.balancing_sizes import Size

NONE = config_of(train__steps=40)
QUANTILE = config_of(train__steps=40, moe__bias_rule="quantile", moe__bias_rate=0.001)


def size(experts, ratio=(1.1, 1.2, 1.3), less=0.0, apart=0.01, hashed=()):
    """Arms none and quantile of three seeds: ratios of the latter, and its loss less the other's."""
    losses = np.array([[[4.0], [4.0 + less + apart * (s - 1)]] for s in range(3)])
    return Size(experts, ["none", "quantile"], [1, 2, 3], np.array([[20.0, r] for r in ratio]), losses, hashed)


def verdict(**changes):
    return balancing_sizes.judge([size(e, **(changes if e == 64 else {})) for e in balancing_sizes.SIZES])


@pytest.mark.parametrize("changes,status", [
    ({}, "reproduced"), (dict(ratio=(4.0, 4.1, 4.2)), "not reproduced"), (dict(ratio=(1.0, 1.2, 1.9)), "direction only"),
    (dict(less=0.1), "not reproduced"), (dict(less=-0.1), "reproduced")])
def test_every_size_has_to_hold(changes, status):
    (found, measured), limits = verdict(**changes)
    assert found == status and measured["seeds"] == 3 and len(limits) == 8
    assert measured["E = 64"]["vio_by_floor"] == pytest.approx(np.mean(changes.get("ratio", (1.1, 1.2, 1.3))))


def test_a_size_that_is_missing_is_named():
    (found, measured), limits = balancing_sizes.judge([size(e) for e in (4, 16)])
    assert found == "not testable here" and "64, 256" in measured["why"] and limits is None


def test_intervals_are_student_s():
    one = size(64, less=0.03)
    for got, values in ((one.of("quantile"), [1.1, 1.2, 1.3]), (one.less_best("quantile"), [0.02, 0.03, 0.04])):
        half = stats.t.ppf(0.975, 2) * np.std(values, ddof=1) / np.sqrt(3)
        assert list(got[:3]) == pytest.approx([np.mean(values), np.mean(values) - half, np.mean(values) + half])
    assert one.best() == "none" and list(one.less_best("none")[:3]) == [0, 0, 0]


def test_a_hash_is_no_best_arm():
    assert size(64, less=0.1, hashed=("none",)).best() == "quantile"


def vio(late):
    """Plants MaxVio of `late` times its floor in the last tenth of the steps of arm quantile."""
    def plant(run, name, _):
        with h5py.File(run / "segments/000/run.h5", "r+") as f:
            rows = len(f["max_vio"])
            if name == "quantile":
                f["max_vio"][rows - rows // 10:] = late * f["max_vio_floor"][rows - rows // 10:]
    return plant


def test_a_sweep_is_read_size_by_size(tmp_path):
    sweep = write_sweep(tmp_path, dict(none=(4, NONE), quantile=(5, QUANTILE)), plant=vio(3.0), none=dict(num_experts=8),
                        quantile=dict(num_experts=8))
    (found,), lacks = balancing_sizes.read(sweep / "results.h5")
    assert found.experts == 8 and found.names == ["none", "quantile"] and not lacks
    assert found.ratio[:, 1] == pytest.approx(3.0) and found.of("quantile").low == pytest.approx(3.0)


def test_arms_of_unlike_sizes_are_refused(tmp_path):
    sweep = write_sweep(tmp_path, dict(none=(4, NONE), quantile=(5, QUANTILE)))
    with pytest.raises(SchemaError, match="have one number of experts here"):
        balancing_sizes.size_of(arms.read(sweep)._replace(experts=[4, 8]))


def test_the_command_writes_what_recomputes(tmp_path, capsys):
    arms_of = dict(none=(4.0, NONE), quantile=(4.1, QUANTILE))
    write_sweep(tmp_path / "a", arms_of, plant=vio(2.0))
    eight = dict(num_experts=8)
    write_sweep(tmp_path / "b", arms_of, plant=vio(3.0), none=eight, quantile=eight)
    out = tmp_path / "out"
    assert main(["balancing", str(tmp_path / "a"), "--sizes", str(tmp_path / "b/results.h5"), "--out", str(out)]) == 0
    assert "quantiles balance at every number of experts: not testable here" in capsys.readouterr().out
    rows, runs = pd.read_csv(out / "balancing-sizes.csv"), pd.read_csv(out / "balancing-sizes-losses.csv")
    assert rows[rows["arm"] == "quantile"]["vio_by_floor"].tolist() == pytest.approx([2.0, 3.0])
    means = runs.groupby(["num_experts", "arm"])["loss"].mean()
    assert rows.set_index(["num_experts", "arm"])["loss"].to_dict() == pytest.approx(means.to_dict(), rel=1e-5)
    entries = json.loads((out / "acceptance.json").read_text())
    assert entries[-1]["key"] == "quantile-balances" and (out / "balancing-sizes.svg").exists()
