"""Files of other hands: nothing in them is believed before it was looked at. Each function raises SchemaError with the file's name."""
import csv
import gzip
import io
import json
import os
import stat
import warnings
import zlib

import numpy as np
import pandas as pd

from . import faults

TEXT_BYTES = 1 << 28  # of a table or page: more is none of ours


def check_regular(path, advice="give a file"):
    """Refuses what is missing, may not be read, or is no plain file (a pipe would wait for ever)."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            found = os.fstat(file)
        finally:
            os.close(file)
    except FileNotFoundError as error:
        raise faults.SchemaError(f"{path}: no such file; {advice}") from error
    except OSError as error:
        raise faults.of_system(error, path, "cannot be read", advice) from error
    except ValueError as error:  # a NUL in the name
        raise faults.SchemaError(f"{path}: is no name of a file; {advice}") from error
    if not stat.S_ISREG(found.st_mode):
        raise faults.SchemaError(f"{path}: is not a file; {advice}")
    return found


def is_file(path):
    """Whether a name, which may be any text, is that of a file."""
    try:
        return os.path.isfile(path)
    except (ValueError, OSError):
        return False


def read_bytes(path, advice="give a file", most=TEXT_BYTES):
    """The bytes of a file, of gzip where its name ends so."""
    check_regular(path, advice)
    try:
        with (gzip.open if str(path).endswith(".gz") else open)(path, "rb") as file:
            content = file.read(most + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise faults.SchemaError(f"{path}: cannot be read ({faults.reason(error)}); {advice}") from error
    except OSError as error:
        raise faults.of_system(error, path, "cannot be read", advice) from error
    if len(content) > most:
        raise faults.SchemaError(f"{path}: cannot be read (more than {most:,} bytes); {advice}")
    return content


def read_text(path, advice="give a text file"):
    """The text of a file in UTF-8."""
    try:
        return read_bytes(path, advice).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise faults.SchemaError(f"{path}: cannot be read (not UTF-8 at byte {error.start}); {advice}") from error


def parse_json(text, place, advice):
    """What JSON says; `place` names it in the error."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise faults.SchemaError(f"{place}: cannot be read as JSON ({faults.reason(error)}); {advice}") from error


def read_csv(path, columns, advice, texts=(), **options):
    """A table whose `columns` are there and, but for `texts`, hold numbers. Every other column stays as it is."""
    text = read_text(path, advice)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # rows of more cells than names: no column is where it seems
            frame = pd.read_csv(io.StringIO(text), index_col=False, **options)
    except (ValueError, OverflowError, csv.Error, pd.errors.ParserWarning) as error:
        raise faults.SchemaError(f"{path}: cannot be read as a table ({faults.reason(error)}); {advice}") from error
    missing = [c for c in columns if c not in frame]
    if missing:
        raise faults.SchemaError(f"{path}: has no column {', '.join(missing)}; {advice}")
    for name in columns:
        if name in texts:
            frame[name] = frame[name].where(frame[name].isna(), frame[name].astype(str))
        else:
            frame[name] = numbers(frame[name], f"{path}: column {name}", advice)
    return frame


def numbers(values, place, advice):
    """A column as numbers; what is none is named with its row."""
    if values.dtype.kind in "iuf":
        return values
    try:
        found = pd.to_numeric(values, errors="coerce") if values.dtype.kind in "Ob" else pd.Series(np.nan, values.index)
    except OverflowError as error:
        raise faults.SchemaError(f"{place} holds a number that is too large; {advice}") from error
    if values.dtype.kind == "b" or (found.isna() & values.notna()).any():
        wrong = values.index[found.isna() & values.notna()] if values.dtype.kind != "b" else values.index[:1]
        raise faults.SchemaError(f"{place} is no number in row {int(wrong[0]) + 1} ('{str(values[wrong[0]])[:40]}'); {advice}")
    return found.astype(float)
