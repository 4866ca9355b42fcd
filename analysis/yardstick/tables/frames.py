"""Tidy tables of a run: one row a step, a step and layer, a step, layer and expert, or an evaluation and block of held-out text. Only
what is asked for is read, and a table that would not fit is refused by its size."""
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..base.faults import SchemaError
from ..records import schema

KINDS = dict(step=("row",), layer=("row", "layer"), expert=("row", "layer", "expert"), evaluation=("evaluation", "evaluation_block"))
STEPS = dict(row="step", evaluation="evaluation_step")  # what a growing dimension is called in a table, and where its steps are
MOST = 1 << 30  # bytes of a table; a larger one is taken in parts
PART = 1 << 27  # bytes of a part


class Asked(NamedTuple):
    """What a table is to hold: None is all of it."""
    columns: list | None = None
    steps: object = None
    layers: object = None
    experts: object = None


def available(data, kind):
    """Names of the columns of a table of this kind, beside step, layer and expert."""
    dims, order = KINDS[kind], list(schema.KINDS["switchyard-run"].variables)
    own = [dims] if kind != "evaluation" else [dims[:1], dims]
    names = [n for n, v in data.data_vars.items() if v.dims in own and n not in STEPS.values()]
    return sorted(names, key=lambda n: (order.index(n) if n in order else len(order), n))


def _columns(data, kind, columns):
    """The columns that are asked for: one of fewer dimensions is repeated."""
    if columns is None:
        return available(data, kind)
    columns = [columns] if isinstance(columns, str) else list(columns)
    for name in columns:
        if name not in data.data_vars or not set(data[name].dims) <= set(KINDS[kind]):
            other = next((k for k in KINDS if name in available(data, k)), None)
            where = f"; it is in the table of '{other}'" if other else ""
            raise SchemaError(f"the table of '{kind}' has no column '{name}'{where}; there are {', '.join(available(data, kind))}")
    return columns


def places(values, asked, what):
    """Places of the values that are asked for: all (None), one, several, or a slice from the first to the last, both included, of which
    every n-th is taken with slice(first, last, n)."""
    if asked is None:
        return np.arange(len(values))
    if isinstance(asked, slice):
        low, high = (-np.inf if asked.start is None else asked.start), (np.inf if asked.stop is None else asked.stop)
        found = np.nonzero((values >= low) & (values <= high))[0][::asked.step]
    else:
        wanted = np.atleast_1d(np.asarray(asked))
        missing = [w for w in wanted.tolist() if w not in set(values.tolist())]
        if missing:
            raise SchemaError(f"{what} {missing[0]} is not recorded; {_known(what, values)}")
        found = np.nonzero(np.isin(values, wanted))[0]
    if not len(found):
        raise SchemaError(f"no {what} is between {asked.start} and {asked.stop}; {_known(what, values)}")
    return found


def _known(what, values):
    return f"there is {what} {values.min()} to {values.max()}" if len(values) else f"there is no {what}"


def absent(data, kind):
    """Why a run has no table of a kind; None where it has one."""
    if kind not in KINDS:
        return f"give one of {', '.join(KINDS)}"
    if kind in ("layer", "expert") and "layer" not in data.coords:
        return "the model is dense, without routers and experts"
    if kind == "evaluation" and not data.sizes.get("evaluation", 0):
        return "the run made none (train.evaluate_every)"
    return None


class Selection:
    """The part of a run that a table holds. bytes: of the table; data: its variables, still in their files."""

    def __init__(self, data, kind, asked):
        why = absent(data, kind)
        if why:
            raise SchemaError(f"there is no table of '{kind}': {why}")
        self.kind, self.dims = kind, [d for d in KINDS[kind] if d in data.sizes]
        names = _columns(data, kind, asked.columns)
        self.coords = dict(zip(self.dims, self._coords(data)))
        at = {d: places(self.coords[d], by, d.replace("row", "step"))
              for d, by in {self.dims[0]: asked.steps, "layer": asked.layers, "expert": asked.experts}.items() if d in self.dims}
        self.coords |= {d: self.coords[d][p] for d, p in at.items()}
        self.data = data[names].isel({d: p for d, p in at.items() if len(p) < data.sizes[d]}, missing_dims="ignore")
        self.counts = data["experts"].values[at["layer"]] if "expert" in self.dims and "experts" in data else None

    def _coords(self, data):
        for dim in self.dims:
            yield data[STEPS[dim]].values if dim in STEPS else data[dim].values if dim in data.coords else np.arange(data.sizes[dim])

    @property
    def rows(self):
        return int(np.prod([len(c) for c in self.coords.values()]))

    @property
    def row_bytes(self):
        return 8 + 4 * (len(self.dims) - 1) + sum(v.dtype.itemsize for v in self.data.data_vars.values())

    def frame(self, part=slice(None)):
        """The table of some of the steps."""
        coords = dict(self.coords) | {self.dims[0]: self.coords[self.dims[0]][part]}
        shape = tuple(len(c) for c in coords.values())
        data, columns = self.data.isel({self.dims[0]: part}, missing_dims="ignore"), {}
        kept = None
        if self.counts is not None and (self.counts[:, None] <= coords["expert"]).any():  # beyond the experts of a layer there are none
            kept = np.broadcast_to(self.counts[:, None] > coords["expert"], shape).reshape(-1)

        def add(name, values, at):
            wide = values.reshape([n if d in at else 1 for n, d in zip(shape, self.dims)])
            flat = np.broadcast_to(wide, shape).reshape(-1)
            columns[name] = flat if kept is None else flat[kept]
        for dim, values in coords.items():
            add("step" if dim in STEPS else dim, values if dim in STEPS else values.astype(np.int32), (dim,))
        for name, variable in data.data_vars.items():
            add(name, variable.transpose(*[d for d in self.dims if d in variable.dims]).values, variable.dims)
        return pd.DataFrame(columns, copy=False)


def table(data, kind, asked, most=MOST):
    """The whole table; SchemaError with its size where it would take more than `most` bytes."""
    selection = Selection(data, kind, asked)
    size = selection.rows * selection.row_bytes
    if size > most:
        given = ["columns=[…]", "steps=slice(FIRST, LAST, EVERY)", *(f"{d}s=[…]" for d in selection.dims[1:] if d in ("layer", "expert"))]
        raise SchemaError(f"the table of '{kind}' would have {selection.rows:,} rows and take {size / 1e9:.1f} GB, more than "
                          f"{most / 1e9:.1f}; ask for less ({', '.join(given)}), take it in parts (run.parts('{kind}')), "
                          "or give most=BYTES")
    return selection.frame()


def parts(data, kind, asked, size=PART):
    """The table as several, of consecutive steps and about `size` bytes each, one in memory at a time."""
    selection = Selection(data, kind, asked)
    steps = len(selection.coords[selection.dims[0]])
    width = max(1, int(size // max(1, selection.row_bytes * selection.rows // max(1, steps))))
    for first in range(0, steps, width):
        yield selection.frame(slice(first, first + width))
