"""`yardstick communication RESULTS`: how much of a step is communication, how much of that overlap hides, how many bytes exchange by nodes
removes. Judges what experiments/communication/run.sh measured: steps on virtual networks of several rates, and counted rows."""
import pathlib

from ..drawing import figure_file
from ..sweeps.arms_report import verdict_lines, write
from ..verdicts import claims
from . import communication_figure, communication_scaling as scaling, communication_tables as tables, communication_verdicts as verdicts
from .communication_results import read

FIGURE = "communication.svg"


def entries(found, overlap, exchange, weak=None):
    """The three claims of acceptance.json; weak: the table of weak scaling, where it was measured."""
    names = [path.name for path in found.files]
    steps = [f"results/{name}" for name in names if name.startswith("steps-")]
    counted = [f"results/{name}" for name in names if not name.startswith(("steps-", "weak-"))]
    status, measured = verdicts.communication(overlap)
    if weak is not None:
        measured["weak_scaling"] = scaling.summary(weak)
        steps += [f"results/{name}" for name in names if name.startswith("weak-")] + ["scaling.csv"]
    return [claims.entry("communication", (status, measured), None, [*steps, "overlap.csv", FIGURE]),
            claims.entry("grouped-experts", verdicts.grouped_experts(exchange, found.trained), None, [*counted, "exchange.csv", FIGURE]),
            claims.entry("overlap", verdicts.overlap(overlap), None, [*steps, "overlap.csv", FIGURE])]


def make(folder, out=None, command=""):
    """Returns the text to print; with `out` writes OUT/overlap.csv, exchange.csv, scaling.csv where it was measured,
    communication.{svg,png} and acceptance.json."""
    found = read(folder)
    weak_rows, weak_files = scaling.read_scaling(pathlib.Path(folder))
    found = found._replace(files=[*found.files, *weak_files])
    overlap, exchange = tables.overlap_table(found.steps), tables.exchange_table(found.exchange)
    weak = None if weak_rows is None else scaling.scaling_table(weak_rows)
    made = entries(found, overlap, exchange, weak)
    if out is not None:
        origin = figure_file.origin_of(command, found.files)._replace(caption=communication_figure.caption(overlap, exchange))
        csv = dict(overlap=overlap, exchange=exchange) | ({} if weak is None else dict(scaling=weak))
        write(out, csv, dict(communication=communication_figure.draw(overlap, exchange)), origin, made)
    scaled = [] if weak is None else ["", scaling.scaling_text(weak)]
    return "\n".join([tables.text(overlap, exchange), *scaled, "", *verdict_lines(made), *_not_met(made)])


def _not_met(made):
    """What each verdict lacks, in sentences."""
    said = {"communication": ("by_overlap_alone", "with_fewer_bytes", "at_work_95_percent"),
            "grouped-experts": ("not_met", "trained"), "overlap": ("least_cut",)}
    return [f"  {e['key']}, {name.replace('_', ' ')}: {e['measured'][name]}" for e in made for name in said[e["key"]]
            if e["measured"].get(name) is not None]
