"""Results appear whole or not at all: a file is written beside its place under a name that nobody else has, flushed and renamed.

Within `together`, all files of a command appear at its end, and what it made is taken away again where it fails."""
import contextlib
import io
import os
import pathlib
import secrets
import stat

from . import faults, text as safe

ADVICE = "give --out a place that can be written"
_open = None  # the Together that is open


class Together:
    """Files that wait to be renamed, files to remove, and what may have been made for them: files beside their places, and folders.
    What is made is noted before it is made, since a signal may come in between; `undo` passes over what is not there."""

    def __init__(self):
        self.waiting, self.removed, self.beside, self.made = {}, [], [], []

    def finish(self):
        for path in self.waiting:  # a place that cannot be replaced is met before the first is
            _refuse_folder(path)
        for path, aside in list(self.waiting.items()):
            with _naming(path):
                os.replace(aside, path)
            del self.waiting[path]
        for path in self.removed:
            with _naming(path), contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        self.made = []

    def undo(self):
        for aside in self.beside:
            with contextlib.suppress(OSError):
                os.unlink(aside)
        for folder in reversed(self.made):
            with contextlib.suppress(OSError):
                os.rmdir(folder)


@contextlib.contextmanager
def together():
    """All files written within appear at its end, or none."""
    global _open
    if _open is not None:
        yield
        return
    _open = mine = Together()
    try:
        yield
        mine.finish()
    finally:
        _open = None
        mine.undo()


@contextlib.contextmanager
def _naming(path):
    """An OSError becomes the sentence that names the place."""
    try:
        yield
    except OSError as error:
        raise faults.of_system(error, path, "cannot be written", ADVICE) from error


def _refuse_folder(path):
    if path.is_dir():
        raise faults.SchemaError(f"{path}: cannot be written (it is a folder); {ADVICE}")


def make_folder(path):
    """Makes a folder and those above it; returns its path."""
    path = pathlib.Path(path)
    missing = []
    with _naming(path), together():
        for folder in (path, *path.parents):
            if folder.exists():
                break
            missing.append(folder)
        for folder in reversed(missing):
            _open.made.append(folder)
            folder.mkdir(exist_ok=True)
        if not path.is_dir():
            raise faults.SchemaError(f"{path}: cannot be written (it is a file); give --out a folder")
    return path


def write_bytes(path, content):
    """Writes a file, with the folders above it."""
    write_stream(path, lambda stream: stream.write(content))


def write_stream(path, fill):
    """Writes what fill(stream) writes to a file, with the folders above it: for what is larger than memory."""
    path = pathlib.Path(path)
    with together(), _naming(path):
        make_folder(path.parent)
        _refuse_folder(path)
        short = os.fsdecode(os.fsencode(path.name)[:100])  # names are limited in bytes
        aside = path.with_name(f".{short}.{secrets.token_hex(8)}.part")
        _open.beside.append(aside)
        file = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        with os.fdopen(file, "wb") as stream:
            fill(stream)
            stream.flush()
            os.fsync(stream.fileno())
        if path.exists():  # who may read it stays as it was
            os.chmod(aside, stat.S_IMODE(path.stat().st_mode))
        _open.waiting[path] = aside  # only what is whole; a file of before that waited for this place goes with `undo`


def forget(folder):
    """Of a part of a command that failed: what it wrote below a folder does not appear. Only within `together`."""
    for path in [p for p in _open.waiting if pathlib.Path(folder) in p.parents]:
        del _open.waiting[path]


def write_text(path, text):
    """Writes text as UTF-8; what UTF-8 cannot say (parts of file names) as \\xNN."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def table_text(frame, float_format=None):
    """A table as csv, in which no text is a formula."""
    columns = {name: frame[name].map(safe.cell) for name in frame if frame[name].dtype.kind not in "iufb"}
    stream = io.StringIO()
    frame.assign(**columns).rename(columns=safe.cell).to_csv(stream, index=False, float_format=float_format)
    return stream.getvalue()


def write_table(path, frame, float_format=None):
    """Writes what `table_text` gives."""
    write_text(path, table_text(frame, float_format))


def remove(path):
    """Removes a file of an earlier command, if it is there."""
    with together():
        _open.removed.append(pathlib.Path(path))
