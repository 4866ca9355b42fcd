"""Has the router learned anything? A claim on text whose learned router loses to a hash of the token id at equal work is not testable:
what such runs say of experts is what a bad router makes of them."""
from typing import NamedTuple

import numpy as np

from ..law import intervals
from ..verdicts import claims
from . import results

HASH = "hash"


class Beside(NamedTuple):
    """less: interval of the learned router's loss less that of the hash, nat, paired over seeds and blocks; learned: what was compared.
    lost: whether the whole interval is above 0."""
    less: intervals.Stated
    learned: str

    @property
    def lost(self):
        return bool(self.less.low > 0)


def numbers(beside):
    """(measured, interval) of a `Beside`."""
    return dict(learned=beside.learned, learned_less_hash=beside.less.value), list(beside.less[1:3])


def sentence(beside):
    """What the comparison says."""
    end = "so claims on text are not testable by these runs" if beside.lost else \
        "the learned router is the better one" if beside.less.high < 0 else "which of the two is better is not resolved"
    word = "higher" if beside.less.value >= 0 else "lower"
    return (f"Against a hash of the token id the loss of {beside.learned} is {abs(beside.less.value):.4f} nat {word} (95 % interval of "
            f"what it is higher {beside.less.low:.4f} to {beside.less.high:.4f} by {beside.less.method}): {end}.")


def curve(table, tables):
    """The Beside of a curve over E and the curve of hash routing among `tables` that has its size, choices and tokens: mean over the
    numbers of experts above 1 that both have. None without one, or for the hash itself."""
    if table.router.lower() == HASH:
        return None
    for other in tables:
        same = other.router.lower() == HASH and _setting(other) == _setting(table)
        experts = sorted(set(table.experts) & set(other.experts) - {1.0})
        seeds = [seed for seed in table.seeds if seed in other.seeds]
        if same and experts and seeds:
            parts = [_part(t, experts, seeds) for t in (table, other)]
            if parts[0].shape != parts[1].shape:
                parts = [part.mean(2, keepdims=True) for part in parts]
            losses = np.concatenate(parts, 1)
            weights = np.r_[np.ones(len(experts)), -np.ones(len(experts))] / len(experts)
            return Beside(intervals.stated(losses, weights, pool=False), table.label)
    return None


def _setting(table):
    """What two curves that differ in their router only share; their arms may have names of their own."""
    row = table.frame[table.frame["num_experts"] > 1].iloc[-1]
    return table.tokens, *(row[name] for name in results.GROUPS if name not in ("arm", "router_type"))


def _part(table, experts, seeds):
    rows = [table.seeds.index(seed) for seed in seeds]
    return table.losses[rows][:, [list(table.experts).index(e) for e in experts]]


def arms(names, losses, hashed, still=()):
    """The Beside of the best learned arm of losses (S, A, B) and the best of the arms `hashed`; None where either is missing. Arms `still`
    have routers that never learn: they are neither."""
    mean = losses.mean((0, 2))
    learned = [i for i, name in enumerate(names) if name not in hashed and name not in still]
    chosen = [i for i, name in enumerate(names) if name in hashed]
    if not learned or not chosen:
        return None
    best, other = min(learned, key=mean.__getitem__), min(chosen, key=mean.__getitem__)
    weights = np.eye(len(names))[best] - np.eye(len(names))[other]
    return Beside(intervals.stated(losses, weights, pool=False), f"the best learned arm, {names[best]},")


def judged(entries, beside, text):
    """Entries with the verdict "router not trained" beside those of the claims `text`, where a hash arm says so."""
    if beside is None or not beside.lost:
        return entries
    return [e | dict(corrected=claims.not_trained(*numbers(beside))) if e["key"] in text else e for e in entries]
