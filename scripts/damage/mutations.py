"""What the damage campaign does to bytes, files and folders. Every function takes (path, rng, bench) and returns what it did in words."""
import os
import pathlib
import shutil

PAGE = 4096
SIGNATURES = (b"TREE", b"SNOD", b"HEAP", b"GCOL", b"OHDR", b"FRHP", b"BTHD", b"FADB", b"FSSE")  # of HDF5's blocks


class Unfit(Exception):
    """This damage cannot be done to this file."""


def _bytes(path):
    data = bytearray(path.read_bytes())
    if not data:
        raise Unfit(path)
    return data


def _flip(path, data, place, rng):
    bit = 1 << rng.randrange(8)
    data[place] ^= bit
    path.write_bytes(data)
    return f"byte {place} of {len(data)} ^ {bit:#04x}"


def flip(path, rng, _):
    data = _bytes(path)
    return _flip(path, data, rng.randrange(len(data)), rng)


def flip_many(path, rng, _):
    data = _bytes(path)
    places = [rng.randrange(len(data)) for _ in range(rng.choice([2, 8, 64]))]
    for place in places:
        data[place] = rng.randrange(256)
    path.write_bytes(data)
    return f"{len(places)} bytes drawn anew"


def flip_head(path, rng, _):
    """The first bytes: magic numbers, versions, sizes of addresses."""
    data = _bytes(path)
    return _flip(path, data, rng.randrange(min(128, len(data))), rng)


def flip_structure(path, rng, _):
    """Close behind a signature of HDF5's own blocks: sizes, counts and addresses."""
    data = _bytes(path)
    marks, whole = [], bytes(data)
    for signature in SIGNATURES:
        at = whole.find(signature)
        while at >= 0:
            marks.append(at)
            at = whole.find(signature, at + 1)
    if not marks:
        raise Unfit(path)
    return "close to a signature: " + _flip(path, data, min(rng.choice(marks) + rng.randrange(64), len(data) - 1), rng)


def _range(data, rng):
    length = min(len(data), rng.choice([4, 8, 64, 512, PAGE]))
    start = rng.randrange(len(data) - length + 1)
    return start, start + length


def zero_range(path, rng, _):
    data = _bytes(path)
    a, b = _range(data, rng)
    data[a:b] = bytes(b - a)
    path.write_bytes(data)
    return f"zeros in [{a}, {b})"


def random_range(path, rng, _):
    data = _bytes(path)
    a, b = _range(data, rng)
    data[a:b] = rng.randbytes(b - a)
    path.write_bytes(data)
    return f"random bytes in [{a}, {b})"


def ones_word(path, rng, _):
    """An aligned word of ones: undefined addresses, sizes beyond everything."""
    data = _bytes(path)
    a = rng.randrange(max(1, len(data) // 8)) * 8
    data[a:a + 8] = b"\xff" * 8
    path.write_bytes(data)
    return f"eight bytes of ones at {a}"


def truncate(path, rng, _):
    size = len(_bytes(path))
    pages = [n for n in range(0, size, PAGE)]
    length = rng.choice([0, 1, size // 2, size - 1, rng.randrange(size), rng.choice(pages)])
    os.truncate(path, length)
    return f"cut to {length} of {size} bytes"


def grow(path, rng, _):
    tail = rng.choice([b"\0", b"\n", rng.randbytes(7), bytes(PAGE), rng.randbytes(PAGE)])
    with open(path, "ab") as f:
        f.write(tail)
    return f"{len(tail)} bytes more"


def repeat(path, rng, _):
    data = _bytes(path)
    path.write_bytes(data + data)
    return "its bytes twice"


def missing(path, rng, _):
    _remove(path)
    return "missing"


def _remove(path):
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def folder(path, rng, _):
    _remove(path)
    path.mkdir()
    return "a folder in its place"


def fifo(path, rng, _):
    _remove(path)
    os.mkfifo(path)
    return "a FIFO in its place"


def link_device(path, rng, _):
    device = rng.choice(["/dev/zero", "/dev/null", "/dev/full"])
    _remove(path)
    path.symlink_to(device)
    return f"a link to {device} in its place"


def link_loop(path, rng, _):
    _remove(path)
    path.symlink_to(path.name)
    return "a link to itself in its place"


def link_outside(path, rng, bench):
    _remove(path)
    path.symlink_to(bench.outside / "canary.txt")
    return "a link to a file outside in its place"


def swap(path, rng, bench):
    """Another kind of file under this name, or the same kind of another place."""
    others = [p for p in sorted(bench.work.rglob("*")) if p.is_file() and not p.is_symlink() and p != path]
    if not others:
        raise Unfit(path)
    same = [p for p in others if p.suffix == path.suffix]
    other = rng.choice(same if same and rng.random() < 0.5 else others)
    shutil.copyfile(other, path)
    return f"the bytes of {other.relative_to(bench.work)} in its place"


BYTES = (flip, flip, flip_many, flip_head, zero_range, random_range, ones_word, truncate, truncate, grow, repeat)
FOREIGN = (missing, folder, fifo, link_device, link_loop, link_outside, swap, swap)

LINKS = ("run/config.yaml.tmp", "run/lock", "run/segments/001/log.txt", "run/segments/002", "run/segments/003",
         "run/checkpoints/step-00000016", "run/checkpoints/step-00000016.tmp", "run/checkpoints/step-00000004",
         "run/checkpoints/step-00000008", "run/checkpoints", "run/segments", "run/config.yaml", "run/report", "run/non_finite.json")
SWEEP_LINKS = ("sweep/results.h5", "sweep/results.h5.tmp", "sweep/results.h5.part", "sweep/sweep.json.tmp", "sweep/tasks",
               "sweep/tasks/E1-k1-g1-seed1", "sweep/tasks/E1-k1-g1-seed1/config.yaml.tmp", "sweep/tasks/E2-k1-g1-seed1.log",
               "sweep/tasks/E2-k1-g1-seed1/lock")


def _hostile(names, rng, bench):
    path = bench.work / rng.choice(names)
    _remove(path)
    target = bench.outside / rng.choice(["canary.txt", "canary.txt", "folder", "step-00000004", "absent"])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)
    return f"{path.relative_to(bench.work)} is a link to {target.relative_to(bench.folder)}"


def hostile_link(path, rng, bench):
    return _hostile(LINKS, rng, bench)


def hostile_sweep_link(path, rng, bench):
    return _hostile(SWEEP_LINKS, rng, bench)


NUMBERS = ("9" * 20, "18446744073709551617", "9223372036854775807", "9223372036854775808", "2147483648", "4294967296", "-1", "+3", "1e3",
           "0x10", "010", "", " 1", "00000099")


def odd_number(path, rng, bench):
    """A segment or checkpoint whose folder has an odd number: empty, or a copy of a sound one, or moved there."""
    source, stem = rng.choice([("run/segments/001", ""), ("run/checkpoints/step-00000012", "step-")])
    source = bench.work / source
    made = source.parent / (stem + rng.choice(NUMBERS))
    if made.exists():
        raise Unfit(made)
    how = rng.choice(["empty", "a copy", "moved"])
    if how == "empty":
        made.mkdir()
    elif how == "a copy":
        shutil.copytree(source, made)
    else:
        source.rename(made)
    return f"{made.relative_to(bench.work)}: {how}"


def foreign_entry(path, rng, bench):
    """A known folder of a run missing, a file in its place, or a stranger beside it."""
    names = ["run/segments", "run/segments/000", "run/segments/001", "run/checkpoints", "run/checkpoints/step-00000008",
             "run/checkpoints/step-00000012", "bpe"]
    at = bench.work / rng.choice(names)
    how = rng.choice(["missing", "a file in its place", "a stranger in it", "a hidden file in it", "a FIFO in it"])
    if how in ("missing", "a file in its place"):
        _remove(at)
    if how == "a file in its place":
        at.write_text("not a folder\n")
    elif how == "a FIFO in it":
        os.mkfifo(at / "pipe.h5")
    elif how != "missing":
        pathlib.Path(at / (".DS_Store" if how.startswith("a hidden") else "notes (1).txt")).write_text("x\n")
    return f"{at.relative_to(bench.work)}: {how}"
