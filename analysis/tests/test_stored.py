"""Tables that stay in their files: the same values as read at once, whatever is asked for, and nothing that was not looked at."""
import h5py
import numpy as np
import pytest
import xarray as xr
from fixture import write_run

import yardstick
from yardstick.records import stored
from yardstick.records.run_folder import open_evaluation, open_run, open_tokens

OPENERS = dict(run=open_run, evaluation=open_evaluation, tokens=open_tokens)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stored") / "run"
    write_run(folder, rows=40, evaluations=4, sampled=True, choices=2, chunk=7)
    return write_run(folder, first=31, rows=20, segment=1, seed=3, evaluations=2, sampled=True, choices=2, chunk=6)


def both(monkeypatch, opener, folder, block=1 << 25):
    """A dataset read at once and the same left in its files."""
    at_once = opener(folder)
    monkeypatch.setattr(stored, "LARGE", 0)
    monkeypatch.setattr(stored, "BLOCK", block)
    left = opener(folder)
    assert not stored.names([at_once]) and stored.names([left])
    return at_once, left


@pytest.mark.parametrize("block", [1, 3000, 1 << 25])
@pytest.mark.parametrize("opener", OPENERS.values(), ids=OPENERS)
def test_what_is_left_in_files_is_the_same(monkeypatch, folder, opener, block):
    at_once, left = both(monkeypatch, opener, folder, block)
    xr.testing.assert_identical(left, at_once)
    rows = {open_run: "row", open_evaluation: "evaluation", open_tokens: "sample"}[opener]
    for key in [{rows: slice(5, None, 3)}, {rows: slice(None, None, -1)}, {rows: -1}, {rows: [3, 0, 3]}, dict(layer=[1, 0]), dict(layer=1),
                {rows: slice(0, 0)}, {rows: [4, 1], "layer": slice(1, 2)}]:
        xr.testing.assert_identical(left.isel(key), at_once.isel(key))
    later, every = {rows: slice(1, None)}, {rows: slice(None, None, 2), "layer": -1}
    xr.testing.assert_identical(left.isel(later).isel(every), at_once.isel(later).isel(every))


def test_a_column_that_one_segment_lacks_is_nan_there(monkeypatch, tmp_path):
    write_run(tmp_path, rows=20)
    write_run(tmp_path, first=21, rows=10, segment=1)
    with h5py.File(tmp_path / "segments/000/run.h5", "a") as f:
        del f["entropy"], f["margin"]
    with pytest.warns(yardstick.RecordWarning, match="recorded in segment 001 only"):
        at_once, left = both(monkeypatch, open_run, tmp_path)
    xr.testing.assert_identical(left, at_once)
    assert np.isnan(left["entropy"][:20]).all() and left["margin"].dtype == float


@pytest.mark.parametrize("name,value,what", [("assigned", 1 << 50, "assigned holds"), ("assigned", -1, "assigned holds -1"),
                                             ("bias", np.nan, "bias is not finite")])
def test_values_that_cannot_be_are_told_when_they_are_read(monkeypatch, tmp_path, name, value, what):
    write_run(tmp_path, chunk=10)
    with h5py.File(tmp_path / "segments/000/run.h5", "a") as f:
        f[name][35, 0, 1] = value
    monkeypatch.setattr(stored, "LARGE", 0)
    monkeypatch.setattr(stored, "BLOCK", 1)
    run = open_run(tmp_path)
    assert run[name].isel(row=slice(30)).values.shape == (30, 2, 4)
    with pytest.raises(yardstick.RecordError, match=f"run.h5: {what}"):
        run[name].values


def test_chunks_without_a_row_that_is_asked_for_are_not_read(monkeypatch, tmp_path):
    write_run(tmp_path, chunk=10)
    with h5py.File(tmp_path / "segments/000/run.h5", "a") as f:
        f["assigned"][15, 0, 1] = -1
    monkeypatch.setattr(stored, "LARGE", 0)
    run = open_run(tmp_path)
    assert run["assigned"].isel(row=[35, 0, 5, 22]).values.min() >= 0
    with pytest.raises(yardstick.RecordError, match="assigned holds -1"):
        run["assigned"].isel(row=[0, 14, 16]).values


def test_a_file_that_was_cut_meanwhile_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(stored, "LARGE", 0)
    run = open_run(write_run(tmp_path))
    path = tmp_path / "segments/000/run.h5"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(yardstick.RecordError, match="run.h5.*switchyard verify"):
        run["assigned"].values
