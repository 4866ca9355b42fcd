"""How often the intervals of `intervals` hold the truth, by simulated tables of losses whose truth is known: 0 for every contrast.

A table has a level of its seed, which all columns share, what a seed does to one column (seed_deviation, nat), a level of each block,
which all share, and what a block does to one column under every seed (block_deviation, nat of the mean over all blocks). Seeds do the same
to all columns but where deviations are unlike: then `unlike` times as much to the first half of them."""
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..base import writing
from . import intervals

TABLES, DRAWS = 4000, 500  # simulated, and draws of each bootstrap
FEWER = 1000               # tables behind the coverage that a report prints of its own numbers
SHARED = 0.1               # nat: levels of seeds and blocks, which cancel in every contrast
KINDS = {"t": "Student's t, pooled", "own": "Student's t of each contrast", "bootstrap": "bootstrap over seeds and blocks",
         "stated": "stated"}
SEEDS, COLUMNS, BLOCKS = (3, 5, 10), 8, 64
# seeds' and blocks' variance in a contrast, as 1 to 1 of both, and by how much seeds do more to the first half of the columns
NOISE = {"seeds": (1.0, 0.0, 1.0), "blocks": (0.1, 1.0, 1.0), "both": (1.0, 1.0, 1.0), "seeds, unlike": (1.0, 0.0, 2.0)}


class Design(NamedTuple):
    """What a table is like: see above."""
    seeds: int
    columns: int
    blocks: int
    seed_deviation: float
    block_deviation: float
    unlike: float = 1.0


def tables(design, count, rng, shared=SHARED):
    """(N, S, E_n, B) losses with no true difference; shared: of levels, nat, which a sum whose weights do not cancel has to go without."""
    n, s, e, b = count, design.seeds, design.columns, design.blocks
    by_seed = design.seed_deviation * np.where(np.arange(e) < e / 2, design.unlike, 1.0)[:, None]
    return (shared * (rng.normal(size=(n, s, 1, 1)) + rng.normal(size=(n, 1, 1, b))) +
            by_seed * rng.normal(size=(n, s, e, 1)) + design.block_deviation * np.sqrt(b) * rng.normal(size=(n, 1, e, b)))


def share(limits, truth=0.0):
    """Share of limits (N, 2) that hold the truth."""
    return float(((limits[:, 0] <= truth) & (truth <= limits[:, 1])).mean())


def of_contrast(design, weights, count=TABLES, kinds=tuple(KINDS), pool=True):
    """{kind of interval: share of simulated tables in which it holds the truth} for one contrast; pool: of the stated one."""
    rng, weights = np.random.default_rng(1), np.asarray(weights, float)
    cancels = abs(weights.sum()) <= 1e-9 * np.abs(weights).sum()
    losses = tables(design, count, rng, SHARED if cancels else 0.0)
    contrasts = np.einsum("nseb,e->nsb", losses, weights)
    value, found = contrasts.mean((1, 2)), {}
    for kind, together in (("t", True), ("own", False)):
        if kind in kinds:
            half = intervals.each_t(losses.mean(3), weights, together)[0]
            found[kind] = share(np.stack([value - half, value + half], 1))
    if "bootstrap" in kinds:
        found["bootstrap"] = share(intervals.each_bootstrap(contrasts, intervals.counts(design.seeds, design.blocks, rng, DRAWS)))
    if "stated" in kinds:
        found["stated"] = share(intervals.each_stated(losses, weights, rng, DRAWS, pool)[0])
    return found


def design_of(losses):
    """The Design of measured losses (S, E_n, B)."""
    seeds, columns, blocks = losses.shape
    by_seed = intervals.pooled_deviation(losses.mean(2))[0] if seeds > 1 else 0.0
    by_block = intervals.pooled_deviation(losses.mean(0).T)[0] / np.sqrt(blocks) if blocks > 1 else 0.0
    return Design(seeds, columns, blocks, float(by_seed), float(by_block))


def at(losses, weights, pool=True):
    """Share of simulated tables like the measured losses (S, E_n, B) in which the stated interval holds the truth; nan where there is
    no interval."""
    design = design_of(losses)
    if design.seeds * design.blocks < 2 or not design.seed_deviation + design.block_deviation > 0:
        return float("nan")
    return of_contrast(design, weights, FEWER, ("stated",), pool)["stated"]


def trend_weights(experts):
    """Weights by which losses give their slope against log2 of these numbers of experts."""
    x = np.log2(experts)
    x = x - x.mean()
    return x / (x @ x)


def contrasts_of_table():
    """{name: weights} that the table is about: of a curve over E, and of two arms."""
    experts = 2.0 ** np.arange(COLUMNS)
    return {"gain of a doubling": np.r_[1.0, -1.0, np.zeros(COLUMNS - 2)], "trend in log2 E": trend_weights(experts),
            "two arms": np.array([1.0, -1.0])}


def table(count=TABLES, several=SEEDS):
    """A row for each contrast, number of seeds, noise and kind of interval: frame of quantity, columns, seeds, noise, interval, covers,
    tables."""
    rows = []
    for name, weights in contrasts_of_table().items():
        for seeds in several:
            for noise, (by_seed, by_block, unlike) in NOISE.items():
                design = Design(seeds, len(weights), BLOCKS, by_seed, by_block / np.sqrt(seeds), unlike)
                rows += [dict(quantity=name, columns=len(weights), seeds=seeds, noise=noise, interval=KINDS[kind], covers=covers,
                              tables=count) for kind, covers in of_contrast(design, weights, count).items()]
    return pd.DataFrame(rows)


def make(count, out=None, _command=""):
    """Returns the table as text; with `out` writes it there, csv."""
    found = table(count)
    if out is not None:
        writing.write_table(out, found, "%.6g")
    shown = found.pivot_table(index=["quantity", "seeds", "noise"], columns="interval", values="covers", sort=False)
    return f"Share of {count} simulated tables in which a nominal 95 % interval holds the truth\n" + shown.to_string(
        float_format=lambda v: f"{v:.3f}")
