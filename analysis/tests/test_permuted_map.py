"""The null of lifts: largest lifts against plain loops, p of maps that know nothing, planted specialists, classes of one id, strata."""
import sys

import numpy as np
import pytest
from reference_routing import largest_lift

from yardstick.records.sample import Layer
from yardstick.routing import permuted_map

EXPERTS, IDS, TOKENS = 8, 60, 6000
rng = np.random.default_rng(5)
FREQUENT = 1.0 / np.arange(1, IDS + 1)
KIND = rng.permutation(np.repeat([0, 1, 2], [6, 14, 40]))  # of each id


def sample(seed, expert_of):
    """Zipf-like ids, their classes and a layer in which expert_of(id, rng) says the choices of an id's tokens."""
    own = np.random.default_rng(seed)
    ids = own.choice(IDS, TOKENS, p=FREQUENT / FREQUENT.sum())
    chosen = np.empty((TOKENS, 1), int)
    for i in range(IDS):
        chosen[ids == i, 0] = expert_of(i, own)
    return Layer(0, EXPERTS, chosen), ids, KIND[ids]


def test_largest_lifts_against_plain_loops():
    layer, ids, labels = sample(1, lambda i, own: own.integers(EXPERTS))
    found = permuted_map.largest(layer, ids, labels, [0, 1], np.random.default_rng(0))
    for kind, one in enumerate(found):
        assert one.lift == pytest.approx(largest_lift(ids, layer.chosen[:, 0], KIND, kind))
        assert 1 / (1 + permuted_map.DRAWS) <= one.p <= 1 and one.null_mean <= one.null_high


def test_maps_that_know_nothing_are_found_as_often_as_p_says(monkeypatch):
    monkeypatch.setattr(permuted_map, "DRAWS", 199)
    p = np.array([one.p for seed in range(60) for one in permuted_map.largest(
        *sample(seed, lambda i, own: own.integers(EXPERTS)), [0, 1], np.random.default_rng(seed))])
    assert (p <= 0.05).sum() <= 13 and (p <= 0.5).mean() == pytest.approx(0.5, abs=0.15)  # of 120; 13 or more: one time in 100


def test_an_expert_that_takes_a_class_is_found():
    layer, ids, labels = sample(2, lambda i, own: 0 if KIND[i] == 0 else 1 + own.integers(EXPERTS - 1))
    first, other = permuted_map.largest(layer, ids, labels, [0, 1], np.random.default_rng(0))
    assert first.p == 1 / (1 + permuted_map.DRAWS) and first.lift > first.null_high and other.p > 0.01


def test_one_id_is_a_class_that_no_hash_is_found_by(monkeypatch):
    """Wherever it goes, some expert has all of it, and lifts of 4 and more are what a hash shows."""
    alone = int(np.nonzero(KIND == 0)[0][0])
    monkeypatch.setattr(sys.modules[__name__], "KIND", np.where((KIND == 0) & (np.arange(IDS) != alone), 1, KIND))
    found = [permuted_map.largest(*sample(seed, lambda i, own: own.integers(EXPERTS)), [0], np.random.default_rng(0))[0]
             for seed in range(8)]
    assert max(one.lift for one in found) > 4 and sum(one.p <= 0.05 for one in found) <= 1


def test_ids_change_places_with_those_of_like_frequency_only():
    assert permuted_map.strata(np.array([1, 2, 3, 4, 7, 8, 900])).tolist() == [0, 1, 1, 2, 2, 3, 9]
