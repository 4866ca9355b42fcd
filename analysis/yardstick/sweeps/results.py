"""Tidy tables of many runs: results.h5 of `switchyard sweep`, or a csv with the same columns, which are those of the public curves
of Clark et al. 2022 and `tokens`. One row is one evaluation of one run."""
import json
import pathlib
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..base import reading
from ..base.faults import RecordError, SchemaError
from ..base.text import plain
from ..records import hdf5, schema, segment_file
from ..drawing.figure_file import Run

NEEDED = ["num_experts", "k", "seed", "step", "loss_validation", "dense_parameter_count", "total_parameter_count", "tokens"]
GROUPS = ["arm", "router_type", "k", "granularity", "routing_frequency", "branch", "dense_parameter_count"]  # one of each a curve
NEARLY = 0.01  # runs whose last step is this close to the group's count as finished
BLOCK = "block_loss"
FOLDER = "run_folder"  # made here from the index `task`
SIGNS = dict(num_experts="E =", arm="arm", k="k =")  # how a message names what runs differ in
OPTIONAL = dict(  # columns that a table may lack: which of a run's values counts, and what is missing without it
    loss_train=(lambda values: values.iloc[-1], "the gap of training and held-out loss"),
    seconds_per_step=(pd.Series.min, "wall time"), peak_bytes=(pd.Series.max, "measured memory"))
EXTRA = ["bits_per_byte", "max_vio", "max_vio_floor"]  # columns that tables hold beside those of OPTIONAL, where known
DENSE_NAN = ["max_vio", "max_vio_floor"]  # of a dense model there are none; until 2026-12 programs wrote 0
WHOLE = ["num_experts", "k", "seed", "step"]
LEAST = dict(num_experts=1, k=1, seed=-(1 << 53), step=1)  # all others are above 0
MOST, MOST_BLOCKS = 1e18, 1 << 16
ADVICE = "give results.h5 of `switchyard sweep`, or a csv with its columns"
SUFFIXES = (".h5", ".hdf5")  # of HDF5; everything else is read as csv


class Table(NamedTuple):
    """One curve over E. losses: (S, E_n, B) last held-out losses, nat per token; steps (T,) and curves (E_n, T): mean over seeds at
    the evaluations that all runs have; n: active parameters without embeddings; parameters (E_n,): all of each model; extra: names of
    OPTIONAL -> (S, E_n), nan where unknown; lacks: what was left out and why; frame: every evaluation of its runs."""
    label: str
    router: str
    k: int
    experts: np.ndarray
    seeds: list
    losses: np.ndarray
    steps: np.ndarray
    curves: np.ndarray
    n: float
    tokens: float
    parameters: np.ndarray
    extra: dict
    lacks: list
    frame: pd.DataFrame | None = None


class Head(NamedTuple):
    """What the attributes of a results.h5 say: the run folders by the index `task`, None where it does not name them, and what is known
    of each run."""
    tasks: list | None
    runs: list


def _head_of(attrs, path):
    tasks = segment_file.names_in(attrs["tasks"], path, "tasks") if "tasks" in attrs else None
    for name in tasks or []:
        if pathlib.PurePath(name).is_absolute() or ".." in pathlib.PurePath(name).parts or "\0" in name:
            raise RecordError(f"{path}: the run folder '{name[:60]}' lies outside the sweep's; {ADVICE}")
    try:
        runs = json.loads(attrs.get("runs", "[]"))
        runs = [Run(**{field: run[field] for field in Run._fields if field in run}) for run in runs]
        if not all(isinstance(text, str) for run in runs for text in run):
            raise TypeError("not texts")
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise RecordError(f"{path}: attribute runs is no list of runs; {ADVICE}") from error
    return Head(tasks, runs or [Run(task) for task in tasks or []])


def _frame_of(file):
    """The tables of one column of a file, and those of block_loss; any other is left."""
    path, kind = file.path, schema.KINDS["switchyard-results"]
    if "schema" in file.attrs:  # a table that another program made needs none
        hdf5.check_schema(file.attrs, path, "switchyard-results")
    columns = {n: d for n, d in file.datasets.items() if d.ndim == 1 or n in kind.variables}
    wrong = [n for n, d in columns.items() if d.ndim != 1 + (n == BLOCK) or d.dtype.kind not in "iufS" or d.dtype.itemsize > 64]
    wrong += [n for n in kind.variables if n in file.file and n not in columns]
    if wrong:
        raise RecordError(f"{path}: {', '.join(map(plain, wrong))}: not a column of numbers or texts; {ADVICE}")
    count = min((d.shape[0] for d in columns.values()), default=0)  # what was acknowledged
    rows = {n: file.read(n, (slice(count),)) for n in columns}
    blocks = rows.pop(BLOCK, None)
    frame = pd.DataFrame({n: [hdf5.text_of(t) for t in v] if v.dtype.kind == "S" else v.astype(v.dtype.newbyteorder("="))
                          for n, v in rows.items()})
    head = _head_of(file.attrs, path)
    if "task" in frame and head.tasks is not None:
        if len(frame) and not (frame["task"].dtype.kind in "iu" and 0 <= frame["task"].min() and frame["task"].max() < len(head.tasks)):
            raise RecordError(f"{path}: task names none of the {len(head.tasks)} run folders; {ADVICE}")
        frame[FOLDER] = np.array(head.tasks, object)[frame["task"].values] if len(frame) else []
    if blocks is None:
        return frame
    if blocks.shape[1] > MOST_BLOCKS:
        raise RecordError(f"{path}: {BLOCK} has {blocks.shape[1]:,} blocks; {ADVICE}")
    return pd.concat([frame, pd.DataFrame(blocks, columns=[f"{BLOCK}_{i}" for i in range(blocks.shape[1])])], axis=1)


def head(path):
    """The Head of a results.h5."""
    return hdf5.opened(path, lambda file: _head_of(file.attrs, file.path))


def of_sweep(folder):
    """The results.h5 of a sweep folder."""
    path = pathlib.Path(folder) / "results.h5"
    if not reading.is_file(path):
        try:
            what = "is a file, not the folder of a sweep" if path.parent.is_file() else \
                "is the folder of a run, not of a sweep" if (path.parent / "segments").is_dir() else f"has no {path.name}"
        except (OSError, ValueError):
            what = f"has no {path.name}"
        raise SchemaError(f"{folder}: {what}; give the folder that `switchyard sweep` wrote")
    return path


def checked(frame, path):
    """The rows with a finite loss, every number in them within the range that readers rely on."""
    missing = [c for c in NEEDED if c not in frame]
    if missing:
        raise SchemaError(f"{path}: has no column {', '.join(missing)}; {ADVICE}")
    for name in [c for c in frame if c in (*NEEDED, *OPTIONAL, *EXTRA) or c.startswith(f"{BLOCK}_")]:
        frame[name] = reading.numbers(frame[name], f"{path}: column {name}", ADVICE)
    frame = frame[np.isfinite(frame["loss_validation"])].copy()
    if frame.empty:
        raise SchemaError(f"{path}: has no evaluation of a finished run with a finite loss; wait until runs of the sweep have finished")
    for name in NEEDED:
        values, least = frame[name].values.astype(float), LEAST.get(name, 0)
        right = np.isfinite(values) & (values <= MOST) & ((values >= least) if name in LEAST else (values > 0))
        right &= (values == np.floor(values)) | (name not in WHOLE)
        if not right.all():
            raise RecordError(f"{path}: {name} is {values[~right][0]:g} in row {frame.index[~right][0] + 1}, which it cannot be; {ADVICE}")
    for name in WHOLE:
        frame[name] = frame[name].astype(int)
    for name in [n for n in DENSE_NAN if n in frame]:
        frame[name] = frame[name].where(frame["num_experts"] > 1)
    for name in GROUPS:
        given = frame[name] if name in frame else pd.Series("", frame.index)
        frame[name] = given.astype(object).fillna("") if given.isna().any() else given
    return frame


def rows(path):
    """Every row of a results.h5 as it stands, texts as text."""
    return hdf5.opened(path, _frame_of)


def read(path):
    """The rows with a finite loss; losses of blocks of the held-out text, if any, in columns block_loss_0, block_loss_1, …"""
    path = pathlib.Path(path)
    if path.is_dir():
        raise SchemaError(f"{path}: is a folder; give the results.h5 in it, or a csv with its columns")
    reading.check_regular(path, ADVICE)
    frame = rows(path) if path.suffix in SUFFIXES else reading.read_csv(path, [], ADVICE)
    return checked(frame, path)


def runs(path):
    """The `figure_file.Run`s behind the table, of which files of earlier programs know the folders only, and a csv nothing."""
    return head(path).runs if pathlib.Path(path).suffix in SUFFIXES else []


def behind(rows, known):
    """Those of the known `figure_file.Run`s that are behind rows of their table; all, where it does not know which those are."""
    folders = set(rows[FOLDER]) if FOLDER in rows else None
    return [run for run in known if folders is None or run.run in folders]


def grouped_runs(rows, lacks, by="num_experts"):
    """(value of `by`, seed) -> rows of that run by step; runs that ended early are left out. Two runs of one value and seed: an error."""
    last = rows["step"].max()
    runs = {}
    for key, run in rows.groupby([by, "seed"]):
        run = run.sort_values("step")
        if run["step"].duplicated().any():
            raise SchemaError(f"{SIGNS[by]} {key[0]}, seed {key[1]}: two rows for step {run['step'][run['step'].duplicated()].iloc[0]}; "
                              "keep one run of each in a table")
        if run["step"].iloc[-1] < last * (1 - NEARLY):
            lacks.append(f"{SIGNS[by]} {key[0]}, seed {key[1]} is left out: it ended at step {run['step'].iloc[-1]} of {last}.")
        else:
            runs[key] = run
    return runs


def complete(runs, lacks, by="num_experts"):
    """Values of `by` of the seed that has most, and the seeds that have all of those."""
    by_seed = {}
    for value, seed in runs:
        by_seed.setdefault(seed, set()).add(value)
    values = max(by_seed.values(), key=len)
    seeds = sorted(s for s, v in by_seed.items() if v >= values)
    lacks += [f"Seed {s} is left out: it lacks {SIGNS[by]} {', '.join(map(str, sorted(values - v)))}."
              for s, v in sorted(by_seed.items()) if s not in seeds]
    return sorted(values), seeds


def _block_losses(run):
    """(B,) last losses of the blocks, moved so that their mean is the loss of the whole held-out text: in schema version 1 the blocks
    are of its first 65,536 tokens, and their spread is that of a shorter text; without blocks the loss alone."""
    last = run.iloc[-1]
    names = [c for c in run if c.startswith(f"{BLOCK}_")]
    blocks = last[names].values.astype(float)
    if not names or np.isnan(blocks).any():
        return np.array([last["loss_validation"]])
    return blocks - blocks.mean() + last["loss_validation"]


def last_losses(runs, values, seeds, lacks):
    """(S, n, B) last losses of the blocks of held-out text, for n values; B is 1 where some runs have no blocks."""
    parts = [[_block_losses(runs[v, s]) for v in values] for s in seeds]
    if len({len(b) for row in parts for b in row}) > 1:
        lacks.append("Losses of blocks are left out: some runs lack them.")
        parts = [[b.mean(keepdims=True) for b in row] for row in parts]
    return np.array(parts)


def _optional(grid, lacks):
    """OPTIONAL of the runs in a grid [S][E_n]: name -> (S, E_n)."""
    found = {}
    for name, (pick, missing) in OPTIONAL.items():
        found[name] = np.array([[pick(run[name]) if name in run else np.nan for run in row] for row in grid], float)
        if not np.isfinite(found[name]).all():
            lacks.append(f"Without {name}, which not every run has, nothing is said of {missing}.")
    return found


def _label(key):
    return ", ".join(f"{n} = {v:g}" if isinstance(v, (int, float, np.number)) else f"{n} = {v}" for n, v in zip(GROUPS, key) if v != "")


def of_curve(frame, label):
    """The rows with routers whose setting a curve of this label has."""
    parts = [rows for key, rows in frame[frame["num_experts"] > 1].groupby(GROUPS) if _label(key) == label]
    return pd.concat(parts) if parts else frame.iloc[:0]


def _table(key, rows):
    lacks = []
    runs = grouped_runs(rows, lacks)
    experts, seeds = complete(runs, lacks)
    losses = last_losses(runs, experts, seeds, lacks)
    grid = [[runs[e, s] for e in experts] for s in seeds]
    shared = sorted(set.intersection(*[set(run["step"]) for row in grid for run in row]))
    if not shared:
        raise SchemaError(f"{_label(key)}: its runs have no step in common at which all were evaluated; make them by one sweep")
    table = [[run.set_index("step").loc[shared, "loss_validation"] for run in row] for row in grid]
    one = grid[0][-1].iloc[-1]
    return Table(_label(key), str(one["router_type"]), int(one["k"]), np.array(experts, float), seeds,
                 losses, np.array(shared), np.mean(table, 0),
                 float(one["dense_parameter_count"]), float(one["tokens"]),
                 np.array([float(run["total_parameter_count"].iloc[-1]) for run in grid[0]]),
                 _optional(grid, lacks), lacks, pd.concat([run for row in grid for run in row]))


def tables(frame):
    """A Table for each curve with at least three numbers of experts. A dense run (E = 1), which has no router and no choices,
    belongs to every curve of its size and arm that has no E = 1 of its own."""
    dense, made = frame[frame["num_experts"] == 1], []
    for key, rows in frame[frame["num_experts"] > 1].groupby(GROUPS):
        own = dense[(dense["arm"] == key[0]) & (dense["branch"] == key[-2]) & (dense["dense_parameter_count"] == key[-1])]
        same = own[(own["router_type"] == key[1]) & (own["k"] == key[2])]
        rows = pd.concat([same if len(same) else own[own["k"] == own["k"].min()], rows])
        if rows["num_experts"].nunique() >= 3:
            made.append(_table(key, rows))
    return made
