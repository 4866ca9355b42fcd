"""What can go wrong, with the exit code that says so: the table of the README, which the program has too."""
import errno

INPUT, DAMAGED, STORAGE, MEMORY, DEFECT, INTERRUPTED = 2, 4, 5, 8, 1, 130
LOST = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ESTALE, errno.EPIPE}


class SchemaError(ValueError):
    """What this version cannot read or do, with what it is and what to do."""
    code = INPUT


class RecordError(SchemaError):
    """A file of ours that is damaged."""
    code = DAMAGED


class NotWhole(RecordError):
    """A file that is damaged, or that a killed run had not finished making: its segment is left out, with a RecordWarning."""


class StorageError(SchemaError):
    """A result that could not be written, or a file that could not be read, since the storage is full or failing."""
    code = STORAGE


class RecordWarning(UserWarning):
    """What a dataset lacks of the records it was made from, and why; also in its attribute `warnings`."""


def reason(error):
    """Of an error in one line: the system's words where it has them."""
    return getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__


def of_system(error, path, verb, advice):
    """The error of ours for an OSError met at `path`; verb: what could not be done, as in "cannot be read"."""
    if error.errno == errno.ENOMEM:
        return MemoryError(f"{path}: {verb} ({reason(error)})")
    lost = error.errno in LOST
    return (StorageError if lost else SchemaError)(
        f"{path}: {verb} ({reason(error)}); {'free or repair the storage and run the command again' if lost else advice}")


def told(error):
    """(exit code, sentence) of anything that ends a command."""
    if isinstance(error, SchemaError):
        return error.code, " ".join(str(error).split())
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED, "interrupted"
    if isinstance(error, MemoryError):
        return MEMORY, f"out of memory ({reason(error)}); run it where more is free, or on a smaller record"
    if isinstance(error, OSError):
        place = error.filename or "a file"
        return told(of_system(error, place, "cannot be used", "see to its permissions and place"))
    where = error.__traceback__
    while where is not None and where.tb_next is not None:
        where = where.tb_next
    line = "" if where is None else f", {where.tb_frame.f_code.co_filename}:{where.tb_lineno}"
    return DEFECT, f"a defect of yardstick ({type(error).__name__}: {reason(error)}{line}); report it with what it was given"
