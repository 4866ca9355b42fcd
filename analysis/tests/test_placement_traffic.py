"""What placements send: every count against plain loops, and uniformly random choices against the closed forms of
docs/science.md, "Rows across nodes"."""
import numpy as np
import pytest
from placement_fixture import hidden_groups, sources, uniform

from yardstick.placement.ranks import Ranks, order_of
from yardstick.placement.traffic import Choices, random_rows, traffic


def split_evenly(total, parts, part):
    return range(total * part // parts, total * (part + 1) // parts)


def looped(order, ranks, choices, limit):
    """(flat, node, limited, moved) of each token and the load of each rank, by the definitions."""
    order, rank_of = list(order), {}
    for rank in range(ranks.count):
        for place in split_evenly(len(order), ranks.count, rank):
            rank_of[order[place]] = rank
    rows, load = [], [0] * ranks.count
    for chosen, own in zip(choices.chosen.tolist(), choices.rank.tolist()):
        nodes = [rank_of[e] // ranks.per_node for e in chosen if e < choices.experts]
        for e in chosen:
            if e < choices.experts:
                load[rank_of[e]] += 1
        keep = sorted(dict.fromkeys(nodes), key=lambda n: (-nodes.count(n), nodes.index(n)))[:limit]
        home = own // ranks.per_node
        rows.append((sum(n != home for n in nodes), len(set(nodes) - {home}), len(set(keep) - {home}), sum(n not in keep for n in nodes)))
    return np.array(rows), load


@pytest.mark.parametrize("nodes,per_node,experts,top_k,limit", [(2, 1, 8, 2, 1), (4, 2, 16, 4, 2), (3, 2, 17, 5, 2), (3, 1, 7, 3, 3),
                                                                (5, 2, 6, 2, 1), (2, 3, 9, 1, 1), (4, 1, 32, 8, 3)])
def test_counts_are_those_of_plain_loops(nodes, per_node, experts, top_k, limit):
    rng, ranks = np.random.default_rng(experts), Ranks(nodes, per_node)
    chosen = uniform(300, experts, top_k, rng)
    chosen[rng.random(chosen.shape) < 0.1] = experts  # dropped
    choices = Choices(0, experts, chosen, rng.integers(0, ranks.count, 300))
    order = rng.permutation(experts)
    found, (rows, load) = traffic(order, ranks, choices, limit), looped(order, ranks, choices, limit)
    for column, name in enumerate(("flat", "node", "limited", "moved")):
        assert getattr(found, name).tolist() == rows[:, column].tolist(), name
    assert found.load.tolist() == load and choices.load().sum() == (chosen < experts).sum()
    whole = traffic(order, ranks, choices)
    assert (whole.limited == whole.node).all() and not whole.moved.any()


def test_more_tokens_than_are_counted_at_once():
    ranks = Ranks(4)
    choices = Choices(0, 8, uniform(20_000, 8, 2, np.random.default_rng(0)), sources(20_000, ranks))
    whole = traffic(np.arange(8), ranks, choices)
    parts = [traffic(np.arange(8), ranks, choices.part(slice(i, i + 1000))) for i in range(0, 20_000, 1000)]
    assert whole.node.tolist() == np.concatenate([p.node for p in parts]).tolist()
    assert whole.load.tolist() == sum(p.load for p in parts).tolist()


@pytest.mark.parametrize("experts,top_k,nodes,flat,node", [(256, 8, 4, 6.00, 2.71), (256, 8, 8, 7.00, 4.63), (256, 8, 16, 7.50, 6.12),
                                                           (64, 6, 8, 5.25, 3.97), (64, 2, 8, 1.75, 1.65)])
def test_closed_forms_are_those_of_the_published_table(experts, top_k, nodes, flat, node):
    found = random_rows(Ranks(nodes), experts, top_k, np.full(nodes, 1 / nodes), 3)
    assert found[0] == flat and round(found[1], 2) == node and found[2] == pytest.approx(3 * (nodes - 1) / nodes)


@pytest.mark.parametrize("nodes,per_node,experts,top_k", [(4, 1, 64, 8), (2, 2, 32, 2), (3, 1, 10, 3), (4, 2, 30, 4), (4, 1, 3, 2)])
def test_uniform_choices_send_what_the_closed_form_says(nodes, per_node, experts, top_k):
    """Also where nodes have unequal numbers of experts, or none, and the tokens are on some ranks more than on others."""
    rng, ranks, tokens = np.random.default_rng(3), Ranks(nodes, per_node), 40_000
    rank = np.minimum(rng.integers(0, ranks.count + 1, tokens), ranks.count - 1)
    choices = Choices(0, experts, uniform(tokens, experts, top_k, rng), rank)
    share = np.bincount(ranks.node_of(rank), minlength=nodes) / tokens
    closed = random_rows(ranks, experts, top_k, share)
    found = traffic(rng.permutation(experts), ranks, choices)
    for rows, expected in zip((found.flat, found.node), closed):
        assert abs(rows.mean() - expected) < 4 * rows.std() / np.sqrt(tokens) + 1e-12


@pytest.mark.parametrize("total,nodes,per_node", [(16, 4, 1), (17, 3, 2), (5, 4, 2), (512, 7, 3)])
def test_ranks_split_as_the_program_does(total, nodes, per_node):
    ranks = Ranks(nodes, per_node)
    expected = [len(split_evenly(total, ranks.count, r)) for r in range(ranks.count)]
    assert ranks.sizes(total).tolist() == expected and max(expected) - min(expected) <= 1
    assert ranks.of_experts(np.arange(total)).tolist() == np.repeat(np.arange(ranks.count), expected).tolist()


@pytest.mark.parametrize("batch,grains,count", [(8, 4, 2), (32, 8, 3), (6, 3, 5), (8, 8, 8)])
def test_sequences_are_on_the_rank_of_their_grain(batch, grains, count):
    expected = [next(r for r in range(count) if s // (batch // grains) in split_evenly(grains, count, r)) for s in range(batch)]
    assert Ranks(count).of_sequences(np.arange(batch), batch, grains).tolist() == expected


@pytest.mark.parametrize("nodes,per_node,experts", [(4, 1, 16), (3, 2, 17), (5, 2, 6), (2, 4, 32)])
def test_an_order_has_each_expert_with_the_same_neighbours(nodes, per_node, experts):
    rng, ranks = np.random.default_rng(nodes), Ranks(nodes, per_node)
    rank = np.empty(experts, int)
    rank[rng.permutation(experts)] = ranks.of_places(experts)
    order = order_of(rank, ranks)
    new = ranks.of_experts(order)
    assert sorted(order.tolist()) == list(range(experts))
    for of in (lambda r: r, ranks.node_of):
        assert {tuple(np.nonzero(of(rank) == v)[0]) for v in of(rank)} == {tuple(np.nonzero(of(new) == v)[0]) for v in of(new)}
    assert order_of(new, ranks).tolist() == order.tolist()  # names do not matter
    for r in range(ranks.count):
        assert (np.diff(order[ranks.of_places(experts) == r]) > 0).all()


def test_hidden_groups_are_named_by_their_first_expert():
    groups = hidden_groups(16, 4)
    rank = np.empty(16, int)
    rank[groups.ravel()] = np.repeat([2, 0, 3, 1], 4)
    assert order_of(rank, Ranks(4)).reshape(4, 4).tolist() == sorted(groups.tolist())
