"""What other sweeps add to a curve over E: durations of tasks that ran one at a time, and runs of fewer steps whose learning rate falls
at their own end. Within one run a speed-up in steps sets losses before the fall of the rate against the dense model's loss after it."""
from typing import NamedTuple

import numpy as np

from ..law import saturation
from ..records.run_folder import SchemaError
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


class Shorter(NamedTuple):
    """Runs of E = experts that ended after `steps`, by which the dense model's `fewer` times as many were made: their mean loss, and by
    how much it is below the dense model's, nat per token, paired over `seeds` seeds and blocks of held-out text."""
    experts: float
    steps: int
    fewer: float
    seeds: int
    loss: float
    below: saturation.Interval


def durations(path, table):
    """(S', E_n) seconds a step for the numbers of experts of `table` (a `results.Table`), from the sweep in `path`."""
    for found in results.tables(results.read(path)):
        at = {e: i for i, e in enumerate(found.experts)}
        if found.label == table.label and all(e in at for e in table.experts):
            return found.extra[DURATION][:, [at[e] for e in table.experts]]
    raise SchemaError(f"{path}: has no {DURATION} of all of E = {', '.join(f'{e:.0f}' for e in table.experts)} with {table.label}; "
                      "make it by a sweep of the same numbers of experts, and --jobs 1")


def shorter(path, table, draws=None):
    """A `Shorter` for each number of experts in `path` whose setting is that of `table`, which needs the dense model."""
    frame = results.of_curve(results.read(path), table.label)
    if table.experts[0] != 1 or frame.empty:
        raise SchemaError(f"{path}: has no runs with {table.label} to set beside a dense model (E = 1); give the results of such a sweep")
    found, runs = [], results.grouped_runs(frame, [])
    for experts in sorted({e for e, _ in runs}):
        seeds = [s for s in table.seeds if (experts, s) in runs]
        if not seeds:
            raise SchemaError(f"{path}: E = {experts} has none of the seeds {', '.join(map(str, table.seeds))}")
        dense = table.losses[[table.seeds.index(s) for s in seeds], 0]
        mine = results.last_losses(runs, [experts], seeds, [])[:, 0]
        found.append(_compare(experts, int(runs[experts, seeds[0]]["step"].iloc[-1]), (dense, mine), table, draws or saturation.DRAWS))
    return found


def _compare(experts, steps, losses, table, draws):
    if losses[0].shape != losses[1].shape:
        losses = [each.mean(1, keepdims=True) for each in losses]
    pair = np.stack(losses, 1)  # (S, 2, B)
    below = float(pair[:, 0].mean() - pair[:, 1].mean())
    limits = (float("nan"),) * 2
    if pair.shape[0] * pair.shape[2] > 1:
        drawn = saturation.bootstrap(pair, np.random.default_rng(1), draws)
        limits = np.quantile(drawn[:, 0] - drawn[:, 1], [0.025, 0.975])
    return Shorter(float(experts), steps, float(table.steps[-1] / steps), len(pair), float(pair[:, 1].mean()),
                   saturation.Interval(below, *map(float, limits)))


def sentence(run, dense):
    """What a `Shorter` says; dense: the dense model's last loss."""
    side = 1 if run.below.value >= 0 else -1
    limits = sorted((side * run.below.low, side * run.below.high))
    numbers = f"{abs(run.below.value):.4f}" + ("" if limits[0] != limits[0] else f" (95 % interval {limits[0]:.4f} to {limits[1]:.4f})")
    verdict = "is reached" if run.below.low >= 0 else "is not reached" if run.below.high < 0 else "is not resolved"
    return (f"With the fall of the rate at its own end E = {run.experts:.0f} comes in {run.steps} steps to {run.loss:.4f} nat, {numbers} "
            f"{'below' if side > 0 else 'above'} the dense model's {dense:.4f} after {run.fewer * run.steps:.0f}: a speed-up in steps of "
            f"{run.fewer:.2f} {verdict}.")
