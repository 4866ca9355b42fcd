"""Tidy tables of a run against loops over its records."""
import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from fixture import variable, write_run

import yardstick
from yardstick.records import stored
from yardstick.tables import frames


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """40 steps, blocks 1 and 3, of 4 and 3 experts, evaluations at 10, 20, 30 and 40 with three blocks of text."""
    folder = write_run(tmp_path_factory.mktemp("tables") / "run", evaluations=4, choices=2)
    with h5py.File(folder / "segments/000/run.h5", "a") as f:
        f["experts"][1] = 3
        f.create_dataset("evaluation_block", (3,), "i4")
        f["evaluation_block"].make_scale("evaluation_block")
        variable(f, "evaluation_block_loss", ["evaluation", "evaluation_block"], np.arange(12.0).reshape(4, 3))
    return folder


def file(folder):
    with h5py.File(folder / "segments/000/run.h5") as f:
        return {name: f[name][()] for name in f if not f[name].is_scale}


@pytest.fixture(params=["at once", "left"])
def run(request, monkeypatch, folder):
    if request.param == "left":
        monkeypatch.setattr(stored, "LARGE", 0)
    return yardstick.open(folder)


def test_a_row_an_expert(run, folder):
    f = file(folder)
    rows = [(step, block, e, f["assigned"][r, i, e], f["kept"][r, i, e], f["bias"][r, i, e]) for r, step in enumerate(f["step"])
            for i, block in enumerate(f["block"]) for e in range(f["experts"][i])]
    found = run.table("expert")
    assert list(found) == ["step", "layer", "expert", "assigned", "kept", "bias"] and len(found) == 40 * 7
    expected = pd.DataFrame(rows, columns=list(found))
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)


def test_a_row_a_layer_and_a_row_a_step(run, folder):
    f = file(folder)
    layers = run.table("layer")
    assert list(layers[["step", "layer"]].itertuples(index=False, name=None)) == [(s, b) for s in f["step"] for b in f["block"]]
    assert np.array_equal(layers["max_vio"], f["max_vio"].reshape(-1)) and "margin" not in layers
    steps = run.table("step")
    assert steps["step"].tolist() == f["step"].tolist() and np.array_equal(steps["loss"], f["loss"]) and set(steps["ranks"]) == {2}
    assert not {"assigned", "evaluation_loss", "row"} & set(steps)


def test_a_row_an_evaluation_and_block(run):
    found = run.table("evaluation")
    assert found["step"].tolist() == [10] * 3 + [20] * 3 + [30] * 3 + [40] * 3 and found["evaluation_block"].tolist() == [0, 1, 2] * 4
    assert found["evaluation_block_loss"].tolist() == list(range(12)) and set(found["evaluation_loss"]) == {4.0}
    assert run.table("evaluation", steps=20)["evaluation_block_loss"].tolist() == [3, 4, 5]


def test_only_what_is_asked_for(run, folder):
    f = file(folder)
    found = run.table("expert", columns="assigned", steps=slice(10, 30, 5), layers=3, experts=[0, 2])
    at = [9, 14, 19, 24, 29]
    assert list(found) == ["step", "layer", "expert", "assigned"] and found["step"].unique().tolist() == [10, 15, 20, 25, 30]
    assert set(found["layer"]) == {3} and np.array_equal(found["assigned"].values.reshape(5, 2), f["assigned"][at, 1][:, [0, 2]])
    assert run.table("layer", steps=[7, 3])["step"].tolist() == [3, 3, 7, 7]
    assert run.table("step", ["loss"], steps=slice(39, None))["step"].tolist() == [39, 40]
    beside = run.table("expert", ["tokens", "entropy", "assigned"], steps=2)
    assert beside["tokens"].tolist() == [1024] * 7 and beside["entropy"].tolist() == [f["entropy"][1, 0]] * 4 + [f["entropy"][1, 1]] * 3


def test_parts_are_the_table(run):
    for kind in frames.KINDS:
        pieces = list(frames.parts(run, kind, frames.Asked(), 200))
        assert len(pieces) > 1
        pd.testing.assert_frame_equal(pd.concat(pieces, ignore_index=True), run.table(kind))
    assert len(list(run.parts("expert"))) == 1


@pytest.mark.parametrize("ask,told", [
    (dict(kind="experts"), "no table of 'experts': give one of step, layer, expert, evaluation"),
    (dict(kind="step", columns=["los"]), "'step' has no column 'los'; there are tokens, loss,"),
    (dict(kind="step", columns=["assigned"]), "no column 'assigned'; it is in the table of 'expert'"),
    (dict(kind="layer", layers=0), "layer 0 is not recorded; there is layer 1 to 3"),
    (dict(kind="step", steps=41), "step 41 is not recorded; there is step 1 to 40"),
    (dict(kind="step", steps=slice(50, 60)), "no step is between 50 and 60"),
    (dict(kind="expert", most=1000), r"would have 320 rows and take 0.0 GB.*columns=.*steps=slice.*layers=.*experts=.*parts\('expert'\)")])
def test_what_cannot_be_given_is_told(run, ask, told):
    with pytest.raises(yardstick.SchemaError, match=told):
        run.table(**ask)


def test_a_dense_run_has_no_experts(tmp_path):
    run = yardstick.open(write_run(tmp_path, layers=0))
    assert len(run.table("step")) == 40
    with pytest.raises(yardstick.SchemaError, match="no table of 'expert': the model is dense"):
        run.table("expert")


def test_a_run_without_evaluations_says_so(tmp_path):
    with pytest.raises(yardstick.SchemaError, match="no table of 'evaluation': the run made none"):
        yardstick.open(write_run(tmp_path, evaluations=0)).table("evaluation")


def test_what_is_selected_of_a_run_has_tables_too(run):
    part = run.sel(layer=3).isel(row=slice(10, 20))
    assert isinstance(part, xr.Dataset) and part.table("step")["step"].tolist() == list(range(11, 21))
    assert run.isel(row=slice(0, 2)).table("expert")["step"].max() == 2
    assert type(xr.merge([run, run])) is xr.Dataset


def test_all_combinations_of_a_run_are_refused_by_their_size(run, monkeypatch):
    assert len(run[["loss", "entropy"]].to_dataframe()) == 80
    monkeypatch.setattr(frames, "MOST", 1 << 16)
    with pytest.raises(yardstick.SchemaError, match=r"all combinations of .*row.* rows, about .* GB; run.table\(\"step\"\)"):
        run.to_dataframe()
