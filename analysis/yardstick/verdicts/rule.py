"""What a verdict is called, one rule for every claim (docs/science.md, "Verdict words"): reproduced, the rule is met and the interval
excludes the null; not reproduced, the interval excludes the rule; direction only, the sign is right but magnitude or interval is not. A
wrong sign that no interval settles says nothing either way: not testable here."""
from typing import NamedTuple

from . import acceptance

SEEDS = 3  # fewer never reproduce a claim that is judged over seeds
UNRESOLVED = "unresolved: a sign is not the published one, and its interval holds both"


class Part(NamedTuple):
    """A comparison that a claim rests on. holds: met, its interval excluding the null; excluded: its whole interval breaks the rule;
    right: its sign is the claim's."""
    holds: bool
    excluded: bool
    right: bool


def status(parts, seeds=SEEDS):
    """Of parts that must all hold, judged over so many seeds."""
    holds, excluded, right = (list(column) for column in zip(*parts))
    if any(excluded):
        return "not reproduced"
    if all(holds) and seeds >= SEEDS:
        return "reproduced"
    return "direction only" if all(h or r for h, r in zip(holds, right)) else "not testable here"


def verdict(parts, measured, seeds=None, why=UNRESOLVED):
    """(status, measured with the seeds, if the claim is judged over seeds, and with why it is not testable, if it is not)."""
    found = status(parts, SEEDS if seeds is None else seeds)
    said = ({} if seeds is None else dict(seeds=seeds)) | (dict(why=why) if found == "not testable here" else {})
    return found, measured | said


def without_hash(verdict):
    """The verdict of a corrected rule on a claim on text whose runs have no hash arm: nobody knows whether their router learned anything,
    so that such a claim is not reproduced by them."""
    status, measured = verdict
    measured = measured | dict(hash_arm="none among these runs")
    if status != "reproduced":
        return status, measured
    why = "no hash arm among the runs says whether their router learned anything; but for that the rule is met"
    return "not testable here", dict(why=why) | measured


def corrected(parts, measured, seeds, power=None, known=True):
    """(status, measured) by a corrected rule. power: how often a true law would meet it at the noise measured, `law.power.Power`; known:
    whether the numbers of experts that it rests on are resolved. What decides is said; of what does not, why."""
    found = status(parts, seeds)
    if found == "reproduced" and known or found == "not reproduced":
        return found, measured | dict(seeds=seeds)
    if power is not None and power.under:
        return acceptance.UNDERPOWERED, measured | dict(seeds=seeds, met_by_a_true_law=power.met)
    if not known:
        return acceptance.UNRESOLVED, measured | dict(seeds=seeds)
    return found, measured | dict(seeds=seeds) | (dict(why=UNRESOLVED) if found == "not testable here" else {})
