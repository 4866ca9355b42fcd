"""A timeline as the trace event format of Chrome, which Perfetto (ui.perfetto.dev) and chrome://tracing open."""
import json

import numpy as np


def _nanoseconds(seconds):
    """Whole ns: intervals that meet still meet, since Perfetto drops an event that begins before the one before it ends."""
    return np.round(np.asarray(seconds) * 1e9).astype(np.int64)


def _metadata(rank, queues):
    """Names and order of a rank and its queues."""
    def event(name, /, **args):
        return dict(ph="M", name=name, pid=rank, tid=0, args=args)
    yield event("process_name", name=f"rank {rank}")
    yield event("process_sort_index", sort_index=rank)
    for queue in queues:
        yield event("thread_name", name=f"queue {queue}") | dict(tid=queue)


def name_of(stage, direction, block):
    """What an event is called: stage, direction unless it is neither, block unless there is none."""
    return " ".join([stage, *([direction] if direction != "step" else []), *([f"block {block}"] if block >= 0 else [])])


def events(timeline):
    """Trace events of a timeline: a complete event for every task of every rank, ts and dur in µs with whole ns, pid the rank, tid the
    queue; and the ns by which they are later than rank 0's begin of the step: Perfetto takes no time below 0."""
    stage, direction = timeline["task_stage"].values, timeline["task_direction"].values
    block, lane, queue = (timeline[f"task_{name}"].values.tolist() for name in ("block", "lane", "queue"))
    begin, end = _nanoseconds(timeline["timeline_start"]), _nanoseconds(timeline["timeline_end"])
    shift, sent = max(0, -int(begin.min())), timeline["timeline_bytes"].values
    names = [name_of(*task) for task in zip(stage, direction, block)]
    found = []
    for rank in range(timeline.sizes["timeline_rank"]):
        found += _metadata(rank, sorted(set(queue)))
        for t in np.lexsort((end[rank], begin[rank], queue)).tolist():
            found.append(dict(ph="X", name=names[t], cat=stage[t], pid=rank, tid=queue[t], ts=int(begin[rank, t] + shift) / 1e3,
                              dur=int(end[rank, t] - begin[rank, t]) / 1e3,
                              args=dict(block=block[t], lane=lane[t], bytes=int(sent[rank, t]))))
    return found, shift


def text_of(timeline, command=""):
    """The trace file: `otherData` says which step it is and what was added to every time."""
    found, shift = events(timeline)
    about = dict(step=int(timeline["timeline_step"]), segment=timeline.attrs["segment"], added_us=shift / 1e3, command=command)
    return json.dumps(dict(displayTimeUnit="ms", otherData=about, traceEvents=found), separators=(",", ":")) + "\n"
