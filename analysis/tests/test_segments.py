"""Runs of several segments: resumed with other settings, killed at a bad moment, written by another version."""
import warnings

import h5py
import numpy as np
import pytest
from fixture import scale, variable, write_run

import yardstick


@pytest.fixture(autouse=True)
def no_other_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def two_segments(folder, **second):
    write_run(folder, first=1, rows=20, segment=0)
    return write_run(folder, first=21, rows=10, segment=1, **second)


@pytest.mark.parametrize("variables,dims,changes", [(["margin"], "margin_bin", dict(bins=8)), (["traffic"], "rank_from", dict(ranks=3)),
                                                   (["phase_seconds"], "phase", dict(phases=("data", "head"))),
                                                   (["phase_seconds"], "phase", dict(phases=tuple("abcdefg")))])
def test_what_segments_differ_in_is_left_out(tmp_path, variables, dims, changes):
    two_segments(tmp_path, **changes)
    with pytest.warns(yardstick.RecordWarning, match=f"{variables[0]}: left out, since segments 000, 001 differ in {dims}"):
        run = yardstick.open(tmp_path)
    assert run["step"].values.tolist() == list(range(1, 31))
    assert run.attrs["left_out"] == variables and variables[0] not in run
    assert len(run.attrs["warnings"]) == 1
    for n, rows in (0, 20), (1, 10), ("last", 10):
        one = yardstick.open(tmp_path, segment=n)
        assert one[variables[0]].sizes["row"] == rows and one.attrs["warnings"] == []


def test_bins_of_the_margin_go_by_their_edges(tmp_path):
    """Version 8 has other bins than those before, so that both do not stand in one table."""
    margin = r"margin: left out, since segments 000, 001 differ in margin_bin \(other names\)"
    with pytest.warns(yardstick.RecordWarning, match=margin), pytest.warns(yardstick.RecordWarning, match="score_spread: recorded in"):
        run = yardstick.open(two_segments(tmp_path, version=8))
    assert "margin" not in run and "margin_edge" not in run
    assert yardstick.open(tmp_path, segment=0)["margin_bin"].values.tolist() == [0, 0.25, 0.5, 0.75]
    assert yardstick.open(tmp_path, segment=1)["margin_bin"].values.tolist() == [0, 0.125, 0.25, 0.5]


def test_rows_know_their_segment_and_ranks(tmp_path):
    with pytest.warns(yardstick.RecordWarning):
        run = yardstick.open(two_segments(tmp_path, ranks=3))
    assert run["segment"].values.tolist() == [0] * 20 + [1] * 10
    assert run["ranks"].values.tolist() == [2] * 20 + [3] * 10


def test_a_segment_that_is_not_there_is_named(tmp_path):
    with pytest.raises(yardstick.SchemaError, match="no segment 7.*000, 001"):
        yardstick.open(two_segments(tmp_path), segment=7)


def cut(path):
    path.write_bytes(path.read_bytes()[:3000])


def without_schema(path):
    path.unlink()
    h5py.File(path, "w").close()


def without_variables(path):
    with h5py.File(path, "a") as f:
        for name in [n for n in f if n != "row"]:
            del f[name]


SPOILERS = [lambda path: path.write_bytes(b""), cut, without_schema, without_variables, lambda path: path.unlink()]


@pytest.mark.parametrize("spoil", SPOILERS, ids=["empty", "cut", "no schema", "no variables", "missing"])
def test_a_segment_that_is_not_whole_is_left_out(tmp_path, spoil):
    write_run(tmp_path, first=1, rows=20)
    write_run(tmp_path, first=11, rows=10, segment=1)
    spoil(tmp_path / "segments/001/run.h5")
    with pytest.warns(yardstick.RecordWarning, match="Segment 001: run.h5 is left out"):
        run = yardstick.open(tmp_path)
    assert run["step"].values.tolist() == list(range(1, 21)) and set(run["segment"].values) == {0}
    assert "segments/001/run.h5" in run.attrs["warnings"][0]


@pytest.mark.parametrize("spoil", SPOILERS, ids=["empty", "cut", "no schema", "no variables", "missing"])
def test_an_evaluation_that_is_not_whole_is_left_out(tmp_path, spoil):
    two_segments(tmp_path)
    spoil(tmp_path / "segments/001/evaluation.h5")
    with pytest.warns(yardstick.RecordWarning, match="Segment 001: evaluation.h5 is left out"):
        evaluation = yardstick.open_evaluation(tmp_path)
    assert evaluation["evaluation_step"].values.tolist() == [20]
    assert yardstick.open(tmp_path)["evaluation_step"].values.tolist() == [20, 30]


def test_no_evaluation_was_asked_for(tmp_path):
    write_run(tmp_path, evaluations=0)
    assert yardstick.open_evaluation(tmp_path) is None
    assert "evaluation_loss" not in yardstick.open(tmp_path)


def test_samples_that_are_not_whole_are_left_out(tmp_path):
    write_run(tmp_path)
    (tmp_path / "segments/000/tokens.r0000.h5").write_bytes(b"")
    with pytest.warns(yardstick.RecordWarning, match="Samples of segment 000 are left out"):
        assert yardstick.open_tokens(tmp_path) is None


def test_no_segment_is_whole(tmp_path):
    write_run(tmp_path)
    without_schema(tmp_path / "segments/000/run.h5")
    with pytest.raises(yardstick.SchemaError, match="no segment has a run.h5 that can be read.*000/run.h5"):
        yardstick.open(tmp_path)


def add_unknown(path, rows):
    """What a later program may add: columns by row, a new dimension, a variable without scales, a group."""
    with h5py.File(path, "a") as f:
        variable(f, "exposed_seconds", ["row"], np.full(rows, 0.5), "s")
        scale(f, "lane", 3)
        variable(f, "lane_bytes", ["row", "lane"], np.ones((rows, 3), "i8"))
        f["loose"], f["looser"], f["alone"] = np.zeros(5), np.zeros((7, 2)), 1.0
        f.create_group("more")["inside"] = np.zeros(2)


def test_unknown_datasets_are_read_along(tmp_path):
    two_segments(tmp_path)
    for n, rows in (0, 20), (1, 10):
        add_unknown(tmp_path / f"segments/{n:03d}/run.h5", rows)
    run = yardstick.open(tmp_path)
    assert run["lane_bytes"].shape == (30, 3) and run["loose"].shape == (5,) and run["looser"].shape == (7, 2)
    assert run.attrs["warnings"] == []


def test_a_column_of_later_segments_is_nan_before(tmp_path):
    two_segments(tmp_path)
    add_unknown(tmp_path / "segments/001/run.h5", 10)
    with pytest.warns(yardstick.RecordWarning, match="exposed_seconds.*lane_bytes.*: recorded in segment 001 only"):
        run = yardstick.open(tmp_path)
    assert np.isnan(run["exposed_seconds"][:20]).all() and np.all(run["exposed_seconds"][20:] == 0.5)
    assert run["assigned"].dtype.kind == "i"


def test_options_of_the_configuration():
    text = "model:   # the transformer\n  z_loss: 1   # head\n\nmoe:       # experts\n  z_loss: 0.5   # router\n  bias_rule: none\n"
    run = type("Run", (), dict(attrs=dict(config=text)))
    option = yardstick.records.run_folder.option
    assert [option(run, n) for n in ("model.z_loss", "moe.z_loss", "moe.bias_rule", "moe.absent",
                                     "data.z_loss")] == ["1", "0.5", "none", None, None]
