"""`yardstick router-learning`: planted losses beside a hash arm, every verdict, what routers did, the command."""
import json
import pathlib
import shutil

import h5py
import numpy as np
import pandas as pd
import pytest
from fixture import write_run
from sweep_fixture import config_of, write_sweep

from yardstick.cli import main
from yardstick.sweeps import arms, overtaking, router_learning

NONE = config_of(train__steps=40)
HASHED = dict(hash=dict(router_type="hash"))


def sweep_of(folder, losses, **options):
    return write_sweep(folder, {name: (loss, NONE) for name, loss in losses.items()}, **HASHED, **options)


def learned(folder):
    read = arms.read(folder)
    return router_learning.learned(read.names, read.losses)


@pytest.mark.parametrize("losses,seeds,status", [
    (dict(hash=4.0, registered=3.9), (1, 2, 3), "reproduced"), (dict(hash=4.0, registered=4.1), (1, 2, 3), "not reproduced"),
    (dict(hash=4.0, registered=3.9), (1, 2), "direction only"), (dict(hash=4.0, other=3.9), (1, 2, 3), "not testable here")])
def test_verdicts(tmp_path, losses, seeds, status):
    found, interval = learned(sweep_of(tmp_path, losses, seeds=seeds))
    assert found[0] == status
    if "registered" in losses:
        value, (low, high) = found[1]["loss less that of hash"], interval["difference to hash"]
        assert value == pytest.approx(losses["registered"] - 4.0, abs=2e-4) and low <= value <= high
    else:
        assert "no finished arm registered" in found[1]["why"]


def test_only_the_registered_arm_decides(tmp_path):
    read = arms.read(sweep_of(tmp_path, dict(hash=4.0, registered=4.05, lucky=3.8)))
    assert router_learning.learned(read.names, read.losses)[0][0] == "not reproduced"
    said = router_learning.sentence(router_learning.table_of(read))
    assert said.startswith("Of 2 arms beside the hash lucky has the lowest loss, -0.2")
    assert "below it with their whole interval: lucky" in said


@pytest.mark.parametrize("frozen,status", [(4.0, "reproduced"), (3.8, "not reproduced")])
def test_what_begins_as_a_hash_has_to_learn_beyond_it(tmp_path, frozen, status):
    losses = {"hash": 4.0, "registered": 3.9, "unlearned": frozen}
    found, interval = learned(sweep_of(tmp_path, losses))
    assert found[0] == status and list(interval) == ["difference to hash", "difference to unlearned"]


def test_an_arm_that_is_called_hash_has_to_be_one(tmp_path, capsys):
    assert main(["router-learning", str(write_sweep(tmp_path, {"hash": (4.0, NONE), "registered": (3.9, NONE)}))]) == 2
    assert "has no finished arm hash (moe.router=hash)" in capsys.readouterr().err


def test_persistence_counts_experts_whatever_their_order(tmp_path):
    folder = write_run(tmp_path / "run", evaluations=2, choices=2)
    path = next(folder.glob("segments/*/evaluation.h5"))
    with h5py.File(path, "r+") as f:
        last = f["expert"][-1]
        f["expert"][-2] = last[..., ::-1]
    assert last.shape[-1] == 2 and router_learning.persistence(folder) == 1.0
    with h5py.File(path, "r+") as f:
        other = np.select([(last != e).all(-1) for e in range(3)], [0, 1, 2])  # an expert that the token does not choose
        f["expert"][-2] = np.stack([last[..., 0], other], -1)
    assert router_learning.persistence(folder) == 0.5
    assert np.isnan(router_learning.persistence(write_run(tmp_path / "once", evaluations=1)))


def test_persistence_where_the_last_evaluation_lacks_an_expert(tmp_path):
    """Without balancing an expert may be given nothing at last, and have had tokens before."""
    folder = write_run(tmp_path / "run", evaluations=2)
    with h5py.File(next(folder.glob("segments/*/evaluation.h5")), "r+") as f:
        before, last = f["expert"][0], f["expert"][0].copy()
        last[last == before.max()] = 0
        f["expert"][1] = last
    assert router_learning.persistence(folder) == pytest.approx((before == last).mean()) and (before != last).any()


def test_the_command_writes_what_it_says(tmp_path, capsys):
    sweep, out = sweep_of(tmp_path / "sweep", dict(hash=4.0, registered=3.9, other=4.2)), tmp_path / "out"
    assert main(["router-learning", str(sweep), "--out", str(out)]) == 0
    text, (claim,) = capsys.readouterr().out, json.loads((out / "acceptance.json").read_text())
    assert claim["key"] == "router-learns" and claim["status"] == "reproduced"
    assert "a learned router beats a hash of the token id: reproduced" in text
    table = pd.read_csv(out / "router-learning.csv")
    assert table["arm"].tolist() == ["hash", "registered", "other"]
    assert table["above_hash"].tolist() == pytest.approx([np.nan, -0.1, 0.2], abs=2e-4, nan_ok=True)
    assert table["excess_max_vio"].notna().all() and table["persistence"].isna().all()  # of one evaluation
    assert all((out / f).stat().st_size for f in claim["files"])


def test_a_sweep_without_a_hash_arm_is_refused(tmp_path, capsys):
    assert main(["router-learning", str(sweep_of(tmp_path, dict(a=4.0, b=3.9)))]) == 2
    assert "has no finished arm hash (moe.router=hash)" in capsys.readouterr().err


def test_where_an_arm_is_below_the_hash_on_its_way(tmp_path):
    """Evaluations at three steps; the arm crosses the hash between the first and the second and loses its interval at the last."""
    sweep = sweep_of(tmp_path, dict(hash=4.0, registered=3.9))
    above = {10: (0.2, 0.21, 0.22), 20: (-0.2, -0.21, -0.22), 40: (-0.3, 0.1, 0.2)}
    with h5py.File(sweep / "results.h5", "r+") as f:
        columns = {name: f[name][()] for name in f if name != "block_loss"}
        rows = []
        for i in range(len(columns["arm"])):
            for step, less in above.items():
                hashed = columns["arm"][i] == b"hash"
                rows.append({name: values[i] for name, values in columns.items()} |
                            dict(step=step, tokens=1024 * step, loss_validation=4.0 + (0 if hashed else less[columns["seed"][i] - 1])))
        for name in [*columns, "block_loss"]:
            del f[name]
        for name in columns:
            f[name] = np.array([row[name] for row in rows])
    curves = overtaking.over_tokens(sweep, arms.read(sweep))
    assert curves["step"].tolist() == [10, 20, 40] and curves["above_hash"].tolist() == pytest.approx([0.21, -0.21, 0.0])
    assert (curves["above_hash_low"] < 0).tolist() == [False, True, True]
    said = overtaking.overtaken(curves, "registered")
    assert "at 0.0 (-0.2100) million tokens" in said and said.count("million") == 1
    assert overtaking.overtaken(curves[curves["step"] == 10], "registered") is None


COMMITTED = pathlib.Path(__file__).resolve().parents[2] / "experiments/router-learning"


def test_verdicts_of_other_sweeps_are_those_of_their_committed_losses(tmp_path, capsys):
    """An entry of each, recomputed to the last digit; losses that are moved move the verdict; the entry of laptop scale stays."""
    for path in [*COMMITTED.glob("*.csv"), COMMITTED / "acceptance.json"]:
        shutil.copy(path, tmp_path)
    committed = json.loads((COMMITTED / "acceptance.json").read_text())
    assert main(["judge", str(tmp_path), "--out", str(tmp_path)]) == 0
    capsys.readouterr()
    again = json.loads((tmp_path / "acceptance.json").read_text())
    for now, then in zip(again, committed, strict=True):
        assert now | dict(command="", commit="") == then | dict(command="", commit="")
    assert all((tmp_path / file).stat().st_size for e in again[1:] for file in e["files"])
    losses = pd.read_csv(tmp_path / "confirm-losses.csv")
    numbers = [name for name in losses if "loss" in name]
    losses.loc[losses["arm"] == "registered", numbers] += 0.2
    losses.to_csv(tmp_path / "confirm-losses.csv", index=False)
    assert main(["judge", str(tmp_path), "--out", str(tmp_path)]) == 0
    assert "confirm, 20 million tokens: not reproduced" in capsys.readouterr().out
    assert json.loads((tmp_path / "acceptance.json").read_text())[0] == committed[0]


@pytest.mark.parametrize("file,text", [("acceptance.json", "{}"), ("acceptance.json", '[{"key": "router-learns"}]'),
                                       ("full-curves.csv", "arm,step,tokens,above_hash,above_hash_low,above_hash_high\n")])
def test_committed_files_that_are_not_yardsticks(tmp_path, capsys, file, text):
    for path in [*COMMITTED.glob("*.csv"), COMMITTED / "acceptance.json"]:
        shutil.copy(path, tmp_path)
    (tmp_path / file).write_text(text)
    assert main(["judge", str(tmp_path), "--out", str(tmp_path)]) == 2
    assert str(tmp_path) in capsys.readouterr().err and (tmp_path / file).read_text() == text


def test_the_intervals_on_the_way_are_those_of_verdicts():
    """The last step of a curve says what the table says, blocks of text and all."""
    for name in ("confirm", "epoch", "balancers", "full", "longer", "router-learning"):
        curves, table = (pd.read_csv(COMMITTED / f"{name}{kind}.csv") for kind in ("-curves", ""))
        last = curves[curves["step"] == curves["step"].max()].set_index("arm")
        for row in table.dropna(subset="above_hash").itertuples():
            found = last.loc[row.arm, ["above_hash", "above_hash_low", "above_hash_high"]].astype(float).tolist()
            assert found == pytest.approx([row.above_hash, row.above_hash_low, row.above_hash_high], abs=2e-5), (name, row.arm)
