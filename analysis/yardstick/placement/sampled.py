"""The sampled training tokens of a run as placements take them: what they chose, the rank that each is on, and the part held out."""
from typing import NamedTuple

import numpy as np

from ..base.faults import RecordError, SchemaError
from ..records import hdf5, special
from ..records.run_folder import number, open_run, open_tokens, option
from ..records.sample import layers_of
from .traffic import Choices

MOST_TOKENS = 1_000_000  # of the newest sampled steps, whole steps
BYTES = dict(fp32=4, bf16=2)


class Sampled(NamedTuple):
    """Sampled tokens: by layer what they chose; (tokens,) whether one is held out, and the number of its sequence."""
    layers: list
    held_out: np.ndarray
    sequence: np.ndarray
    steps: np.ndarray      # sampled steps that are taken
    row_bytes: int         # of a token's row at dispatch
    row: str               # in words
    config: str            # SHA-256 of the configuration
    commit: str


def _tokens(folder, run):
    """Sampled tokens with what the run says of its layers; SchemaError says why there are none."""
    if "layer" not in run.dims:
        raise SchemaError(f"{folder}: nothing to place: {special.DENSE}; give a run with experts")
    tokens, every = open_tokens(folder), option(run, "record.sample_every")
    told = "and set record.sample_every, the number of steps from sample to sample, for a run that is to be placed"
    if tokens is None:
        why = f" yet (record.sample_every: {every})" if every and every != "0" else f"{f' (record.sample_every: {every})' if every else ''}"
        raise SchemaError(f"{folder}: no training tokens were sampled{why}; give a run that has them, {told}")
    missing = [name for name in ("expert", "kept") if name not in tokens]
    if missing:
        differ = set(missing) <= set(tokens.attrs.get("left_out", []))
        why = "its segments differ in" if differ else "its samples have no"
        raise SchemaError(f"{folder}: {why} {', '.join(missing)}: there is no one table of choices; give another run, {told}")
    if tokens.sizes["layer"] != run.sizes["layer"]:
        raise RecordError(f"{folder}: its samples have {tokens.sizes['layer']} layers, its rows {run.sizes['layer']}; {hdf5.ADVICE}")
    return special.with_layers(tokens, run)


def _newest(folder, step, from_step):
    """(tokens,) whether one is of the steps taken: from `from_step` on, without it of the later half of the sampled steps; of more than
    MOST_TOKENS the newest steps that hold no more, at least one."""
    steps, counts = np.unique(step, return_counts=True)
    first = steps[len(steps) // 2] if from_step is None else from_step
    if steps[-1] < first:
        raise SchemaError(f"{folder}: no step from {first} on was sampled, the last is {steps[-1]}; give --from-step {steps[-1]} or less")
    after = np.cumsum(counts[::-1])[::-1]  # tokens from each step on
    enough = steps[min(int((after > MOST_TOKENS).sum()), len(steps) - 1)]
    return step >= max(first, enough)


def held_out(step, sequence):
    """(tokens,) whether a token is of the held-out half: of a sampled step every second sequence, of the next step the others."""
    return (np.unique(step, return_inverse=True)[1] + sequence) % 2 == 1


def read(folder, ranks, from_step=None):
    """Sampled of a run folder, for tokens that are spread over `ranks`. Raises SchemaError where the run has no samples, or too few."""
    run = open_run(folder)
    tokens = _tokens(folder, run)
    batch, grains, width = (number(run, name, folder, whole=True) for name in ("train.batch", "train.grains", "model.width"))
    tokens = tokens.isel(sample=np.nonzero(_newest(folder, tokens["step"].values, from_step))[0])
    step, sequence = tokens["step"].values, tokens["sequence"].values
    if batch % grains or sequence.max() >= batch:
        raise RecordError(f"{folder}: its samples have sequence {sequence.max()}, but train.batch is {batch} of {grains} grains; "
                          f"{hdf5.ADVICE}")
    held, rank = held_out(step, sequence), ranks.of_sequences(sequence, batch, grains)
    if held.all() or not held.any():
        raise SchemaError(f"{folder}: one sequence was sampled from step {step[0]} on, but a half is held out; give --from-step less than "
                          "that, or a run with more sampled steps")
    layers = [Choices(layer.block, layer.experts,
                      np.where(tokens["kept"].values[:, i, :layer.top_k] > 0, layer.chosen, layer.experts).astype(np.int32), rank)
              for i, layer in enumerate(layers_of(tokens))]
    kind = option(run, "train.precision") or "fp32"
    if kind not in BYTES:
        raise RecordError(f"{folder}: its configuration has train.precision {kind[:40]}; {hdf5.ADVICE}")
    return Sampled(layers, held, step * batch + sequence, np.unique(step), width * BYTES[kind], f"model.width {width}, {kind}",
                   run.attrs.get("config_sha256", "unknown"), run.attrs.get("commit", "unknown"))
