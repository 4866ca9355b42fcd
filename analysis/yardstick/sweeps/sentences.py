"""What may be said of a curve over E, made from its numbers: the sentences of the saturation protocol, and the verdict on each claim
by a rule that was fixed before the runs. The word "saturates" is printed only where the equivalence rule holds and something was
gained before: a model that learned nothing gains nothing from experts either."""
import math

import numpy as np

from ..verdicts.claims import untested
from ..verdicts.rule import Part, verdict
from ..law import intervals, laws
from ..law.saturation import DELTA, SLOPE_FROM, gained, helped

SOURCE_REGIME = 1e11  # tokens: the literature's figure was measured at 130 B
SPEED_UP = 1.5        # step speed-up of E = 64 that counts as "more experts help"
GAP_SLOPE = 0.005     # nat per doubling of E: a gap that widens less does not count, as a gain below DELTA does not
FACTOR = 2.0          # E_half within this factor of the prediction counts as the predicted bend
NOISE = 0.002         # of the loss: a standard error over seeds above it asks for more seeds before more numbers of experts
HARDLY = 10           # times the squared residual: what the published curves, cut at E = 128, reach at most


def _range(interval, digits):
    """95 % limits in brackets, or why there are none."""
    if math.isnan(interval[-2]):
        return "no interval: one seed and no blocks"
    low, high = (_number(v, digits) for v in interval[-2:])
    return f"95 % interval {low} to {high}"


def _known(interval):
    """95 % limits of a number of experts, and whether it is resolved by them."""
    limits = _range(interval, 0)
    return limits if math.isnan(interval[-2]) or intervals.resolved(interval) else f"{limits}, not resolved"


def _number(value, digits=0):
    """A number as text; infinite: beyond what was measured."""
    if math.isinf(value):
        return "beyond the last gain measured"
    return f"{value:.{digits}f}"


def _count(value):
    """Short text of a count: 786,432; 50.0 M; 130.0 B."""
    for size, unit in ((1e9, "B"), (1e6, "M")):
        if value >= size:
            return f"{value / size:.1f} {unit}"
    return f"{value:,.0f}"


def ratio(s):
    return f"{s.tokens / s.n:.0f}" if s.tokens >= 10 * s.n else f"{s.tokens / s.n:.2g}"


def diminishing(s):
    """Whether the slope of the gain over E >= 8 is below 0 with its whole interval."""
    return s.slope.high < 0


def unjudged(s):
    """Why nothing can be said of the slope by which "diminishing" is judged, or None."""
    if math.isnan(s.slope.value):
        return f"it needs two doublings from E = {SLOPE_FROM} on, the curve has {sum(e >= SLOPE_FROM for e in s.left)}"
    return "it has no interval: one seed and no blocks" if math.isnan(s.slope.low) else None


def greatest(s):
    """Which doubling gains most."""
    return max(range(len(s.gains)), key=lambda i: s.gains[i].value)


def fell(s):
    """Whether the last gain lies below the greatest with its whole interval, whatever the slope over E >= 8 is."""
    return s.gains[-1].high < s.gains[greatest(s)].low


def unresolved(s):
    """That the rule does not find a fall; where the intervals show one all the same, what the rule looks at."""
    return f"diminishing{f' over E ≥ {SLOPE_FROM}, where it is judged,' if fell(s) else ''} is not resolved at this N and D"


def censored(s):
    """Why E_half cannot be judged, or None: it lies beyond the last gain measured, and so does a part of what the rule accepts."""
    if math.isfinite(s.e_half.value) or s.predicted[1] * FACTOR <= s.left[-1]:
        return None
    return f"censored: the curve ends at E = {s.experts[-1]:.0f}, E_half lies beyond E = {s.left[-1]:.0f}"


def gain_sentence(s):
    """How the gain per doubling went, and whether that is a fall."""
    top = greatest(s)
    first, last = s.gains[top], s.gains[-1]
    where = f"At N = {_count(s.n)}, D = {_count(s.tokens)} tokens (D/N = {ratio(s)})"
    numbers = (f"{first.value:.4f} nat at E = {s.left[top]:.0f}, its greatest ({_range(first, 4)}), and {last.value:.4f} nat at E = "
               f"{s.left[-1]:.0f}, the last doubling measured ({_range(last, 4)})")
    if diminishing(s):
        return (f"{where} the gain per doubling diminishes: it was {numbers}; its slope against log2 E over E ≥ {SLOPE_FROM} is "
                f"{s.slope.value:.4f} ({_range(s.slope, 4)}).")
    if unjudged(s):
        judged = f"whether it diminishes is not judged by its slope over E ≥ {SLOPE_FROM}: {unjudged(s)}"
    elif s.slope.low > 0:
        judged = f"over E ≥ {SLOPE_FROM} it grows with E: its slope there is {s.slope.value:.4f} ({_range(s.slope, 4)})"
    else:
        judged = unresolved(s)
    return f"{where} the gain per doubling was {numbers}{', which lies below the greatest' if fell(s) else ''}; {judged}."


def zero_sentence(s, delta=DELTA):
    """Whether the gain reached zero."""
    last = s.gains[-1]
    if not gained(s, delta):
        return (f"No doubling gains {delta} nat or more with an interval above zero: this does not show where gains end, since none were "
                "seen to begin.")
    if s.flat_from is not None:
        cause = (" The last doubling even made the loss worse: check the gap of training and held-out loss, MaxVio and unused experts "
                 "first." if last.high < 0 else "")
        return (f"No measurable gain beyond E = {s.flat_from:.0f}: from there to E = {s.experts[-1]:.0f} the upper 95 % limit of every "
                "gain per doubling is "
                f"below {delta} nat, so at this N and D the loss saturates at E = {s.flat_from:.0f}, as far as measured.{cause}")
    if last.low > 0:
        return f"It did not reach zero: the last doubling still gains {last.value:.4f} nat ({_range(last, 4)})."
    return (f"Whether it reached zero is not resolved: the last doubling gains {last.value:.4f} nat ({_range(last, 4)}), which does not "
            f"keep it below {delta} nat.")


def half_sentence(s):
    """E_half and E_90."""
    if not gained(s):
        return "Without such a gain there is no E_half and no E_90."
    said = (f"E_half = {_number(s.e_half.value)} ({_known(s.e_half)})" if math.isfinite(s.e_half.value) else
            f"No gain fell to half of the greatest, so E_half lies beyond E = {s.left[-1]:.0f} ({_known(s.e_half)})")
    ends, numbers = f"from E = {s.experts[0]:.0f} to {s.experts[-1]:.0f}", f"{s.whole.value:.4f} nat ({_range(s.whole, 4)})"
    if not helped(s):
        return f"{said}; {ends} more experts gave no measurable gain, {numbers}, so there is no E_90."
    return f"{said}; 90 % of the gain {ends}, {numbers}, is reached at E_90 = {_number(s.e_90.value)} ({_known(s.e_90)})."


def contains(s):
    """Whether the interval of E_half meets the predicted range; None without an interval or a gain, or where E_half is censored."""
    if math.isnan(s.e_half.low) or not gained(s) or censored(s):
        return None
    return s.e_half.low <= s.predicted[1] and s.predicted[0] <= s.e_half.high


def literature_sentence(s):
    """The literature's figure, and what it predicts here."""
    low, high = (f"{v:.0f}" for v in s.predicted)
    said = f"E_max ≈ {low}" + (f" to {high}" if low != high else "") + " (registered for E_half)"
    met = {True: "which our interval does contain" if low == high else "which our interval does meet",
           False: "which our interval does not contain" if low == high else "which our interval does not meet",
           None: "which our interval, open towards larger E, cannot decide" if gained(s) and censored(s) else
           "against which we have no interval"}[contains(s)]
    regime = "The 256–512 figure of the literature was measured at 130 B tokens"
    regime += ("; we did not run that regime." if s.tokens < SOURCE_REGIME else ".")
    return f"{regime} Scaling the published curves by tokens per parameter predicts {said}, {met}."


def law_sentence(s):
    """Whether a finite E_max of Clark's law may be stated."""
    c = s.comparison
    if c is None:
        return "Too few numbers of experts to fit Clark's law."
    numbers = (f"{len(s.experts)} numbers of experts; AICc of the power law less that of Clark's: {c.gain:.1f}; E_max "
               f"{c.clark.values['e_max']:.0f}, {_known(intervals.Interval(math.nan, *c.e_max))}")
    if c.stated:
        return f"Clark's law has a finite E_max = {c.clark.values['e_max']:.0f} here ({numbers})."
    said = (f"A finite E_max is not supported ({numbers}; the rule asks for more than {laws.EVIDENCE:.0f} and an upper limit below "
            f"{laws.FARTHEST * s.experts[-1]:.0f}).")
    ratio = laws.needed_ratio(len(s.experts))
    if ratio > HARDLY:
        said += (f" With so few points this says little: by the correction of AICc alone the power law would have to leave "
                 f"{ratio:.0f} times the squared residual of Clark's law.")
    return said


def seed_noise(s):
    """{E: standard error over seeds by the loss}, at the smallest and the largest E."""
    return {f"{s.experts[i]:.0f}": sd / math.sqrt(s.seeds) / float(s.losses[i]) for i, sd in zip((0, -1), s.seed_sd)}


def noise_sentences(s):
    """Whether there are seeds enough; nothing with one seed, of which nobody knows."""
    noise = seed_noise(s)
    if math.isnan(s.seed_sd[0]):
        return []
    found = " and ".join(f"{100 * share:.2f} % at E = {e} (deviation over seeds {sd:.4f} nat)" for (e, share), sd in
                         zip(noise.items(), s.seed_sd))
    enough = "within" if max(noise.values()) <= NOISE else "above"
    return [f"The loss has a standard error over {s.seeds} seeds of {found}: {enough} the {100 * NOISE:g} % "
            + ("that the protocol allows." if enough == "within" else "of the protocol, which asks for more seeds before more numbers of "
               "experts.")]


def caution_sentences(s):
    """What else may be behind the numbers."""
    found = []
    if not gained(s):
        return found
    if math.isinf(s.e_half.value):
        found.append(f"The bend lies beyond E = {s.left[-1]:.0f} at this D/N, if there is one.")
    elif s.e_half.high < s.predicted[0] / FACTOR:
        found.append("The bend comes earlier than half the prediction: check the gap of training and held-out loss, MaxVio and unused "
                     "experts before claiming a law.")
    return found


def gap_sentences(experts, gaps):
    """How held-out less training loss, (S, E_n), goes with E; nothing where it is unknown."""
    if not np.isfinite(gaps).all():
        return []
    x = np.log2(experts) - np.log2(experts).mean()
    slopes, mean = gaps @ x / (x @ x), gaps.mean(0)
    numbers = f"Held-out less training loss goes from {mean[0]:.4f} nat at E = {experts[0]:.0f} to {mean[-1]:.4f} at E = {experts[-1]:.0f}"
    if (slopes > 0).all() and slopes.mean() > GAP_SLOPE:
        return [f"{numbers} and widens with E in every seed: a bend here may be one of too little data, not of capacity."]
    return [f"{numbers}: it does not widen by more than {GAP_SLOPE} nat per doubling in every seed."]


def sentences(s):
    """All that may be said of a `saturation.Summary`, in order."""
    scale = f"This is a {s.seeds}-seed, ≤{_count(s.parameters)}-parameter result; it tests the mechanism, not the constant."
    return [gain_sentence(s), zero_sentence(s), half_sentence(s), literature_sentence(s), law_sentence(s), *caution_sentences(s),
            *noise_sentences(s), scale]


def helps(s):
    """Claim "more experts help": status and what was measured."""
    upto = [g for g, e in zip(s.gains, s.left) if e < 64]
    speed, measured = s.speed_up, dict(gains={f"{e:.0f}": g.value for g, e in zip(s.gains, s.left)}, speed_up=s.speed_up.value)
    if s.experts[0] != 1 or 64 not in s.experts:
        return untested(f"the curve runs from E = {s.experts[0]:.0f} to {s.experts[-1]:.0f} and needs both 1 and 64", **measured)
    parts = [Part(g.low > 0, g.high < 0, g.value > 0) for g in upto]
    parts.append(Part(speed.low >= SPEED_UP, speed.high < SPEED_UP, not speed.value < 1))
    return verdict(parts, measured, why="the signs of the gains are not resolved")


def gains_diminish(s):
    """Claim "gains diminish"."""
    measured = dict(slope=s.slope.value, e_half=s.e_half.value, predicted=list(s.predicted), tokens_per_parameter=s.tokens / s.n)
    if unjudged(s):
        return untested(f"the slope over E ≥ {SLOPE_FROM}: {unjudged(s)}", **measured)
    falls = Part(diminishing(s), s.slope.low > 0, s.slope.value < 0)
    if falls.excluded:  # whatever E_half is
        return "not reproduced", measured
    if not gained(s) or censored(s):
        return untested(half_sentence(s) if not gained(s) else censored(s), **measured)
    low, high = s.predicted[0] / FACTOR, s.predicted[1] * FACTOR
    half = Part(low <= s.e_half.value <= high, s.e_half.high < low or s.e_half.low > high, True)  # a number of experts has no sign
    return verdict([falls, half], measured, why=unresolved(s))


def saturates_at_256(s, delta=DELTA):
    """Claim "gains stop at 256 or 512": the equivalence rule from 256 on."""
    beyond = [g for g, e in zip(s.gains, s.left) if e >= 256]
    measured = dict(last_gain=s.gains[-1].value, last_doubling_from=s.left[-1], flat_from=s.flat_from)
    if not beyond:
        return untested(f"the largest E is {s.experts[-1]:.0f}: no doubling from 256 on was measured", **measured)
    if math.isnan(beyond[0].low) or not gained(s, delta):
        return untested(f"no interval, or no doubling gains {delta} nat or more with an interval above 0", **measured)
    return verdict([Part(g.high < delta, g.low > delta, g.value < delta) for g in beyond], measured,
                   why="the intervals are too wide for the rule")
