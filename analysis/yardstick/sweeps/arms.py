"""Runs of one sweep that differ in one thing only, their arm or k, compared under common seeds and the same held-out text.

S seeds, A arms, B blocks of held-out text, D draws. Losses are drawn in two levels, seeds and then blocks
(docs/science.md, "Saturation protocol"), the same seeds and blocks for every arm, so what the arms share cancels in a difference.
Quantities without blocks are drawn over seeds only: with three seeds such an interval is little more than their range, and too narrow."""
import pathlib
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..base import reading
from ..base.faults import SchemaError
from ..records import segment_file, special
from ..records.run_folder import open_run
from ..law import laws
from ..law.saturation import DRAWS, Interval, bootstrap
from . import results, trained

# what runs that are compared have in common
SAME = ["arm", "branch", "num_experts", "k", "granularity", "d_model", "num_blocks", "dense_parameter_count"]
ROUTER_RATE = "train.router_rate"  # by which routers learn, times the learning rate; since version 7
WITH = dict(arm=(), k=("num_experts", "granularity"))  # what may follow from the one thing that they differ in


class Arms(NamedTuple):
    """The finished runs of a sweep. names: the arms (or k) in the sweep's order; losses: (S, A, B) last held-out losses, nat per token;
    folders: {(name, seed): run folder}; n, tokens: active parameters without embeddings and tokens trained on; parameters: (A,) all of
    the model; experts: (A,) their numbers; k: None where it differs; lacks: what was left out and why; hashed: the names of those that
    choose by a hash of the token id; still: of those whose routers never learn."""
    names: list
    seeds: list
    losses: np.ndarray
    folders: dict
    n: float
    tokens: float
    parameters: np.ndarray
    experts: list
    k: int | None
    lacks: list
    hashed: tuple = ()
    still: tuple = ()

    @property
    def num_experts(self):
        """The number of experts, None where it differs."""
        return self.experts[0] if len(set(self.experts)) == 1 else None


class Sample(NamedTuple):
    """A quantity of every arm, mean over seeds: point (A,), and draws of it (D, A), nan where there is nothing to draw from."""
    names: list
    point: np.ndarray
    drawn: np.ndarray

    def sum_of(self, weights):
        """Interval of the sum over {arm: weight}."""
        row = np.array([weights.get(name, 0.0) for name in self.names])
        return Interval(float(self.point @ row), *laws.interval(self.drawn @ row))

    def of(self, name):
        return self.sum_of({name: 1.0})

    def difference(self, name, against):
        return self.sum_of({name: 1.0, against: -1.0} if name != against else {})


def sample(names, values, draws=DRAWS, seed=1):
    """Sample of values (S, A, B), or (S, A) where nothing is known of blocks."""
    values = values[:, :, None] if values.ndim == 2 else values
    some = values.shape[0] > 1 or values.shape[2] > 1  # otherwise every draw would be the same
    drawn = bootstrap(values, np.random.default_rng(seed), draws) if some else np.full((1, len(names)), np.nan)
    return Sample(list(names), values.mean((0, 2)), drawn)


def _folders(path, frame):
    """The run folder of each task of a results.h5."""
    known = results.head(path)
    if known.tasks is None or "task" not in frame:
        raise SchemaError(f"{path}: does not name its run folders; give results.h5 of `switchyard sweep`")
    return [path.parent / name for name in known.tasks]


def active_parameters(folder):
    """N of a run that belongs to a sweep, which its run.h5 does not hold; None elsewhere."""
    folder = pathlib.Path(folder).resolve()
    path = folder.parent.parent / "results.h5"
    if folder.parent.name != "tasks" or not path.is_file():
        return None
    frame = results.read(path)
    tasks = [task.resolve() for task in _folders(path, frame)]
    found = [float(n) for task, n in zip(frame["task"], frame["dense_parameter_count"]) if tasks[int(task)] == folder]
    return found[0] if found else None


def _refuse_other_differences(path, frame, by):
    """Runs that differ in more than `by`, the seed and what follows from `by` are not compared."""
    for name in (n for n in SAME if n != by and n in frame):
        apart = frame.groupby(by)[name] if name in WITH[by] else frame.groupby(np.zeros(len(frame)))[name]
        if apart.nunique().max() > 1:
            raise SchemaError(f"{path}: its runs differ in {name} ({', '.join(map(str, sorted(frame[name].unique())))}), but here they may "
                              f"differ in {by} and seed only; make a sweep of each")
    if frame[by].nunique() < 2:
        raise SchemaError(f"{path}: has one value of {by} only: there is nothing to compare")


def read(folder, by="arm", experts=None):
    """Arms of a sweep folder whose runs differ in `by` (arm or k), in what follows from it, and in the seed; with `experts` those of its
    runs that have so many."""
    path = results.of_sweep(folder)
    frame, lacks = results.read(path), []
    frame = frame if experts is None else frame[frame["num_experts"] == experts]
    tasks = _folders(path, frame)
    _refuse_other_differences(path, frame, by)
    runs = results.grouped_runs(frame, lacks, by)
    values, seeds = results.complete(runs, lacks, by)
    names = [name for name in frame[by].unique() if name in values]
    last = [runs[name, seeds[0]].iloc[-1] for name in names]
    choices = {row["k"] for row in last}
    return Arms([str(n) for n in names], seeds, results.last_losses(runs, names, seeds, lacks),
                {(str(n), s): tasks[int(runs[n, s]["task"].iloc[-1])] for n in names for s in seeds},
                float(last[0]["dense_parameter_count"]), float(last[0]["tokens"]),
                np.array([row["total_parameter_count"] for row in last], float),
                [int(row["num_experts"]) for row in last], choices.pop() if len(choices) == 1 else None, lacks,
                tuple(str(n) for n, row in zip(names, last) if str(row["router_type"]).lower() == trained.HASH),
                tuple(str(n) for n, row in zip(names, last) if row.get(ROUTER_RATE, 1.0) == 0))


def routed(folder):
    """A run's record, which has to have routers."""
    run = open_run(folder)
    if "layer" not in run.dims:
        raise SchemaError(f"{folder}: {special.DENSE}; give a run with experts")
    missing = [name for name in segment_file.ROUTED[1:] if name not in run]
    if missing:
        raise SchemaError(f"{folder}: its segments differ in {', '.join(missing)}, not one table; give a run whose segments agree")
    return run


def tenth(run, last):
    """The first or the last tenth of a run's recorded steps, at least one."""
    rows = max(1, run.sizes["row"] // 10)
    return run.isel(row=slice(-rows, None) if last else slice(rows))


def seed_sd(arms, name, against):
    """Standard deviation over seeds of the difference of two arms' losses, nat; nan with one seed."""
    losses = arms.losses.mean(2)
    difference = losses[:, arms.names.index(name)] - losses[:, arms.names.index(against)]
    return float(difference.std(ddof=1)) if len(difference) > 1 else float("nan")


def limits(interval):
    return [interval.low, interval.high]


def losses_of(arms, by="arm"):
    """A row for each arm and seed: its last loss and that of every block of held-out text, from which intervals are recomputed; hash: 1 for
    arms that choose by a hash of the token id; still: 1 for those whose routers never learn."""
    rows = [{by: name, "seed": seed, "hash": int(name in arms.hashed), "still": int(name in arms.still), "loss": arms.losses[s, a].mean()} |
            ({f"{results.BLOCK}_{b}": loss for b, loss in enumerate(arms.losses[s, a])} if arms.losses.shape[2] > 1 else {})
            for a, name in enumerate(arms.names) for s, seed in enumerate(arms.seeds)]
    return pd.DataFrame(rows)


def read_losses(path, by="arm"):
    """(names, losses (S, A, B), names of hash arms, of arms that never learn) of a csv that `losses_of` made, or of one with a row for each
    arm and seed that has its loss."""
    frame = reading.read_csv(path, [by, "seed", "loss"], "give what yardstick wrote", [by])
    names, seeds = list(dict.fromkeys(frame[by].astype(str))), sorted(set(frame["seed"]))
    blocks = [name for name in frame if name.startswith(f"{results.BLOCK}_")] or ["loss"]
    if len(frame) != len(names) * len(seeds) or frame.duplicated([by, "seed"]).any():
        raise SchemaError(f"{path}: has not one row for each {by} and seed; give what yardstick wrote")
    order = pd.MultiIndex.from_product([seeds, names])
    values = frame.assign(**{by: frame[by].astype(str)}).set_index(["seed", by])[blocks].loc[order].values
    marked = [tuple(dict.fromkeys(frame[by][frame[kind] == 1].astype(str))) if kind in frame else () for kind in ("hash", "still")]
    return names, values.reshape(len(seeds), len(names), len(blocks)).astype(float), *marked


def lacking(arms, *names):
    """Why a claim that needs these arms cannot be tested, or None."""
    missing = [name for name in names if name not in arms.names]
    return f"the sweep has no finished arm {', '.join(missing)}" if missing else None
