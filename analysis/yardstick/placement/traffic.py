"""What a placement sends between nodes, counted token by token, and what uniformly random choices would send."""
from math import comb
from typing import NamedTuple

import numpy as np

PIECE = 1 << 13  # tokens counted at once


class Choices(NamedTuple):
    """Sampled tokens of a layer."""
    block: int           # transformer block, from 0
    experts: int         # E
    chosen: np.ndarray   # (tokens, k) expert ids, best first; E stands for a choice that was dropped
    rank: np.ndarray     # (tokens,) rank that a token is on

    def part(self, which):
        return self._replace(chosen=self.chosen[which], rank=self.rank[which])

    def load(self):
        """(E,) choices of each expert."""
        return np.bincount(self.chosen.ravel(), minlength=self.experts + 1)[:self.experts]


class Traffic(NamedTuple):
    """Rows that tokens send to other nodes at dispatch: (tokens,) of each, and the load (ranks,) of each rank."""
    flat: np.ndarray     # a row for each choice
    node: np.ndarray     # a row for each node, however many of its experts are chosen
    limited: np.ndarray  # the same where a token keeps the `limit` nodes with most of its choices
    moved: np.ndarray    # choices beyond those nodes, which group-limited routing would have made otherwise
    load: np.ndarray

    def largest(self):
        """Largest load of a rank over the mean."""
        return self.load.max() / max(self.load.mean(), 1e-300)


def per_node(node, nodes):
    """(tokens, nodes + 1) choices of a token on each node; the last column is that of node `nodes`, of dropped choices."""
    rows = np.arange(len(node))[:, None] * (nodes + 1)
    return np.bincount((rows + node).ravel(), minlength=len(node) * (nodes + 1)).reshape(len(node), nodes + 1)


def _kept(node, count, limit):
    """(tokens, nodes) whether a token keeps a node: of its nodes the `limit` with most choices, of equal ones those of better choices."""
    top_k, nodes = node.shape[1], count.shape[1]
    if limit >= min(top_k, nodes):
        return count > 0
    best = np.full((len(node), nodes + 1), top_k)
    for choice in range(top_k - 1, -1, -1):
        best[np.arange(len(node)), node[:, choice]] = choice
    key = count * (top_k + 1) + (top_k - best[:, :nodes])  # of nodes with choices no two are equal
    least = -np.partition(-key, limit - 1, axis=1)[:, limit - 1:limit]
    return (key >= least) & (count > 0)


def traffic(order, ranks, choices, limit=None):
    """Traffic of the tokens under a placement; without a limit of nodes a token keeps all."""
    rank = ranks.of_experts(order)
    node = np.append(ranks.node_of(rank), ranks.nodes)
    size = len(choices.chosen)
    rows = {name: np.empty(size, np.int16) for name in ("flat", "node", "limited", "moved")}
    for part in (slice(i, i + PIECE) for i in range(0, size, PIECE)):
        at, own = node[choices.chosen[part]], ranks.node_of(choices.rank[part])
        count = per_node(at, ranks.nodes)[:, :-1]
        kept = _kept(at, count, limit or ranks.nodes)
        rows["moved"][part] = (count * ~kept).sum(1)
        count[np.arange(len(at)), own] = 0
        rows["flat"][part] = count.sum(1)
        rows["node"][part] = (count > 0).sum(1)
        rows["limited"][part] = ((count > 0) & kept).sum(1)
    load = np.bincount(np.append(rank, ranks.count)[choices.chosen].ravel(), minlength=ranks.count + 1)[:-1]
    return Traffic(**rows, load=load)


def random_rows(ranks, experts, top_k, share, limit=None):
    """(flat, node, limited) rows a token that uniform choices of k different of E experts send (docs/science.md, "Rows across nodes"), for
    any split of experts and tokens: the sum over nodes of the share of tokens elsewhere times the choices there, or the chance of any.
    share (nodes,): of tokens on each node. Limited: `limit` nodes for each token, drawn uniformly, each with a choice: None without a
    limit."""
    held, elsewhere = ranks.sizes(experts).reshape(ranks.nodes, -1).sum(1), 1 - np.asarray(share)
    met = np.array([1 - comb(experts - int(h), top_k) / comb(experts, top_k) for h in held])
    return (float(elsewhere @ held) * top_k / experts, float(elsewhere @ met),
            None if limit is None else limit * float(elsewhere.sum()) / ranks.nodes)
