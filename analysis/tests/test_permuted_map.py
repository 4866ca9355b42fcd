"""The null of lifts: largest lifts against plain loops, p of maps that know nothing, planted specialists, classes of one id, strata."""
import sys

import numpy as np
import pytest
from reference_routing import largest_lift, permuted_largest_lifts

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


def test_against_every_map_there_is():
    """Six ids of a stratum, of unequal frequency, three of another and one alone, two choices a token: 4320 maps."""
    times, own = [33, 38, 43, 48, 53, 58, 17, 20, 30, 70], np.random.default_rng(8)
    kind_of, ids = [0, 0, 1, 1, 2, 2, 0, 1, 2, 1], np.repeat(np.arange(10), times)
    chances = own.dirichlet(np.full(4, 0.4), 10)
    chosen = np.array([own.choice(4, 2, replace=False, p=0.98 * chances[i] + 0.005) for i in ids])
    found = permuted_map.largest(Layer(0, 4, chosen), ids, np.array(kind_of)[ids], [0, 1], np.random.default_rng(0), draws=20000)
    for kind, one in enumerate(found):
        every = np.array(permuted_largest_lifts(ids.tolist(), chosen.tolist(), kind_of, kind))
        assert len(every) == 4320 and every[0] == pytest.approx(one.lift), "the first is the map as it is"
        assert one.null_mean == pytest.approx(every.mean(), abs=5 * every.std() / 20000**0.5)
        assert one.p == pytest.approx((every >= one.lift - 1e-9).mean(), abs=5 * 0.5 / 20000**0.5)
        assert (every <= one.null_high + 1e-9).mean() == pytest.approx(0.95, abs=0.01)


def test_maps_that_know_nothing_are_found_as_often_as_p_says(monkeypatch):
    monkeypatch.setattr(permuted_map, "DRAWS", 199)
    p = np.array([one.p for seed in range(60) for one in permuted_map.largest(
        *sample(seed, lambda i, own: own.integers(EXPERTS)), [0, 1], np.random.default_rng(seed))])
    assert (p <= 0.05).sum() <= 13 and (p <= 0.5).mean() == pytest.approx(0.5, abs=0.15)  # of 120; 13 or more: one time in 100


def test_an_expert_that_takes_a_class_is_found():
    layer, ids, labels = sample(2, lambda i, own: 0 if KIND[i] == 0 else 1 + own.integers(EXPERTS - 1))
    first, other = permuted_map.largest(layer, ids, labels, [0, 1], np.random.default_rng(0))
    assert first.p == 1 / (1 + permuted_map.DRAWS) and first.lift > first.null_high and other.p > 0.01


def test_a_stray_token_hides_no_specialist():
    """A single token of the class on an expert that has no others would be the largest lift there is, under nearly any map."""
    layer, ids, labels = sample(2, lambda i, own: 0 if KIND[i] == 0 else 1 + own.integers(EXPERTS - 2))
    (clean,) = permuted_map.largest(layer, ids, labels, [0], np.random.default_rng(0))
    layer.chosen[np.nonzero(labels == 0)[0][0]] = EXPERTS - 1
    (found,) = permuted_map.largest(layer, ids, labels, [0], np.random.default_rng(0))
    assert found.p == clean.p == 1 / (1 + permuted_map.DRAWS) and found.lift == pytest.approx(clean.lift, rel=0.01)


def test_one_id_is_a_class_that_no_hash_is_found_by(monkeypatch):
    """Wherever it goes, some expert has all of it, and lifts of 4 and more are what a hash shows."""
    alone = int(np.nonzero(KIND == 0)[0][0])
    monkeypatch.setattr(sys.modules[__name__], "KIND", np.where((KIND == 0) & (np.arange(IDS) != alone), 1, KIND))
    found = [permuted_map.largest(*sample(seed, lambda i, own: own.integers(EXPERTS)), [0], np.random.default_rng(0))[0]
             for seed in range(8)]
    assert max(one.lift for one in found) > 4 and sum(one.p <= 0.05 for one in found) <= 1


def test_ids_change_places_with_those_of_like_frequency_only():
    assert permuted_map.strata(np.array([1, 2, 3, 4, 7, 8, 900])).tolist() == [0, 1, 1, 2, 2, 3, 9]


def test_the_smallest_p_is_below_the_share_of_a_layer_of_many():
    for layers in (1, 2, 25, 26, 64, 200):
        draws = permuted_map.draws_of(layers)
        assert draws >= permuted_map.DRAWS and 2 / (1 + draws) <= permuted_map.LEVEL / layers
    assert permuted_map.draws_of(2) == permuted_map.DRAWS
    layer, ids, labels = sample(2, lambda i, own: 0 if KIND[i] == 0 else 1 + own.integers(EXPERTS - 1))
    found = permuted_map.largest(layer, ids, labels, [0], np.random.default_rng(0), draws=3999)[0]
    assert found.p == pytest.approx(1 / 4000)
