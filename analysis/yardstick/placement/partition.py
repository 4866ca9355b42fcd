"""Which experts share a node: a balanced partition of the hypergraph of what tokens choose together (`nets`), by greedy growth on the
co-activation graph and exchanges of pairs in passes of Kernighan and Lin, with Fiduccia's and Mattheyses's kept tables of gains. Same
input and seed, same result."""
from typing import NamedTuple

import numpy as np

from .nets import Nets, State, distinct, pairs, together
from .packing import evenest, loads_of

GROWTHS = 4         # starts grown on the co-activation graph
REFINED = 2         # of all starts, refined on the sets themselves
MOST_SETS = 1 << 16  # distinct sets that are refined on; of more every n-th in lexical order
TRIES = 32          # exchanges whose ranks are packed anew, of one step
EASE = 1e-9         # relative, of a load against its limit


class Room(NamedTuple):
    """What is allowed: (E,) loads, (nodes, ranks of one) experts of each rank, and the largest load of a rank."""
    load: np.ndarray
    sizes: np.ndarray
    most: float

    def node_loads(self, node):
        return np.bincount(node, self.load, len(self.sizes))

    def limits(self):
        """(nodes,) largest load of a node."""
        return self.most * (self.sizes > 0).sum(1) * (1 + EASE)

    def packed(self, members, node):
        """(members,) ranks within a node, as even as can be; None where the load of one is beyond the limit."""
        rank = evenest(self.load[members], self.sizes[node])
        fits = loads_of(self.load[members], rank, self.sizes.shape[1]).max(initial=0) <= self.most * (1 + EASE)
        return rank if fits else None

    def allows(self, node, nodes):
        """Whether the experts of these nodes fit on their ranks."""
        return all(self.packed(np.nonzero(node == n)[0], n) is not None for n in nodes)


def _best(state, room, free):
    """(gain, a, b) of the best exchange of two free experts that leaves all loads within their limits; None without one."""
    gains, node, load = state.gains(), state.node[:-1], room.load
    total, limits = room.node_loads(node), room.limits()
    after = total[node][:, None] - load[:, None] + load[None, :]  # of the node of the first
    fits = after <= limits[node][:, None]
    gains[~(fits & fits.T & (free[:, None] & free))] = -np.inf
    gains[np.tri(len(gains), dtype=bool)] = -np.inf  # each pair once
    for _ in range(TRIES):
        at = int(gains.argmax())
        if gains.flat[at] == -np.inf:
            return None
        a, b = divmod(at, len(gains))
        if room.sizes.shape[1] == 1:
            return gains[a, b], a, b
        moved = node.copy()
        moved[a], moved[b] = node[b], node[a]
        if room.allows(moved, (node[a], node[b])):
            return gains[a, b], a, b
        gains[a, b] = -np.inf
    return None


def _pass(state, room):
    """One pass of Kernighan and Lin: best exchanges, each expert once, and back to the best of the states met; what it saved."""
    free, done, saved, best, kept = np.ones(len(room.load), bool), [], 0.0, 0.0, 0
    while len(done) - kept < 8 + len(room.load) // 16:
        found = _best(state, room, free)
        if found is None:
            break
        gain, a, b = found
        state.exchange(a, b)
        free[[a, b]] = False
        done.append((a, b))
        saved += gain
        if saved > best:
            best, kept = saved, len(done)
    for a, b in reversed(done[kept:]):
        state.exchange(a, b)
    return best


def refined(nets, node, room):
    """(E,) node of each expert after passes, until one saves nothing."""
    state = State(nets, node, len(room.sizes))
    while _pass(state, room) > 0:
        pass
    return state.node[:-1].copy()


def _relieved(node, table, room):
    """The same with loads within their limits: exchanges that take most off what is beyond them, of equal ones what keeps most of the
    co-activation; None where they do not get there."""
    node, load, limits = node.copy(), room.load, room.limits()
    for _ in range(4 * len(load)):
        over = np.maximum(room.node_loads(node) - limits, 0)
        if over.sum() == 0:
            return node if room.allows(node, range(len(limits))) else None
        total = room.node_loads(node)
        after = np.maximum(total[node][:, None] - load[:, None] + load - limits[node][:, None], 0)
        left = after + after.T - over[node][:, None] - over[node]
        left[node[:, None] == node] = 0
        tie = table @ (node[:, None] == np.arange(len(limits)))  # (E, nodes) pairs of an expert with those of a node
        keeps = tie[:, node] - tie[np.arange(len(node)), node][:, None]
        if left.min() >= 0:
            return None
        a, b = divmod(int(np.lexsort((-(keeps + keeps.T).ravel(), left.ravel()))[0]), len(load))
        node[a], node[b] = node[b], node[a]
    return None


def _grown(table, room, rng):
    """(E,) node of each expert: nodes filled one after another, from a drawn expert on with the one chosen most often together with
    those there, above what loads alone give."""
    load, size = room.load, len(room.load)
    excess = table - np.outer(table.sum(1), table.sum(0)) / max(table.sum(), 1)
    node, rest = np.full(size, -1), np.ones(size, bool)
    for n, count in enumerate(room.sizes.sum(1)):
        drawn = rng.permutation(size)
        for i in range(count):
            near = excess[:, node == n].sum(1) if i else -np.argsort(drawn).astype(float)
            chosen = int(np.where(rest, near, -np.inf).argmax())
            node[chosen], rest[chosen] = n, False
    return node


def _starts(table, room, seed):
    """Divisions of experts among nodes within all limits, different ones, each refined on the co-activation graph, the first not."""
    sizes, nodes = room.sizes, len(room.sizes)
    node_of_rank = np.repeat(np.arange(nodes), sizes.shape[1])
    even, rng = node_of_rank[evenest(room.load, sizes.ravel())], np.random.default_rng(seed)
    raw = [np.repeat(np.arange(nodes), sizes.sum(1)), *(_grown(table, room, rng) for _ in range(GROWTHS))]
    found = [even] + [node for node in (_relieved(node, table, room) for node in raw) if node is not None]
    return [even] + [refined(pairs(table), node, room) for node in found]


def partition(choices, ranks, tolerance, seed=0):
    """(E,) rank of each expert: as many experts on each as a contiguous split has, the largest load at most 1 + tolerance times that of
    the evenest packing found, and few nodes a token."""
    load, sizes = choices.load().astype(float), ranks.sizes(choices.experts)
    even = evenest(load, sizes)
    nets = distinct(choices)
    if not len(nets.weight):
        return even
    room = Room(load, sizes.reshape(ranks.nodes, -1), (1 + tolerance) * loads_of(load, even, ranks.count).max())
    some = nets
    if len(nets.weight) > MOST_SETS:
        step = -(-len(nets.weight) // MOST_SETS)
        some = Nets(nets.experts, nets.chosen[::step], nets.weight[::step])
    starts = sorted(_starts(together(nets), room, seed), key=lambda node: nets.cost(node, ranks.nodes))
    best = min((refined(some, node, room) for node in starts[:REFINED]), key=lambda node: nets.cost(node, ranks.nodes))
    best = min(best, starts[0], key=lambda node: nets.cost(node, ranks.nodes))
    rank = np.empty(len(load), np.int64)
    for n in range(ranks.nodes):
        members = np.nonzero(best == n)[0]
        rank[members] = n * ranks.per_node + room.packed(members, n)
    return rank
