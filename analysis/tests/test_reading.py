"""Other hands' files: what is read of them, and what is refused, with the place and the cause in the sentence."""
import errno
import gzip
import itertools
import os
import random
import socket

import numpy as np
import pandas as pd
import pytest

from yardstick.base import arguments, faults, reading

ADVICE = "give another"


def refusal(call, *arguments, kind=faults.SchemaError):
    with pytest.raises(kind) as found:
        call(*arguments)
    return str(found.value)


def csv(folder, text, columns=("a", "b"), **options):
    (folder / "t.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return reading.read_csv(folder / "t.csv", list(columns), ADVICE, **options)


NAN = float("nan")
TABLES = {  # text -> columns a and b
    "plain": ("a,b\n1,2\n", [1], [2]), "other order": ("b,c,a\n2,x,1\n", [1], [2]), "without an end of line": ("a,b\n1,2", [1], [2]),
    "of Windows": ("a,b\r\n1,2\r\n", [1], [2]), "with a byte order mark": ("\ufeffa,b\n1,2\n", [1], [2]),
    "empty lines": ("\n\na,b\n\n1,2\n\n3,4\n", [1, 3], [2, 4]), "empty cells": ("a,b\n,2\n1,\n", [NAN, 1], [2, NAN]),
    "a short row": ("a,b\n1\n", [1], [NAN]), "not finite": ("a,b\ninf,-inf\nnan,1\n", [np.inf, NAN], [-np.inf, 1]),
    "exponents": ("a,b\n1e3,-2.5E-1\n", [1000], [-0.25]), "beyond a double": ("a,b\n1e999,9999999999999999999999999\n", [np.inf], [1e25]),
    "quoted": ('a,b\n"1","2"\n', [1], [2]), "spaces": ("a,b\n 1 , 2\n", [1], [2]), "no rows": ("a,b\n", [], []),
    "a comma at every end": ("a,b\n1,2,\n3,4,\n", [1, 3], [2, 4])}


@pytest.mark.parametrize("text,a,b", TABLES.values(), ids=TABLES)
def test_tables(tmp_path, text, a, b):
    found = csv(tmp_path, text)
    assert found["a"].astype(float).tolist() == pytest.approx(a, nan_ok=True)
    assert found["b"].astype(float).tolist() == pytest.approx(b, nan_ok=True)


BROKEN = {
    "empty": ("", "cannot be read as a table (No columns"), "no header": ("1,2\n3,4\n", "has no column a, b; give another"),
    "semicolons": ("a;b\n1;2\n", "has no column a, b"), "spaces in names": ("a , b\n1,2\n", "has no column a, b"),
    "one column": ("a\n1\n", "has no column b;"), "a word": ("a,b\n1,2\n1,x\n", "column b is no number in row 2 ('x')"),
    "another base": ("a,b\n0x10,1\n", "column a is no number in row 1 ('0x10')"), "underscores": ("a,b\n1_0,1\n", "row 1 ('1_0')"),
    "other digits": ("a,b\n1,\u0663\n", "row 1 ('\u0663')"), "truth": ("a,b\nTrue,1\n", "column a is no number in row 1 ('True')"),
    "truth among numbers": ("a,b\n1,1\nFalse,1\n", "column a is no number in row 2 ('False')"),
    "complex": ("a,b\n1+2j,1\n", "column a is no number in row 1"), "a date": ("a,b\n1,2024-01-01\n", "column b is no number in row 1"),
    "a long word": ("a,b\n1," + "x" * 99 + "\n", f"row 1 ('{'x' * 40}')"), "an open quote": ('a,b\n1,"2\n', "cannot be read as a table"),
    "a later row too long": ("a,b\n1,2\n3,4,5\n", "cannot be read as a table"), "not UTF-8": (b"a,b\n1,\xff\n", "not UTF-8 at byte 6"),
    "UTF-16": ("a,b\n1,2\n".encode("utf-16"), "not UTF-8 at byte 0"), "a NUL": ("a,b\n1,2\0\n", "column b is no number in row 1"),
    # of a header too short for its rows pandas would take the first column for the rows' names, and every other for its neighbour
    "all rows too long": ("a,b\n1,2,3\n4,5,6\n", "cannot be read as a table"),
    "all rows too long, of words": ("a,b\nx,2,3\ny,z,6\n", "cannot be read as a table"),
    "two too many": ("a,b\n1,2,3,4\n", "cannot be read as a table")}


@pytest.mark.parametrize("text,said", BROKEN.values(), ids=BROKEN)
def test_what_is_no_table_says_why(tmp_path, text, said):
    found = refusal(csv, tmp_path, text)
    assert found.startswith(f"{tmp_path / 't.csv'}: ") and said in found and found.endswith(f"; {ADVICE}") and "\n" not in found


def test_texts_stay_texts_and_other_columns_as_they_are(tmp_path):
    found = csv(tmp_path, "a,b,c\n007,1,x\n,2,\n12,3,0x1\n", texts=["a"])
    assert found["a"].dropna().tolist() == ["7.0", "12.0"] and found["a"].isna().tolist() == [False, True, False]
    assert found["b"].tolist() == [1, 2, 3] and found["c"].dropna().tolist() == ["x", "0x1"]
    commented = csv(tmp_path, "# made by hand\na,b\n1,2\n", comment="#")
    assert commented[["a", "b"]].values.tolist() == [[1, 2]]


@pytest.mark.parametrize("seed", range(20))
def test_any_table_of_numbers_comes_back(tmp_path, seed):
    """Written by Python's own repr and commas, which are no part of the reader."""
    rng = random.Random(seed)
    rows = [[rng.choice([rng.randint(-10**9, 10**9), rng.uniform(-1, 1) * 10 ** rng.randint(-300, 300), 0.0, 1 / 3]) for _ in "ab"]
            for _ in range(rng.randint(1, 30))]
    found = csv(tmp_path, "a,b\n" + "".join(f"{x!r},{y!r}\n" for x, y in rows))
    assert found[["a", "b"]].values == pytest.approx(np.array(rows, float), rel=1e-15, abs=0)


def test_every_kind_of_column_is_a_column_of_numbers_or_refused():
    for values, expected in (([1, 2], [1, 2]), ([1.5, None], [1.5, NAN]), (["1", " 2.5 "], [1, 2.5]), ([None, "3"], [NAN, 3])):
        assert reading.numbers(pd.Series(values), "p", ADVICE).tolist() == pytest.approx(expected, nan_ok=True)
    for values, said in (([True, False], "row 1 ('True')"), (["1", "one"], "row 2 ('one')"), ([1 + 2j], "row 1"),
                         (pd.to_datetime(["2024-01-01"]), "row 1 ('2024")):
        assert said in refusal(reading.numbers, pd.Series(values), "p", ADVICE)
    assert "too large" in refusal(reading.numbers, pd.Series([10**400], dtype=object), "p", ADVICE)


def places(folder):
    """Names that are no plain file, with the words that say so."""
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")
    (folder / "nowhere").symlink_to(folder / "none")
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "file").write_text("x")
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(folder / "socket"))
    server.close()
    return {"folder": "is not a file", "pipe": "is not a file", "socket": "cannot be read (No such device", "nowhere": "no such file",
            "none": "no such file", "loop": "cannot be read (Too many levels", "file/below": "cannot be read (Not a directory",
            "x" * 300: "cannot be read (File name too long", "a\0b": "is no name of a file"}


def test_what_is_no_file_is_refused_and_never_waited_for(tmp_path):
    for name, said in places(tmp_path).items():
        path = os.path.join(tmp_path, name)
        for read in (reading.check_regular, reading.read_bytes, reading.read_text):
            found = refusal(read, path, ADVICE)
            assert said in found and found.endswith(ADVICE), name
        assert not reading.is_file(path)
    assert refusal(reading.check_regular, "/dev/zero", ADVICE) == f"/dev/zero: is not a file; {ADVICE}"
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert reading.read_text(tmp_path / "link") == "x" and reading.is_file(tmp_path / "link")
    assert reading.check_regular(tmp_path / "file").st_size == 1


def test_no_file_stays_open(tmp_path):
    places(tmp_path)
    before = len(os.listdir("/proc/self/fd"))
    for name in ("file", "pipe", "folder", "none") * 5:
        try:
            reading.read_bytes(tmp_path / name)
        except faults.SchemaError:
            pass
    assert len(os.listdir("/proc/self/fd")) == before


def test_packed_files(tmp_path):
    packed = gzip.compress(b"a,b\n" + b"1,2\n" * 1000)
    for content, said in ((packed[:-9], "cannot be read (Compressed file ended"), (b"a,b\n", "cannot be read (Not a gzipped file"),
                          (packed[:40] + bytes(5) + packed[45:], "cannot be read ("), (packed[:-8] + bytes(8), "CRC check failed")):
        (tmp_path / "t.gz").write_bytes(content)
        assert said in refusal(reading.read_bytes, tmp_path / "t.gz", ADVICE)
    (tmp_path / "t.gz").write_bytes(packed)
    assert len(reading.read_bytes(tmp_path / "t.gz")) == 4004 and (tmp_path / "t.gz").stat().st_size < 100
    assert reading.read_bytes(tmp_path / "t.gz", most=4004)[:2] == b"a,"
    (tmp_path / "t").write_bytes(bytes(4004))
    for name in ("t.gz", "t"):  # the size that counts is what it unpacks to
        assert "more than 4,003 bytes" in refusal(reading.read_bytes, tmp_path / name, ADVICE, 4003)


@pytest.mark.parametrize("text,said", [
    ("", "Expecting value"), ("{", "Expecting property"), ("[1,]", "Illegal trailing comma|Expecting value"), ("[" * 100_000, "recursion"),
    ("1" * 5000, "Exceeds the limit"), ("\x00", "Expecting value")])
def test_what_is_no_json(text, said):
    found = refusal(reading.parse_json, text, "place", ADVICE)
    assert found.startswith("place: cannot be read as JSON (") and any(part in found for part in said.split("|"))


SYSTEM = {errno.ENOSPC: 5, errno.EDQUOT: 5, errno.EFBIG: 5, errno.EIO: 5, errno.ESTALE: 5, errno.EPIPE: 5, errno.ENOMEM: 8,
          errno.EACCES: 2, errno.EPERM: 2, errno.EROFS: 2, errno.ENOENT: 2, errno.EISDIR: 2, errno.ELOOP: 2, errno.EMFILE: 2}


@pytest.mark.parametrize("number", SYSTEM, ids=errno.errorcode.get)
def test_codes_of_the_system(number):
    """By the README: 2 for what rights and names forbid, 5 for storage that is full or fails, 8 for memory."""
    error = faults.of_system(OSError(number, os.strerror(number)), "p", "cannot be read", ADVICE)
    code, sentence = faults.told(error)
    assert code == SYSTEM[number] and os.strerror(number) in sentence and "p: cannot be read" in sentence
    assert (ADVICE in sentence) == (code == 2) and ("free or repair the storage" in sentence) == (code == 5)
    assert faults.told(OSError(number, os.strerror(number), "q"))[0] == code


@pytest.mark.parametrize("error,told", [
    (faults.SchemaError("a\n b"), (2, "a b")), (faults.RecordError("r"), (4, "r")), (faults.NotWhole("n"), (4, "n")),
    (faults.StorageError("s"), (5, "s")), (KeyboardInterrupt(), (130, "interrupted")),
    (OSError("no number"), (2, "a file: cannot be used (no number)")), (MemoryError(), (8, "out of memory (MemoryError)")),
    (RuntimeError("x\ny"), (1, "a defect of yardstick (RuntimeError: x y)"))])
def test_codes_of_everything_else(error, told):
    code, sentence = faults.told(error)
    assert code == told[0] and sentence.startswith(told[1]) and "\n" not in sentence


def test_a_defect_names_its_deepest_line():
    def inner():
        raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError) as found:
        inner()
    assert faults.told(found.value)[1].endswith(f"{__file__}:{inner.__code__.co_firstlineno + 1}); report it with what it was given")


def test_whole_numbers_at_every_limit():
    """Exhaustive over short texts, against the grammar as a sentence: no sign, no space, no zero in front, within the limits."""
    for text in map("".join, itertools.chain.from_iterable(itertools.product("012-+ _.", repeat=n) for n in range(4))):
        right = text == "0" or (text.isdigit() and text[0] != "0")
        for least, most in ((0, 99), (2, 20), (1, 1)):
            read = arguments.whole(least, most)
            if right and least <= int(text) <= most:
                assert read(text) == int(text)
            else:
                with pytest.raises(arguments.argparse.ArgumentTypeError):
                    read(text)
    assert arguments.whole()(str(2**63 - 1)) == 2**63 - 1
    with pytest.raises(arguments.argparse.ArgumentTypeError):
        arguments.whole()(str(2**63))
