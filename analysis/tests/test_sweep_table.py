"""A sweep as one table: decoded, tidy, with what its configurations differ in."""
import shutil

import h5py
import numpy as np
import pytest
from documented import examples
from sweep_fixture import BLOCKS, config_of, write_sweep

import yardstick
from yardstick.tables import sweep as tables

ARMS = {"none": (4.0, config_of(train__steps=40, moe__bias_rule="none", moe__bias_rate=0)),
        "free-mid": (4.1, config_of(train__steps=40, moe__bias_rule="sign", moe__bias_rate=0.06))}


@pytest.fixture
def folder(tmp_path):
    return write_sweep(tmp_path / "runs/balancing", ARMS, seeds=(1, 2))


def file(folder, name):
    with h5py.File(folder / "results.h5") as f:
        return f[name][()]


def test_texts_are_text_and_options_are_columns(folder):
    frame = yardstick.sweep(folder)
    assert frame["arm"].tolist() == [t.decode() for t in file(folder, "arm")] == ["none", "free-mid"] * 2
    assert len(frame[frame["arm"] == "free-mid"]) == 2 and set(frame["router_type"]) == {"sigmoid"}
    assert frame["moe.bias_rate"].tolist() == [0, 0.06] * 2 and frame["moe.bias_rule"].tolist() == ["none", "sign"] * 2
    assert frame["loss_validation"].tolist() == file(folder, "loss_validation").tolist()
    assert "train.steps" not in frame and frame.attrs["shared"] == {"train.steps": 40}
    assert not any(c.startswith("block_loss") for c in frame)
    assert yardstick.open(frame["run_folder"][3]).sizes["row"] == 40


def test_the_dense_model_has_no_imbalance_and_columns_are_in_order(tmp_path):
    folder = write_sweep(tmp_path / "s", dict(one=(4.0, None), four=(4.1, None)), seeds=(1,), one=dict(num_experts=1, max_vio=0.0),
                         four=dict(max_vio=0.5))
    with pytest.warns(yardstick.RecordWarning):
        frame = yardstick.sweep(folder)
    assert np.isnan(frame["max_vio"][0]) and frame["max_vio"][1] == 0.5
    assert list(frame)[:6] == ["task", "arm", "num_experts", "k", "granularity", "seed"] and list(frame)[-1] == "run_folder"


def test_more_options_where_they_are_asked_for(folder):
    assert yardstick.sweep(folder / "results.h5", columns=["train.steps"])["train.steps"].tolist() == [40] * 4
    with pytest.raises(yardstick.SchemaError, match="no configuration of its runs has train.step; give options"):
        yardstick.sweep(folder, columns=["train.step"])


def test_a_row_a_block(folder):
    frame = yardstick.sweep(folder, blocks=True)
    assert len(frame) == 4 * BLOCKS and frame["block"].tolist() == list(range(BLOCKS)) * 4
    assert np.array_equal(frame["block_loss"].values.reshape(4, BLOCKS), file(folder, "block_loss"))


def test_a_run_that_cannot_be_read_lacks_its_options(folder):
    shutil.rmtree(folder / "tasks/1")
    with pytest.warns(yardstick.RecordWarning, match="tasks/1: its configuration cannot be read"):
        frame = yardstick.sweep(folder)
    assert np.isnan(frame["moe.bias_rate"][1]) and frame["moe.bias_rate"][3] == 0.06


def test_no_sweep(tmp_path):
    with pytest.raises(yardstick.SchemaError, match="has no results.h5; give the folder that `switchyard sweep` wrote"):
        yardstick.sweep(tmp_path)


def test_options_of_a_configuration():
    text = ("model:   # the transformer\n  z_loss: 1e-4   # head\n  tied: true\n\n"
            "moe:       # experts\n  z_loss: 0.5\n  list: []\n  bias_rule: none\n")
    assert tables.options(text) == {"model.z_loss": 1e-4, "model.tied": True, "moe.z_loss": 0.5, "moe.list": "[]", "moe.bias_rule": "none"}


def test_the_documented_example(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder.parents[1])
    code, = examples("sweeps.md")
    found = {}
    exec(code, found)
    assert len(found["free"]) == 2 and "0.06" in capsys.readouterr().out
