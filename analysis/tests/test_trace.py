"""trace.json read back as Perfetto would: the intervals of the record, and from them alone, in whole ns, the tables of the step."""
import json
from collections import defaultdict

import h5py
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from test_timeline import small
from timeline_fixture import timed

import yardstick
from yardstick.cli import main
from yardstick.drawing import figure_file
from yardstick.experiments import timeline_report, trace_events
from yardstick.records import timeline

STAGES, DIRECTIONS = ["attention", "experts", "dispatch", "combine", "reduce"], ["forward", "backward", "step"]


def read_back(path):
    """(events as (rank, queue, stage, direction, begin, end, bytes) in ns since rank 0 began, {rank: its name}) of a trace."""
    trace = json.loads(path.read_text())
    added, events, names = round(trace["otherData"]["added_us"] * 1000), [], {}
    for event in trace["traceEvents"]:
        if event["ph"] == "M":
            names |= {event["pid"]: event["args"]["name"]} if event["name"] == "process_name" else {}
            continue
        assert event["ph"] == "X" and event["ts"] >= 0 and event["dur"] >= 0
        direction = next((word for word in event["name"].split() if word in ("forward", "backward")), "step")
        begin = round(event["ts"] * 1000) - added
        end = begin + round(event["dur"] * 1000)
        events.append((event["pid"], event["tid"], event["cat"], direction, begin, end, event["args"]["bytes"]))
    return events, names


def union(intervals, low, high):
    """Length of a union by sweeping over its ends: how many intervals are open between two of them."""
    ends = defaultdict(int)
    for begin, end in intervals:
        ends[min(max(begin, low), high)] += 1
        ends[min(max(end, low), high)] -= 1
    total, opened, before = 0, 0, low
    for at in sorted(ends):
        total += (at - before) * (opened > 0)
        opened, before = opened + ends[at], at
    return total


def random_step(folder, seed):
    """Any tasks on a few ranks and queues, that overlap, stick out of the step, have no length or meet."""
    rng = np.random.default_rng(seed)
    ranks, count = int(rng.integers(1, 5)), int(rng.integers(1, 25))
    tasks = [(STAGES[rng.integers(5)], DIRECTIONS[rng.integers(3)], int(rng.integers(-1, 3)), 0, int(rng.integers(3)), 0)
             for _ in range(count)]
    start = np.round(rng.uniform(-2e-3, 12e-3, (ranks, count)), 5)
    length = rng.choice([0, 1e-5, 1e-3, 5e-3], (ranks, count)) * rng.integers(0, 2, (ranks, count))
    return small(folder, start, start + length, step=(0.0, 10e-3), tasks=tasks, sent=rng.integers(0, 1000, (ranks, count)))


@pytest.mark.parametrize("seed", range(8))
def test_the_tables_follow_from_the_trace_alone(tmp_path, monkeypatch, seed):
    monkeypatch.setattr(figure_file, "save", lambda figure, *_: plt.close(figure))  # for time
    run = random_step(tmp_path, seed)
    assert main(["timeline", str(run)]) == 0
    events, names = read_back(run / "timeline/trace.json")
    ranks, stages = (pd.read_csv(run / f"timeline/{name}.csv") for name in ("timeline-ranks", "timeline"))
    assert names == {rank: f"rank {rank}" for rank in ranks["rank"]}
    step = 10_000_000  # ns
    for rank, row in ranks.set_index("rank").iterrows():
        own = [e for e in events if e[0] == rank]
        seconds = union([e[4:6] for e in own], 0, step)
        assert row["tasks_ms"] == pytest.approx(seconds / 1e6, abs=1e-4) and row["step_ms"] == 10
        assert row["bytes"] == sum(e[6] for e in own) and row["share"] == pytest.approx(seconds / step, abs=1e-5)
    keys = [(e[2], e[3]) for e in events]
    assert sorted(zip(stages["stage"], stages["direction"])) == sorted(set(keys)) and (stages["mean_ms"].diff().dropna() <= 1e-9).all()
    for _, row in stages.iterrows():
        of = [e for e, key in zip(events, keys) if key == (row["stage"], row["direction"])]
        each = [union([e[4:6] for e in of if e[0] == rank], 0, step) / 1e6 for rank in ranks["rank"]]
        assert (row["mean_ms"], row["max_ms"], row["share"]) == pytest.approx((np.mean(each), max(each), np.mean(each) / 10), abs=1e-4)
        assert row["bytes"] == sum(e[6] for e in of) and row["tasks"] * len(ranks) == len(of)


@pytest.mark.parametrize("seed", range(8))
def test_events_of_a_queue_come_in_their_order_and_hold_the_record(tmp_path, seed):
    run = random_step(tmp_path, seed)
    found = yardstick.open_timeline(run)
    events, shift = trace_events.events(found)
    (tmp_path / "t.json").write_text(trace_events.text_of(found, "yardstick timeline r"))
    read, _ = read_back(tmp_path / "t.json")
    assert json.loads((tmp_path / "t.json").read_text())["otherData"]["command"] == "yardstick timeline r"
    assert min(e["ts"] for e in events if e["ph"] == "X") >= 0 and (shift == 0) == (found["timeline_start"].values.min() >= 0)
    for place in {e[:2] for e in read}:
        begins = [e[4:6] for e in read if e[:2] == place]
        assert begins == sorted(begins)
    recorded = [(rank, int(found["task_queue"][t]), found["task_stage"].values[t], found["task_direction"].values[t],
                 *(int(round(float(found[f"timeline_{end}"][rank, t]) * 1e9)) for end in ("start", "end")),
                 int(found["timeline_bytes"][rank, t]))
                for rank in range(found.sizes["timeline_rank"]) for t in range(found.sizes["task"])]
    assert sorted(read) == sorted(recorded)


def test_a_task_that_is_cut_in_two_changes_no_share(tmp_path):
    """The time in which any task runs is that of the union, however it is cut; bytes and counts add up."""
    start, end = np.array([[0.0, 4, 8], [1, 2, 9]]), np.array([[4.0, 7, 9], [3, 4, 12]])
    one = yardstick.open_timeline(small(tmp_path / "one", start, end))
    tasks = [t for t in one["task_stage"].values for _ in (0, 1)]
    names = [(stage, direction, 0, 0, 0, 1) for stage, direction in zip(tasks, np.repeat(one["task_direction"].values, 2))]
    middle = (start + end) / 2
    halves = [np.stack(pair, -1).reshape(2, 6) for pair in ((start, middle), (middle, end))]
    two = yardstick.open_timeline(small(tmp_path / "two", *halves, tasks=names))
    assert timeline.by_rank(two).equals(timeline.by_rank(one))
    assert timeline.by_stage(two).drop(columns="tasks").equals(timeline.by_stage(one).drop(columns="tasks"))


@pytest.mark.parametrize("count,said", [(0, ""), (1, "1"), (12, "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12"),
                                        (13, "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, …, 13 (13 steps)"),
                                        (5000, "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, …, 5000 (5000 steps)")])
def test_of_many_steps_the_middle_is_left_out(count, said):
    assert timeline.named(range(1, count + 1)) == said


def test_a_long_name_of_a_stage_does_not_move_the_table(tmp_path, capsys):
    run = timed(tmp_path, ranks=1)
    with h5py.File(run / "segments/000/run.h5", "a") as f:
        names = f["task_stage"][()].astype("S64")
        names[0] = b"x" * 60 + b"\x1b[2J"
        del f["task_stage"]
        f["task_stage"] = names
    assert main(["timeline", str(run)]) == 0
    text = capsys.readouterr().out
    assert "x" * 39 + "\u2026" in text and "x" * 40 not in text and "\x1b" not in text
    assert "x" * 60 in (run / "timeline/timeline.csv").read_text()


@pytest.mark.parametrize("ranks,shown", [(1, 1), (16, 16), (17, 16), (40, 16)])
def test_ranks_of_the_least_shares_are_printed_in_their_order(ranks, shown):
    shares = np.random.default_rng(ranks).permutation(np.linspace(0.5, 1, ranks))
    table = pd.DataFrame(dict(rank=np.arange(ranks), step_ms=1.0, tasks_ms=shares, share=shares, bytes=7))
    head, *rows = timeline_report._ranks_text(table).splitlines()
    last = rows.pop()
    assert head.split() == ["rank", "step_ms", "tasks_ms", "share", "bytes"]
    assert last == f"least share of a step that tasks explain: {shares.min():.1%} (rank {shares.argmin()})"
    assert (rows.pop() == f"(16 ranks of the least share; all {ranks} in timeline-ranks.csv)") if ranks > 16 else True
    assert [int(row.split()[0]) for row in rows] == sorted(np.argsort(shares)[:shown].tolist())
