"""What other sweeps add to a curve over E: durations of tasks that ran one at a time, and runs of fewer tokens whose learning rate falls
at their own end. Within one run a speed-up sets losses before the fall of the rate against the dense model's loss after it."""
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..drawing.figure_file import Run
from ..law import intervals, saturation
from ..base.faults import SchemaError
from . import results

DURATION = "seconds_per_step"


class Beside(NamedTuple):
    """Paths of what a curve is set beside, each may be None. published: folder of `yardstick law --out`; times, cooled: results of
    other sweeps, see `durations` and `shorter`."""
    published: str | None = None
    times: str | None = None
    cooled: str | None = None

    def sweeps(self):
        return [path for path in (self.times, self.cooled) if path is not None]


class Other(NamedTuple):
    """What one of those sweeps gives. found: seconds (S', E_n), or a list of `Shorter`, or None without the sweep; rows: every
    evaluation behind it; runs and lacks: of it."""
    found: object = None
    rows: pd.DataFrame | None = None
    runs: list[Run] = []
    lacks: list[str] = []


class Shorter(NamedTuple):
    """Runs of E = experts that ended after `steps`, with a `fewer`th of the dense model's tokens: their mean loss, and by how much it is
    below the dense model's, nat per token, paired over `seeds` seeds and blocks of held-out text; by_t: the same with the interval by
    which corrected rules judge."""
    experts: float
    steps: int
    fewer: float
    seeds: int
    loss: float
    below: saturation.Interval
    by_t: saturation.Interval = saturation.NOWHERE


def durations(path, table):
    """Seconds a step for the numbers of experts of `table` (a `results.Table`) from the sweep in `path`: those before the last
    evaluation of each run, since routers that have just begun make larger products."""
    frame = results.read(path)
    for found in results.tables(frame[frame["step"] == frame["step"].max()]):
        at = {e: i for i, e in enumerate(found.experts)}
        if found.label == table.label and all(e in at for e in table.experts):
            return Other(found.extra[DURATION][:, [at[e] for e in table.experts]], found.frame,
                         results.behind(found.frame, results.runs(path)),
                         [f"{path}: {lack}" for lack in found.lacks if DURATION in lack or lack.startswith("Seed")])
    raise SchemaError(f"{path}: has no {DURATION} of all of E = {', '.join(f'{e:.0f}' for e in table.experts)} with {table.label}; "
                      "make it by a sweep of the same numbers of experts, and --jobs 1")


def shorter(path, table):
    """A `Shorter` for each number of experts in `path` whose setting is that of `table`, which needs the dense model. That held-out
    text and steps' tokens are the same is the caller's to see to: of these, results know the tokens of a step only."""
    frame = results.of_curve(results.read(path), table.label)
    if table.experts[0] != 1 or frame.empty:
        raise SchemaError(f"{path}: has no runs with {table.label} to set beside a dense model (E = 1); give the results of such a sweep")
    lacks = []
    made, rows = _beside_dense(path, frame, table, lacks)
    return Other(made, rows, results.behind(rows, results.runs(path)), [f"{path}: {lack}" for lack in lacks])


def beside_dense(frame, table, lacks):
    """A `Shorter` for each number of experts in rows of the setting of `table`; what is left out is added to lacks."""
    return _beside_dense("the runs beside the curve", frame, table, lacks)[0]


def _beside_dense(path, frame, table, lacks):
    made, runs = [], results.grouped_runs(frame, lacks)
    for experts in sorted({e for e, _ in runs}):
        seeds = [s for s in table.seeds if (experts, s) in runs]
        if not seeds:
            raise SchemaError(f"{path}: E = {experts} has none of the seeds {', '.join(map(str, table.seeds))}")
        dense = table.losses[[table.seeds.index(s) for s in seeds], 0]
        mine = results.last_losses(runs, [experts], seeds, lacks)[:, 0]
        made.append(_compare(experts, runs[experts, seeds[0]].iloc[-1], (dense, mine), table))
    return made, pd.concat(runs.values())


def _compare(experts, last, losses, table):
    if abs(last["tokens"] / last["step"] / (table.tokens / table.steps[-1]) - 1) > 1e-9:
        raise SchemaError(f"E = {experts} trained on {last['tokens'] / last['step']:,.0f} tokens a step, the curve on "
                          f"{table.tokens / table.steps[-1]:,.0f}; give runs that differ in their number of steps only")
    if losses[0].shape != losses[1].shape:
        losses = [each.mean(1, keepdims=True) for each in losses]
    pair = np.stack(losses, 1)  # (S, 2, B)
    below = float(pair[:, 0].mean() - pair[:, 1].mean())
    limits = (float("nan"),) * 2
    if pair.shape[0] * pair.shape[2] > 1:
        drawn = saturation.bootstrap(pair, np.random.default_rng(1), saturation.DRAWS)
        limits = np.quantile(drawn[:, 0] - drawn[:, 1], [0.025, 0.975])
    return Shorter(float(experts), int(last["step"]), float(table.tokens / last["tokens"]), len(pair), float(pair[:, 1].mean()),
                   saturation.Interval(below, *map(float, limits)), intervals.stated(pair, [1, -1], pool=False).interval)


def plain(run):
    """A `Shorter` as json holds it."""
    return run._asdict() | dict(below=run.below._asdict(), by_t=run.by_t._asdict())


def sentence(run, dense):
    """What a `Shorter` says; dense: the dense model's last loss."""
    side = 1 if run.below.value >= 0 else -1
    limits = sorted((side * run.below.low, side * run.below.high))
    numbers = f"{abs(run.below.value):.4f}" + ("" if limits[0] != limits[0] else f" (95 % interval {limits[0]:.4f} to {limits[1]:.4f})")
    verdict = "is reached" if run.below.low >= 0 else "is not reached" if run.below.high < 0 else "is not resolved"
    return (f"With the fall of the rate at its own end E = {run.experts:.0f} comes in {run.steps} steps to {run.loss:.4f} nat, {numbers} "
            f"{'below' if side > 0 else 'above'} the dense model's {dense:.4f} after {run.fewer * run.steps:.0f}: a speed-up in steps of "
            f"{run.fewer:.2f} {verdict}.")
