"""The same name for the same thing in all files of a run, and what variables say of themselves."""
import h5py
import numpy as np
import pytest
import xarray as xr
from fixture import write_run

import yardstick
from yardstick.records import stored


@pytest.fixture(params=[("at once", 1), ("left", 1), ("at once", 8)], ids=str)
def folder(request, monkeypatch, tmp_path):
    """Two segments; layers are the blocks 1 and 3, evaluations at 15, 30 and 50. Since version 8 every file says the blocks."""
    when, version = request.param
    if when == "left":
        monkeypatch.setattr(stored, "LARGE", 0)
    write_run(tmp_path, rows=30, evaluations=2, choices=2, sampled=True, version=version)
    return write_run(tmp_path, first=31, rows=20, segment=1, evaluations=1, choices=2, sampled=True, version=version)


def file(folder, name, variable):
    with h5py.File(folder / "segments/000" / name) as f:
        return f[variable][()]


def test_a_layer_is_its_block_in_every_file(folder):
    run, evaluation, tokens = yardstick.open(folder), yardstick.open_evaluation(folder), yardstick.open_tokens(folder)
    for data in (run, evaluation, tokens):
        assert data["layer"].values.tolist() == [1, 3]
        with pytest.raises(KeyError):
            data.sel(layer=0)
    assert np.array_equal(run["assigned"].sel(layer=1)[:30], file(folder, "run.h5", "assigned")[:, 0])
    assert np.array_equal(evaluation["chosen"].sel(layer=1, evaluation=15), file(folder, "evaluation.h5", "expert")[0, :, 0])
    assert np.array_equal(tokens["chosen"].sel(layer=3)[:2000], file(folder, "tokens.r0000.h5", "expert")[:, 1])


def test_a_segment_whose_rows_cannot_be_read_has_the_blocks_of_the_others(folder):
    (folder / "segments/001/run.h5").unlink()
    evaluation = yardstick.open_evaluation(folder)
    assert evaluation["layer"].values.tolist() == [1, 3] and evaluation["evaluation"].values.tolist() == [15, 30, 50]


def test_steps_experts_and_evaluations_are_coordinates(folder):
    run, evaluation = yardstick.open(folder), yardstick.open_evaluation(folder)
    assert float(run["loss"].sel(step=31)) == float(run["loss"].sel(row=31)) == pytest.approx(5 * np.exp(-31 / 30) + 1)
    assert int(run["assigned"].sel(step=7, layer=3, expert=2)) == file(folder, "run.h5", "assigned")[6, 1, 2]
    assert run["evaluation"].values.tolist() == evaluation["evaluation"].values.tolist() == [15, 30, 50]
    assert float(run["evaluation_loss"].sel(evaluation=30)) == 4.0


def test_a_run_and_its_evaluations_merge(folder):
    run, evaluation = yardstick.open(folder), yardstick.open_evaluation(folder)
    both = xr.merge([run, evaluation])
    assert {"assigned", "chosen", "loss", "token", "evaluation_loss"} <= set(both) and both.sizes["evaluation"] == 3
    for of in (run, evaluation):
        for name in of.variables:
            xr.testing.assert_identical(both[name].drop_vars(both[name].coords), of[name].drop_vars(of[name].coords))


def test_what_variables_say_of_themselves(folder, tmp_path):
    run, evaluation, tokens = yardstick.open(folder), yardstick.open_evaluation(folder), yardstick.open_tokens(folder)
    assert {data.attrs["Conventions"] for data in (run, evaluation, tokens)} in ({"Switchyard-1"}, {"Switchyard-8"})
    assert run["loss"].attrs["units"] == "nat" and run["layer"].attrs["long_name"] == "transformer block, from 0"
    for name in ("chosen", "domain", "document"):
        assert evaluation[name].attrs["_FillValue"] == -1 and evaluation[name].attrs["_FillValue"].dtype == evaluation[name].dtype
    assert evaluation["domain"].attrs["flag_values"].tolist() == [0, 1]
    assert evaluation["domain"].attrs["flag_meanings"] == "documentation python"
    assert tokens["kept"].attrs["flag_meanings"].split() == ["refused", "given"] and "flag_values" not in run["kept"].attrs
    assert evaluation["token_text"].values.tolist()[:3] == ["the", "The", "7"]


def test_files_of_other_programs_can_be_written(folder, tmp_path):
    for name, data in dict(run=yardstick.open(folder), evaluation=yardstick.open_evaluation(folder)).items():
        data.to_netcdf(tmp_path / f"{name}.nc", engine="h5netcdf")
    read = xr.open_dataset(tmp_path / "evaluation.nc", engine="h5netcdf")
    assert read["chosen"].dtype.kind == "f" and np.array_equal(read["chosen"], yardstick.open_evaluation(folder)["chosen"])
    assert read["domain"].attrs["flag_meanings"] == "documentation python"
