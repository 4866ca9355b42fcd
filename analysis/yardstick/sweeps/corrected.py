"""What corrected rules make of a curve over E: its contrasts as tables and sentences, and the verdicts that stand beside the registered
ones (`verdicts.claims.CORRECTED`)."""
import math

import numpy as np
import pandas as pd

from ..law import contrasts, intervals, power
from ..verdicts import claims
from ..verdicts.rule import Part, corrected, without_hash
from . import trained
from .sentences import FACTOR, SPEED_UP

NEARLY = 0.01  # by which steps may be more than what SPEED_UP asks for


def table_of(c):
    """A row for each contrast and for E_half: value, interval, how it was made, and how often such an interval holds the truth."""
    rows = [dict(name=name, **{key: getattr(getattr(c, name), key) for key in ("value", "low", "high", "method")}, covers=c.covers[name])
            for name in ("trend", "gain", "bend")]
    rows += [dict(name="E_half, smoothed", **c.half.smooth._asdict(), method="isotonic gains of drawn curves"),
             dict(name="E_half, law", **c.half.law._asdict(), method="Clark's law fitted to drawn curves")]
    rows.append(dict(name="E_half", **c.half.stated._asdict(), method="hull of both", covers=c.bias.covers if c.bias else np.nan))
    rows.append(dict(name="E_half, published law", value=np.nan, low=c.predicted[0], high=c.predicted[1], method="same function"))
    return pd.DataFrame(rows)


def power_table(c):
    """A row for each rule: how often a law would meet it."""
    return pd.DataFrame([dict(rule=name) | p._asdict() for name, p in c.powers.items()], columns=["rule", *power.Power._fields])


def _limits(part, digits=4):
    ends = ("beyond the curve" if math.isinf(v) else f"{v:.{digits}f}" for v in part[1:3])
    return "no interval" if math.isnan(part[1]) else "95 % interval " + " to ".join(ends)


def _held(share):
    return "" if math.isnan(share) else f"; such intervals hold the truth in {100 * share:.1f} % of simulated tables of this noise"


def trend_sentence(c, upto):
    """The trend and the whole gain."""
    return (f"Over all E the loss changes by {c.trend.value:.4f} nat a doubling ({_limits(c.trend)} by {c.trend.method}"
            f"{_held(c.covers['trend'])}); up to E = {upto:.0f} it gains {c.gain.value:.4f} nat "
            f"({_limits(c.gain)}{_held(c.covers['gain'])}); "
            f"the gain of a doubling changes by {c.bend.value:.4f} nat from one to the next ({_limits(c.bend)}{_held(c.covers['bend'])}).")


def half_sentence(c):
    """E_half, whether it is resolved, its bias, and what the published law gives."""
    half, found = c.half.stated, []
    said = f"E_half is {c.half.smooth.value:.0f} by smoothed gains" + \
        ("" if math.isnan(c.half.law.value) else f" and {c.half.law.value:.0f} by the fitted law") + f"; {_limits(half, 0)}"
    if not math.isnan(half.low):
        said += ", which resolves it" if intervals.resolved(half) else ": not resolved, its ends differ by more than a factor 4"
    found.append(said + ".")
    if c.bias is not None:
        b = c.bias
        found.append(f"At this noise a true E_half of {b.true:.0f} is found at {b.first:.0f} by the first gain below half of the largest, "
                     f"at {b.smooth:.0f} by smoothed gains, at {b.law:.0f} by the law (medians of {b.tables} simulated tables), and the "
                     f"interval holds it in {100 * b.covers:.0f} % of them.")
    low, high = (f"{v:.0f}" for v in c.predicted)
    found.append(f"The published law, passed through the same function of the same E, gives {low}{f' to {high}' * (low != high)}.")
    return " ".join(found)


def power_sentence(name, p):
    """Whether a rule can be met, and at what noise it could."""
    said = (f"“{name}”: a law with the whole gain of this curve would meet it with probability {p.met:.2f} at {p.seeds} seeds and a "
            f"deviation of {p.deviation:.4f} nat")
    if not p.under:
        return f"{said}."
    more = f"{p.enough} seeds would do" if p.enough else f"{power.SEEDS[-1]} seeds would meet it with {p.most:.2f}"
    quiet = f"{power.AT} seeds would do at {p.quiet:.4f} nat" if p.quiet > 0 else "at no noise would the law meet it"
    return f"{said}: underpowered; {more}, {quiet} ({100 * power.ASKED:.0f} %)."


def sentences(c, upto):
    return [trend_sentence(c, upto), half_sentence(c), *(power_sentence(name, p) for name, p in c.powers.items())]


def _fewer(shorter):
    """The runs of contrasts.UPTO experts with 1/SPEED_UP of the steps, or None."""
    fit = [run for run in shorter if run.experts == contrasts.UPTO and run.fewer >= SPEED_UP * (1 - NEARLY)]
    return min(fit, key=lambda run: run.fewer) if fit else None


def helps(c, experts, seeds, shorter):
    """Verdict and interval of "more experts help"."""
    measured = dict(trend=c.trend.value, gain=c.gain.value, intervals_hold_the_truth=[c.covers["trend"], c.covers["gain"]])
    limits = dict(trend=list(c.trend[1:3]), gain=list(c.gain[1:3]))
    if experts[0] != 1 or contrasts.UPTO not in experts:
        return claims.untested(f"the curve lacks E = 1 or {contrasts.UPTO}", **measured), limits
    parts = [Part(c.trend.high < 0, c.trend.low > 0, c.trend.value < 0), Part(c.gain.low > 0, c.gain.high < 0, c.gain.value > 0)]
    run = _fewer(shorter)
    if run is not None:
        below = run.by_t
        parts.append(Part(below.low >= 0, below.high < 0, below.value >= 0))
        name = f"dense model's loss less that of E = {run.experts:.0f} in {run.steps} steps"
        measured[name], limits[name] = below.value, list(below[1:])
    elif status_of(parts) != "not reproduced":
        return claims.untested("no runs of two thirds of the steps with a fall of the rate of their own", **measured), limits
    return corrected(parts, measured, seeds, c.powers.get("the trend")), limits


def status_of(parts):
    return "not reproduced" if any(part.excluded for part in parts) else "open"


def diminish(c, seeds):
    """Verdict and interval of "gains diminish"."""
    half = c.half.stated
    measured = dict(bend=c.bend.value, e_half=half.value, law_through_the_same_function=list(c.predicted),
                    intervals_hold_the_truth=[c.covers["bend"], c.bias.covers if c.bias else math.nan])
    limits = dict(bend=list(c.bend[1:3]), e_half=list(half[1:]))
    if math.isnan(c.bend.low) or not c.gain.value > 0:
        return claims.untested("no interval, or nothing is gained", **measured), limits
    low, high = c.predicted[0] / FACTOR, c.predicted[1] * FACTOR
    parts = [Part(c.bend.high < 0, c.bend.low > 0, c.bend.value < 0),
             Part(low <= half.value <= high, half.high < low or half.low > high, True)]
    return corrected(parts, measured, seeds, c.powers.get("the bend"), intervals.resolved(half)), limits


TEXT = ("more-experts-help", "gains-diminish", "gains-stop")  # claims on text, which a router that is not trained cannot test


def verdicts(c, table, shorter, beside=None):
    """{key: corrected part} of a curve; shorter: `companions.Shorter` runs; beside: `trained.Beside` or None without a hash arm."""
    if beside is not None and beside.lost:
        return {key: claims.not_trained(*trained.numbers(beside)) for key in TEXT}
    seeds = len(table.seeds)
    judged = {"more-experts-help": helps(c, table.experts, seeds, shorter), "gains-diminish": diminish(c, seeds)}
    return {key: claims.corrected(key, without_hash(verdict) if beside is None else verdict, interval)
            for key, (verdict, interval) in judged.items()}
