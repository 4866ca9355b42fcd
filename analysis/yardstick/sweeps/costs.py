"""What more experts cost and save: steps and wall time to the dense model's last loss, memory, speed. One curve over E_n numbers of
experts, S seeds.

Durations are noisy upwards only (others on the machine, files, checkpoints), so of each run the smallest median between two
evaluations counts, and of each E the smallest of its seeds."""
from typing import NamedTuple

import numpy as np
from scipy import stats

from ..verdicts.claims import untested
from ..verdicts.rule import Part, verdict
from ..law import saturation

STATE_BYTES = 16     # a parameter: weight, gradient and two moments of AdamW in fp32
AFFINE = 0.999       # R² from which memory counts as affine in E
SLOPE_WITHIN = 0.03  # of the computed bytes an expert
FAST, AT = 0.8, 64   # tokens/s at E = AT by those of E = 1 that count as "does not fall"


class Memory(NamedTuple):
    """Peak bytes = offset + slope E: slope with its 95 % limits, bytes an expert index; computed: STATE_BYTES times the parameters an
    expert index adds, from the slope of all parameters against E; bent: whether R² is not enough and an added E² has an interval without 0,
    so that it is a curve and not noise that keeps the points off the line."""
    slope: float
    low: float
    high: float
    offset: float
    r_squared: float
    computed: float
    bent: bool


class Costs(NamedTuple):
    """By E (E_n,): steps and wall, speed-ups to the dense model's last loss; seconds a step; parameters; peak bytes, mean of the
    seeds. memory: Memory or None; speed: `saturation.Interval` of tokens/s at E = 64 by those at E = 1, its limits the extremes over
    seeds. Nan where a column is missing."""
    experts: np.ndarray
    steps: np.ndarray
    wall: np.ndarray
    seconds: np.ndarray
    parameters: np.ndarray
    peak: np.ndarray
    memory: Memory | None
    speed: saturation.Interval


def _bent(experts, peak):
    if len(experts) < 4:
        return False
    coefficients, covariance = np.polyfit(experts, peak, 2, cov=True)
    return bool(abs(coefficients[0]) > stats.t.ppf(0.975, len(experts) - 3) * np.sqrt(covariance[0, 0]))


def _memory(experts, parameters, peak):
    if not np.isfinite(peak).all():
        return None
    line = stats.linregress(experts, peak)
    half = float(stats.t.ppf(0.975, len(experts) - 2) * line.stderr)
    computed = STATE_BYTES * float(np.polyfit(experts, parameters, 1)[0])
    return Memory(float(line.slope), float(line.slope - half), float(line.slope + half), float(line.intercept),
                  float(line.rvalue**2), computed,
                  bool(line.rvalue**2 <= AFFINE and _bent(experts, peak)))


def _speed(experts, seconds):
    """Ratio of speeds of seconds (S, E_n): the value from each E's smallest, the limits from those of single seeds."""
    if experts[0] != 1 or AT not in experts:
        return saturation.Interval(*[float("nan")] * 3)
    at = list(experts).index(AT)
    by_seed = seconds[:, 0] / seconds[:, at]
    return saturation.Interval(float(seconds[:, 0].min() / seconds[:, at].min()), float(by_seed.min()), float(by_seed.max()))


def measure(table, durations=None):
    """Costs of a `results.Table`; durations: seconds a step (S', E_n) that count instead of the table's own."""
    each, peak = table.extra["seconds_per_step"] if durations is None else durations, table.extra["peak_bytes"].mean(0)
    seconds = each.min(0)
    steps = saturation.speed_ups(table.steps, table.curves, table.experts)
    return Costs(table.experts, steps, steps * seconds[0] / seconds, seconds, table.parameters, peak,
                 _memory(table.experts, table.parameters, peak), _speed(table.experts, each))


def memory_linear(costs, backends=()):
    """Verdict on "memory linear"; backends: what the runs computed with."""
    memory = costs.memory
    if "Cuda" in backends:
        return untested("peak_bytes is host memory, the runs were made on a GPU", **memory._asdict() if memory else {})
    if memory is None:
        return untested("the results lack peak_bytes")
    measured = memory._asdict() | dict(slope_by_computed=memory.slope / memory.computed)
    low, high = (memory.computed * (1 + side * SLOPE_WITHIN) for side in (-1, 1))
    holds = memory.r_squared > AFFINE and low <= memory.slope <= high
    return verdict([Part(holds, memory.high < low or memory.low > high or memory.bent, memory.slope > 0)], measured)


def speed_holds(costs):
    """Verdict on "speed does not fall"."""
    measured = dict(ratio=costs.speed.value, seconds_per_step={f"{e:.0f}": s for e, s in zip(costs.experts, costs.seconds)})
    if np.isnan(costs.seconds).all():
        return untested("the results lack seconds_per_step")
    if np.isnan(costs.speed.value):
        return untested(f"the curve needs both E = 1 and E = {AT}, each with seconds_per_step", **measured)
    return verdict([Part(costs.speed.value >= FAST and costs.speed.low >= FAST, costs.speed.high < FAST, True)], measured)
