"""One file of a segment as a dataset, of which everything after may rely on names, types, shapes and ranges."""
import json

import numpy as np
import xarray as xr

from ..base.faults import NotWhole, RecordError
from . import hdf5, schema, stored

TYPES = {"i": "iu", "f": "fiu", "t": "S", "u": "iu"}  # what h5py may find where the schema says int, float, text or uint
# needed where the model has mixture-of-experts layers
ROUTED = ("block", "experts", "assigned", "kept", "max_vio", "max_vio_floor")
MOST_CHOICES = 1 << 40  # of a layer in one step
CHOSEN = (-1, 1 << 15)  # ids of chosen experts, and one above them
BY_ROW = ("timeline",)  # growing dimensions of which a row may hold megabytes: beside its step it is read by `row` alone
STEPS = {"switchyard-run": dict(row="step", evaluation="evaluation_step", timeline="timeline_step"),
         "switchyard-evaluation": dict(evaluation="step"), "switchyard-tokens": dict(sample="step")}  # of growing dimensions


def _wrong(file, name, what):
    return RecordError(f"{file.path}: {name} {what}; {hdf5.ADVICE}")


def _check_forms(file, kind):
    """Names, ranks and types of what the schema knows; returns name -> dimensions of every dataset."""
    for name in kind.variables:
        if name in file.file and name not in file.datasets:
            raise _wrong(file, name, "is no table of values")
    missing = [name for name in kind.needed if name not in file.datasets]
    if missing:
        raise NotWhole(f"{file.path}: has no {', '.join(missing)}: it was not whole when its run ended; {hdf5.ADVICE}")
    dims, known = {}, {dim for names, _ in kind.variables.values() for dim in names}
    for name, dataset in file.datasets.items():
        if name in known:
            raise _wrong(file, name, "is no dimension")
        if name not in kind.variables:
            dims[name] = file.dimensions(name)
            continue
        dims[name], of = kind.variables[name]
        if dataset.ndim != len(dims[name]):
            raise _wrong(file, name, f"has {dataset.ndim} dimensions, not {len(dims[name])}")
        if dataset.dtype.kind not in TYPES[of[0]] or dataset.dtype.itemsize > (64 if of[0] == "t" else 8) or dataset.dtype.subdtype:
            raise _wrong(file, name, f"is of type {dataset.dtype}, not {of}")
    lengths = known.union(*dims.values())
    return {name: names for name, names in dims.items() if name not in lengths}


def _sizes(file, kind, dims):
    """dimension -> length: of growing ones that of the shortest variable, what a killed run had acknowledged, since chunks are flushed
    before their dimension grows. Fixed ones are of one length."""
    sizes = {name: size for name, size in file.scales.items() if name in kind.growing}
    for name, names in dims.items():
        for dim, size in zip(names, file.datasets[name].shape):
            if dim in kind.growing:
                sizes[dim] = min(sizes.get(dim, size), size)
            elif sizes.setdefault(dim, size) != size:
                raise _wrong(file, name, f"has {size} {dim}, another variable {sizes[dim]}")
    return sizes


def _upto(file, name, length, limit, every, last):
    """How many of the rows have steps up to `limit`; their steps, in `name`, ascend. Rows are read chunk by chunk. One that does not read,
    or reads as what was never written, is not needed if, with steps a multiple of `every`, it is beyond the limit. last: the step before
    the first, None where it is not known."""
    stride, kept, wrong = (file.datasets[name].chunks or (length,))[0], 0, None
    while kept < length and (every != 1 or last is None or last < limit):
        steps = np.zeros(1, np.int64)
        try:
            steps = file.read(name, (slice(kept, min(kept + stride, length)),))
        except NotWhole as error:
            wrong = error
        before = np.concatenate([[last or 0], steps[:-1]])
        ends = (steps < 1) | (steps < before) | (steps > limit)
        within = int(ends.argmax()) if ends.any() else len(steps)
        kept, last = kept + within, int(steps[within - 1]) if within else last
        if within == len(steps):
            continue
        if steps[within] <= limit and not (every and last is not None and (last // every + 1) * every > limit):
            raise wrong or _wrong(file, name, "does not ascend from 1 on")
        break
    return kept


def _variables(file, kind, dims, cuts, large=float("inf")):
    """Values of the variables in `dims`; cuts: dimension -> slice of a growing one. Tables of more than `large` bytes that grow stay in
    the file."""
    found = {}
    for name, names in dims.items():
        cut = tuple(cuts[d] if d in kind.growing else slice(None) for d in names)
        attributes = {k: v for k, v in hdf5.attributes(file.datasets[name], file.path).items() if k in ("units", "long_name", "scope")}
        rows = len(range(*cut[0].indices(file.datasets[name].shape[0]))) if names else 0
        if len(names) > 1 and names[0] in kind.growing and rows * file.row_bytes(name) > large:
            found[name] = _left(file, kind, name, rows).variable(names, attributes)
        else:
            values = file.read(name, cut)
            found[name] = names, _checked(file, name, values, kind.variables[name][1]) if name in kind.variables else values, attributes
    return found


def _left(file, kind, name, rows):
    """The `stored.Stored` of the first rows of a variable: its values are read, and looked at, when they are asked for."""
    path, dataset, vocabulary = file.path, file.datasets[name], file.scales.get("vocabulary", schema.MOST)
    low, high = {"expert": CHOSEN, "assigned": (0, MOST_CHOICES + 1), "predicted": (0, vocabulary)}.get(name, (None, None))

    def each(cuts, use):
        def read(opened):
            for i, cut in enumerate(cuts):
                values = opened.read(name, cut)
                values = _checked(opened, name, values, kind.variables[name][1]) if name in kind.variables else values
                if high is not None and values.size and not (low <= values.min() and values.max() < high):
                    raise _wrong(opened, name, f"holds {values.min()} to {values.max()}, but it is from {low} to {high - 1}")
                use(i, values)
        hdf5.Patience()(path, lambda: hdf5.opened(path, read))
    file.check_claim(name, (rows, *dataset.shape[1:]))
    stride = (dataset.chunks or (1,))[0]
    return stored.Stored([stored.Piece(rows, each, stride)], dataset.shape[1:], dataset.dtype.newbyteorder("="))


def _checked(file, name, values, of):
    """Values of a variable of the schema in the machine's own form, within the range that every reader relies on."""
    if of[0] == "t":
        return values
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    if values.size and of[0] in "iu":
        low, high = int(values.min()), int(values.max())
        if high > schema.MOST or low < (-schema.MOST if name in schema.ANY_NUMBER else 0):
            raise _wrong(file, name, f"holds {low if high <= schema.MOST else high}, which it cannot be")
    elif values.size and name not in schema.MAY_BE_NAN and not np.isfinite(values).all():
        raise _wrong(file, name, f"is not finite in row {int(np.argwhere(~np.isfinite(values))[0][0]) + 1}")
    return values


def _read(data, name):
    """Whether a dataset has a variable, and not left it in its file."""
    return name in data and stored.KEPT not in data[name].variable.encoding


def _ascending(file, data, name, strictly=True):
    if name in data:
        steps = data[name].values
        if steps.size and (steps.min() < 1 or (np.diff(steps) < strictly).any()):
            raise _wrong(file, name, "does not ascend from 1 on")


def names_in(text, place, name):
    """A JSON list of texts."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or not all(isinstance(n, str) for n in found):
        raise RecordError(f"{place}: attribute {name} is no list of names; {hdf5.ADVICE}")
    return found


def _within(file, data, name, low, high):
    if _read(data, name) and data[name].size and not (low <= data[name].values.min() and data[name].values.max() < high):
        raise _wrong(file, name, f"holds {data[name].values.min()} to {data[name].values.max()}, but it is from {low} to {high - 1}")


def _check_run(file, data):
    _ascending(file, data, "step")
    _ascending(file, data, "evaluation_step")
    if "layer" not in data.dims:
        return
    missing = [name for name in ROUTED if name not in data]
    if missing:
        raise NotWhole(f"{file.path}: has no {', '.join(missing)}, though its model has experts; {hdf5.ADVICE}")
    _within(file, data, "experts", 1, data.sizes["expert"] + 1)
    if len(set(data["block"].values.tolist())) < data.sizes["layer"]:
        raise _wrong(file, "block", "holds a block twice")
    if _read(data, "assigned") and _read(data, "kept"):
        loads, kept = data["assigned"].values, data["kept"].values
        if loads.size and loads.sum(-1).max() > MOST_CHOICES:
            raise _wrong(file, "assigned", f"holds more than {MOST_CHOICES:,} choices of a layer and step")
        if (kept > loads).any():
            raise _wrong(file, "kept", "holds more than assigned")
    if not 1 <= file.attrs.get("top_k", 0) <= data.sizes["expert"]:
        raise _wrong(file, "attribute top_k", f"is not from 1 to {data.sizes['expert']}")


def _check_choices(file, data):
    _within(file, data, "expert", *CHOSEN)
    if "expert" in data and not all(data["expert"].shape[-2:]):
        raise _wrong(file, "expert", "has no layers or choices")


def _check_evaluation(file, data):
    _ascending(file, data, "step")
    for name in ("token", "next", "predicted"):
        _within(file, data, name, 0, data.sizes["vocabulary"])
    _within(file, data, "document", -1, 1 << 53)
    names = names_in(file.attrs.get("domains", "[]"), file.path, "domains")
    if names:
        _within(file, data, "domain", -1, len(names))
    _check_choices(file, data)
    if data.sizes["evaluation"] and not data.sizes["sample"]:
        raise _wrong(file, "token", "holds no tokens")


def _check_tokens(file, data):
    _ascending(file, data, "step", strictly=False)
    _check_choices(file, data)


CHECKS = {"switchyard-run": _check_run, "switchyard-evaluation": _check_evaluation, "switchyard-tokens": _check_tokens}


def _formed(file, wanted):
    """(kind, name -> dimensions, dimension -> length) of a file whose schema and forms are right."""
    hdf5.check_schema(file.attrs, file.path, wanted)
    kind = schema.KINDS[wanted]
    dims = _check_forms(file, kind)
    return kind, dims, _sizes(file, kind, dims)


def _dataset(file, wanted, limit, every, begin):
    kind, dims, sizes = _formed(file, wanted)
    if limit is not None:
        for dim, step in STEPS[wanted].items():
            if step in file.datasets:
                sizes[dim] = _upto(file, step, sizes[dim], limit, 1 if dim == "row" else every.get(dim, 0), begin)
    dims = {name: names for name, names in dims.items() if set(names).isdisjoint(BY_ROW) or name in STEPS[wanted].values()}
    data = xr.Dataset(_variables(file, kind, dims, {d: slice(sizes[d]) for d in kind.growing if d in sizes}, stored.LARGE),
                      attrs=file.attrs)
    CHECKS[wanted](file, data)
    return data


def load(path, wanted, limit=None, every={}, begin=None):
    """The dataset of a file, without the rows of `BY_ROW`; only rows of steps up to `limit`, where later segments begin after it: what
    they supersede need not be readable. Tables of more than `stored.LARGE` bytes are read, and looked at, when they are asked for. every:
    of which number the steps of evaluations, samples or timelines are multiples, by dimension, 0 where unknown; begin: the step before the
    segment's first, None where unknown. Raises NotWhole, RecordError or SchemaError."""
    return hdf5.opened(path, lambda file: _dataset(file, wanted, limit, every, begin))


def row(path, wanted, dim, at):
    """The dataset of the variables that grow along `dim`, at one place of it. Raises as `load`."""
    def read(file):
        kind, dims, sizes = _formed(file, wanted)
        if at >= sizes.get(dim, 0):
            raise NotWhole(f"{file.path}: has {sizes.get(dim, 0)} {dim}, fewer than before; {hdf5.ADVICE}")
        dims = {name: names for name, names in dims.items() if dim in names}
        return xr.Dataset(_variables(file, kind, dims, {dim: slice(at, at + 1)}), attrs=file.attrs).isel({dim: 0})
    return hdf5.opened(path, read)
