"""Does the gain from more experts diminish, and does it stop? Model-free numbers with intervals from seeds and held-out text.

Delta(E) = L(E) - L(2E), nat per token, is the gain per doubling; E_half the first E behind the greatest Delta at which Delta is at
most half of it; E_90 the smallest E with 90 % of the whole gain. S seeds, E_n numbers of experts, B blocks of held-out text, D draws.
An interval is the percentile interval of a bootstrap that draws seeds, then blocks, the same for every E: they share both, so what
is common to all E cancels in Delta."""
from typing import NamedTuple

import numpy as np

from . import curves, laws
from .intervals import DRAWS, NOWHERE, Interval, bootstrap

DELTA = 0.005     # nat per token: a gain below it does not count (about what loss-free balancing is worth: docs/science.md, "Balancing")
SLOPE_FROM = 8    # E from which on "diminishing" is judged
LEAST_POINTS = 7  # numbers of experts below which AICc of Clark's law is not defined
BAND_DRAWS = 1000  # of DRAWS, fitted anew for the band of the figure


class Summary(NamedTuple):
    """What a curve over E says. gains: an Interval for each E of `left`, per doubling; flat_from: see `flat_from`; predicted: lowest
    and highest E_max that the published curves give at D/N, registered for E_half; comparison: `laws.Comparison` or None; speed_up:
    steps of the dense model to its last loss by the steps of E = 64 to the same, or nan; parameters: of the largest model; seed_sd:
    `seed_deviations`; band: `fit_band` or None; whole: loss of the smallest E less that of the largest; speeds: speed-up of each E."""
    experts: np.ndarray
    losses: np.ndarray
    left: np.ndarray
    gains: list
    e_half: Interval
    e_90: Interval
    slope: Interval
    flat_from: float | None
    predicted: tuple
    comparison: object
    speed_up: Interval
    seeds: int
    blocks: int
    n: float
    tokens: float
    parameters: float
    seed_sd: tuple = (np.nan, np.nan)
    band: tuple | None = None
    whole: Interval = NOWHERE
    speeds: tuple = ()


def gains_per_doubling(losses, experts):
    """(…, E_n - 1): loss of E less that of the next number of experts, by the doublings between them."""
    return -np.diff(losses, axis=-1) / np.diff(np.log2(experts))


def _crossing(x, values, level):
    """First x (D,) at which values (D, m) <= level (D,), linear in x between the points; inf where there is none."""
    below = values <= level[:, None]
    i = np.where(below.any(1), below.argmax(1), -1)
    rows, before = np.arange(len(values)), np.maximum(i - 1, 0)
    rise = values[rows, before] - values[rows, i]
    with np.errstate(invalid="ignore", divide="ignore"):
        at = x[before] + np.where(rise > 0, (values[rows, before] - level) / rise, 0) * (x[i] - x[before])
    return np.where(i < 0, np.inf, np.where(i == 0, x[0], at))


def e_half(gains, left):
    """(D,): first E behind the greatest gain whose gain is at most half of it, log-linear between E; inf where there is none, the
    smallest E where nothing gains. gains (D, m) at the numbers of experts `left` (m,)."""
    gains = np.atleast_2d(gains)
    top = gains.max(1)
    behind = np.where(np.arange(gains.shape[1]) < gains.argmax(1)[:, None], np.inf, gains)
    return np.where(top > 0, 2 ** _crossing(np.log2(left), behind, top / 2), left[0])


def e_share(losses, experts, share=0.9):
    """(D,): smallest E with `share` of the gain from the smallest to the largest E, log-linear between E; the smallest where there
    is no gain. losses (D, E_n)."""
    losses = np.atleast_2d(losses)
    whole = losses[:, 0] - losses[:, -1]
    found = 2 ** _crossing(np.log2(experts), losses, losses[:, 0] - share * whole)
    return np.where(whole > 0, found, experts[0])


def slope(gains, left, least=SLOPE_FROM):
    """(D,): slope of the gain against log2 E over E >= least, nat per doubling twice; nan with fewer than two such E."""
    x = np.log2(left[left >= least])
    y = np.atleast_2d(gains)[:, left >= least]
    if len(x) < 2:
        return np.full(len(y), np.nan)
    x = x - x.mean()
    return y @ x / (x @ x)


def flat_from(gains, left, delta=DELTA):
    """Smallest E from which on the upper limit of every gain is below delta, or None: only then there is no measurable gain."""
    found = None
    for gain, experts in zip(reversed(gains), reversed(left)):
        if not gain.high < delta:
            break
        found = float(experts)
    return found


def predicted_range(ratio, router=""):
    """Lowest and highest E_max that the published curves predict at `ratio` tokens per parameter, registered beforehand: by the
    learned routers S-BASE and RL-R, or HASH for hash routing."""
    names = ["HASH"] if router.lower() == "hash" else ["S-BASE", "RL-R"]
    values = [curves.predict(*curves.REGISTERED[n], ratio) for n in names]
    return min(values), max(values)


def speed_ups(steps, losses, experts):
    """(E_n,): steps of the dense model by the steps in which E experts reach its last loss (linear between evaluations); nan without
    a dense curve, or where the loss is not reached. steps (T,), losses (E_n, T)."""
    if experts[0] != 1 or len(steps) < 2:
        return np.full(len(experts), np.nan)
    reached = _crossing(np.asarray(steps, float), losses, np.full(len(experts), losses[0, -1]))
    return np.where(np.isfinite(reached), steps[-1] / reached, np.nan)


def speed_up(steps, losses, experts, at=64):
    """`speed_ups` of `at` experts; nan without them."""
    return float(speed_ups(steps, losses, experts)[list(experts).index(at)]) if at in experts else float("nan")


def speed_up_interval(table, history, rng, draws=DRAWS, at=64):
    """`speed_up` with its limits from the same bootstrap of the losses at every evaluation, history (S, E_n, T, B); without
    history, or where nothing can be drawn, no limits. A draw in which the loss is not reached counts as 0."""
    value = speed_up(table.steps, table.curves, table.experts, at)
    if np.isnan(value) or history is None or history.shape[0] * history.shape[3] == 1:
        return Interval(value, np.nan, np.nan)
    seeds, _, times, blocks = history.shape
    pair = history[:, [0, list(table.experts).index(at)]].reshape(seeds, 2 * times, blocks)
    dense, many = np.split(bootstrap(pair, rng, draws), 2, axis=1)
    reached = _crossing(np.asarray(table.steps, float), many, dense[:, -1])
    return _interval(value, table.steps[-1] / reached)


def seed_deviations(losses):
    """Standard deviation over seeds of the losses (S, E_n, B) of the smallest and of the largest E, nat; nan with one seed."""
    ends = losses.mean(2)[:, [0, -1]]
    return tuple(map(float, ends.std(0, ddof=1))) if len(ends) > 1 else (float("nan"),) * 2


def fit_band(drawn, experts):
    """(x, low, high), each (80,): 95 % band of Clark's law fitted to the draws (D, E_n) of a bootstrap, over E = x, of each draw less what
    all its E have in common: a band of differences, not of how far seeds move the whole curve."""
    drawn = drawn - (drawn.mean(1) - drawn.mean())[:, None]
    x = 2 ** np.linspace(*np.log2(experts[[0, -1]]), 80)
    v = {name: values[:, None] for name, values in laws.fit_draws(drawn, experts).items()}
    fitted = 10 ** (v["d"] + v["b"] * laws.log10_effective(x, v["e_start"], v["e_max"]))
    return x, *np.quantile(fitted, [0.025, 0.975], axis=0)


def _interval(value, draws):
    return Interval(float(value), *laws.interval(draws))


def gained(s, delta=DELTA):
    """Whether any doubling gains delta or more, with an interval above 0 where it has one."""
    return any(g.value >= delta and not g.low <= 0 for g in s.gains)


def helped(s):
    """Whether the largest E has a lower loss than the smallest, with an interval above 0 where it has one."""
    return s.whole.value > 0 and not s.whole.low <= 0


def summarise(table, history=None, seed=1, draws=DRAWS, delta=DELTA):
    """Summary of a `results.Table`, without E_half and E_90 where nothing is gained; history: of the interval of the speed-up."""
    losses, experts = table.losses, table.experts
    left, mean = experts[:-1], losses.mean((0, 2))
    some = losses.shape[0] > 1 or losses.shape[2] > 1  # otherwise every draw would be the same
    drawn = bootstrap(losses, np.random.default_rng(seed), draws) if some else np.empty((0, len(experts)))
    point, more = gains_per_doubling(mean, experts), gains_per_doubling(drawn, experts)
    gains = [_interval(p, m) for p, m in zip(point, more.T)]
    enough = len(experts) >= LEAST_POINTS
    comparison = laws.compare(mean, experts, drawn if some else None, draws) if enough else None
    s = Summary(experts, mean, left, gains, _interval(e_half(point, left)[0], e_half(more, left) if some else []),
                _interval(e_share(mean, experts)[0], e_share(drawn, experts) if some else []),
                _interval(slope(point, left)[0], slope(more, left) if some else []), flat_from(gains, left, delta),
                predicted_range(table.tokens / table.n, table.router), comparison,
                speed_up_interval(table, history, np.random.default_rng(seed), draws),
                losses.shape[0], losses.shape[2], table.n, table.tokens, table.parameters[-1], seed_deviations(losses),
                fit_band(drawn[:BAND_DRAWS], experts) if some and enough else None,
                _interval(mean[0] - mean[-1], drawn[:, 0] - drawn[:, -1]),
                tuple(speed_up_interval(table, history, np.random.default_rng(seed), draws, at) for at in experts))
    return s._replace(e_half=s.e_half if gained(s, delta) else NOWHERE, e_90=s.e_90 if gained(s, delta) and helped(s) else NOWHERE)
