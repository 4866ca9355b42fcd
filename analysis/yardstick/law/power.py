"""Can a rule be met at all? How often it would be if a law held, at a number of seeds and a deviation between them, by simulation.

A rule asks that contrasts of the losses, each oriented so that it is above 0 where the rule is right, have lower 95 % limits above 0, by
Student's t with a pooled deviation (`intervals`)."""
from typing import NamedTuple

import numpy as np
from scipy import stats

from . import intervals

UNDERPOWERED = 0.5  # a rule that a true law would meet less often cannot be met: it is said to be underpowered
ASKED = 0.8         # how often it should be
SEEDS = (3, 5, 10, 31)
AT = 5              # seeds for which the deviation that would do is sought
SIMULATED = 4000


class Power(NamedTuple):
    """Of a rule: how often a true law would meet it (met) at the measured seeds and deviation (nat), and with the most seeds of SEEDS;
    enough: the fewest seeds of SEEDS with which it is met ASKED or more, None where none are; quiet: the deviation at which AT seeds do."""
    met: float
    seeds: int
    deviation: float
    most: float
    enough: int | None
    quiet: float

    @property
    def under(self):
        return self.met < UNDERPOWERED


def met(truth, weights, deviation, seeds):
    """How often a curve `truth` (E_n,) meets a rule of contrasts with weights (R, E_n), all at once."""
    weights, rng = np.atleast_2d(weights), np.random.default_rng(1)
    freedom = (seeds - 1) * (len(truth) - 1)
    if freedom < 1:
        return 0.0
    mean = truth + deviation / np.sqrt(seeds) * rng.normal(size=(SIMULATED, len(truth)))
    found = deviation * np.sqrt(rng.chisquare(freedom, SIMULATED) / freedom)
    half = stats.t.ppf((1 + intervals.LEVEL) / 2, freedom) * found[:, None] * np.sqrt((weights**2).sum(1) / seeds)
    return float((mean @ weights.T > half).all(1).mean())


def _quiet(truth, weights):
    """The largest deviation at which AT seeds meet the rule ASKED of the time; 0 where a contrast of the truth is not above 0."""
    if not (np.atleast_2d(weights) @ truth > 0).all():
        return 0.0
    low, high = 1e-7, 10.0
    for _ in range(40):
        middle = np.sqrt(low * high)
        low, high = (middle, high) if met(truth, weights, middle, AT) >= ASKED else (low, middle)
    return float(low)


def of(truth, weights, deviation, seeds):
    """The Power of a rule."""
    by_seeds = {count: met(truth, weights, deviation, count) for count in SEEDS}
    enough = next((count for count in SEEDS if by_seeds[count] >= ASKED), None)
    return Power(met(truth, weights, deviation, seeds), seeds, float(deviation), by_seeds[SEEDS[-1]], enough, _quiet(truth, weights))
