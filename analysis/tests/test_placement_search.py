"""The search for placements: planted groups are found, small cases against all placements there are, and limits of loads are kept."""
import itertools

import numpy as np
import pytest
from placement_fixture import grouped, hidden_groups, sources, uniform

from yardstick.placement import nets, packing, partition
from yardstick.placement.ranks import Ranks, order_of
from yardstick.placement.traffic import Choices, traffic


def found(choices, ranks, tolerance=0.05, seed=0):
    return order_of(partition.partition(choices, ranks, tolerance, seed), ranks)


@pytest.mark.parametrize("experts,top_k,nodes,per_node", [(16, 2, 4, 1), (32, 4, 4, 2), (64, 6, 8, 1), (24, 2, 2, 3), (128, 8, 16, 2)])
@pytest.mark.parametrize("seed", range(3))
def test_planted_groups_are_recovered(experts, top_k, nodes, per_node, seed):
    ranks = Ranks(nodes, per_node)
    choices = grouped(6000, experts, top_k, nodes, ranks, seed=seed)
    order = found(choices, ranks, seed=seed)
    groups = hidden_groups(experts, nodes)
    assert sorted(sorted(g) for g in order.reshape(nodes, -1).tolist()) == sorted(groups.tolist())
    of_group = np.empty(experts, int)
    of_group[groups.ravel()] = np.repeat([[sorted(g) for g in order.reshape(nodes, -1).tolist()].index(g) for g in groups.tolist()],
                                         experts // nodes)
    away = (of_group[choices.chosen[:, 0]] != ranks.node_of(choices.rank)).sum()
    sent = traffic(order, ranks, choices)
    assert sent.node.sum() == away and sent.flat.sum() == away * top_k
    assert traffic(np.arange(experts), ranks, choices).node.sum() > 1.3 * away


@pytest.mark.parametrize("experts,nodes,per_node", [(18, 4, 1), (17, 2, 2), (35, 3, 1)])
def test_planted_groups_where_ranks_do_not_divide_experts(experts, nodes, per_node):
    """The groups have the sizes of the contiguous split."""
    ranks, rng = Ranks(nodes, per_node), np.random.default_rng(5)
    sizes = ranks.sizes(experts).reshape(nodes, -1).sum(1)
    members = np.split(rng.permutation(experts), np.cumsum(sizes)[:-1])
    group = rng.choice(nodes, 6000, p=sizes / experts)
    choices = Choices(0, experts, np.array([rng.choice(members[g], 3, replace=False) for g in group]), sources(6000, ranks))
    order = found(choices, ranks)
    node = ranks.node_of(ranks.of_experts(order))
    assert all(len(set(node[m])) == 1 for m in members) and np.bincount(ranks.of_experts(order)).tolist() == ranks.sizes(experts).tolist()


def all_ranks(sizes):
    """Every division of experts among ranks of these sizes."""
    labels = [r for r, n in enumerate(sizes) for _ in range(n)]
    return np.array(sorted(set(itertools.permutations(labels))))


@pytest.mark.parametrize("experts,nodes,per_node,top_k", [(8, 2, 1, 2), (8, 2, 1, 3), (8, 4, 1, 2), (7, 3, 1, 3), (6, 3, 1, 2),
                                                          (8, 2, 2, 3)])
@pytest.mark.parametrize("tolerance,near", [(0, 1.05), (0.05, 1.01), (0.3, 1.01)])
def test_small_cases_are_near_the_best_of_all(experts, nodes, per_node, top_k, tolerance, near):
    """Of 8 random cases each the cost is in 7 the least of all placements whose loads are allowed, and nowhere more than 1 % above it; 5 %
    where loads are to be as even as can be, which leaves a few placements far apart."""
    ranks, best, every = Ranks(nodes, per_node), 0, all_ranks(Ranks(nodes, per_node).sizes(experts))
    for seed in range(8):
        rng = np.random.default_rng(seed)
        score = rng.normal(size=(400, 3)) @ rng.normal(size=(3, experts)) + rng.gumbel(size=(400, experts))
        choices = Choices(0, experts, np.argsort(-score, 1)[:, :top_k], sources(400, ranks))
        load, sets = choices.load(), nets.distinct(choices)
        most = (1 + tolerance) * packing.loads_of(load, packing.evenest(load, ranks.sizes(experts)), ranks.count).max() * (1 + 1e-9)
        allowed = [rank for rank in every if np.bincount(rank, load, ranks.count).max() <= most]
        least = min(sets.cost(ranks.node_of(rank), nodes) for rank in allowed)
        mine = partition.partition(choices, ranks, tolerance)
        assert np.bincount(mine, load, ranks.count).max() <= most and np.bincount(mine).tolist() == ranks.sizes(experts).tolist()
        assert least <= sets.cost(ranks.node_of(mine), nodes) <= near * least
        best += sets.cost(ranks.node_of(mine), nodes) == least
    assert best >= 7


@pytest.mark.parametrize("nodes", [2, 3, 5])
def test_tables_of_gains_are_what_exchanges_save(nodes):
    rng, ranks = np.random.default_rng(nodes), Ranks(nodes)
    chosen = uniform(500, 12, 4, rng)
    chosen[rng.random(chosen.shape) < 0.2] = 12  # dropped
    sets = nets.distinct(Choices(0, 12, chosen, sources(500, ranks)))
    node = ranks.of_experts(rng.permutation(12))
    state = nets.State(sets, node, nodes)
    for _ in range(20):
        gains = state.gains()
        a, b = rng.choice(12, 2, replace=False)
        moved = state.node[:-1].copy()
        moved[a], moved[b] = moved[b], moved[a]
        if state.node[a] == state.node[b]:
            assert gains[a, b] == -np.inf
        else:
            assert gains[a, b] == gains[b, a] == sets.cost(state.node[:-1], nodes) - sets.cost(moved, nodes)
        state.exchange(a, b)
    fresh = nets.State(sets, state.node[:-1], nodes)
    for name in ("leave", "enter", "shared"):
        assert np.array_equal(getattr(state, name), getattr(fresh, name)), name


def test_distinct_sets_are_those_of_plain_loops():
    rng = np.random.default_rng(2)
    chosen = uniform(3000, 9, 5, rng)
    chosen[rng.random(chosen.shape) < 0.4] = 9
    counts = {}
    for row in chosen.tolist():
        key = tuple(sorted(e for e in row if e < 9))
        counts[key] = counts.get(key, 0) + 1
    sets = nets.distinct(Choices(0, 9, chosen, np.zeros(3000, int)))
    assert {tuple(e for e in row if e < 9): n for row, n in zip(sets.chosen.tolist(), sets.weight.tolist())} == {
        key: n for key, n in counts.items() if len(key) > 1}
    table = nets.together(sets)
    assert all(table[a, b] == (a != b) * sum(n for key, n in counts.items() if a in key and b in key) for a in range(9) for b in range(9))


def test_greedy_packing_by_hand():
    assert packing.greedy(np.array([5, 9, 1, 4, 2, 3]), [2, 2, 2]).tolist() == [1, 0, 0, 2, 1, 2]  # 9 | 5 | 4, then 3 to the least: 4
    assert packing.greedy(np.array([9, 8, 1]), [0, 1, 2]).tolist() == [1, 2, 2]


@pytest.mark.parametrize("seed", range(10))
def test_swaps_even_loads(seed):
    rng = np.random.default_rng(seed)
    load, sizes = rng.integers(0, 1000, 24), Ranks(5).sizes(24)
    first = packing.greedy(load, sizes)
    rank = packing.evened(load, first, 5)
    assert np.bincount(rank).tolist() == np.bincount(first).tolist() == sizes.tolist()
    after = packing.loads_of(load, rank, 5)
    assert after.max() <= packing.loads_of(load, first, 5).max()
    for a, b in itertools.combinations(range(24), 2):  # no exchange is left that lowers the largest load
        swapped = rank.copy()
        swapped[a], swapped[b] = rank[b], rank[a]
        assert packing.loads_of(load, swapped, 5).max() >= after.max() or (after == after.max()).sum() > 1


def uneven(experts, rng, groups):
    """Tokens within hidden groups of which one is chosen much more often than the others."""
    share = np.array([0.55, *np.full(groups - 1, 0.45 / (groups - 1))])
    member = hidden_groups(experts, groups)[rng.choice(groups, 8000, p=share)]
    return uniform(8000, experts, 2, rng, member)


@pytest.mark.parametrize("per_node", [1, 2])
@pytest.mark.parametrize("tolerance", [0, 0.1, 1.0])
def test_loads_stay_within_the_tolerance(per_node, tolerance):
    ranks = Ranks(4, per_node)
    choices = Choices(0, 32, uneven(32, np.random.default_rng(0), 4), sources(8000, ranks))
    load = choices.load()
    even = packing.loads_of(load, packing.evenest(load, ranks.sizes(32)), ranks.count).max()
    rank = partition.partition(choices, ranks, tolerance)
    assert np.bincount(rank, load, ranks.count).max() <= (1 + tolerance) * even * (1 + 1e-9)
    sets = nets.distinct(choices)
    assert sets.cost(ranks.node_of(rank), 4) < 0.99 * sets.cost(ranks.node_of(packing.evenest(load, ranks.sizes(32))), 4)


def test_experts_that_are_never_chosen_have_their_place():
    ranks, rng = Ranks(4), np.random.default_rng(0)
    member = hidden_groups(16, 4)[:, :3][rng.permutation(3000) % 4]  # the last of each group is never chosen
    choices = Choices(0, 16, uniform(3000, 16, 2, rng, member), sources(3000, ranks))
    order = found(choices, ranks)
    assert sorted(order.tolist()) == list(range(16)) and (choices.load() == 0).sum() == 4
    assert len({ranks.of_experts(order)[g[0]] for g in hidden_groups(16, 4)}) == 4
    assert all(len(set(ranks.of_experts(order)[g[:3]])) == 1 for g in hidden_groups(16, 4))


@pytest.mark.parametrize("chosen", [np.full((50, 2), 6), np.tile([0, 6], (50, 1))], ids=["all dropped", "one choice left"])
def test_where_nothing_is_chosen_together(chosen):
    ranks = Ranks(3)
    assert sorted(found(Choices(0, 6, chosen, sources(50, ranks)), ranks).tolist()) == list(range(6))


def test_fewer_experts_than_ranks():
    ranks = Ranks(4, 2)
    choices = Choices(0, 5, uniform(400, 5, 2, np.random.default_rng(0)), sources(400, ranks))
    assert np.bincount(partition.partition(choices, ranks, 0.05), minlength=8).tolist() == ranks.sizes(5).tolist()


def test_the_same_seed_gives_the_same_and_many_sets_are_thinned(monkeypatch):
    ranks = Ranks(4)
    choices = grouped(4000, 32, 4, 4, ranks, inside=0.6)
    assert found(choices, ranks, seed=3).tolist() == found(choices, ranks, seed=3).tolist()
    monkeypatch.setattr(partition, "MOST_SETS", 300)
    sent = traffic(found(choices, ranks), ranks, choices).node.sum()
    assert sent < 0.85 * traffic(np.arange(32), ranks, choices).node.sum()
