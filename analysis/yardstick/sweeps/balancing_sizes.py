"""Does a way to balance hold whatever the number of experts? Arms at several E, each E by itself: MaxVio of single batches over the last
tenth of the steps against its sampling floor, and the loss beside the best arm's.

S seeds, A arms, B blocks of held-out text. Intervals are Student's t over seeds (`law.intervals`), since arms differ in kind."""
import pathlib
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ..base.faults import SchemaError
from ..drawing import figure_file
from ..drawing.figures import PALETTE
from ..law import intervals
from ..verdicts import claims
from ..verdicts.rule import Part, verdict
from . import arms as arms_of, results

KEY, QUANTILE = "quantile-balances", "quantile"
WITHIN = 1.5  # times the sampling floor
SIZES = (4, 16, 64, 256)  # numbers of experts that the claim names


class Size(NamedTuple):
    """One number of experts. ratio: (S, A) MaxVio over its sampling floor, late; losses: (S, A, B)."""
    experts: int
    names: list
    seeds: list
    ratio: np.ndarray
    losses: np.ndarray
    hashed: tuple = ()

    def of(self, name):
        """Stated interval of the ratio of an arm."""
        values = self.ratio[:, self.names.index(name)]
        return intervals.stated(np.stack([values, np.zeros_like(values)], 1)[:, :, None], [1.0, -1.0], pool=False)

    def best(self):
        """The learned arm with the lowest mean loss."""
        return min((n for n in self.names if n not in self.hashed), key=lambda n: self.losses[:, self.names.index(n)].mean())

    def less_best(self, name):
        """Stated interval of the loss of an arm less the best one's; zeros of the best itself."""
        if name == self.best():
            return intervals.Stated(0.0, 0.0, 0.0, "it is the best arm", 0.0, 0, 0.0)
        own = self.losses[:, [self.names.index(name), self.names.index(self.best())]]
        return intervals.stated(own, [1.0, -1.0], pool=False)


def _ratio(folder):
    """MaxVio of a batch over its floor in the last tenth of a run's steps, mean over layers."""
    late = arms_of.tenth(arms_of.routed(folder), last=True)
    return float((late["max_vio"].mean("row") / late["max_vio_floor"].mean("row")).mean())


def size_of(arms):
    """The `Size` of arms that have one number of experts."""
    if arms.num_experts is None:
        raise SchemaError("arms that balance have one number of experts here; make a sweep of each")
    ratio = np.array([[_ratio(arms.folders[name, seed]) for name in arms.names] for seed in arms.seeds])
    return Size(arms.num_experts, arms.names, arms.seeds, ratio, arms.losses, arms.hashed)


def read(path):
    """The `Size` of each number of experts in the results.h5 of a sweep, and what was left out and why."""
    found, lacks = [], []
    for experts in sorted(results.read(path)["num_experts"].unique()):
        arms = arms_of.read(pathlib.Path(path).parent, experts=int(experts))
        found.append(size_of(arms))
        lacks += [f"E = {experts}: {lack}" for lack in arms.lacks]
    return found, lacks


def table(sizes):
    """A row for each number of experts and arm, with intervals."""
    rows = []
    for size in sizes:
        for i, name in enumerate(size.names):
            ratio, less = size.of(name), size.less_best(name)
            rows.append(dict(num_experts=size.experts, arm=name, vio_by_floor=ratio.value, vio_by_floor_low=ratio.low,
                             vio_by_floor_high=ratio.high, loss=size.losses[:, i].mean(), less_best=less.value, less_best_low=less.low,
                             less_best_high=less.high, best=int(name == size.best())))
    return pd.DataFrame(rows)


def runs_of(sizes):
    """A row for each run: its ratio and the loss of every block, from which `table` is recomputed."""
    rows = [dict(num_experts=size.experts, arm=name, seed=seed, hash=int(name in size.hashed), vio_by_floor=size.ratio[s, a],
                 loss=size.losses[s, a].mean()) |
            ({f"{results.BLOCK}_{b}": loss for b, loss in enumerate(size.losses[s, a])} if size.losses.shape[2] > 1 else {})
            for size in sizes for a, name in enumerate(size.names) for s, seed in enumerate(size.seeds)]
    return pd.DataFrame(rows)


def judge(sizes):
    """Verdict and intervals of "quantiles balance at every size"."""
    sizes = {size.experts: size for size in sizes if QUANTILE in size.names}
    missing = [str(e) for e in SIZES if e not in sizes]
    if missing:
        return claims.untested(f"no finished arm {QUANTILE} at E = {', '.join(missing)}"), None
    measured, limits, parts = {}, {}, []
    for experts in SIZES:
        size = sizes[experts]
        ratio, less = size.of(QUANTILE), size.less_best(QUANTILE)
        measured[f"E = {experts}"] = dict(vio_by_floor=ratio.value, best=size.best(), loss_less_best=less.value)
        limits |= {f"MaxVio by floor, E = {experts}": list(ratio[1:3]), f"loss less the best arm's, E = {experts}": list(less[1:3])}
        parts += [Part(ratio.high <= WITHIN, ratio.low > WITHIN, ratio.value <= WITHIN), Part(less.low <= 0, less.low > 0, less.low <= 0)]
    return verdict(parts, measured, min(len(sizes[e].seeds) for e in SIZES)), limits


def draw(sizes, caption):
    """MaxVio by its floor, and the loss less the best arm's, over E: a line for each arm that several sizes have, with intervals over
    seeds."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 4.2))
    names = dict.fromkeys(name for size in sizes for name in size.names)
    names = [name for name in names if len(sizes) == 1 or sum(name in size.names for size in sizes) > 1]
    for a, name in enumerate(names):
        own = [size for size in sizes if name in size.names]
        at = np.array([size.experts for size in own]) * 1.035 ** (a - len(names) / 2)
        for axis, found in zip(axes, ([size.of(name) for size in own], [size.less_best(name) for size in own])):
            value, low, high = np.array([each[:3] for each in found]).T
            axis.errorbar(at, value, yerr=np.nan_to_num([value - low, high - value]), fmt="o-", ms=4, lw=1, capsize=2,
                          color=PALETTE[a % len(PALETTE)], label=name if axis is axes[0] else None)
    axes[0].axhline(WITHIN, ls=":", color="0.3")
    axes[0].set(yscale="log", ylabel="MaxVio by its floor, late", ylim=(1, None))  # lower limits may be below 0
    axes[1].axhline(0, lw=0.8, color="0.3")
    axes[1].set(ylabel="loss less the best arm's, nat")
    for axis in axes:
        axis.set_xscale("log", base=2)
        axis.set(xlabel="experts", xticks=[size.experts for size in sizes], xticklabels=[size.experts for size in sizes])
    figure.legend(loc="outside upper center", ncols=5, fontsize="small", frameon=False)
    figure_file.note(figure, caption)
    return figure
