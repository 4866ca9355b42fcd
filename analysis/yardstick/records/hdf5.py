"""HDF5 files of other hands: links, types, ranks and sizes are looked at before anything is read, and attributes and dimensions of what
the schema knows are taken from its table, not from the file."""
import json
import os
import time

import h5py
import numpy as np

from ..base import reading
from ..base.faults import NotWhole, RecordError, SchemaError, reason
from . import lock, schema

PACKED = 1100          # bytes that one byte of a file can unpack to at most (deflate: 1032)
SLACK = 1 << 20        # bytes that any file may hold beside that: values that were never written
MOST_TEXT = 1 << 26    # bytes of an attribute's text
MOST_NAMES = 4096      # members of a file
WAITS = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)  # s, between tries to read what is being written
ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError, IndexError, OverflowError, AttributeError, UnicodeError)
ADVICE = "run `switchyard verify` on the run folder"


class Patience:
    """Gives what read() gives. While another process holds the run's lock, a file that does not read is opened anew after a short wait: the
    reader may have met a chunk that was being written. All files of one call share the waits, so that damage is told within 2 s."""

    def __init__(self):
        self.waits = list(WAITS)

    def __call__(self, path, read):
        while True:
            try:
                return read()
            except RecordError:
                if not self.waits or not lock.held(path):
                    raise
            time.sleep(self.waits.pop(0))


def text_of(value):
    return value.decode("utf-8", "replace").rstrip("\0") if isinstance(value, bytes) else str(value)


def table_of(attrs, name):
    """What an attribute that holds a JSON object says; empty where it says nothing that can be read."""
    try:
        found = json.loads(attrs.get(name, "{}"))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _attribute(owner, name, place):
    """An attribute that is one number or one text; None of any other."""
    found = owner.attrs.get_id(name)
    if found.shape not in ((), (1,)) or found.get_storage_size() > MOST_TEXT:
        return None
    if found.dtype.kind not in "iufS" and h5py.check_string_dtype(found.dtype) is None:
        return None
    value = np.asarray(owner.attrs[name], found.dtype).reshape(-1)[0]
    return text_of(value) if isinstance(value, (bytes, str)) else value.item()


def attributes(owner, place):
    """The attributes of a file or dataset that are one number or text, each of the type that the schema gives it."""
    found = {}
    for name in list(owner.attrs)[:MOST_NAMES]:
        value = _attribute(owner, name, place)
        if name in schema.NUMBERS and not (isinstance(value, int) and abs(value) <= schema.MOST):
            raise RecordError(f"{place}: attribute {name} is no whole number; {ADVICE}")
        if name in schema.TEXTS and not isinstance(value, str):
            raise RecordError(f"{place}: attribute {name} is no text; {ADVICE}")
        if value is not None:
            found[name] = value
    return found


def check_schema(attrs, path, wanted):
    """Refuses files of another kind or version; attrs: as `attributes` gives them."""
    if "schema" not in attrs or "schema_version" not in attrs:
        raise NotWhole(f"{path}: has no schema: it was not whole when its run ended; {ADVICE}")
    if attrs["schema"] != wanted:
        raise SchemaError(f"{path}: schema '{attrs['schema'][:40]}', expected '{wanted}'; give a folder as the program left it")
    if attrs["schema_version"] not in schema.VERSIONS:
        known = f"{schema.VERSIONS[0]} to {schema.VERSIONS[-1]}"
        raise SchemaError(f"{path}: schema version {attrs['schema_version']}, but this yardstick reads versions {known}; "
                          f"install the yardstick that came with that run's program ({attrs.get('commit', 'unknown')[:40]})")


class File:
    """An open file. datasets: those in its root that are no dimension scales; scales: lengths of its dimensions."""

    def __init__(self, path, file, size):
        self.path, self.file, self.size = path, file, size
        self.attrs = attributes(file, path)
        self.datasets, self.scales = {}, {}
        names = list(file)
        if len(names) > MOST_NAMES:
            raise RecordError(f"{path}: has {len(names):,} members; {ADVICE}")
        for name in names:
            self._take(name)

    def _take(self, name):
        if not isinstance(self.file.get(name, getlink=True), h5py.HardLink):
            raise RecordError(f"{self.path}: {name} lies outside the file (a link); {ADVICE}")
        found = self.file[name]
        if not isinstance(found, h5py.Dataset):
            return
        if found.external or found.is_virtual:
            raise RecordError(f"{self.path}: {name} lies outside the file; {ADVICE}")
        if found.shape is None:
            raise RecordError(f"{self.path}: {name} has no shape; {ADVICE}")
        if found.is_scale:
            self.scales[name] = found.shape[0] if found.shape else 0
        else:
            self.datasets[name] = found

    def dimensions(self, name):
        """Names of the dimensions of a dataset that the schema does not know; one without a scale is its own."""
        return [text_of(d[0].name.split("/")[-1]) if len(d) else f"{name}_{i}" for i, d in enumerate(self.datasets[name].dims)]

    def row_bytes(self, name):
        """Bytes of one row of a dataset."""
        dataset = self.datasets[name]
        count = dataset.dtype.itemsize
        for n in dataset.shape[1:]:
            count *= int(n)
        return count

    def member(self, group, name):
        """A dataset in a group of the root, looked at as those of the root are."""
        place = f"{group}/{name}"
        for part in (group, place):
            if not isinstance(self.file.get(part, getlink=True), h5py.HardLink):
                raise RecordError(f"{self.path}: {part} is not there, or lies outside the file (a link); {ADVICE}")
        found = self.file[place]
        if not isinstance(found, h5py.Dataset) or found.external or found.is_virtual:
            raise RecordError(f"{self.path}: {place} is no dataset of this file; {ADVICE}")
        self.datasets[place] = found
        self.check_claim(place, found.shape)
        return found

    def check_claim(self, name, shape):
        """How many values this shape of a dataset has; RecordError where a file of this size cannot hold them."""
        dataset, count, chunk = self.datasets[name], 1, 1
        for n in shape:
            count *= int(n)
        for n in dataset.chunks or ():
            chunk *= n
        if count and max(count, chunk) * dataset.dtype.itemsize > PACKED * self.size + SLACK:
            raise RecordError(f"{self.path}: {name} claims {count:,} values, more than a file of {self.size:,} bytes holds; {ADVICE}")
        return count

    def read(self, name, cut=()):
        """Values of a dataset, or of slices of its first dimensions. What a file of this size cannot hold is not read."""
        dataset = self.datasets[name]
        shape = [len(range(*c.indices(n))) for c, n in zip(cut, dataset.shape)] + list(dataset.shape[len(cut):])
        if not self.check_claim(name, shape):
            return np.empty(shape, dataset.dtype)
        try:
            return dataset[tuple(cut)] if cut else dataset[()]
        except ERRORS as error:
            if "allocat" in str(error):
                raise
            raise NotWhole(f"{self.path}: {name} cannot be read ({reason(error)}); {ADVICE}") from error


def opened(path, use):
    """What use(File) gives of a file; whatever the library finds wrong in it is NotWhole, naming the file."""
    size = reading.check_regular(path, "give a folder as the program left it").st_size
    try:
        with h5py.File(os.fspath(path), "r", locking=False) as file:
            return use(File(path, file, size))
    except SchemaError:
        raise
    except ERRORS as error:
        if "allocat" in str(error):
            bytearray(1 << 26)  # is there no memory, or does the file only claim too much? MemoryError says which
        raise NotWhole(f"{path}: cannot be read ({reason(error)}); {ADVICE}") from error
