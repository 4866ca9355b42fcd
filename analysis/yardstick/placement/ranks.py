"""Nodes and ranks, and which expert lives where. A placement is the order of a layer's experts by place: place p is where expert p lives
without one."""
from typing import NamedTuple

import numpy as np


class Ranks(NamedTuple):
    """One expert-parallel group: `nodes` nodes of `per_node` contiguous ranks."""
    nodes: int
    per_node: int = 1

    @property
    def count(self):
        return self.nodes * self.per_node

    def parts(self, total):
        """(ranks + 1,) limits of `total` things split contiguously, as `split_evenly` of src/config/layout.hpp: sizes differ by one at
        most."""
        return total * np.arange(self.count + 1, dtype=np.int64) // self.count

    def sizes(self, experts):
        """(ranks,) experts of each rank; 0 of some where there are fewer experts than ranks."""
        return np.diff(self.parts(experts))

    def of_places(self, experts):
        """(experts,) rank of each place."""
        return np.repeat(np.arange(self.count), self.sizes(experts))

    def of_experts(self, order):
        """(experts,) rank of each expert of a placement."""
        rank = np.empty(len(order), np.int64)
        rank[order] = self.of_places(len(order))
        return rank

    def of_sequences(self, sequence, batch, grains):
        """Rank that has each sequence of the global batch: grains hold batch/grains sequences, ranks contiguous grains."""
        return np.searchsorted(self.parts(grains), sequence // (batch // grains), "right") - 1

    def node_of(self, rank):
        return rank // self.per_node


def _alike(labels, key, first):
    """label -> label, exchanged among those of equal `key` so that `first` ascends."""
    found = {}
    for one in sorted({key[label] for label in labels}):
        same = [label for label in labels if key[label] == one]
        found |= dict(zip(sorted(same, key=lambda label: first[label]), same))
    return found


def order_of(rank, ranks):
    """The placement that has each expert on the given rank (experts,), up to names: nodes, and ranks within one, that hold equally many
    exchange names so that their smallest experts ascend, and the experts of a rank ascend. What it sends is the same on average over
    the ranks that tokens come from."""
    rank, sizes = np.asarray(rank), ranks.sizes(len(rank))
    smallest = [min(np.nonzero(rank == r)[0], default=len(rank)) for r in range(ranks.count)]
    blocks = [range(n * ranks.per_node, (n + 1) * ranks.per_node) for n in range(ranks.nodes)]
    nodes = _alike(range(ranks.nodes), [tuple(sizes[b].tolist()) for b in blocks], [min(smallest[r] for r in b) for b in blocks])
    name = {}
    for node, block in enumerate(blocks):
        inner = _alike(block, sizes, smallest)
        name |= {r: nodes[node] * ranks.per_node + inner[r] % ranks.per_node for r in block}
    return np.lexsort((np.arange(len(rank)), np.array([name[r] for r in rank.tolist()])))
