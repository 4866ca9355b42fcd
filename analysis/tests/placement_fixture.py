"""Tokens with known routing for the tests of placements: uniform, or within hidden groups of experts; and run folders that hold them."""
import h5py
import numpy as np
from fixture import scale, variable, write_run

from yardstick.placement.traffic import Choices


def uniform(tokens, experts, top_k, rng, among=None):
    """(tokens, k) different experts, uniform, or by token from the (tokens, n) experts of `among`."""
    among = np.broadcast_to(np.arange(experts), (tokens, experts)) if among is None else among
    draw = np.argsort(rng.random(among.shape), 1)[:, :top_k] if among.shape[1] < 128 else np.array(
        [rng.choice(among.shape[1], top_k, replace=False) for _ in range(tokens)])
    return np.take_along_axis(among, draw, 1)


def hidden_groups(experts, groups, seed=7):
    """(groups, experts/groups) a division of experts that no contiguous one is."""
    return np.sort(np.random.default_rng(seed).permutation(experts).reshape(groups, -1), 1)


def sources(tokens, ranks):
    """(tokens,) ranks in turn, equally many tokens on each."""
    return np.arange(tokens) % ranks.count


def chosen_of(tokens, experts, top_k, groups, inside, rng):
    """(tokens, k) choices of which a share of `inside` of the tokens keep to one hidden group, the others being uniform."""
    kept = rng.random(tokens) < inside
    chosen = uniform(tokens, experts, top_k, rng)
    mine = hidden_groups(experts, groups)[rng.permutation(int(kept.sum())) % groups]  # equally many of each
    chosen[kept] = uniform(len(mine), experts, top_k, rng, mine)
    return chosen


def grouped(tokens, experts, top_k, groups, ranks, inside=1.0, seed=0):
    chosen = chosen_of(tokens, experts, top_k, groups, inside, np.random.default_rng(seed))
    return Choices(0, experts, chosen, sources(tokens, ranks))


CONFIG = "model:\n  width: 64  # channels\ntrain:\n  batch: 8\n  grains: 4\nrecord:\n  sample_every: 5\n"


def sampled_run(folder, layers=None, steps=(5, 10, 15, 20), context=50, dropped=None, **changes):
    """A run of 8 sequences a step whose sampled tokens have these (tokens, k) choices by layer, by default a layer within 4 hidden groups
    and a uniform one, of 16 experts, k = 2; tokens are ordered by step and sequence, `dropped` (tokens, layers, k) is true where a choice
    was."""
    tokens, rng = len(steps) * 8 * context, np.random.default_rng(1)
    layers = [chosen_of(tokens, 16, 2, 4, 1.0, rng), uniform(tokens, 16, 2, rng)] if layers is None else layers
    chosen = np.stack(layers, 1)
    run = write_run(folder, **dict(layers=len(layers), experts=16, choices=chosen.shape[2], config=CONFIG, evaluations=0) | changes)
    at = np.arange(tokens)
    with h5py.File(run / "segments/000/tokens.r0000.h5", "w") as f:
        f.attrs.update(schema="switchyard-tokens", schema_version=1, program_version="0.1.0", commit="abc")
        for name, size in dict(sample=tokens, layer=len(layers), choice=chosen.shape[2]).items():
            scale(f, name, size, name == "sample")
        variable(f, "step", ["sample"], np.repeat(steps, 8 * context))
        variable(f, "sequence", ["sample"], at // context % 8)
        variable(f, "position", ["sample"], (at % context).astype("i4"))
        variable(f, "token", ["sample"], np.zeros(tokens, "i4"))
        variable(f, "expert", ["sample", "layer", "choice"], chosen.astype("i2"))
        kept = np.ones(chosen.shape, "u1") if dropped is None else ~dropped
        variable(f, "kept", ["sample", "layer", "choice"], kept.astype("u1"))
    return run
