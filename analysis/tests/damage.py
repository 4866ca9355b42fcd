"""Damage of files, by seed: bytes, ends and structure of HDF5, JSON, csv and SVG, and what a command may do with it."""
import json

import h5py
import numpy as np

HUGE = 1 << 60


def flip(rng, path):
    """One bit of one byte, or a few."""
    content = bytearray(path.read_bytes())
    for _ in range(int(rng.integers(1, 4))):
        content[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8))
    path.write_bytes(content)


def cut(rng, path):
    content = path.read_bytes()
    path.write_bytes(content[:int(rng.integers(len(content)))])


def garble(rng, path):
    """A run of bytes of chance."""
    content = bytearray(path.read_bytes())
    at = int(rng.integers(len(content)))
    content[at:at + 16] = rng.bytes(min(16, len(content) - at))
    path.write_bytes(content)


def _replaced(file, name, values, dims=True):
    scales = [list(d.values()) for d in file[name].dims] if dims else []
    attributes = {k: file[name].attrs[k] for k in ("units", "long_name", "scope") if k in file[name].attrs}
    del file[name]
    file[name] = values
    file[name].attrs.update(attributes)
    for dim, scale in zip(file[name].dims, scales):
        if scale and file[name].ndim == len(scales):
            dim.attach_scale(scale[0])


def _huge(rng, file, name):
    shape = (HUGE, *file[name].shape[1:]) if file[name].shape else (HUGE,)
    kind = file[name].dtype
    del file[name]
    file.create_dataset(name, shape, kind, chunks=(4,) * len(shape), maxshape=(None,) * len(shape))


def _other_values(rng, file, name):
    data, kind = file[name][()], file[name].dtype.kind
    if not np.size(data) or kind not in "iuf":
        raise KeyError(name)
    data = np.array(data)
    strange = [np.nan, np.inf, -np.inf, -1.0, 1e300] if kind == "f" else [np.iinfo(data.dtype).min, np.iinfo(data.dtype).max, -1, 10**9]
    data.reshape(-1)[int(rng.integers(data.size))] = np.array(strange[int(rng.integers(len(strange)))]).astype(data.dtype)
    file[name][...] = data


def _group(rng, file, name):
    del file[name]
    file.create_group(name)


def _attribute(rng, file, name):
    owner = [file, file[name]][int(rng.integers(2))]
    attribute = sorted(owner.attrs)[int(rng.integers(len(owner.attrs)))]
    if rng.integers(3) == 0:
        del owner.attrs[attribute]
        return
    values = [1.5, np.nan, "text", "[1, 2]", "[[", "{}", -1, 2**62, np.zeros(3), np.array(["a", "b"], object), h5py.Empty("f8"),
              "\u202e$_$", ""]
    value = values[int(rng.integers(len(values)))]
    owner.attrs.pop(attribute) if attribute in ("DIMENSION_LIST", "REFERENCE_LIST") else None
    owner.attrs[attribute] = value


STRUCTURE = dict(
    missing=lambda rng, f, n: f.__delitem__(n),
    group=_group,
    huge=_huge,
    values=_other_values,
    attribute=_attribute,
    empty=lambda rng, f, n: _replaced(f, n, np.zeros((0,) * f[n].ndim, f[n].dtype)),
    scalar=lambda rng, f, n: _replaced(f, n, np.zeros((), f[n].dtype), False),
    nothing=lambda rng, f, n: _replaced(f, n, h5py.Empty("f8"), False),
    deeper=lambda rng, f, n: _replaced(f, n, f[n][()][..., None], False),
    texts=lambda rng, f, n: _replaced(f, n, np.full(f[n].shape, b"x" * 5, "S5")),
    words=lambda rng, f, n: _replaced(f, n, np.full(f[n].shape, "word", object)),
    floats=lambda rng, f, n: _replaced(f, n, np.full(f[n].shape, 0.5)),
    complexes=lambda rng, f, n: _replaced(f, n, np.ones(f[n].shape, complex)),
    bools=lambda rng, f, n: _replaced(f, n, np.ones(f[n].shape, bool)),
    big_endian=lambda rng, f, n: _replaced(f, n, f[n][()].astype(f[n].dtype.newbyteorder(">"))),
    records=lambda rng, f, n: _replaced(f, n, np.zeros(f[n].shape, [("a", "i4"), ("b", "f8")])),
    shorter=lambda rng, f, n: _replaced(f, n, f[n][()][:max(1, f[n].shape[0] // 2)]),
    longer=lambda rng, f, n: _replaced(f, n, np.concatenate([f[n][()]] * 2)),
    turned=lambda rng, f, n: _replaced(f, n, np.ascontiguousarray(f[n][()].T), False),
    link=lambda rng, f, n: (f.__delitem__(n), f.__setitem__(n, h5py.ExternalLink("/dev/zero", "/x"))),
    loop=lambda rng, f, n: (f.__delitem__(n), f.__setitem__(n, h5py.SoftLink("/" + n))),
    twice=lambda rng, f, n: f.__setitem__(n + "2", f[n]),
)


def restructure(rng, path):
    """Changes the structure of an HDF5 file; returns what was done."""
    with h5py.File(path, "a") as file:
        names = sorted(file)
        for _ in range(20):
            name, how = names[int(rng.integers(len(names)))], sorted(STRUCTURE)[int(rng.integers(len(STRUCTURE)))]
            try:
                STRUCTURE[how](rng, file, name)
                return f"{how} {name}"
            except (KeyError, TypeError, ValueError, IndexError, OSError, AttributeError):
                if name not in file:
                    return f"lost {name}"
    return "nothing"


STRANGE = [None, True, -1, 1e999, float("nan"), "", "x", "$a_$", "</script>", [], [[]], {}, {"a": None}, "\ud800", 10**400,
           [None], "../../etc/passwd"]


def rewrite_json(rng, path):
    """Replaces, drops or adds a value somewhere in a JSON file."""
    content = json.loads(path.read_text())
    where = content
    while isinstance(where, (dict, list)) and where:
        key = sorted(where)[int(rng.integers(len(where)))] if isinstance(where, dict) else int(rng.integers(len(where)))
        if rng.integers(3) == 0 or not isinstance(where[key], (dict, list)) or not where[key]:
            if rng.integers(4) == 0:
                del where[key]
            else:
                where[key] = STRANGE[int(rng.integers(len(STRANGE)))]
            break
        where = where[key]
    path.write_text(json.dumps(content), encoding="utf-8", errors="replace")
    return "json"


def rewrite_csv(rng, path):
    """A cell, a column name or a row of a csv file becomes something else."""
    lines = path.read_text().splitlines()
    at = int(rng.integers(len(lines)))
    cells = lines[at].split(",")
    strange = ["", "nan", "inf", "-1", "0", "1e400", "x", "$", '"', "1_0", "9" * 400, "0.5", "=1+1"]
    cells[int(rng.integers(len(cells)))] = strange[int(rng.integers(len(strange)))]
    lines[at] = ",".join(cells)
    if rng.integers(6) == 0:
        del lines[int(rng.integers(len(lines)))]
    path.write_text("\n".join(lines) + "\n")
    return "csv"


def damage(rng, path):
    """One change of a file, of the kind that its form allows; returns what was done."""
    kinds = [flip, cut, garble]
    if path.suffix == ".h5":
        kinds = [flip, garble, cut] + [restructure] * 3
    elif path.suffix == ".json":
        kinds += [rewrite_json] * 3
    elif path.suffix == ".csv":
        kinds += [rewrite_csv] * 3
    kind = kinds[int(rng.integers(len(kinds)))]
    return kind(rng, path) or kind.__name__
