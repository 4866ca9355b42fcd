"""Files of figures: written so that the same numbers give the same bytes, with where they come from inside.

SVG holds the origin as its Dublin Core description, PNG as the text "Description", both as JSON."""
import hashlib
import io
import json
import pathlib
import shlex
import struct
import textwrap
import warnings
import xml.etree.ElementTree as xml
import zlib
from typing import NamedTuple

import matplotlib.pyplot as plt
from PIL import Image  # comes with matplotlib

from ..base import reading, writing
from ..base.faults import SchemaError
from ..base.text import plain
from ..records import hdf5
from ..records.run_folder import segments
from ..verdicts import acceptance
from .figures import DPI
from .plain import make_plain

KINDS = ("svg", "png")
UNKNOWN = "unknown"


class Run(NamedTuple):
    """A training behind a figure: its folder (of a run that was resumed, of the segment), what tells its configuration from others,
    the commit of the program, the command line, and what it computed with (OpenMP, Serial or Cuda)."""
    run: str
    id: str = UNKNOWN
    commit: str = UNKNOWN
    command: str = UNKNOWN
    backend: str = UNKNOWN


class Origin(NamedTuple):
    """Where a figure comes from: the command line and the commit of yardstick that made it, the files read (path -> SHA-256), the
    runs behind them, and what the reader sees."""
    command: str
    commit: str
    inputs: dict
    runs: list
    caption: str = ""


def sha256(path):
    reading.check_regular(path)
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def origin_of(command, paths, runs=()):
    """Origin of what `command` makes of these files."""
    return Origin(command or UNKNOWN, acceptance.commit(), {str(p): sha256(p) for p in paths}, list(runs))


def origin_of_run(command, folder, files=("run.h5", "evaluation.h5")):
    """Origin of what `command` makes of a run folder: these files of every segment, and each segment's own command and commit."""
    folders = segments(folder)
    paths = [p for segment in folders for name in files for p in sorted(segment.glob(name)) if p.is_file()]
    return origin_of(command, paths, [_segment_run(s) for s in folders])


def _segment_run(folder):
    try:
        attributes = hdf5.opened(folder / "run.h5", lambda file: file.attrs)
    except SchemaError:  # a killed segment; that its rows are missing is told by `open_run`
        return Run(str(folder))
    command = hdf5.table_of(attributes, "provenance").get("command")
    known = isinstance(command, list) and command and all(isinstance(word, str) for word in command)
    return Run(str(folder), attributes.get("config_sha256", UNKNOWN)[:12], attributes.get("commit", UNKNOWN),
               shlex.join(command) if known else UNKNOWN)


def note(figure, text):
    """Small text below the figure, in as many lines as its width asks for."""
    figure.supxlabel(textwrap.fill(plain(text), int(14 * figure.get_figwidth())), fontsize="x-small")


def save(figure, folder, name, origin, kinds=KINDS):
    """Writes FOLDER/NAME.svg and NAME.png, or one of them, and closes the figure; returns the bytes of the last."""
    text = json.dumps(origin._asdict() | dict(runs=[run._asdict() for run in origin.runs]))
    fixed = {"svg": {"Date": None}, "png": {}}
    try:
        make_plain(figure)
        with plt.rc_context({"svg.hashsalt": "switchyard", "svg.fonttype": "path"}), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of signs without a glyph and labels without room
            for kind in kinds:
                drawn = io.BytesIO()
                figure.savefig(drawn, format=kind, dpi=DPI, metadata={"Description": text} | fixed[kind])
                writing.write_bytes(pathlib.Path(folder) / f"{name}.{kind}", drawn.getvalue())
    finally:
        plt.close(figure)
    return drawn.getvalue()


def _description(path):
    """The description inside a figure, or None."""
    content = reading.read_bytes(path, "give a figure, NAME.svg or NAME.png")
    if path.suffix == ".svg":
        if b"<!ENTITY" in content:  # none of ours; one may stand for gigabytes
            return None
        found = xml.fromstring(content).find(".//{http://purl.org/dc/elements/1.1/}description")
        return None if found is None else found.text
    with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
        return image.text.get("Description")


def read_origin(path):
    """The Origin inside a figure that `save` wrote."""
    path = pathlib.Path(path)
    try:
        content = json.loads(_description(path) or "null")
        origin = Origin(**content | dict(runs=[Run(**run) for run in content["runs"]]))
        texts = [origin.command, origin.commit, origin.caption, *[field for run in origin.runs for field in run]]
        if not isinstance(origin.inputs, dict) or not all(isinstance(text, str) for text in [*texts, *origin.inputs.values()]):
            raise TypeError("is no table of texts")
        return origin
    except (SchemaError, MemoryError):
        raise
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, AttributeError, RecursionError, struct.error, zlib.error) as error:
        raise SchemaError(f"{path}: does not say where it comes from; give an SVG or PNG that yardstick wrote, "
                          "and make older ones anew") from error


def trace(path):
    """Text of how a figure was made, of its inputs, and of the runs behind it by commit."""
    origin = read_origin(path)
    lines = [str(path), f"  made by  {origin.command}", f"  commit   {origin.commit}"]
    lines += [f"  input    {name}  sha256 {digest}" for name, digest in origin.inputs.items()]
    if not origin.runs:
        lines.append("  runs     none are known to its inputs")
    for commit in dict.fromkeys(run.commit for run in origin.runs):
        runs = [run for run in origin.runs if run.commit == commit]
        lines.append(f"  {len(runs)} run{'s' * (len(runs) > 1)} of commit {commit}")
        lines += [f"    {run.id}  {run.run}: {run.command}" for run in runs]
    return "\n".join(map(plain, lines))
