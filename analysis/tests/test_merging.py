"""Which rows of several segments count, against a dictionary that later segments overwrite, and which of a file need be readable."""
import json
import warnings

import h5py
import numpy as np
import pytest
from fixture import _head, scale, variable, write_run

import yardstick
from yardstick.base.faults import NotWhole, RecordError, SchemaError
from yardstick.records import hdf5, run_folder, segment_file


def segments_of(rng):
    """(first step, rows, begins_after or None) of two to four segments, each beginning within or just after those before."""
    found, end = [], 0
    for _ in range(int(rng.integers(2, 5))):
        first, rows = int(rng.integers(max(1, end - 6), end + 2)), int(rng.integers(1, 9))
        found.append((first, rows, first - 1 if rng.integers(2) else None))
        end = first + rows - 1
    return found


def rows_that_count(segments):
    """{step: segment}: a segment loses what is beyond the step after which a later one says that it begins, and what a later one has."""
    found = {}
    for n, (first, rows, _) in enumerate(segments):
        limit = min((after for _, _, after in segments[n + 1:] if after is not None), default=np.inf)
        found |= {step: n for step in range(first, first + rows) if step <= limit}
    return dict(sorted(found.items()))


@pytest.mark.parametrize("seed", range(12))
def test_each_step_is_that_of_the_last_segment_that_has_it(tmp_path, seed):
    segments = segments_of(np.random.default_rng(seed))
    for n, (first, rows, after) in enumerate(segments):
        write_run(tmp_path, first=first, rows=rows, segment=n, layers=0, ranks=n + 1, seed=n, chunk=3)
        with h5py.File(tmp_path / f"segments/{n:03d}/run.h5", "a") as f:
            del f["traffic"]
            if after is not None:
                f.attrs["begins_after"] = after
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run = yardstick.open(tmp_path)
    expected = rows_that_count(segments)
    assert run["step"].values.tolist() == run["row"].values.tolist() == list(expected)
    assert run["segment"].values.tolist() == list(expected.values()) and (run["ranks"].values == run["segment"].values + 1).all()
    assert run["loss"].values == pytest.approx([5 * np.exp(-step / 30) + n for step, n in expected.items()])
    ends = rows_that_count([(first + rows - 1, 1, after) for first, rows, after in segments])  # each has one evaluation, at its end
    assert run["evaluation_step"].values.tolist() == list(ends)


def write_tokens(folder, segment, rank, rows):
    """Sampled tokens, rows of (step, sequence, position, token)."""
    with h5py.File(folder / f"segments/{segment:03d}/tokens.r{rank:04d}.h5", "w") as f:
        _head(f, "switchyard-tokens")
        scale(f, "sample", len(rows), True)
        for name, values, kind in zip(("step", "sequence", "position", "token"), np.array(rows, "i8").T, ("i8", "i8", "i4", "i4")):
            variable(f, name, ["sample"], values.astype(kind))


@pytest.mark.parametrize("seed", range(6))
def test_tokens_of_all_ranks_in_order_and_of_the_newest_segment(tmp_path, seed):
    """A step that two segments sampled is the later one's, all ranks of it; the order is that of steps, sequences and positions."""
    rng, expected = np.random.default_rng(seed), {}
    for segment in range(3):
        write_run(tmp_path, segment=segment, layers=0, evaluations=0, rows=5)
        steps = sorted(rng.choice(range(1, 8), 4, replace=False).tolist())
        rows = [(step, sequence, position, int(rng.integers(8))) for step in steps for sequence in range(4) for position in range(3)]
        for rank in range(2):
            write_tokens(tmp_path, segment, rank, [row for row in rows if row[1] % 2 == rank])
        expected |= {step: [(*row, segment) for row in rows if row[0] == step] for step in steps}
    found = yardstick.open_tokens(tmp_path)
    read = zip(*(found[name].values.tolist() for name in ("step", "sequence", "position", "token", "segment")))
    assert list(read) == [row for step in sorted(expected) for row in expected[step]]


class Steps:
    """A file of one column in chunks, of which some cannot be read."""

    def __init__(self, steps, stride, lost):
        self.path, self.steps, self.stride, self.lost, self.looked = "f.h5", np.array(steps), stride, lost, set()
        self.datasets = dict(step=self)
        self.chunks = (stride,)

    def read(self, name, cut):
        chunk = cut[0].start // self.stride
        self.looked.add(chunk)
        if chunk in self.lost:
            raise NotWhole("lost")
        return self.steps[cut[0]]


@pytest.mark.parametrize("seeds", range(0, 400, 50))
def test_rows_up_to_the_limit_are_kept_whatever_is_beyond(seeds):
    for seed in range(seeds, seeds + 50):
        check_rows_up_to_the_limit(np.random.default_rng(seed))


def check_rows_up_to_the_limit(rng):
    """Rows beyond the limit are lost, never written (0) or chance; those up to it are all kept, or the file is refused."""
    every, count, stride = int(rng.integers(1, 4)), int(rng.integers(1, 12)), int(rng.integers(1, 5))
    begin = int(rng.integers(0, 5))
    true = (begin // every + 1 + np.arange(count)) * every
    limit, steps = int(rng.integers(begin, true[-1] + 2)), true.copy()
    needed = int((true <= limit).sum())
    for i in range(needed, count):
        steps[i] = rng.choice([steps[i], 0, -7, 10**9, true[0] - 1 if i else 0])
    lost = {c for c in range(-(-count // stride)) if c * stride >= needed and rng.integers(2)}
    file = Steps(steps, stride, lost)
    assert segment_file._upto(file, "step", count, limit, every, begin) == needed
    if needed:  # the same with one that is needed spoiled
        at = int(rng.integers(needed))
        for spoiled in (Steps(steps, stride, lost | {at // stride}), Steps(np.where(np.arange(count) == at, 0, steps), stride, lost)):
            with pytest.raises(RecordError, match="lost|does not ascend"):
                segment_file._upto(spoiled, "step", count, limit, every, begin)


def test_rows_beyond_the_last_that_is_needed_are_not_even_read():
    file = Steps(range(1, 41), 10, set())
    assert segment_file._upto(file, "step", 40, 20, 1, 0) == 20 and file.looked == {0, 1}


@pytest.mark.parametrize("every", [0, 5])
def test_without_a_known_distance_every_row_has_to_be_read(every):
    file = Steps([5, 10, 15, 0], 2, set())
    if every:
        assert segment_file._upto(file, "step", 4, 15, every, 0) == 3
    else:
        with pytest.raises(RecordError, match="step does not ascend from 1 on"):
            segment_file._upto(file, "step", 4, 15, every, 0)


CONFIG = ("# made by hand\r\nmodel:\r\n  width: 64  # wide\r\n  depth: 2\r\nmodel_extra:\n  width: 7\n\nmoe:   # experts\n  experts: 8\n"
          "  experts_of: none\n  aux_loss: -1.5e-3\n\n  empty:\n  rate: 1.2.3\n\tbig: 99999999999999999\ntrain:\n  steps: 0\n  last: 5")
OPTIONS = {"model.width": "64", "model.depth": "2", "model_extra.width": "7", "moe.experts": "8", "moe.experts_of": "none", "moe.empty": "",
           "moe.aux_loss": "-1.5e-3", "train.last": "5", "moe.width": None, "moe.expert": None, "train.experts": None, "odel.width": None}


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_is_that_of_its_section_and_whole_name(name):
    assert run_folder.config_option(CONFIG, name) == OPTIONS[name]


@pytest.mark.parametrize("name,whole,value", [("moe.aux_loss", False, -0.0015), ("moe.experts", True, 8), ("moe.experts", False, 8.0),
                                              ("train.steps", False, 0.0), ("train.steps", True, None), ("moe.aux_loss", True, None),
                                              ("moe.rate", False, None), ("moe.big", True, None), ("moe.empty", False, None),
                                              ("moe.experts_of", False, None), ("moe.absent", False, None)])
def test_numbers_of_a_configuration(name, whole, value):
    run = type("Run", (), dict(attrs=dict(config=CONFIG)))
    if value is not None:
        assert run_folder.number(run, name, "r", whole) == value
        return
    with pytest.raises(RecordError, match=f"r: its configuration has no number for {name}.*switchyard verify"):
        run_folder.number(run, name, "r", whole)


def test_segments_are_numbers_in_their_order(tmp_path):
    for name in ("010", "9", "000", "1000", "-1", "x", "1.5", "0000000001", " 2", "\u0663"):
        (tmp_path / "segments" / name).mkdir(parents=True)
    (tmp_path / "segments/5").write_text("a file")
    assert [p.name for p in run_folder.segments(tmp_path)] == ["000", "9", "010", "1000"]


def folders(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "sweep/tasks").mkdir(parents=True)
    (tmp_path / "results").mkdir()
    (tmp_path / "results/results.h5").write_text("x")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "empty/segments").mkdir(parents=True)
    return {"file": "is a file, not a run folder", "none": "no such folder", "sweep": "is the folder of a sweep", "a\0b": "no such folder",
            "results": "is the folder of a sweep", "loop": "cannot be looked at|no such folder", "empty": "has no segment yet",
            "x" * 300: "cannot be read .File name too long"}


@pytest.mark.parametrize("opens", [yardstick.open, yardstick.open_timeline])
def test_what_is_no_run_says_what_it_is(tmp_path, opens):
    for name, said in folders(tmp_path).items():
        with pytest.raises(SchemaError, match=said):
            opens(f"{tmp_path}/{name}")


@pytest.mark.parametrize("given,expected", [("{}", {}), ('{"a": 1}', {"a": 1}), ("[1]", {}), ("null", {}), ("", {}), ("{", {}),
                                            ("[" * 10**5, {})])
def test_a_table_in_an_attribute(given, expected):
    assert hdf5.table_of(dict(x=given), "x") == expected and hdf5.table_of({}, "x") == {}


@pytest.mark.parametrize("text,names", [('["a", ""]', ["a", ""]), ("[]", []), ("{}", None), ("[1]", None), ("", None), ("[" * 10**5, None),
                                        (json.dumps(["\u00e9\n"]), ["\u00e9\n"]), ("null", None)])
def test_names_in_an_attribute(text, names):
    if names is not None:
        assert segment_file.names_in(text, "p", "domains") == names
        return
    with pytest.raises(RecordError, match="p: attribute domains is no list of names"):
        segment_file.names_in(text, "p", "domains")
