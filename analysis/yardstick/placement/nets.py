"""Sets of experts that tokens choose, as weighted nets of a hypergraph whose vertices are experts, and what exchanging two experts of
different nodes would save. The cost is the connectivity metric of hypergraph partitioning: the nodes that nets touch, summed over
nets."""
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array

from .traffic import per_node

PIECE = 1 << 13  # nets whose tables are made at once


class Nets(NamedTuple):
    """Nets (n, k) of at most k experts; `experts` itself stands where one has fewer. weight (n,): tokens of each."""
    experts: int
    chosen: np.ndarray
    weight: np.ndarray

    def cost(self, node, nodes):
        """Weighted sum of the nodes that nets touch, with the node (experts,) of each expert."""
        node = np.append(node, nodes)
        return sum(float(self.weight[part] @ (per_node(node[self.chosen[part]], nodes)[:, :-1] > 0).sum(1))
                   for part in _pieces(len(self.weight)))


def _pieces(count):
    return [slice(i, min(i + PIECE, count)) for i in range(0, count, PIECE)]


def distinct(choices):
    """The distinct sets that tokens choose, those of fewer than two experts left out: they touch one node wherever that is."""
    chosen = np.sort(choices.chosen.astype(np.uint64), axis=1)
    keys = np.zeros((-(-chosen.shape[1] // 4), len(chosen)), np.uint64)
    for c in range(chosen.shape[1]):  # four of 16 bits in one key
        keys[c // 4] = keys[c // 4] << np.uint64(16) | chosen[:, c]
    order = np.lexsort(keys)
    new = np.ones(len(order), bool)
    new[1:] = (np.diff(keys[:, order].astype(np.int64), axis=1) != 0).any(0)
    at = np.nonzero(new)[0]
    weight = np.diff(np.append(at, len(order)))
    sets = chosen[order[at]].astype(np.int64)
    several = (sets < choices.experts).sum(1) > 1
    return Nets(choices.experts, sets[several], weight[several].astype(float))


def together(nets):
    """(experts, experts) tokens that chose both, 0 on the diagonal."""
    count, size = nets.chosen.shape
    member = csr_array((np.ones(count * size), nets.chosen.ravel(), size * np.arange(count + 1)), shape=(count, nets.experts + 1))
    table = (member.multiply(nets.weight[:, None]).T @ member).toarray()[:-1, :-1]
    np.fill_diagonal(table, 0)
    return table


def pairs(table):
    """Nets of two experts, from the tokens that chose both: their cost is the cut of the co-activation graph, beside a constant."""
    first, second = np.nonzero(np.triu(table))
    return Nets(len(table), np.stack([first, second], 1), table[first, second])


class State:
    """A division of experts among nodes, with tables from which the saving of every exchange follows, kept up to date. Weights are
    numbers of tokens, so that every sum is exact and comes out the same in any order."""

    def __init__(self, nets, node, nodes):
        self.nets, self.nodes = nets, nodes
        self.node = np.append(node, nodes)  # the last stands where a net has fewer experts
        size = nets.experts + 1
        self.leave = np.zeros(size)          # tokens of an expert that alone is on its node: saved where it leaves
        self.enter = np.zeros((nodes, size))  # tokens of an expert without any on a node: added where it comes there
        self.shared = np.zeros((size, size))  # tokens of both of which the first is alone on its node: not saved in an exchange
        for part in _pieces(len(nets.weight)):
            self._add(nets.chosen[part], nets.weight[part])
        count, width = nets.chosen.shape
        self.nets_of = csr_array((np.repeat(np.arange(count), width), nets.chosen.ravel(), width * np.arange(count + 1)),
                                 shape=(count, size)).tocsc() if count else None

    def _add(self, chosen, weight):
        """Adds nets to the tables; a negative weight takes them out."""
        size = self.nets.experts + 1
        at = self.node[chosen]
        count = per_node(at, self.nodes)
        alone = np.where(np.take_along_axis(count, at, 1) == 1, weight[:, None], 0)
        self.leave += np.bincount(chosen.ravel(), alone.ravel(), size)
        member = csr_array((np.ones(chosen.size), chosen.ravel(), chosen.shape[1] * np.arange(len(chosen) + 1)), shape=(len(chosen), size))
        self.enter += (member.T @ (weight[:, None] * (count[:, :-1] == 0))).T
        both = chosen[:, :, None] * size + chosen[:, None, :]
        self.shared += np.bincount(both.ravel(), np.broadcast_to(alone[:, :, None], both.shape).ravel(), size * size).reshape(size, size)

    def gains(self):
        """(experts, experts) cost saved by exchanging two experts; of those on one node -inf."""
        own = self.node[:-1]
        one = (self.leave - self.enter[own])[:, :-1].T - self.shared[:-1, :-1]  # of the first alone
        one = one + one.T
        one[own[:, None] == own] = -np.inf
        return one

    def exchange(self, a, b):
        """Exchanges two experts."""
        if self.nets_of is not None:
            starts = self.nets_of.indptr
            rows = np.union1d(*(self.nets_of.indices[starts[e]:starts[e + 1]] for e in (a, b)))
            chosen, weight = self.nets.chosen[rows], self.nets.weight[rows]
            parts = _pieces(len(rows))
            for part in parts:
                self._add(chosen[part], -weight[part])
        self.node[a], self.node[b] = self.node[b], self.node[a]
        if self.nets_of is not None:
            for part in parts:
                self._add(chosen[part], weight[part])
