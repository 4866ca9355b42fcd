"""The null of lifts: what a map from the vocabulary to experts that knows nothing of classes would show. Ids are few and unequal, so that
even a hash of the id gives some expert much of a class (docs/science.md, "Routing analyses")."""
import math
from typing import NamedTuple

import numpy as np

from ..records.sample import occurrences, tally

DRAWS = 999
FLOOR = 0.1   # of an even load: an expert with fewer choices shows no lift, since a single token of a class would be the largest of all
LEVEL = 0.05  # one-sided, shared among the layers of a run


def draws_of(layers):
    """So many that the smallest p there is, 1 / (1 + draws), is half of a layer's share of the level at most."""
    return max(DRAWS, math.ceil(2 * layers / LEVEL) - 1)


class Largest(NamedTuple):
    """Of a class: the largest lift of any expert; its mean and 95 % quantile under permuted maps; the share of maps that reach it, the
    measured one counted among them."""
    lift: float
    null_mean: float
    null_high: float
    p: float


def strata(times):
    """(ids,) number of the power of two that an id's occurrences lie above. A map is permuted among ids of one such number: a frequent
    id keeps its weight in loads and a rare one the sharpness of its few choices; one that is alone in its stratum keeps its experts."""
    return np.floor(np.log2(times)).astype(int)


def largest_lifts(choices, kind, wanted):
    """(wanted,) the largest lift of any expert over classes `wanted`: choices (ids, experts), kind (ids,) the class of each id. Experts
    of less than FLOOR show none."""
    table = np.stack([choices[kind == c].sum(0) for c in wanted])
    share = table.sum(1, keepdims=True) / choices.sum()
    load = choices.sum(0)
    lifts = table / np.maximum(load, 1e-300) / np.maximum(share, 1e-300)
    return np.where(load >= FLOOR * load.mean(), lifts, 0.0).max(1)


def largest(layer, ids, labels, wanted, rng, draws=None):
    """[Largest] of classes `wanted` in a layer. ids, labels: (tokens,) the token and its class, which is a matter of the id. The map is
    P(expert | id) as recorded; a draw gives every id that of another one of its stratum."""
    vocabulary = int(ids.max()) + 1
    times = occurrences(ids, vocabulary)
    seen = np.nonzero(times)[0]
    choices, kind = tally(layer, ids, vocabulary)[seen].astype(float), np.zeros(vocabulary, int)
    kind[ids] = labels
    kind, times = kind[seen], times[seen].astype(float)
    given, groups = choices / times[:, None], [np.nonzero(strata(times) == s)[0] for s in np.unique(strata(times))]
    draws = DRAWS if draws is None else draws
    measured, drawn = largest_lifts(choices, kind, wanted), np.empty((draws, len(wanted)))
    for draw in range(draws):
        other = np.empty(len(seen), int)
        for group in groups:
            other[group] = rng.permutation(group)
        drawn[draw] = largest_lifts(given[other] * times[:, None], kind, wanted)
    reached = (drawn >= measured * (1 - 1e-9)).sum(0)  # a map that comes out as it was differs by rounding alone
    return [Largest(float(measured[c]), float(drawn[:, c].mean()), float(np.quantile(drawn[:, c], 1 - LEVEL)),
                    float((1 + reached[c]) / (1 + draws))) for c in range(len(wanted))]
