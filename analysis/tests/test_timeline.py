"""`yardstick timeline`: the sampled step that counts, what tasks explain of it, the trace, and the section of the report."""
import json

import h5py
import numpy as np
import pandas as pd
import pytest
from fixture import write_run
from test_report import figure_of
from timeline_fixture import step_of, tasks_of, timed, write_timeline

import yardstick
from yardstick.cli import main
from yardstick.experiments import trace_events
from yardstick.records import hdf5, timeline

TASKS = [("attention", "forward", 0, 0, 0, 1), ("attention", "backward", 0, 0, 0, 1), ("optimizer", "step", -1, 0, 0, 1)]


def told_length(intervals, low, high):
    """Length of the union of intervals with whole limits within [low, high], cell by cell."""
    cells = {cell for start, end in intervals for cell in range(start, end)}
    return len([cell for cell in cells if low <= cell < high])


CASES = dict(apart=[(1, 2), (4, 7)], overlapping=[(1, 5), (3, 8)], nested=[(1, 9), (3, 4), (5, 6)], nested_later=[(0, 9), (1, 2), (3, 9)],
             same=[(2, 6), (2, 6)], meeting=[(1, 3), (3, 5)], out_of_order=[(7, 9), (1, 4), (3, 5)], without_length=[(4, 4), (2, 2)],
             empty=[], before=[(-5, -1)], after=[(11, 15)], sticks_out=[(-3, 2), (8, 14)], around=[(-3, 14)],
             around_and_within=[(-3, 14), (2, 3)])


@pytest.mark.parametrize("name", CASES)
def test_the_union_of_intervals(name):
    start, end = np.array(CASES[name], float).reshape(-1, 2).T
    assert timeline.covered(start, end, 0, 10) == told_length(CASES[name], 0, 10)


@pytest.mark.parametrize("seed", range(20))
def test_the_union_of_any_intervals_of_several_ranks(seed):
    rng = np.random.default_rng(seed)
    start = rng.integers(-10, 60, (3, int(rng.integers(0, 30))))
    end, low = start + rng.integers(0, 8, start.shape), rng.integers(-5, 10, 3)
    high = low + rng.integers(0, 50, 3)
    expected = [told_length(zip(*pair), *limits) for *pair, limits in zip(start.tolist(), end.tolist(), zip(low.tolist(), high.tolist()))]
    assert timeline.covered(start, end, low, high).tolist() == expected
    assert timeline.covered(start, end).tolist() == [told_length(zip(*pair), -99, 99) for pair in zip(start.tolist(), end.tolist())]


def small(folder, start, end, step=(0.0, 10.0), sent=None, tasks=TASKS, **changes):
    """A run whose sampled step 10 has these (ranks, tasks) begins and ends, s, on ranks whose step is `step`."""
    start, end = np.array(start, float), np.array(end, float)
    run = write_run(folder, evaluations=0, ranks=len(start), **changes)
    begin = [np.full(len(start), limit) for limit in step]
    write_timeline(run / "segments/000/run.h5", [10], tasks, [*begin, start, end], sent)
    return run


def test_shares_and_tables_of_a_small_step(tmp_path):
    run = small(tmp_path, [[0, 4, 8], [0, 2, 9]], [[4, 7, 9], [3, 4, 12]], sent=[[1, 2, 0], [3, 4, 5]])
    found = yardstick.open_timeline(run)
    ranks = timeline.by_rank(found)
    assert ranks["share"].tolist() == [0.8, 0.5] and ranks["bytes"].tolist() == [3, 12]
    assert ranks["step_ms"].tolist() == [1e4, 1e4] and ranks["tasks_ms"].tolist() == [8000, 5000]
    rows = timeline.by_stage(found).values.tolist()
    assert rows == [["attention", "forward", 1, 3500, 4000, 0.35, 4], ["attention", "backward", 1, 2500, 3000, 0.25, 6],
                    ["optimizer", "step", 1, 1000, 1000, 0.1, 5]]


def test_tasks_of_a_stage_that_overlap_count_once(tmp_path):
    tasks = [("experts", "forward", b, b, b, 1) for b in range(3)]
    table = timeline.by_stage(yardstick.open_timeline(small(tmp_path, [[0, 1, 6]], [[4, 5, 6]], tasks=tasks)))
    assert table["mean_ms"].tolist() == [5000] and table["tasks"].tolist() == [3]


def test_a_step_without_length_is_all_explained(tmp_path):
    assert timeline.by_rank(yardstick.open_timeline(small(tmp_path, [[0, 0, 0]], [[0, 0, 0]], step=(0, 0))))["share"].tolist() == [1]


def test_the_shares_are_those_of_plain_loops(tmp_path):
    found = yardstick.open_timeline(timed(tmp_path, queues=2, idle=0.1))
    start, end, shares = found["timeline_start"].values, found["timeline_end"].values, timeline.by_rank(found)["share"]
    for r in range(4):
        low, high = float(found["timeline_step_start"][r]), float(found["timeline_step_end"][r])
        total, reach = 0.0, low
        for s, e in sorted(zip(start[r].tolist(), end[r].tolist())):
            s, e = max(s, reach), min(e, high)
            total, reach = total + max(0.0, e - s), max(reach, e)
        assert shares[r] == pytest.approx(total / (high - low), rel=1e-12) and 0.8 < shares[r] < 1


def resumed(folder, begins_after=None):
    """4 ranks sampled at 10, 20 and 30, then resumed on 2 with another model at 20: sampled at 20 and 25."""
    timed(folder, rows=30, steps=(10, 20, 30))
    timed(folder, rows=10, first=16, segment=1, ranks=2, blocks=1, steps=(20, 25))
    if begins_after is not None:
        with h5py.File(folder / "segments/001/run.h5", "a") as f:
            f.attrs["begins_after"] = begins_after
    return folder


@pytest.mark.parametrize("begins_after,steps", [(None, [10, 20, 25, 30]), (15, [10, 20, 25])])
def test_the_last_segment_of_a_step_holds(tmp_path, begins_after, steps):
    run = resumed(tmp_path, begins_after)
    for step, segment, ranks, blocks in (10, 0, 4, 2), (20, 1, 2, 1), (25, 1, 2, 1):
        found = yardstick.open_timeline(run, step)
        assert found.attrs["segment"] == segment and found.sizes == dict(timeline_rank=ranks, task=len(tasks_of(blocks)))
        assert int(found["timeline_step"]) == step and found.attrs["steps"] == steps
        with h5py.File(run / f"segments/{segment:03d}/run.h5") as f:
            at = f["timeline_step"][:].tolist().index(step)
            for name in ("step_start", "step_end", "start", "end", "bytes"):
                assert np.array_equal(found[f"timeline_{name}"], f[f"timeline_{name}"][at])
    assert int(yardstick.open_timeline(run)["timeline_step"]) == steps[-1]


def test_superseded_rows_need_not_be_readable(tmp_path):
    run = resumed(tmp_path, 15)
    with h5py.File(run / "segments/000/run.h5", "a") as f:
        f["timeline_step"][1:] = [0, 0]
    assert yardstick.open_timeline(run).attrs["steps"] == [10, 20, 25]


def test_a_timeline_neither_stands_in_the_rows_of_a_run_nor_is_read_with_them(tmp_path, monkeypatch):
    run, names, read = resumed(tmp_path, 15), [], hdf5.File.read
    monkeypatch.setattr(hdf5.File, "read", lambda file, name, cut=(): names.append(name) or read(file, name, cut))
    with pytest.warns(yardstick.RecordWarning) as said:
        found = yardstick.open(run)
    assert not [name for name in [*found.variables, *found.dims] if name.startswith(("timeline", "task", "rank")) and name != "ranks"]
    assert [str(w.message).split(":")[0] for w in said] == ["traffic"]
    assert "timeline_step" in names and "timeline_start" not in names


@pytest.mark.parametrize("queues,ranks", [(1, 1), (1, 4), (2, 4), (1, 64)])
def test_the_trace_holds_every_interval(tmp_path, queues, ranks):
    run = timed(tmp_path, ranks=ranks, queues=queues)
    assert main(["timeline", str(run), "--step", "10"]) == 0
    trace = json.loads((run / "timeline/trace.json").read_text())
    found, there = yardstick.open_timeline(run, 10), {}
    assert trace["otherData"]["step"] == 10 and trace["displayTimeUnit"] == "ms"
    for event in trace["traceEvents"]:
        there.setdefault((event["ph"], event["pid"], event["tid"]), []).append(event)
    tasks, added = tasks_of(2, queues), trace["otherData"]["added_us"]
    for rank in range(ranks):
        names = {event["name"]: event["args"] for event in there["M", rank, 0]}
        assert names["process_name"]["name"] == f"rank {rank}" and names["process_sort_index"]["sort_index"] == rank
        for queue in range(queues):
            assert there["M", rank, queue][-1] == dict(ph="M", name="thread_name", pid=rank, tid=queue, args=dict(name=f"queue {queue}"))
            events = there.pop(("X", rank, queue))
            mine = [t for t, task in enumerate(tasks) if task[4] == queue]
            assert len(events) == len(mine)
            for t, event in zip(mine, events):
                stage, direction, block, lane = tasks[t][:4]
                start, end = (float(found[f"timeline_{name}"][rank, t]) * 1e6 for name in ("start", "end"))
                assert event["ts"] - added == pytest.approx(start, abs=1e-3) and event["ts"] >= 0
                assert event["dur"] == pytest.approx(end - start, abs=2e-3)
                assert event["cat"] == stage and event["name"].split()[0] == stage and (direction in event["name"]) == (direction != "step")
                assert event["args"] == dict(block=block, lane=lane, bytes=int(found["timeline_bytes"][rank, t]))
    assert not [key for key in there if key[0] == "X"]


@pytest.mark.parametrize("task,name", [(("experts", "forward", 3), "experts forward block 3"), (("head", "backward", -1), "head backward"),
                                       (("reduce", "step", -1), "reduce"), (("reduce", "step", 0), "reduce block 0")])
def test_what_an_event_is_called(task, name):
    assert trace_events.name_of(*task) == name


def test_times_below_0_are_moved_and_tasks_that_meet_still_do(tmp_path):
    """Perfetto takes no time below 0 and drops an event that begins before the one before it ends."""
    third = 1e-3 / 3
    found = yardstick.open_timeline(small(tmp_path, [[-2e-6, third, 2 * third], [0, 0, 0]], [[third, 2 * third, 1e-3], [0, third, 1e-3]],
                                          step=(-2e-6, 1e-3)))
    events, shift = trace_events.events(found)
    mine = [e for e in events if e["ph"] == "X" and e["pid"] == 0]
    nanoseconds = [(round(e["ts"] * 1000), round(e["dur"] * 1000)) for e in mine]
    assert shift == 2000 and nanoseconds == [(0, 335333), (335333, 333334), (668667, 333333)]
    assert min(e["ts"] for e in events if e["ph"] == "X" and e["pid"] == 1) == 2


def test_the_command_says_what_it_found(tmp_path, capsys):
    run = timed(tmp_path, idle=0.005)
    assert main(["timeline", str(run), "--out", str(tmp_path / "o")]) == 0
    out, err = capsys.readouterr()
    assert err == "" and "step 20 (sampled: 10, 20), segment 000: 4 ranks, 30 tasks each" in out and "trace.json: open it in" in out
    assert {p.name for p in (tmp_path / "o").iterdir()} == {"timeline.svg", "timeline.png", "timeline.csv", "timeline-ranks.csv",
                                                            "trace.json"}
    table, ranks = (pd.read_csv(tmp_path / "o" / name) for name in ("timeline.csv", "timeline-ranks.csv"))
    found = timeline.by_stage(yardstick.open_timeline(run))
    assert table["stage"].tolist() == found["stage"].tolist() and table["share"].values == pytest.approx(found["share"].values, rel=1e-5)
    assert table["bytes"].sum() == ranks["bytes"].sum() == 4 * 9000
    assert f"tasks explain: {ranks['share'].min():.1%} (rank {ranks['share'].idxmin()})" in out
    assert main(["trace", str(tmp_path / "o/timeline.svg")]) == 0 and "segments/000/run.h5  sha256" in capsys.readouterr().out


def test_of_many_ranks_the_least_are_printed(tmp_path, capsys):
    assert main(["timeline", str(timed(tmp_path, ranks=64, blocks=1))]) == 0
    out, ranks = capsys.readouterr().out, pd.read_csv(tmp_path / "timeline/timeline-ranks.csv")
    printed = [int(line.split()[0]) for line in out.split("rank  step_ms")[1].splitlines()[1:17]]
    assert len(ranks) == 64 and "all 64 in timeline-ranks.csv" in out and printed == sorted(printed)
    assert set(printed) == set(ranks["share"].nsmallest(16).index)


@pytest.mark.parametrize("idle,warned", [(0.005, False), (0.08, True)])
def test_a_step_that_tasks_do_not_explain_is_told(tmp_path, capsys, idle, warned):
    assert main(["timeline", str(timed(tmp_path, idle=idle))]) == 0
    err = capsys.readouterr().err
    assert err.count("\n") == warned and ("less than 97% on 4 of 4 ranks" in err) == warned


def test_a_step_that_was_not_sampled(tmp_path, capsys):
    assert main(["timeline", str(timed(tmp_path)), "--step", "15"]) == 2
    assert capsys.readouterr().err == f"yardstick: {tmp_path}: step 15 was not sampled; give one of the sampled steps 10, 20\n"
    assert not (tmp_path / "timeline").exists()
    assert timeline.named(range(1, 31)) == "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, …, 30 (30 steps)"


@pytest.mark.parametrize("config,said", [
    ("record:\n  timeline_every: 0\n", r"no timeline was recorded (record.timeline_every: 0); set record.timeline_every"),
    ("model: {}\n", "no timeline was recorded; set record.timeline_every, "),
    ("record:\n  timeline_every: 50\n", "no step was sampled yet (record.timeline_every: 50); wait for the first")])
@pytest.mark.parametrize("version", [1, 4])
def test_a_run_without_a_timeline(tmp_path, capsys, config, said, version):
    assert main(["timeline", str(write_run(tmp_path, evaluations=0, version=version, config=config))]) == 2
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1 and not (tmp_path / "timeline").exists()


def test_a_run_whose_first_sample_is_to_come(tmp_path, capsys):
    run, tasks = write_run(tmp_path, evaluations=0, config="record:\n  timeline_every: 90\n"), tasks_of(1)
    values = [np.zeros((0, *v.shape)) for v in step_of(tasks, 2, np.random.default_rng(0))]
    write_timeline(run / "segments/000/run.h5", [], tasks, values)
    assert main(["timeline", str(run)]) == 2 and "no step was sampled yet (record.timeline_every: 90)" in capsys.readouterr().err


def change(name, act):
    def changed(f):
        values = f[name][()]
        act(values)
        f[name][...] = values
    return changed


DAMAGE = [(lambda f: f.__delitem__("timeline_bytes"), "has no timeline_bytes"), (lambda f: f.__delitem__("task_lane"), "has no task_lane"),
          (change("timeline_end", lambda v: v.__setitem__((1, 2, 3), -1)), "timeline_end is before timeline_start at step 20"),
          (change("timeline_step_end", lambda v: v.__setitem__((1, 0), -1)), "timeline_step_end is before timeline_step_start at step 20"),
          (change("timeline_start", lambda v: v.__setitem__((1, 0, 0), np.nan)), "timeline_start is not finite"),
          (change("timeline_bytes", lambda v: v.__setitem__((1, 0, 0), -1)), "timeline_bytes holds -1, which it cannot be")]


@pytest.mark.parametrize("spoil,said", DAMAGE, ids=[said for _, said in DAMAGE])
def test_a_damaged_timeline_is_told_and_the_report_does_without(tmp_path, capsys, spoil, said):
    run = timed(tmp_path, layers=0)
    with h5py.File(run / "segments/000/run.h5", "a") as f:
        spoil(f)
    assert main(["timeline", str(run)]) == 4 and said in capsys.readouterr().err
    assert main(["report", str(run)]) == 0 and f"The timeline is left out: {run}" in capsys.readouterr().err
    page = (run / "report/index.html").read_text()
    assert said in page.split('id="lacks"')[1] and 'id="stages"' not in page
    assert main(["timeline", str(run), "--step", "10"]) == (4 if "has no" in said else 0)


def test_the_report_has_a_section_where_there_is_a_timeline(tmp_path, capsys):
    run = timed(tmp_path, layers=0)
    assert main(["report", str(run)]) == 0 and capsys.readouterr().err == ""
    page = run / "report/index.html"
    assert "<img" in figure_of(page, "timeline") and "Step 20 of segment 000: 4 ranks, 30 tasks each" in figure_of(page, "timeline")
    rows = page.read_text().split('id="stages"')[1].split("</table>")[0]
    assert rows.count("<tr><td>") == len(timeline.by_stage(yardstick.open_timeline(run)))
    assert (run / "report/timeline.png").stat().st_size > 5000


def test_the_report_has_none_where_there_is_none(tmp_path):
    run = write_run(tmp_path, layers=0, evaluations=0)
    (run / "report").mkdir()
    (run / "report/timeline.png").write_bytes(b"of an earlier report")
    assert main(["report", str(run)]) == 0
    page = (run / "report/index.html").read_text()
    assert "imeline" not in page and not (run / "report/timeline.png").exists()
