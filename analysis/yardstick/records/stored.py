"""Variables that stay in their files until they are asked for, and then only what was asked: a run of 100,000 steps has gigabytes of
loads, of which a table or a figure needs a few layers, steps or experts."""
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

LARGE = 1 << 25   # bytes from which a variable of a file is left there
BLOCK = 1 << 25   # bytes read at once, or one chunk where that is more
KEPT = "stored"   # in the encoding of such a variable: its Stored, all rows of it


class Piece(NamedTuple):
    """Rows of one file, or in memory. each(cuts, use): calls use(i, values) with the values of each cut, a tuple of slices of all
    dimensions; stride: rows that are read together at least."""
    rows: int
    each: Callable
    stride: int = 1


def in_memory(values):
    """The Piece of an array."""
    def each(cuts, use):
        for i, cut in enumerate(cuts):
            use(i, values[cut])
    return Piece(len(values), each)


def absent(rows):
    """The Piece of rows that were not recorded: NaN."""
    def each(cuts, use):
        for i, _ in enumerate(cuts):
            use(i, np.nan)
    return Piece(rows, each)


def _places(key, size):
    """The places along a dimension that a key, a whole number, slice or array, takes."""
    return np.arange(size)[key] if isinstance(key, slice) else np.atleast_1d(np.asarray(key))


class Stored(BackendArray):
    """One variable over the rows of several pieces, as xarray asks for it; nothing that was read is kept."""

    def __init__(self, pieces, shape, dtype):
        self.pieces, self.dtype = pieces, np.dtype(dtype)
        self.shape = (sum(piece.rows for piece in pieces), *shape)

    def variable(self, dims, attributes):
        """The xarray Variable of it."""
        return xr.Variable(dims, indexing.LazilyIndexedArray(self), attributes, {KEPT: self})

    def __getitem__(self, key):
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

    def _read(self, key):
        places = [_places(k, n) for k, n in zip(key, self.shape)]
        out = np.empty([len(p) for p in places], self.dtype)
        if out.size:
            rest = [slice(int(p.min()), int(p.max()) + 1) for p in places[1:]]
            inner = np.ix_(*[p - cut.start for p, cut in zip(places[1:], rest)]) if rest else ()
            begin = 0
            for piece in self.pieces:
                self._take(piece, places[0] - begin, (rest, inner), out)
                begin += piece.rows
        return out[tuple(0 if np.ndim(k) == 0 and not isinstance(k, slice) else slice(None) for k in key)]

    def _take(self, piece, rows, within, out):
        """Fills what of `out` lies in a piece, block by block; rows: places of out's rows in the piece, in any order."""
        rest, inner = within
        width = self.dtype.itemsize * int(np.prod([cut.stop - cut.start for cut in rest]))
        block = max(1, BLOCK // max(1, width) // piece.stride) * piece.stride
        own = np.nonzero((rows >= 0) & (rows < piece.rows))[0]
        own = own[np.argsort(rows[own], kind="stable")]
        apart = (np.diff(rows[own] // block) > 0) | (np.diff(rows[own] // piece.stride) > 1)  # chunks between two are not read
        parts = np.split(own, np.nonzero(apart)[0] + 1) if len(own) else []
        cuts = [(slice(int(rows[part].min()), int(rows[part].max()) + 1), *rest) for part in parts]

        def use(i, values):
            if np.ndim(values):
                values = values[rows[parts[i]] - cuts[i][0].start]
                values = values[(slice(None), *inner)] if rest else values
            out[parts[i]] = values
        if cuts:
            piece.each(cuts, use)


def of_part(part, name, length):
    """The Piece of a variable of a segment; of one that the segment lacks `length` rows of NaN."""
    if name not in part:
        return absent(length)
    variable = part[name].variable
    return variable.encoding[KEPT].pieces[0] if KEPT in variable.encoding else in_memory(variable.values)


def names(parts):
    """The variables that some part has left in its file."""
    return list(dict.fromkeys(n for p in parts for n, v in p.data_vars.items() if KEPT in v.encoding))


def concat(parts, dimension):
    """Datasets one after another along a dimension; variables that one of them has left in its file stay there."""
    left = names(parts)
    together = xr.concat([p.drop_vars(left, errors="ignore") for p in parts], dimension, data_vars="minimal", coords="minimal",
                         compat="override", join="override", combine_attrs="override")
    for name in left:
        having = [p[name].variable for p in parts if name in p]
        dtype = np.result_type(*[v.dtype for v in having])
        if len(having) < len(parts) and dtype.kind in "iu":
            dtype = np.dtype(float)
        whole = Stored([of_part(p, name, p.sizes[dimension]) for p in parts], having[-1].shape[1:], dtype)
        together[name] = whole.variable(having[-1].dims, having[-1].attrs)
    return together
