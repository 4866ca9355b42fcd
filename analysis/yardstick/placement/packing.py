"""Experts on ranks by their loads alone: the greedy packing of EPLB, and the evenest that swaps make of it."""
import heapq

import numpy as np

SWAPS = 10_000  # that even a packing at most; each lowers the largest load


def greedy(load, sizes):
    """(experts,) rank of each expert: the heaviest first, each to the rank of least load that has room, as the packing of
    deepseek-ai/EPLB without replicas. sizes (ranks,): experts of each rank, as many as there are."""
    rank, room, heap = np.empty(len(load), np.int64), list(sizes), [(0, r) for r in range(len(sizes)) if sizes[r]]
    for expert in np.argsort(-load, kind="stable").tolist():
        least, r = heapq.heappop(heap)
        rank[expert] = r
        room[r] -= 1
        if room[r]:
            heapq.heappush(heap, (least + int(load[expert]), r))
    return rank


def loads_of(load, rank, count):
    """(ranks,) load of each."""
    return np.bincount(rank, load, count)


def evened(load, rank, count):
    """The same after swaps of two experts, each the one that leaves the larger of two ranks' loads smallest, as long as that lowers the
    load of the most loaded rank."""
    rank, total = rank.copy(), loads_of(load, rank, count)
    for _ in range(SWAPS):
        top = int(total.argmax())
        mine, others = np.nonzero(rank == top)[0], np.nonzero(rank != top)[0]
        if not len(mine) or not len(others):
            break
        less = load[mine][:, None] - load[others][None, :]  # what the most loaded rank loses
        larger = np.maximum(total[top] - less, total[rank[others]] + less)
        at = int(larger.argmin())
        if larger.flat[at] >= total[top]:
            break
        a, b = mine[at // len(others)], others[at % len(others)]
        rank[a], rank[b] = rank[b], rank[a]
        total = loads_of(load, rank, count)
    return rank


def evenest(load, sizes):
    """(experts,) rank of each expert, of loads as even as greedy packing and swaps make them."""
    return evened(load, greedy(load, sizes), len(sizes))
