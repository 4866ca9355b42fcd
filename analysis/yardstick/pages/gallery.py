"""`yardstick gallery`: one page of every committed figure of the experiments, with its caption and what made it."""
import os
import pathlib

from ..base import reading, text
from ..base.faults import SchemaError
from ..drawing.figure_file import read_origin

HEAD = """# Gallery

Made by `yardstick gallery {folder} --out {out}`; do not edit. Every figure holds its command, the commit, its input files with \
their SHA-256 and the runs
behind them: `yardstick trace FIGURE` prints them. Beside each SVG lies a PNG.
"""


def title(folder):
    """First heading of an experiment's README, or the folder's name."""
    path = folder / "README.md"
    lines = reading.read_text(path).splitlines() if reading.is_file(path) else []
    return next((line[2:] for line in lines if line.startswith("# ")), folder.name)


def _shown(path, base):
    origin = read_origin(path)
    counts = [f"{len(many)} {name}{'s' * (len(many) != 1)}" for name, many in (("run", origin.runs), ("input file", origin.inputs))]
    where = os.path.relpath(path, base)
    return [f"### {text.markdown(path.stem)}", "", f"!{text.link(path.stem, where)}", "", text.markdown(origin.caption), "",
            f"{text.code(f'yardstick trace {path.as_posix()}')}: {', '.join(counts)}; made by {text.code(origin.command)} at "
            f"{text.markdown(origin.commit[:12])}", ""]


def page(folder, out):
    """The page as it stands in `out`, to which its links are relative."""
    folder, base = pathlib.Path(folder), pathlib.Path(out).parent
    if not folder.is_dir():
        raise SchemaError(f"{folder}: no such folder; give the one that holds the experiments")
    lines = []
    for experiment in sorted(p for p in folder.iterdir() if p.is_dir()):
        figures = sorted(experiment.rglob("*.svg"))
        if figures:
            lines += [f"## {text.link(title(experiment), os.path.relpath(experiment, base))}", ""]
            lines += [line for path in figures for line in _shown(path, base)]
    if not lines:  # a page made from nothing would replace one that shows something
        raise SchemaError(f"{folder}: no experiment in it has figures, EXPERIMENT/FIGURE.svg; give the folder that holds them")
    return "\n".join([HEAD.format(folder=folder, out=out), *lines])
