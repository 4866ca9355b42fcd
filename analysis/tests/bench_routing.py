"""Time and memory of the routing analyses on a synthetic sample:
    PYTHONPATH=analysis OPENBLAS_NUM_THREADS=1 python analysis/tests/bench_routing.py [--tokens 1000000] [--layers 4]
        [--choices 2] [--experts 64]
Prints the processor seconds of each group of quantities, those and the wall time of all, and the peak of the memory
allocated beside the loaded sample."""
import argparse
import json
import time
import tracemalloc

import numpy as np
import xarray as xr

from yardstick.routing import analyses


def sample(tokens, layers, choices, experts, vocabulary=4096, evaluations=2):
    """An evaluation with Zipf tokens, documents of some 1000 tokens, 4 domains and routing that follows the token in half of
    the cases, in the types of the record."""
    rng = np.random.default_rng(0)
    token = ((rng.zipf(1.2, tokens) - 1) % vocabulary).astype("i4")
    document = np.cumsum(rng.random(tokens) < 1e-3)
    expert = np.empty((evaluations, tokens, layers, choices), "i2")
    for at in np.ndindex(evaluations, layers):
        first = np.where(rng.random(tokens) < 0.5, token % experts, rng.integers(0, experts, tokens))
        for c in range(choices):  # different experts of a token: first, first + a step, first + 2 steps, ...
            expert[at[0], :, at[1], c] = (first + c * (1 + token % ((experts - 1) // max(choices, 1) or 1))) % experts
    follows, guess = np.roll(token, -1), np.broadcast_to(np.roll(token, -1), (evaluations, tokens))
    text = np.array([f"{w}".encode() for w in range(vocabulary)], "S16")
    columns = dict(token=token, next=follows, position=(np.arange(tokens) % 256).astype("i4"), document=document,
                   domain=(document % 4).astype("i4"))
    return xr.Dataset({**{name: ("sample", values) for name, values in columns.items()}, "step": ("evaluation", np.arange(evaluations)),
                       "predicted": (("evaluation", "sample"), guess), "expert": (("evaluation", "sample", "layer", "choice"), expert),
                       "token_text": ("vocabulary", text), "experts": ("layer", np.full(layers, experts))},
                      attrs=dict(domains=json.dumps(["a", "b", "c", "d"])))


def measured(**shape):
    """(processor seconds, wall seconds, MiB, what was found) of all analyses of such a sample. The peak is that of what Python and
    NumPy allocate beside the sample, taken in a second pass, since counting costs time."""
    evaluation = sample(**shape)
    start, wall = time.process_time(), time.perf_counter()
    found = analyses.measure(evaluation)
    seconds, wall = time.process_time() - start, time.perf_counter() - wall
    tracemalloc.start()
    analyses.measure(evaluation)
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    return seconds, wall, peak, found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in dict(tokens=1_000_000, layers=4, choices=2, experts=64).items():
        parser.add_argument(f"--{name}", type=int, default=default)
    shape = vars(parser.parse_args())
    group = analyses._group

    def timed(found, name, *rest, **more):
        start = time.process_time()
        group(found, name, *rest, **more)
        tracemalloc.is_tracing() or print(f"  {name:13s} {time.process_time() - start:6.2f} s")
    analyses._group = timed
    seconds, wall, peak, found = measured(**shape)
    print(f"{shape}: {seconds:.2f} s of one core ({wall:.2f} s of wall time), peak {peak:.0f} MiB beside the sample, "
          f"{len(found)} quantities")


if __name__ == "__main__":
    main()
