"""Verdicts by corrected rules on the arms of a sweep: each compared by Student's t over seeds, since arms differ in kind and so do their
deviations; where blocks of text weigh, by the wider of t and a bootstrap (`law.intervals`)."""
import numpy as np

from ..law import coverage, intervals, power
from ..verdicts import claims
from ..verdicts.rule import Part, corrected, without_hash
from .balancing import AUX, FREE, MARGIN, SHARE

TEXT = ("top-2", "loss-free-costs-nothing", "softmax-sigmoid", "capacity-quality")  # claims on text that a hash arm can void


def contrast(names, values, weights):
    """Stated interval of the sum over {arm: weight} of values (S, A, B), and how often such an interval holds the truth."""
    own, row = values[:, [names.index(name) for name in weights]], np.array(list(weights.values()))
    return intervals.stated(own, row, pool=False), coverage.at(own, row, pool=False)


def top_2(names, losses):
    """{key: corrected part} of "top-2 over top-1", from losses (S, A, B) of arms named by k; nothing without both."""
    if not {"1", "2"} <= set(names):
        return {}
    gain, covers = contrast(names, losses, {"1": 1.0, "2": -1.0})
    part = Part(gain.low > 0, gain.high < 0, gain.value > 0)
    measured = dict(gain=gain.value, method=gain.method, interval_holds_the_truth=covers)
    return {"top-2": claims.corrected("top-2", without_hash(corrected([part], measured, len(losses))), list(gain[1:3]))}


def _balanced(names, excess, best):
    measured, limits, parts = dict(arm=best), {}, []
    for aux in AUX:
        (less, _), (fifth, covers) = (contrast(names, excess, {best: 1.0, aux: -share}) for share in (1.0, SHARE))
        measured[f"ratio to {aux}"] = float(excess[:, names.index(best)].mean() / excess[:, names.index(aux)].mean())
        measured[f"interval of {aux} holds the truth"] = covers
        limits[f"excess − {aux}'s/{1 / SHARE:g}"] = list(fifth[1:3])
        parts.append(Part(fifth.value <= 0 and less.high < 0, fifth.low > 0, less.value < 0))
    return corrected(parts, measured, len(excess)), limits


def _costs(names, losses, best):
    measured, limits, parts, powers = dict(arm=best), {}, [], []
    for aux in AUX:
        less, covers = contrast(names, losses, {best: 1.0, aux: -1.0})
        measured[f"loss less that of {aux}"] = less.value
        measured[f"interval of {aux} holds the truth"] = covers
        limits[f"difference to {aux}"] = list(less[1:3])
        parts.append(Part(less.high < MARGIN, less.low > MARGIN, less.value < MARGIN))
        if np.isfinite(less.deviation) and less.deviation > 0:  # of equal arms, whose difference is MARGIN below the margin
            powers.append(power.of(np.array([MARGIN, 0.0]), np.array([1.0, -1.0]), less.deviation, len(losses)))
    weakest = min(powers, key=lambda p: p.met, default=None)
    return corrected(parts, measured, len(losses), weakest), limits


def balancing(names, losses, excess, hashed=()):
    """{key: corrected part} of the claims on loss-free balancing, from losses (S, A, B) and excess MaxVio_global (S, A) of the arms; the
    rate is chosen by the latter, not by the loss. hashed: the names of hash arms. Nothing where arms are missing."""
    rates = [name for name in FREE if name in names]
    if not rates or not set(AUX) <= set(names):
        return {}
    best = min(rates, key=lambda name: excess[:, names.index(name)].mean())
    verdict, interval = _costs(names, losses, best)
    costs = (verdict if hashed else without_hash(verdict)), interval
    found = {"loss-free-balances": _balanced(names, excess[:, :, None], best), "loss-free-costs-nothing": costs}
    return {key: claims.corrected(key, *judged) for key, judged in found.items()}


def beside(entries, parts):
    """Entries with the corrected parts {key: part} beside them."""
    return [e | (dict(corrected=parts[e["key"]]) if e["key"] in parts else {}) for e in entries]


def lines(entries):
    """A line for each claim that a corrected rule judges."""
    return [f"{e['claim']}, by the rule corrected on {e['corrected']['date']}: {e['corrected']['status']}"
            for e in entries if "corrected" in e]
