"""Weights of experts from the checkpoints that a run has kept, one matrix in memory at a time."""
import pathlib
import re
from typing import NamedTuple

import numpy as np

from ..base.faults import RecordError, SchemaError
from . import hdf5

CONTENT = "switchyard-checkpoint"


def checkpoints(folder):
    """[(steps done, folder)] of the checkpoints that a run has, in the order of their steps."""
    found = [(int(match[1]), path) for path in (pathlib.Path(folder) / "checkpoints").glob("step-*")
             if (match := re.fullmatch(r"step-(\d{1,18})", path.name)) and (path / "manifest.json").is_file()]
    if not found:
        raise SchemaError(f"{folder}: no checkpoint is kept, and weights are in these only; set train.checkpoint_every, and train.keep or "
                          "train.keep_steps for those of earlier steps")
    return sorted(found)


class Cut(NamedTuple):
    """Which experts are read, and how a run's checkpoints hold them: block: one, or None for all; chunks: `moe.hidden_chunks`, the parts of
    an expert's hidden width, which are rows of a dataset one by one."""
    block: int | None = None
    chunks: int = 1


def _matrix(data, expert, name, chunks):
    """An expert's matrix, put together from its chunks: rows of "up" and "gate", columns of "down"."""
    parts = data[expert * chunks:(expert + 1) * chunks].astype(np.float64)
    return np.concatenate(parts, 1 if name == "down" else 0)


def each_expert(checkpoint, name, of, cut=Cut()):
    """[(block, expert, of(matrix))] of every expert's matrix `name`, "up" or "gate" (hidden, d) or "down" (d, hidden), as float64."""
    found, blocks = [], set()

    def read(file):
        hdf5.check_schema(file.attrs, file.path, CONTENT)
        block, first = file.attrs["block"], file.attrs["first_expert"]
        blocks.add(block)
        if cut.block not in (None, block):
            return
        data = file.member(f"blocks.{block}.moe.experts.{name}.weight", "value")
        if data.ndim != 3:
            raise RecordError(f"{file.path}: the experts' {name} are no matrices; {hdf5.ADVICE}")
        if len(data) % cut.chunks:
            raise RecordError(f"{file.path}: {len(data)} parts of experts, of which moe.hidden_chunks: {cut.chunks} make one; "
                              f"{hdf5.ADVICE}")
        found.extend((block, first + e, of(_matrix(data, e, name, cut.chunks))) for e in range(len(data) // cut.chunks))

    for path in sorted(pathlib.Path(checkpoint).glob("experts-*.h5")):
        hdf5.opened(path, read)
    if not blocks:
        raise SchemaError(f"{checkpoint}: has no experts; give a run whose blocks have mixtures")
    if cut.block not in (None, *blocks):
        raise SchemaError(f"{checkpoint}: block {cut.block} has no experts; there are the blocks {', '.join(map(str, sorted(blocks)))}")
    return found
