"""E_half, where the gain of a doubling has fallen to half, from gains that are smoothed first.

`saturation.e_half` is the first E behind the greatest gain at which the gain is at most half of it. Of noisy gains the greatest is too
great and comes too early, so that it finds far fewer experts than there are. Here gains are first made to fall with E, by the least
squares under that order (isotonic regression), or are those of Clark's law fitted to the losses. Both, and what a law predicts, go
through the same function of the same numbers of experts: `e_half`. What it is off by is simulated where the truth is known."""
from typing import NamedTuple

import numpy as np

from . import coverage, curves, intervals, laws, saturation

FITS = 1000              # draws to which Clark's law is fitted for an interval
TABLES, DRAWS = 120, 40  # simulated for the bias, and draws of each one's interval
LEAST_LOSS = 1e-3        # nat: a drawn curve that falls below it, as t with two degrees of freedom may, has a logarithm all the same


class Half(NamedTuple):
    """E_half by smoothed gains and by the fitted law (nan with too few numbers of experts for it). The interval that is stated is the
    hull of both: smoothed gains know no law but are biased low by noise, the law is hardly biased where it holds."""
    smooth: intervals.Interval
    law: intervals.Interval

    @property
    def stated(self):
        parts = [part for part in (self.law, self.smooth) if not np.isnan(part.value)]
        return intervals.Interval(parts[0].value, min(p.low for p in parts), max(p.high for p in parts))


class Bias(NamedTuple):
    """What estimates of a known E_half come to: their medians by the first noisy gain, by smoothed gains and by the fitted law, and the
    share of stated intervals that hold it; tables: simulated."""
    true: float
    first: float
    smooth: float
    law: float
    covers: float
    tables: int


def falling(gains, widths):
    """The gains (…, m) that are nearest to these and do not rise with E, each weighted by the doublings it spans (m,): by the formula of
    min and max of means (Robertson, Wright and Dykstra 1988, theorem 1.4.4)."""
    count = gains.shape[-1]
    zero = np.zeros((*gains.shape[:-1], 1))
    sums, span = np.concatenate([zero, np.cumsum(gains * widths, -1)], -1), np.r_[0, np.cumsum(widths)]
    out = np.empty_like(gains)
    for i in range(count):
        out[..., i] = np.min([np.max([(sums[..., k] - sums[..., j]) / (span[k] - span[j]) for k in range(i + 1, count + 1)], 0)
                              for j in range(i + 1)], 0)
    return out


def e_half(losses, experts):
    """(D,): E_half of the smoothed gains of losses (D, E_n)."""
    gains = falling(saturation.gains_per_doubling(np.atleast_2d(losses), experts), np.diff(np.log2(experts)))
    return saturation.e_half(gains, experts[:-1])


def first(losses, experts):
    """(D,): E_half as it was registered, of gains as they are."""
    return saturation.e_half(saturation.gains_per_doubling(np.atleast_2d(losses), experts), experts[:-1])


def by_law(losses, experts, function=e_half):
    """(D,): E_half of Clark's law fitted to losses (D, E_n), by `e_half` or `first`."""
    losses = np.maximum(np.atleast_2d(losses), LEAST_LOSS)
    v = {name: values[:, None] for name, values in laws.fit_draws(losses, experts).items()}
    return function(10 ** (v["d"] + v["b"] * laws.log10_effective(experts, v["e_start"], v["e_max"])), experts)


def published_curves(ratio, router, experts, n):
    """(names, losses (R, E_n)): Clark's law as refitted to the published curves, at N, with the E_max registered for D/N = ratio: of the
    learned routers, or of HASH for hash routing."""
    names = ["HASH"] if router.lower() == "hash" else ["S-BASE", "RL-R"]
    losses = []
    for name in names:
        v, e_max = curves.EXPECTED[name], curves.predict(*curves.REGISTERED[name], ratio)
        x = np.log10(n)
        losses.append(10 ** (v["a"] * x + v["d"] + (v["b"] + v["c"] * x) * laws.log10_effective(experts, v["e_start"], e_max)))
    return names, np.array(losses)


def predicted(ratio, router, experts, n):
    """Lowest and highest E_half of `published_curves`."""
    found = e_half(published_curves(ratio, router, experts, n)[1], experts)
    return float(found.min()), float(found.max())


def measured_like(ratio, router, experts, n, whole):
    """(E_n,): the mean of `published_curves`, its gains scaled so that all of them together are `whole` nat: what a law may look like at
    the size of the effect that was measured. None where nothing was gained."""
    _, losses = published_curves(ratio, router, experts, n)
    below = losses[:, :1] - losses
    return None if not whole > 0 else losses[:, 0].mean() - whole * (below / below[:, -1:]).mean(0)


def estimate(losses, experts, seed=1):
    """The Half of losses (S, E_n, B), with intervals from curves drawn about their mean."""
    mean, drawn = losses.mean((0, 2))[None], intervals.curves_of(losses, np.random.default_rng(seed))
    some, enough = losses.shape[0] * losses.shape[2] > 1, len(experts) >= saturation.LEAST_POINTS
    return Half(intervals.Interval(float(e_half(mean, experts)[0]), *laws.interval(e_half(drawn, experts) if some else [])),
                intervals.Interval(float(by_law(mean, experts)[0]), *laws.interval(by_law(drawn[:FITS], experts) if some else []))
                if enough else intervals.NOWHERE)


def bias(truth, experts, design, tables=None, draws=None):
    """The Bias of estimates of the E_half of the losses `truth` (E_n,), at the noise of a `coverage.Design`."""
    tables, draws, rng = tables or TABLES, draws or DRAWS, np.random.default_rng(1)
    losses = truth[:, None] + coverage.tables(design, tables, rng)
    mean, true = losses.mean((1, 3)), float(e_half(truth, experts)[0])
    drawn = np.array([intervals.curves_of(one, rng, draws) for one in losses])
    found = np.stack([of(drawn.reshape(-1, len(experts)), experts).reshape(tables, draws) for of in (e_half, by_law)])
    limits = np.array([[laws.interval(row) for row in rows] for rows in found])  # (2, N, 2)
    hull = np.stack([limits[..., 0].min(0), limits[..., 1].max(0)], 1)
    median = [float(np.quantile(of(mean, experts), 0.5, method="inverted_cdf")) for of in (first, e_half, by_law)]
    return Bias(true, *median, coverage.share(hull, true), tables)
