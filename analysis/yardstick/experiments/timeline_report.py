"""`yardstick timeline RUN`: where the time of a sampled step goes, task by task on every rank: figure, tables, trace."""
import pathlib
import warnings

from ..base import writing
from ..base.faults import RecordWarning, SchemaError
from ..base.text import plain
from ..drawing import figure_file, timeline_figure
from ..records import communication
from ..records.timeline import LEAST, by_rank, by_stage, named, open_timeline
from . import trace_events

MOST_RANKS = 16  # that are printed, those of the least shares


def _formatted(table, percent):
    """A table as text, its column `percent` in percent."""
    shown = table.assign(**{percent: table[percent].map("{:.1%}".format)})
    for name in shown:
        if shown[name].dtype.kind not in "iufb":  # texts
            shown[name] = shown[name].map(lambda text: plain(text, 40))
    return shown.to_string(index=False, float_format=lambda v: f"{v:.3f}")


def _ranks_text(ranks):
    """The table by rank, of many the ones with the least shares, and the least."""
    least, shown = ranks.loc[ranks["share"].idxmin()], ranks
    if len(ranks) > MOST_RANKS:
        shown = ranks.nsmallest(MOST_RANKS, "share").sort_values("rank")
    more = [f"({MOST_RANKS} ranks of the least share; all {len(ranks)} in timeline-ranks.csv)"] * (len(shown) < len(ranks))
    return "\n".join([_formatted(shown, "share"), *more,
                      f"least share of a step that tasks explain: {least['share']:.1%} (rank {int(least['rank'])})"])


def _warn(run_folder, timeline, ranks):
    """One line where tasks leave too much of a step unexplained."""
    least = ranks.loc[ranks["share"].idxmin()]
    if least["share"] < LEAST:
        few = int((ranks["share"] < LEAST).sum())
        warnings.warn(f"{run_folder}: step {int(timeline['timeline_step'])}: tasks explain {least['share']:.1%} of the step on rank "
                      f"{int(least['rank'])} and less than {LEAST:.0%} on {few} of {len(ranks)} ranks: the rest is in no task",
                      RecordWarning, stacklevel=3)


def _communication_text(timeline):
    """What of the step is communication; nothing where one rank works alone, or an older program recorded it."""
    found = communication.of_timeline(timeline) if timeline.sizes["timeline_rank"] > 1 else None
    if not found:
        return []
    busy, exposed, hidden, share = found
    return [f"communication: {busy * 1e3:.4g} ms busy, {exposed * 1e3:.4g} ms exposed ({share:.1%} of the step), {hidden:.1%} hidden"]


def make(run_folder, out=None, command="", step=None):
    """Writes OUT/timeline.{svg,png,csv}, timeline-ranks.csv and trace.json (default RUN/timeline) of a sampled step, the last by default;
    returns the text to print. Raises SchemaError where the run has no timeline or not this step."""
    timeline = open_timeline(run_folder, step)
    if timeline.attrs["absent"]:
        raise SchemaError(f"{run_folder}: {timeline.attrs['absent']}")
    out = pathlib.Path(out or pathlib.Path(run_folder) / "timeline")
    ranks, stages, said = by_rank(timeline), by_stage(timeline), timeline_figure.caption(timeline)
    origin = figure_file.origin_of_run(command, run_folder, ["run.h5"])._replace(caption=said)
    figure = timeline_figure.draw(timeline)
    figure.suptitle(f"{pathlib.Path(run_folder).resolve().name}, step {int(timeline['timeline_step'])}: {ranks['step_ms'].max():.4g} ms",
                    fontsize="large")
    figure_file.save(figure, out, "timeline", origin)
    writing.write_table(out / "timeline.csv", stages, "%.6g")
    measured = communication.by_rank(timeline) if len(ranks) > 1 else None
    writing.write_table(out / "timeline-ranks.csv", ranks if measured is None else ranks.merge(measured, on="rank"), "%.6g")
    writing.write_text(out / "trace.json", trace_events.text_of(timeline, command))
    _warn(run_folder, timeline, ranks)
    head = (f"step {int(timeline['timeline_step'])} (sampled: {named(timeline.attrs['steps'])}), segment {timeline.attrs['segment']:03d}: "
            f"{len(ranks)} rank{'s' * (len(ranks) != 1)}, {timeline.sizes['task']} tasks each")
    return "\n".join([head, "", _formatted(stages, "share"), "", _ranks_text(ranks), *_communication_text(timeline),
                      f"{out / 'trace.json'}: open it in https://ui.perfetto.dev or chrome://tracing"])
