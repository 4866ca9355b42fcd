"""What a curve over E says by contrasts of all its losses, which is more than its single doublings say: the trend of the loss, the whole
gain, whether gains fall, and E_half from smoothed gains; each with the interval that `intervals` states and how often such an interval
holds the truth at the noise measured (`coverage`), and whether the rules can be met at that noise at all (`power`)."""
from typing import NamedTuple

import numpy as np

from . import coverage, half, intervals, power
from .saturation import SLOPE_FROM

UPTO = 64  # E up to which "more experts help" is judged


class Contrasts(NamedTuple):
    """trend: of the loss, nat a doubling of E; gain: from the smallest E to UPTO, or to the largest, nat; bend: how the gain of a doubling
    changes from one doubling to the next, nat; covers: name of these -> share of simulated tables whose interval holds the truth; half:
    `half.Half`; predicted: lowest and highest E_half of the published law; bias: `half.Bias` at this noise or None; alike: probability of
    deviations as unlike as those of these E; design: `coverage.Design` of the losses; powers: rule -> `power.Power`, empty where nothing
    was gained or one seed knows no noise."""
    trend: intervals.Stated
    gain: intervals.Stated
    bend: intervals.Stated
    covers: dict
    half: half.Half
    predicted: tuple
    bias: half.Bias | None
    alike: float
    design: coverage.Design
    powers: dict


def bend_weights(experts):
    """Weights by which losses give the change of the gain per doubling from one doubling to the next: -2 times the coefficient of
    (log2 E)² of a parabola, so that it compares with the slope of the gain against log2 E."""
    x = np.log2(experts)
    x = x - x.mean()
    return -2 * np.linalg.pinv(np.stack([x**0, x, x * x], 1))[2]


def gain_weights(experts, largest):
    """Weights by which losses give the gain from the smallest E to `largest`."""
    return np.eye(len(experts))[0] - np.eye(len(experts))[list(experts).index(largest)]


def doubling_weights(experts, largest):
    """(R, E_n): weights by which losses give the gain of every doubling up to `largest`."""
    eye, count = np.eye(len(experts)), list(experts).index(largest)
    return (eye[:count] - eye[1:count + 1]) / np.diff(np.log2(experts))[:count, None]


def slope_weights(experts, least=SLOPE_FROM):
    """Weights by which losses give the slope of the gain against log2 E over E >= least; None with fewer than two such gains."""
    left = experts[:-1]
    x = np.log2(left[left >= least])
    if len(x) < 2:
        return None
    x = (x - x.mean()) / ((x - x.mean()) @ (x - x.mean()))
    gains = doubling_weights(experts, experts[-1])
    return x @ gains[left >= least]


def _rules(experts):
    """Rule -> weights of the contrasts that have to be above 0; those registered and those that stand beside them."""
    slope = slope_weights(experts)
    found = {"every doubling gains": doubling_weights(experts, upto(experts)), "the trend": -coverage.trend_weights(experts),
             "the bend": -bend_weights(experts)}
    return found if slope is None else found | {f"the slope of the gain over E ≥ {SLOPE_FROM}": -slope}


def upto(experts):
    """UPTO, or the largest E where a curve lacks it."""
    return float(UPTO if UPTO in experts else experts[-1])


def measure(table):
    """Contrasts of a `results.Table`."""
    losses, experts = table.losses, table.experts
    weights = dict(trend=coverage.trend_weights(experts), gain=gain_weights(experts, upto(experts)), bend=bend_weights(experts))
    found = {name: intervals.stated(losses, row) for name, row in weights.items()}
    design, by_seed = coverage.design_of(losses), losses.mean(2)
    whole = float(by_seed.mean(0)[0] - by_seed.mean(0)[-1])
    truth = half.measured_like(table.tokens / table.n, table.router, experts, table.n, whole) if design.seed_deviation > 0 else None
    enough = truth is not None and len(experts) >= half.saturation.LEAST_POINTS
    return Contrasts(**found, covers={name: coverage.at(losses, row) for name, row in weights.items()}, half=half.estimate(losses, experts),
                     predicted=half.predicted(table.tokens / table.n, table.router, experts, table.n),
                     bias=half.bias(truth, experts, design) if enough else None, alike=float(intervals.alike(by_seed)), design=design,
                     powers={} if truth is None else {name: power.of(truth, row, design.seed_deviation, design.seeds)
                                                      for name, row in _rules(experts).items()})
