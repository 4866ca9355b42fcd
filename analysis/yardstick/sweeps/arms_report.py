"""What the commands that compare the arms of a sweep share: caption, origin, tables, and how a folder of results is written."""
import pathlib

from ..base import writing
from ..verdicts import acceptance
from ..drawing import figure_file
from . import results

EXACT = "%.9g"  # of losses from which intervals are recomputed


def caption(arms):
    """N, D, D/N, tokens an expert, seeds: what a figure of `arms.Arms` says below."""
    parts = [f"N = {arms.n:,.0f} active parameters", f"D = {arms.tokens:,.0f} tokens", f"D/N = {arms.tokens / arms.n:.3g}"]
    choices = [arms.k or int(name) for name in arms.names]  # of arms that differ in k the name is k
    each = [f"{arms.tokens * k / experts:,.0f}" for k, experts in zip(choices, arms.experts)]
    listed = [" / ".join(dict.fromkeys(map(str, values))) for values in (arms.experts, choices, each)]
    parts += [f"E = {listed[0]}", f"k = {listed[1]}", f"{listed[2]} tokens an expert"]
    return ", ".join([*parts, f"seed{'s' * (len(arms.seeds) > 1)} {', '.join(map(str, arms.seeds))}"])


def origin(command, folder, arms):
    """Origin of what `command` makes of a sweep folder: results.h5 and the records of every run that is compared; of runs whose folders
    are not here, what results.h5 says of them."""
    path = results.of_sweep(folder)
    whole = figure_file.origin_of(command, [path])
    parts = [figure_file.origin_of_run(command, run) for run in arms.folders.values()]
    return whole._replace(inputs=whole.inputs | {k: v for part in parts for k, v in part.inputs.items()},
                          runs=[run for part in parts for run in part.runs] or results.runs(path))


def interval_text(interval, digits=4):
    """0.0120 [0.0100, 0.0140], or the value alone where nothing could be drawn."""
    if interval.low != interval.low:
        return f"{interval.value:.{digits}f}"
    return f"{interval.value:.{digits}f} [{interval.low:.{digits}f}, {interval.high:.{digits}f}]"


def verdict_lines(entries):
    """A line for each claim: its status, and why it is not testable."""
    return [f"{e['claim']}: {e['status']}" + (f" ({e['measured']['why']})" if "why" in e["measured"] else "") for e in entries]


def write(out, tables, figure, origin, entries):
    """Writes OUT/NAME.csv of each table by name, the figure {name: matplotlib figure} and acceptance.json."""
    folder = pathlib.Path(out)
    for name, table in tables.items():
        writing.write_table(folder / f"{name}.csv", table, EXACT if name.endswith("-losses") else "%.6g")
    for name, drawn in figure.items():
        figure_file.save(drawn, folder, name, origin)
    acceptance.write(folder / "acceptance.json", acceptance.of_runs(entries, origin.runs), origin.command, origin.commit)
