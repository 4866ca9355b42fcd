"""The timeline of one sampled step: begin and end of every task on every rank, and what of the step they explain."""
import numpy as np
import pandas as pd
import xarray as xr

from ..base.faults import RecordError, SchemaError
from . import hdf5, segment_file
from .run_folder import RUN, Segments, option, run_parts, told

OPTION = "record.timeline_every"
NEEDED = ("task_stage", "task_direction", "task_block", "task_lane", "task_queue", "timeline_step_start", "timeline_step_end",
          "timeline_start", "timeline_end", "timeline_bytes")
SHOWN = 12    # sampled steps that a message names
LEAST = 0.97  # of a step that tasks should explain on every rank


def _without(parts):
    """Why a run has no timeline, and what to do."""
    every = option(parts[-1][1], OPTION)
    if every and every != "0":
        return f"no step was sampled yet ({OPTION}: {every}); wait for the first, or set {OPTION} lower"
    return f"no timeline was recorded{f' ({OPTION}: {every})' if every else ''}; set {OPTION}, the number of steps from sample to sample"


def named(steps):
    """Sampled steps in words, those in the middle of many left out."""
    words = [str(s) for s in steps]
    if len(words) > SHOWN:
        words[SHOWN - 2:-1] = ["…"]
    return ", ".join(words) + (f" ({len(steps)} steps)" if len(steps) > SHOWN else "")


def _row(folder, part, number, at):
    """Dataset of one sampled step of a segment: its row and the tasks of its list."""
    path = next(s for s in folder.heads if int(s.name) == number) / "run.h5"
    row = folder.patience(path, lambda: segment_file.row(path, RUN, "timeline", at))
    fixed = part[[name for name in part.data_vars if part[name].dims in (("task",), ("hop",), ("purpose",)) or name == "rank_node"]]
    found = xr.merge([fixed, row], combine_attrs="override")
    missing = [name for name in NEEDED if name not in found]
    if missing:
        raise RecordError(f"{path}: has no {', '.join(missing)}, though it has timeline_step; {hdf5.ADVICE}")
    if not found["timeline_start"].size:
        raise RecordError(f"{path}: timeline_start has no ranks or no tasks; {hdf5.ADVICE}")
    for begin, end in (("timeline_step_start", "timeline_step_end"), ("timeline_start", "timeline_end"), ("hop_start", "hop_end")):
        if begin in found and end in found and (found[end] < found[begin]).any():
            raise RecordError(f"{path}: {end} is before {begin} at step {int(found['timeline_step'])}; {hdf5.ADVICE}")
    texts = {name: (found[name].dims, np.array([hdf5.text_of(t) for t in found[name].values], object))
             for name in ("task_stage", "task_direction", "hop_kind", "purpose_name") if name in found}
    return found.assign(texts).assign_attrs(segment=number)


def open_timeline(run, step=None):
    """The timeline of a sampled step of a run, by default the last; a later segment supersedes the steps of an earlier one.

    An xarray Dataset with the dimensions timeline_rank and task: `timeline_start` and `timeline_end` (rank, task), s, `timeline_bytes`
    (rank, task), `timeline_step_start` and `_end` (rank), s, all since rank 0 began the step; `task_stage`, `task_direction`,
    `task_block`, `task_lane` and `task_queue` (task); since schema version 5 also `hop_start`, `hop_end`, `hop_waited` and `hop_bytes`
    (rank, hop), `pair_bytes` and `pair_messages` (purpose, rank_from, rank_to), and what names them. Attributes: `segment`, `steps` (all
    sampled ones), `warnings`, and `absent`, which says why there is none: the Dataset is empty then. Raises SchemaError where that step
    was not sampled or there is no run, RecordError where it is damaged."""
    folder = Segments(run)
    parts = run_parts(folder)
    places = {int(s): (n, part, at) for n, part in parts if "timeline_step" in part for at, s in enumerate(part["timeline_step"].values)}
    if not places:
        return told(xr.Dataset(attrs=dict(steps=[], absent=_without(parts))), folder.notes)
    steps = sorted(places)
    if step is not None and step not in places:
        raise SchemaError(f"{run}: step {step} was not sampled; give one of the sampled steps {named(steps)}")
    number, part, at = places[steps[-1] if step is None else step]
    return told(_row(folder, part, number, at).assign_attrs(steps=steps, absent=""), folder.notes)


def covered(start, end, low=-np.inf, high=np.inf):
    """Length of the union of intervals within [low, high]; start and end (..., n), low and high scalar or (...); returns (...)."""
    low, high = np.asarray(low)[..., None], np.asarray(high)[..., None]
    start, end = np.clip(start, low, high), np.clip(end, low, high)
    order = np.argsort(start, -1, kind="stable")
    start, end = np.take_along_axis(start, order, -1), np.take_along_axis(end, order, -1)
    reach = np.maximum.accumulate(end, -1)
    before = np.concatenate([start[..., :1], reach[..., :-1]], -1)  # how far the earlier ones reach
    return np.maximum(end - np.maximum(start, before), 0).sum(-1)


def busy(timeline, tasks=slice(None)):
    """(ranks,) s of the step in which at least one of the tasks ran."""
    return covered(timeline["timeline_start"].values[:, tasks], timeline["timeline_end"].values[:, tasks],
                   timeline["timeline_step_start"].values, timeline["timeline_step_end"].values)


def lengths(timeline):
    """(ranks,) s from begin to end of the step."""
    return timeline["timeline_step_end"].values - timeline["timeline_step_start"].values


def share(seconds, length):
    """Shares of steps; of a step without length all of it."""
    return np.divide(seconds, length, out=np.ones(len(length)), where=length > 0)


def by_rank(timeline):
    """A row for each rank: its step, the time in which any task ran, both in ms, their share, and bytes sent."""
    length, seconds = lengths(timeline), busy(timeline)
    return pd.DataFrame(dict(rank=np.arange(len(length)), step_ms=length * 1e3, tasks_ms=seconds * 1e3, share=share(seconds, length),
                             bytes=timeline["timeline_bytes"].values.sum(1)))


def by_stage(timeline):
    """A row for each stage and direction, the longest first: how many tasks a rank has of it, ms in which at least one of them ran (mean
    and largest over ranks), the share of the step (mean over ranks), and bytes sent, sum over ranks."""
    keys, rows = list(zip(timeline["task_stage"].values, timeline["task_direction"].values)), []
    length, sent = lengths(timeline), timeline["timeline_bytes"].values
    for key in dict.fromkeys(keys):
        tasks = np.array([k == key for k in keys])
        seconds = busy(timeline, tasks)
        rows.append((*key, int(tasks.sum()), seconds.mean() * 1e3, seconds.max() * 1e3, share(seconds, length).mean(),
                     int(sent[:, tasks].sum())))
    table = pd.DataFrame(rows, columns=["stage", "direction", "tasks", "mean_ms", "max_ms", "share", "bytes"])
    return table.sort_values("mean_ms", ascending=False, kind="stable", ignore_index=True)
