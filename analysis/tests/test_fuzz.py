"""Damaged files end in a sentence and a code; the long form is `python tests/fuzz.py 2000`, or FUZZ_CASES=2000 with pytest."""
import os
import pathlib
import re
import warnings

import fuzz
import h5py
import numpy as np
import pytest
from fixture import write_run

import yardstick
from yardstick.records import hdf5, schema

CASES = int(os.environ.get("FUZZ_CASES", 0))
PAGE = pathlib.Path(__file__).parents[2] / "docs/record-schema.md"


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


@pytest.mark.parametrize("seed", range(max(60, CASES // len(fuzz.CASES))))
def test_a_damaged_record_is_read_or_refused(work, seed):
    assert not (wrong := fuzz.case(work, "open", seed)), wrong


@pytest.mark.parametrize("seed", range(1, 1 + max(1, CASES // len(fuzz.CASES))))
@pytest.mark.parametrize("name", sorted(set(fuzz.CASES) - {"open"}))
def test_a_command_on_a_damaged_file_ends_well(work, name, seed):
    assert not (wrong := fuzz.case(work, name, seed)), wrong


def test_the_table_is_that_of_the_program():
    found = {}
    for section in PAGE.read_text(encoding="utf-8").split("\n## ")[1:]:
        kind = re.search(r"\(`(switchyard-[a-z-]+)`\)", section)[1]
        rows = re.findall(r"^\| (\w+) \| ([\w, ]+) \| (\w+) \| (?:invariant|layout|timing) \|", section, re.MULTILINE)
        found[kind] = {name: (tuple(dims.split(", ")), of) for name, dims, of in rows}
    assert {kind: table for kind, table in found.items() if table} == {kind: of.variables for kind, of in schema.KINDS.items()}
    for kind, of in schema.KINDS.items():
        assert of.growing <= {dim for dims, _ in of.variables.values() for dim in dims} and set(of.needed) <= set(of.variables)


def changed(folder, change, name="run.h5"):
    run = write_run(folder, rows=6, choices=2)
    with h5py.File(run / "segments/000" / name, "a") as f:
        change(f)
    return run


def replaced(name, make):
    def change(f):
        data = make(f[name])
        del f[name]
        f[name] = data
    return change


def claims_much(f):
    del f["loss"]
    f.create_dataset("loss", (1 << 60,), "f8", chunks=(4,), maxshape=(None,))
    del f["row"]


REFUSED = [(lambda f: f.__delitem__("tokens"), "has no tokens"),
           (replaced("loss", lambda d: np.zeros((6, 2))), "loss has 2 dimensions, not 1"),
           (replaced("tokens", lambda d: d[()].astype(float)), "tokens is of type float64, not int64"),
           (replaced("experts", lambda d: np.array([4, 9])), "experts holds 4 to 9"),
           (replaced("experts", lambda d: np.array([4])), "has 2 layer|has 1 layer"),
           (replaced("assigned", lambda d: -d[()]), "assigned holds -"),
           (replaced("entropy", lambda d: d[()] * np.nan), "entropy is not finite"),
           (replaced("step", lambda d: d[()][::-1]), "step does not ascend"),
           (lambda f: f.attrs.update(top_k=9), "top_k is not from 1 to 4"),
           (lambda f: f.attrs.update(ranks="two"), "ranks is no whole number"),
           (lambda f: f.attrs.update(config=[1, 2]), "config is no text"),
           (lambda f: (f.__delitem__("loss"), f.create_group("loss")), "loss is no table"),
           (lambda f: (f.__delitem__("loss"), f.__setitem__("loss", h5py.ExternalLink("/etc/passwd", "/"))), "loss lies outside the file"),
           (lambda f: (f.__delitem__("margin"), f.create_dataset("margin", (6, 2, 1 << 50), "i8", chunks=(1, 1, 8))), "margin claims")]


@pytest.mark.parametrize("change,said", REFUSED, ids=[said for _, said in REFUSED])
def test_what_is_refused_before_it_is_used(tmp_path, change, said):
    with pytest.raises(yardstick.RecordError, match=f"run.h5: .*({said}).*run `switchyard verify`"):
        yardstick.open(changed(tmp_path, change))


@pytest.mark.parametrize("name,values,said", [
    ("token", [8], "token holds 0 to 8, but it is from 0 to 7"), ("domain", [-2], "domain holds -2"),
                                              ("expert", [-3], "expert holds -3"), ("predicted", [-1], "predicted holds -1")])
def test_ids_are_within_their_tables(tmp_path, name, values, said):
    def change(f):
        data = f[name][()]
        data.reshape(-1)[:1] = values
        f[name][...] = data
    with pytest.warns(yardstick.RecordWarning, match=said):
        assert yardstick.open_evaluation(changed(tmp_path, change, "evaluation.h5")) is None


def test_a_pipe_in_place_of_a_file_does_not_hang(tmp_path):
    run = write_run(tmp_path)
    (run / "segments/000/run.h5").unlink()
    os.mkfifo(run / "segments/000/run.h5")
    with pytest.raises(yardstick.SchemaError, match="is not a file"):
        yardstick.open(run)


def test_text_of_fixed_length_and_of_any(tmp_path):
    run = write_run(tmp_path, version=3)
    with h5py.File(run / "segments/000/run.h5", "a") as f:
        for name in ("config", "commit", "schema"):
            text = f.attrs[name].encode()
            f.attrs.create(name, np.bytes_(text), dtype=h5py.string_dtype("utf-8", len(text)))
        f.attrs["unknown"] = np.zeros(3)
    assert yardstick.open(run).attrs["config"] == "model: {}\n" and "unknown" not in yardstick.open(run).attrs


def test_held_out_texts_that_differ_are_not_mixed(tmp_path):
    """A segment that another corpus has lent its text: ids are not shown as pieces of it."""
    write_run(tmp_path, first=1, rows=20, segment=0)
    write_run(tmp_path, first=21, rows=10, segment=1)
    with h5py.File(tmp_path / "segments/001/evaluation.h5", "a") as f:
        f["token_text"][...] = np.array([b"other"] * 8, "S16")
    with pytest.warns(yardstick.RecordWarning, match="token_text: left out.*differ in its values, as of another corpus or model"):
        assert "token_text" not in yardstick.open_evaluation(tmp_path)


def superseded(folder, spoil):
    """Rows beyond 20 of the first segment's 40 belong to nobody: the second begins after 20."""
    config = "train:\n  evaluate_every: 10\nrecord:\n  sample_every: 1\n"
    write_run(folder, first=1, rows=40, evaluations=4, segment=0, config=config, chunk=10)
    write_run(folder, first=21, rows=10, evaluations=1, segment=1)
    with h5py.File(folder / "segments/001/run.h5", "a") as f:
        f.attrs["begins_after"] = 20
    for name in ("run.h5", "evaluation.h5"):
        with h5py.File(folder / "segments/000" / name, "a") as f:
            spoil(f)
    return folder


def destroy_chunks(f, filler=np.random.default_rng(1).bytes):
    """Overwrites, in the file, every chunk of rows and evaluations beyond the second."""
    places = []
    for dataset in f.values():
        for i in range(dataset.id.get_num_chunks() if dataset.chunks and dataset.maxshape[0] is None else 0):
            chunk = dataset.id.get_chunk_info(i)
            places += [chunk] * (chunk.chunk_offset[0] >= (20 if dataset.shape[0] == 40 else 2) and dataset.shape[0] in (4, 40))
    path = f.filename
    f.close()
    with open(path, "r+b") as file:
        for chunk in places:
            file.seek(chunk.byte_offset)
            file.write(filler(chunk.size))
    assert places


@pytest.mark.parametrize("spoil", [lambda f: None, destroy_chunks, lambda f: destroy_chunks(f, bytes)],
                         ids=["whole", "destroyed", "never written"])
def test_what_a_resume_supersedes_need_not_be_readable(tmp_path, spoil):
    run = superseded(tmp_path, spoil)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*left out: ")
        found, evaluation = yardstick.open(run), yardstick.open_evaluation(run)
    assert found["step"].values.tolist() == list(range(1, 31)) and set(found["segment"].values[:20]) == {0}
    assert found["evaluation_step"].values.tolist() == [10, 20, 30] == evaluation["evaluation_step"].values.tolist()


def test_rows_that_are_needed_are_missed(tmp_path):
    def first_chunk(f):
        chunk, path = f["loss"].id.get_chunk_info(1) if "row" in f else None, f.filename
        f.close()
        if chunk:
            with open(path, "r+b") as file:
                file.seek(chunk.byte_offset)
                file.write(np.random.default_rng(1).bytes(chunk.size))
    with pytest.warns(yardstick.RecordWarning, match="Segment 000: run.h5 is left out: .*loss cannot be read"):
        yardstick.open(superseded(tmp_path, first_chunk))


def test_sizes_are_looked_at_before_reading(tmp_path, monkeypatch):
    run = changed(tmp_path, claims_much)
    assert yardstick.open(run).sizes["row"] == 6  # of the shortest variable
    monkeypatch.setattr(hdf5, "PACKED", 0)
    monkeypatch.setattr(hdf5, "SLACK", 8)
    with pytest.raises(yardstick.RecordError, match="more than a file of"):
        yardstick.open(run)
