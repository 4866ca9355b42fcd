"""Time and memory of placing the experts of one layer, by tokens that choose half of the time within hidden groups of experts:
    PYTHONPATH=analysis OPENBLAS_NUM_THREADS=1 python analysis/tests/bench_placement.py [--tokens 500000] [--experts 512]
        [--choices 8] [--nodes 16] [--per-node 4]
Prints processor seconds, the peak of what Python and NumPy allocate beside the sample, and rows a token before and after."""
import argparse
import time
import tracemalloc

import numpy as np
from placement_fixture import grouped

from yardstick.placement import ranks as layout
from yardstick.placement import traffic
from yardstick.placement.partition import partition


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in dict(tokens=500_000, experts=512, choices=8, nodes=16, per_node=4).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default)
    args = parser.parse_args()
    ranks = layout.Ranks(args.nodes, args.per_node)
    choices = grouped(args.tokens, args.experts, args.choices, args.nodes, ranks, inside=0.5)
    start = time.process_time()
    order = layout.order_of(partition(choices, ranks, 0.05), ranks)
    seconds = time.process_time() - start
    tracemalloc.start()
    partition(choices, ranks, 0.05)
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    rows = [traffic.traffic(o, ranks, choices).node.mean() for o in (np.arange(args.experts), order)]
    print(f"{vars(args)}: {seconds:.1f} s of one core, peak {peak:.0f} MiB; rows a token {rows[0]:.3f} contiguous, {rows[1]:.3f} found")


if __name__ == "__main__":
    main()
