"""Intervals of contrasts of losses, and which of them is stated.

A contrast is a weighted sum over the columns of a table (numbers of experts, arms) whose weights add up to 0, so that what a seed or a
block of held-out text does to all columns alike cancels. losses (S, E_n, B): S seeds, E_n columns, B blocks, the same text under every
seed; functions whose names begin with `each_` take N such tables at once, (N, S, E_n, B), since coverage is simulated with them.

Student's t takes its deviation from the residual of the table less its row and column means ("pooled", (S - 1)(E_n - 1) degrees of
freedom) where the columns are of one kind and their deviations agree, else from the contrast of each seed (S - 1). A bootstrap that draws
seeds and then blocks is too narrow with few seeds, which are not beyond what three of them did. So the hierarchical one here draws what
seeds do from t, and blocks of text from those there are. Stated is t; where the choice of text weighs beside the seeds, of which t over
seeds knows nothing, the wider of the two. `coverage` simulates how often each holds the truth."""
import functools
from typing import NamedTuple

import numpy as np
from scipy import stats

DRAWS = 10000
LEVEL = 0.95
ENDS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
WEIGHS = 0.1    # of the seeds' variance: with less, t alone covers 94 % of the sum of both
UNLIKE = 0.05   # probability below which deviations of columns do not agree
NULLS = 20000   # tables behind that probability


class Interval(NamedTuple):
    """An estimate with its 95 % limits; nan limits: there is nothing to draw from."""
    value: float
    low: float
    high: float


NOWHERE = Interval(*[np.nan] * 3)  # a number of experts that does not exist


class Stated(NamedTuple):
    """An Interval with what it is: method, in words; deviation: of one seed's contrast by weights of unit length, nat; freedom: of t;
    blocks: variance from the choice of text by that from seeds."""
    value: float
    low: float
    high: float
    method: str
    deviation: float
    freedom: int
    blocks: float

    @property
    def interval(self):
        return Interval(self.value, self.low, self.high)


def counts(seeds, blocks, rng, draws=DRAWS):
    """Shares (D, S) and (D, B) that draws with replacement give to each seed and to each block."""
    return (rng.multinomial(seeds, np.full(seeds, 1 / seeds), draws) / seeds,
            rng.multinomial(blocks, np.full(blocks, 1 / blocks), draws) / blocks)


def bootstrap(losses, rng, draws=DRAWS):
    """(D, E_n) mean losses of draws from losses (S, E_n, B): S seeds with replacement, then B blocks. The blocks are the same text
    under every seed, so a draw takes the same ones for all of its seeds."""
    by_seed, by_block = counts(losses.shape[0], losses.shape[2], rng, draws)
    mean = np.zeros((draws, losses.shape[1]))
    for s in range(losses.shape[0]):
        mean += by_seed[:, s:s + 1] * (by_block @ losses[s].T)
    return mean


def residuals(by_seed):
    """What row and column means leave of tables (…, S, E_n)."""
    return by_seed - by_seed.mean(-1, keepdims=True) - by_seed.mean(-2, keepdims=True) + by_seed.mean((-2, -1), keepdims=True)


def pooled_deviation(by_seed):
    """Standard deviation (…) of one loss about row and column means, and its degrees of freedom."""
    seeds, columns = by_seed.shape[-2:]
    freedom = (seeds - 1) * (columns - 1)
    return np.sqrt((residuals(by_seed) ** 2).sum((-2, -1)) / max(freedom, 1)), freedom


def _unlikeness(by_seed):
    """Bartlett's ratio (…) of tables (…, S, E_n): how far the deviations of columns about row and column means differ."""
    variance = (residuals(by_seed) ** 2).mean(-2)
    return np.log(np.maximum(variance.mean(-1), 1e-300)) - np.log(np.maximum(variance, 1e-300)).mean(-1)


@functools.lru_cache
def _null(seeds, columns):
    """Sorted ratios of tables whose deviations are the same: its law for so few seeds is in no table, so it is drawn."""
    rng = np.random.default_rng(1)
    return np.sort(_unlikeness(rng.normal(size=(NULLS, seeds, columns))))


def alike(by_seed):
    """Probability (…) of deviations as unlike as these, or more, if those of all columns were the same; 1 where two columns, which have
    the same residuals, or one seed cannot tell."""
    seeds, columns = by_seed.shape[-2:]
    if seeds < 2 or columns < 3:
        return np.ones(by_seed.shape[:-2])
    return 1 - np.searchsorted(_null(seeds, columns), _unlikeness(by_seed)) / NULLS


def each_t(by_seed, weights, pool=True):
    """(half-widths (N,), standard errors (N,), freedom (N,)) of t; pool: columns are of one kind. One seed: nan."""
    seeds = by_seed.shape[-2]
    if seeds < 2:
        nothing = np.full(by_seed.shape[:-2], np.nan)
        return nothing, nothing, np.zeros(by_seed.shape[:-2], int)
    own = (by_seed @ weights).std(-1, ddof=1) / np.sqrt(seeds)
    deviation, freedom = pooled_deviation(by_seed)
    together = (alike(by_seed) >= UNLIKE) & pool
    error = np.where(together, deviation * np.sqrt(weights @ weights / seeds), own)
    free = np.where(together, freedom, seeds - 1)
    return stats.t.ppf((1 + LEVEL) / 2, free) * error, error, free


def each_bootstrap(contrasts, drawn):
    """Limits (N, 2) of contrasts (N, S, B) by drawing seeds and blocks; drawn: `counts`. Shown beside what is stated, never alone."""
    by_seed, by_block = drawn
    return np.array([np.quantile(((by_seed @ one) * by_block).sum(1), ENDS) for one in contrasts])


def each_hierarchical(contrasts, error, freedom, rng, draws):
    """Limits (N, 2) of contrasts (N, S, B): what seeds do is drawn from t with these standard errors and degrees of freedom (N,), one seed
    does nothing that is known, and blocks are drawn from those there are."""
    value, blocks = contrasts.mean((1, 2)), contrasts.shape[2]
    chosen = rng.multinomial(blocks, np.full(blocks, 1 / blocks), draws) / blocks - 1 / blocks
    drawn = value[:, None] + contrasts.mean(1) @ chosen.T
    if contrasts.shape[1] > 1:
        free = freedom[:, None]
        drawn += error[:, None] * rng.normal(size=drawn.shape) * np.sqrt(free / rng.chisquare(free, drawn.shape))
    return np.quantile(drawn, ENDS, axis=1).T


def each_stated(losses, weights, rng, draws=DRAWS, pool=True):
    """(limits (N, 2), standard errors of t, freedom, variance of blocks by that of seeds, whether the hierarchical one is the wider)."""
    seeds, blocks = losses.shape[1], losses.shape[3]
    contrasts = np.einsum("nseb,e->nsb", losses, weights)
    value = contrasts.mean((1, 2))
    half, error, freedom = each_t(losses.mean(3), weights, pool)
    limits, wider = np.stack([value - half, value + half], 1), np.zeros(len(value), bool)
    if blocks < 2:
        return limits, error, freedom, np.zeros(len(value)), wider
    with np.errstate(divide="ignore", invalid="ignore"):
        share = contrasts.mean(1).var(1, ddof=1) / blocks / error**2
    asked = np.flatnonzero(~(share <= WEIGHS))  # nan: one seed
    if asked.size:
        other = each_hierarchical(contrasts[asked], error[asked], freedom[asked], rng, draws)
        wider[asked] = ~(np.diff(other)[:, 0] <= 2 * half[asked])
        limits[wider] = other[wider[asked]]
    return limits, error, freedom, share, wider


def stated(losses, weights, pool=True, draws=DRAWS, seed=1):
    """The `Stated` interval of one contrast of losses (S, E_n, B)."""
    weights, seeds, rng = np.asarray(weights, float), losses.shape[0], np.random.default_rng(seed)
    limits, error, freedom, share, wider = (part[0] for part in each_stated(losses[None], weights, rng, draws, pool))
    t = f"Student's t, {'pooled, ' * bool(freedom > seeds - 1)}{freedom} degrees of freedom"
    method = "no interval: one seed and no blocks" if np.isnan(limits[0]) else "bootstrap over blocks of one seed" if seeds == 1 else \
        f"{t}, and drawn blocks" if wider else t
    return Stated(float(losses.mean((0, 2)) @ weights), *map(float, limits), method,
                  float(error * np.sqrt(seeds / (weights @ weights))), int(freedom), float(share))


def curves_of(losses, rng, draws=DRAWS):
    """(D, E_n) curves about the mean of losses (S, E_n, B), as far off as t says they may be: for quantities that are no contrasts, such
    as E_half. Deviations are pooled where they agree, else each column has its own; drawn blocks come on top. One seed: blocks alone."""
    seeds, columns, blocks = losses.shape
    by_seed, mean = losses.mean(2), losses.mean((0, 2))
    found = np.broadcast_to(mean, (draws, columns)).copy()
    if seeds > 1:
        deviation, freedom = pooled_deviation(by_seed)
        if alike(by_seed) >= UNLIKE and freedom > 0:
            scale = np.sqrt(freedom / rng.chisquare(freedom, (draws, 1)))
        else:
            deviation = by_seed.std(0, ddof=1)
            scale = np.sqrt((seeds - 1) / rng.chisquare(seeds - 1, (draws, columns)))
        found += deviation / np.sqrt(seeds) * scale * rng.normal(size=(draws, columns))
    if blocks > 1:
        found += rng.multinomial(blocks, np.full(blocks, 1 / blocks), draws) / blocks @ losses.mean(0).T - mean
    return found


def resolved(interval, factor=4.0):
    """Whether a number of experts is known: the ends of its interval (value, low, high) differ by no more than `factor`."""
    _, low, high = interval
    return bool(low > 0 and np.isfinite(high) and high <= factor * low)
