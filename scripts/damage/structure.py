"""Structural damage: files that are sound as bytes, with members, types, shapes and numbers that nobody wrote. Every function takes
(path, rng, bench) and returns what it did in words."""
import hashlib
import json
import re

import h5py
import numpy as np

from mutations import Unfit

NUMBERS = ("0", "-1", "1", "2147483647", "2147483648", "4294967296", "1152921504606846976", "9223372036854775807", "9223372036854775808",
           "18446744073709551615", "18446744073709551616", "1" + "0" * 40, "-9223372036854775808",
           "1e999", "-1e999", "1e-999", "0.5", "-0.0",
           "1e3", "NaN", "010", "0x10", ".5", "1_000")
NAMES = ("../../x", "/etc/passwd", "../../../dev/zero", "", ".", "..", "a\u0000b", "a/b", "x" * 5000, "\u2581", "~", "$HOME", "-", "a\nb")
LINES = (b"\xff\xfe\n", b"\n", b"\0\n", b"[1]\n", b"\xed\xa0\x80\n", b"x" * 300000 + b"\n", "snake\u2581case \U0001f600 \u0301\n".encode(),
         b'{"text": 7}\n', b'{"text": ""}\n', b'{"texts": "x"}\n', b'{"text": "x", "y": NaN}\n', b'{"text": "x", "y": 1e999}\n',
         b'{"text": "\\ud800"}\n', b'{"text":' + b"[" * 50000 + b"\n", b'{"text": "x", "text": "y"}\n', b'{"text": "x", "domain": 7}\n',
         b'{"text": "x", "domain": "../$x_$"}\n')  # of texts and JSON lines
VALUES = (None, True, [], {}, [[]], "text", "", 0, -1, 1 << 60, 1 << 63, 0.5, [1, 2], {"a": 1}, ["x"])


def _number_of(text, rng, pattern):
    found = list(re.finditer(pattern, text))
    if not found:
        raise Unfit(text[:40])
    at, new = rng.choice(found), rng.choice(NUMBERS)
    return text[:at.start()] + new + text[at.end():], f"{at.group()} at offset {at.start()} is {new}"


def _places(value, path=()):
    """All (container, key) of a JSON value."""
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key, (*path, key)
        yield from _places(value[key], (*path, key))


def json_member(path, rng, _):
    """A member missing, of another type, renamed, or with a name that leads elsewhere."""
    tree = _json(path)
    container, key, where = rng.choice(list(_places(tree)))
    where = ".".join(map(str, where))
    how = rng.choice(["missing", "value", "value", "name", "twice"])
    if how == "missing":
        del container[key]
    elif how == "name":
        container[key] = rng.choice(NAMES)
    elif how == "twice" and isinstance(container, list):
        container.append(container[key])
    else:
        how, container[key] = "value", rng.choice(VALUES)
    path.write_text(json.dumps(tree, indent=1))
    return f"{where}: {how}" + ("" if how in ("missing", "twice") else f" {str(container[key])[:40]!r}")


def _json(path):
    try:
        tree = json.loads(path.read_text())
    except ValueError:
        raise Unfit(path) from None
    if not isinstance(tree, dict) or not tree:
        raise Unfit(path)
    return tree


def json_number(path, rng, _):
    text, said = _number_of(path.read_text(), rng, r"(?<=[:\[,\s])-?\d[\d.e+-]*(?=[,\s\]}])")
    path.write_text(text)
    return said


def json_whole(path, rng, _):
    whole = path.read_text()
    text = rng.choice(["[]", "null", "{}", "7", '"text"', "[" * 100000, '{"a":' * 100000, "{", "\ufeff" + whole, "\0" + whole, whole * 2,
                       whole.replace('"', "'"), '{"schema": "switchyard-manifest"}'])
    path.write_text(text)
    return f"the whole is {text[:30]!r}"


def yaml_number(path, rng, _):
    text, said = _number_of(path.read_text(), rng, r"(?<=[:\[,\s])-?\d[\d.e+-]*(?=[,\s\]}])")
    path.write_text(text)
    return said


def yaml_lines(path, rng, _):
    """Lines twice, missing, in another order, cut, indented, or with odd characters."""
    lines = path.read_text().splitlines(keepends=True)
    i = rng.randrange(len(lines))
    how = rng.choice(["twice", "missing", "swapped", "cut", "indented", "tab", "last lines missing", "key twice"])
    if how == "twice":
        lines.insert(i, lines[i])
    elif how == "missing":
        del lines[i]
    elif how == "swapped":
        lines[i], lines[-1] = lines[-1], lines[i]
    elif how == "cut":
        lines[i] = lines[i][:rng.randrange(len(lines[i]))]
    elif how in ("indented", "tab"):
        lines[i] = ("  " if how == "indented" else "\t") + lines[i]
    elif how == "last lines missing":
        del lines[i:]
    else:
        key = re.search(r"[{ ](\w+): *[^,}\n]+", lines[i])
        lines[i] = lines[i][:key.end()] + f", {key.group(1)}: 7" + lines[i][key.end():] if key else lines[i] * 2
    path.write_text("".join(lines))
    return f"line {i + 1}: {how}"


def yaml_whole(path, rng, _):
    text = path.read_text()
    made = rng.choice(["", "[", "[" * 20000, "{" * 20000, "a: &a [*a]\n", "&a {x: *a}\n", "- 1\n- 2\n", "7\n", "%YAML 9.9\n---\n" + text,
                       "---\n" + text + "---\n" + text, text.replace("\n", "\r\n"), text.replace("\n", "\r"), "\ufeff" + text, text + "\0",
                       text + "x: !!binary ////\n", text + "? [a]\n: 1\n", text.replace(":", ""), "!!python/object:os.system " + text,
                       "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(f"b{i}: &b{i} [{', '.join(['*' + (f'b{i - 1}' if i else 'a')] * 9)}]\n"
                                                              for i in range(12))])
    path.write_bytes(made.encode())
    return f"the whole is {made[:30]!r}"


def text_line(path, rng, _):
    """A line of a text or of JSON lines: odd characters, other types, deep nesting, something long."""
    lines = path.read_bytes().splitlines(keepends=True)
    i = rng.randrange(len(lines))
    lines[i] = rng.choice([*LINES, lines[i].rstrip(b"\n"), b"\xef\xbb\xbf" + lines[i]])
    path.write_bytes(b"".join(lines))
    return f"line {i + 1} is {lines[i][:30]!r}"


def _datasets(f):
    found = []
    f.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
    if not found:
        raise Unfit(f.filename)
    return found


def _edit(path):
    try:
        return h5py.File(path, "r+")
    except OSError:
        raise Unfit(path) from None


def _replace(f, name, **options):
    """A dataset anew, with its attributes where they can be written."""
    attributes = {k: v for k, v in f[name].attrs.items() if k not in ("DIMENSION_LIST", "REFERENCE_LIST", "CLASS", "NAME")}
    del f[name]
    f.create_dataset(name, **options)
    for key, value in attributes.items():
        f[name].attrs[key] = value


def h5_missing(path, rng, _):
    with _edit(path) as f:
        name = rng.choice(_datasets(f))
        del f[name]
    return f"dataset {name} missing"


def h5_type(path, rng, _):
    with _edit(path) as f:
        name = rng.choice(_datasets(f))
        shape = f[name].shape
        kinds = dict(text=h5py.string_dtype(), text4="S4", int8="i1", uint64="u8", float16="f2", float64=">f8",
                     pair=[("a", "i4"), ("b", "f8")], bits="b1", opaque="V7", reference=h5py.ref_dtype,
                     sequences=h5py.vlen_dtype("i4"), array="(3,)i4")
        kind = rng.choice(sorted(kinds))
        _replace(f, name, shape=shape, dtype=kinds[kind], maxshape=f[name].maxshape, chunks=f[name].chunks)
    return f"dataset {name} is of type {kind}"


def h5_shape(path, rng, _):
    with _edit(path) as f:
        name = rng.choice(_datasets(f))
        shape, dtype = f[name].shape, f[name].dtype
        kinds = dict(scalar=(), flat=(int(np.prod(shape)),), deeper=(*shape, 2), none=(0,) * max(1, len(shape)),
                     longer=tuple(n + 1 for n in shape), shorter=tuple(max(1, n - 1) for n in shape))
        kind = rng.choice(sorted(k for k in kinds if kinds[k] != shape))
        _replace(f, name, shape=kinds[kind], dtype=dtype)
    return f"dataset {name}: {kind}, {shape} is {kinds[kind]}"


def h5_huge(path, rng, _):
    """An extent that no memory holds; nothing of it is on the disk."""
    size = rng.choice([1 << 31, 1 << 40, 1 << 59])
    with _edit(path) as f:
        growing = [n for n in _datasets(f) if f[n].maxshape and f[n].maxshape[0] is None]
        name = rng.choice(growing or _datasets(f))
        if growing:
            f[name].resize(size, axis=0)
        else:
            _replace(f, name, shape=(size, *f[name].shape[1:]), dtype=f[name].dtype, chunks=(1024, *f[name].shape[1:]))
    return f"dataset {name} claims {size} rows"


def h5_link(path, rng, bench):
    """Something else under the name of a dataset."""
    with _edit(path) as f:
        name = rng.choice(_datasets(f))
        del f[name]
        how = rng.choice(["group", "dangling", "loop", "external", "type", "null space"])
        if how == "group":
            f.create_group(name)
        elif how == "type":
            f[name] = np.dtype("f8")
        elif how == "null space":
            f[name] = h5py.Empty("f8")
        else:
            links = dict(dangling=h5py.SoftLink("/nowhere"), loop=h5py.SoftLink("/" + name),
                         external=h5py.ExternalLink(str(bench.outside / "canary.txt"), "/x"))
            f[name] = links[how]
    return f"dataset {name} is now: {how}"


def h5_attribute(path, rng, _):
    with _edit(path) as f:
        places = [(f, key) for key in f.attrs] + [(f[n], key) for n in _datasets(f) for key in ("scope", "units", "long_name", "CLASS")
                                                  if key in f[n].attrs]
        if not places:
            raise Unfit(path)
        owner, key = rng.choice(places)
        values = dict(missing=None, number=7, negative=-1, text="x", empty="", long="x" * 60000, list=[1, 2, 3], nan=float("nan"),
                      bytes=np.bytes_(b"\xff\xfe\0x"), json="{", huge=1 << 62, none=h5py.Empty("f8"), texts=["a", "b"])
        kind = rng.choice(sorted(values))
        del owner.attrs[key]
        if kind != "missing":
            owner.attrs[key] = values[kind]
        where = owner.name
    return f"attribute {key} of {where}: {kind}"


def with_sums(path, bench):
    """Makes the sums that a manifest keeps of this file right again, so that what reads it meets the damage itself; False without one."""
    manifest = path.parent / "manifest.json"
    if path == manifest or not manifest.is_file() or not path.is_file():
        return False
    data = path.read_bytes()
    tree = json.loads(manifest.read_text())
    for container, _, _ in list(_places(tree)):
        if isinstance(container, dict) and path.name in (container.get("name"), container.get("file")):
            container["sha256"] = hashlib.sha256(data).hexdigest()
            if "bytes" in container:
                container["bytes"] = len(data)
    manifest.write_text(json.dumps(tree, indent=1))
    return True


JSON = (json_member, json_member, json_number, json_whole)
YAML = (yaml_number, yaml_number, yaml_lines, yaml_lines, yaml_whole)
HDF5 = (h5_missing, h5_type, h5_type, h5_shape, h5_shape, h5_huge, h5_link, h5_attribute, h5_attribute)
