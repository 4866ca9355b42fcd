"""Weights of experts from the checkpoints that a run has kept, one matrix in memory at a time."""
import pathlib
import re

import h5py
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


def each_expert(checkpoint, name, of):
    """[(block, expert, of(matrix))] of every expert's matrix `name`, "up" or "gate" (hidden, d) or "down" (d, hidden), as float64."""
    found = []

    def read(file):
        hdf5.check_schema(file.attrs, file.path, CONTENT)
        block, first = file.attrs["block"], file.attrs["first_expert"]
        data = file.file[f"blocks.{block}.moe.experts.{name}.weight/value"]
        if not isinstance(data, h5py.Dataset) or data.ndim != 3 or data.external or data.is_virtual:
            raise RecordError(f"{file.path}: the experts' {name} are no matrices; {hdf5.ADVICE}")
        found.extend((block, first + e, of(data[e].astype(np.float64))) for e in range(len(data)))

    for path in sorted(pathlib.Path(checkpoint).glob("experts-*.h5")):
        hdf5.opened(path, read)
    if not found:
        raise SchemaError(f"{checkpoint}: has no experts; give a run whose blocks have mixtures")
    return found
