"""How many directions an expert's weights use."""
import numpy as np
import pandas as pd

from ..base.faults import SchemaError
from ..records import weights
from ..records.run_folder import number, option

CHUNKS = "moe.hidden_chunks"


def participation(matrix):
    """(Σ σ²)² / Σ σ⁴ of the singular values σ: n for n equal ones, 1 for a single one; nan of zeros. Σ σ² is the sum of the squares of
    the elements, Σ σ⁴ that of the smaller of W·Wᵀ and Wᵀ·W."""
    matrix = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    square, fourth = np.sum(matrix**2), np.sum((matrix @ matrix.T) ** 2)
    return float(square**2 / fourth) if fourth > 0 else float("nan")


def effective_rank(run, layer=None, step=None):
    """A row for each kept checkpoint (or that of a step), layer (or one) and expert."""
    folder = run.attrs.get("run_folder")
    if folder is None:
        raise SchemaError("this dataset does not say its run folder; give what yardstick.open gave")
    kept = weights.checkpoints(folder)
    if step is not None and step not in dict(kept):
        raise SchemaError(f"{folder}: no checkpoint of step {step} is kept; there are those of {', '.join(str(s) for s, _ in kept)}")
    cut = weights.Cut(layer, number(run, CHUNKS, folder, whole=True) if option(run, CHUNKS) else 1)  # not in runs of earlier programs
    rows = [(done, *row) for done, path in kept if step in (None, done) for row in weights.each_expert(path, "up", participation, cut)]
    return pd.DataFrame(rows, columns=["step", "layer", "expert", "effective_rank"])
