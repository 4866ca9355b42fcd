"""Timelines for the run folders of `fixture`: the datasets of schema version 4, and a step as a training with experts would leave it."""
import h5py
import numpy as np
from fixture import scale, variable, write_run

BLOCK = [("attention", 3.0), ("router", 0.4), ("plan", 0.2), ("dispatch", 1.0), ("experts", 4.0), ("combine", 1.0)]


def tasks_of(blocks, queues=1):
    """(stage, direction, block, lane, queue, ms) of a step, in the order of the flow; with several queues grains alternate between them."""
    there = [("embedding", "forward", -1, 0.3)]
    there += [(stage, "forward", b, ms) for b in range(blocks) for stage, ms in BLOCK] + [("head", "forward", -1, 2.0)]
    back = [(stage, "backward", b, 2 * ms if stage in ("attention", "experts") else ms) for stage, _, b, ms in reversed(there)]
    end = [("reduce", "step", -1, 2.0), ("optimizer", "step", -1, 1.5)]
    return [(stage, direction, block, lane, lane, ms) for lane in range(queues) for stage, direction, block, ms in there + back + end]


def step_of(tasks, ranks, rng, idle=0.01):
    """(begin, end) (ranks,) of the step and (start, end) (ranks, tasks), s: each queue one task after another, `idle` of its time before
    each; a rank computes slower than another, and an exchange ends everywhere when the last rank has come to it."""
    slow, begin = 1 + 0.15 * rng.random(ranks), rng.uniform(-2e-5, 5e-5, ranks)
    begin[0] = 0
    start, end, free = np.empty((ranks, len(tasks))), np.empty((ranks, len(tasks))), {}
    for t, (stage, _, _, _, queue, ms) in enumerate(tasks):
        length = ms * 1e-3 * slow * rng.uniform(0.9, 1.1, ranks)
        start[:, t] = free.get(queue, begin) + idle * length
        end[:, t] = start[:, t] + length
        if stage in ("dispatch", "combine", "reduce"):
            end[:, t] = end[:, t].max()
        free[queue] = end[:, t]
    return begin, np.max(list(free.values()), 0) + 1e-5, start, end


def write_timeline(path, steps, tasks, values, sent=None):
    """Adds a timeline to a run.h5: `values` are (begin, end, start, stop) of `step_of`, each with the steps in front, or of one step."""
    values = [np.broadcast_to(v, (len(steps), *np.shape(v)[-n:])) for v, n in zip(values, (1, 1, 2, 2))]
    sent = np.zeros(values[2].shape, "i8") if sent is None else np.broadcast_to(sent, values[2].shape)
    with h5py.File(path, "a") as f:
        f.attrs["schema_version"] = 4
        for name, size in dict(timeline=len(steps), timeline_rank=values[0].shape[1], task=len(tasks)).items():
            scale(f, name, size, name == "timeline")
        for name, column, kind in (("stage", 0, "S16"), ("direction", 1, "S16"), ("block", 2, "i4"), ("lane", 3, "i4"), ("queue", 4, "i4")):
            variable(f, f"task_{name}", ["task"], np.array([t[column] for t in tasks], kind))
        variable(f, "timeline_step", ["timeline"], np.array(steps, "i8"))
        for name, value in zip(("step_start", "step_end", "start", "end"), values):
            variable(f, f"timeline_{name}", ["timeline", "timeline_rank", "task"][:value.ndim], value, "s")
        variable(f, "timeline_bytes", ["timeline", "timeline_rank", "task"], sent, "bytes")


def timed(folder, blocks=2, ranks=4, queues=1, steps=(10, 20), idle=0.01, **changes):
    """A run folder with a timeline of every 10th step; returns it."""
    run = write_run(folder, ranks=ranks, **dict(rows=20, evaluations=0, config="record:\n  timeline_every: 10\n") | changes)
    tasks, rng = tasks_of(blocks, queues), np.random.default_rng(3)
    each = [step_of(tasks, ranks, rng, idle) for _ in steps]
    sent = [1000 * (t[0] in ("dispatch", "combine", "reduce")) for t in tasks]
    path = run / "segments" / f"{changes.get('segment', 0):03d}" / "run.h5"
    write_timeline(path, steps, tasks, [np.array([e[i] for e in each]) for i in range(4)], sent)
    return run


def write_communication(path, hops, meets, version=6):
    """Adds what schema version 5 or 6 has to a run.h5 with a timeline of `write_timeline`: hops, a list of (task, kind), and their
    `start`, `end` and `waited` (timelines, ranks, hops) in seconds; `meets` (tasks); and rows of communication for two purposes."""
    (names, start, end, waited), purposes = hops, ["dispatch", "reduce"]
    with h5py.File(path, "a") as f:
        f.attrs["schema_version"] = version
        rows, ranks = len(f["step"]), f.attrs["ranks"]
        scale(f, "hop", len(names)), scale(f, "purpose", len(purposes))
        variable(f, "task_meets", ["task"], np.array(meets, "u1"))
        variable(f, "hop_task", ["hop"], np.array([n[0] for n in names], "i4"))
        variable(f, "hop_kind", ["hop"], np.array([n[1] for n in names], "S16"))
        for name, value in dict(start=start, end=end, waited=waited).items():
            variable(f, f"hop_{name}", ["timeline", "timeline_rank", "hop"], np.array(value, float), "s")
        variable(f, "hop_bytes", ["timeline", "timeline_rank", "hop"], np.zeros(np.shape(start), "i8"), "bytes")
        variable(f, "purpose_name", ["purpose"], np.array(purposes, "S16"))
        variable(f, "rank_node", ["rank_from"], np.arange(ranks, dtype="i4") // 2)
        for name, value in dict(sent_bytes=(3000, 2000), across_bytes=(1000, 0), sent_messages=(6, 2), across_messages=(2, 0)).items():
            variable(f, name, ["row", "purpose"], np.tile(np.array(value, "i8"), (rows, 1)))
        for name, value in dict(communication_busy=9e-3, communication_exposed=4e-3, hidden_share=5 / 9, exposed_share=0.25, hop_p50=1e-3,
                                hop_p99=2e-3, hop_max=5e-3).items():
            variable(f, name, ["row"], np.full(rows, value))
        for name, value in dict(purpose_busy=(6e-3, 5e-3), purpose_exposed=(3e-3, 1e-3)).items() if version > 5 else ():
            variable(f, name, ["row", "purpose"], np.tile(value, (rows, 1)), "s")
        for name in ("pair_bytes", "pair_messages"):
            variable(f, name, ["timeline", "purpose", "rank_from", "rank_to"], np.zeros((len(start), 2, ranks, ranks), "i8"))
