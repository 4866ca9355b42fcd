"""What of a step is communication, and hidden: from intervals written by hand as in tests/train/accounting_test.cpp, and in the report."""
import h5py
import numpy as np
import pandas as pd
import pytest
from fixture import write_run
from timeline_fixture import timed, write_communication, write_timeline

import yardstick
from yardstick.cli import main
from yardstick.records import communication

STAGES = ["plan", "dispatch", "experts", "dispatch_finish", "combine", "experts", "reduce"]
TASKS = [(stage, "forward", 0, 0, 0, 1) for stage in STAGES]
MEETS = [stage in ("plan", "reduce") for stage in STAGES]
HOPS = [(1, "rows"), (4, "rows")]
START, END = [0, 1, 2.5, 6, 7.5, 8, 10], [1, 2.5, 6, 7.5, 8, 10, 12]


def small(folder, hops, ranks=1, meets=MEETS, version=6):
    """A run of which step 10 took 12 s on every rank; hops: (start, end, waited), each (ranks, hops)."""
    run = write_run(folder, ranks=ranks, rows=20, evaluations=0, layers=0, config="record:\n  timeline_every: 10\n")
    path = run / "segments/000/run.h5"
    each = [np.tile(np.array(v, float), (ranks, 1)) for v in (START, END)]
    write_timeline(path, [10], TASKS, [np.zeros(ranks), np.full(ranks, 12.0), *each])
    write_communication(path, (HOPS, *[np.array(v, float).reshape(1, ranks, len(HOPS)) for v in hops]), meets, version)
    return run


CASES = {
    "what is waited for is exposed": ([2, 8], [7, 9], [1, 0], 9, 4),
    "overlapping hops count once": ([2, 6.5], [7, 9], [1, 0.5], 10, 4.5),
    "a hop that did not travel": ([2, 0], [7, 0], [1, 0], 8, 4),
    "none travelled": ([0, 0], [0, 0], [0, 0], 3, 3),
}


@pytest.mark.parametrize("name", CASES)
def test_of_a_step(tmp_path, name):
    start, end, waited, busy, exposed = CASES[name]
    found = communication.of_timeline(yardstick.open_timeline(small(tmp_path, (start, end, waited)), 10))
    assert found == pytest.approx((busy, exposed, 1 - exposed / busy, exposed / 12), rel=1e-12)


def test_of_ranks_and_their_mean(tmp_path):
    run = small(tmp_path, ([2, 8, 0, 0], [7, 9, 0, 0], [1, 0, 0, 0]), ranks=2)
    step = yardstick.open_timeline(run, 10)
    ranks = communication.by_rank(step)
    assert ranks["busy_ms"].tolist() == [9000, 3000] and ranks["exposed_ms"].tolist() == [4000, 3000]
    assert ranks["hidden_share"].tolist() == pytest.approx([5 / 9, 0]) and ranks["exposed_share"].tolist() == pytest.approx([1 / 3, 1 / 4])
    assert communication.of_timeline(step) == pytest.approx((6, 3.5, 1 - 3.5 / 6, 3.5 / 12))


def test_where_ranks_neither_meet_nor_send(tmp_path):
    run = small(tmp_path, ([0, 0], [0, 0], [0, 0]), meets=[False] * 7)
    assert communication.of_timeline(yardstick.open_timeline(run)) == (0, 0, 1, 0)


def test_of_a_dense_model(tmp_path):
    run = small(tmp_path, ([2, 8], [7, 9], [1, 0]))
    with h5py.File(run / "segments/000/run.h5", "a") as f:
        for name in ("task", "kind", "start", "end", "waited", "bytes"):
            del f[f"hop_{name}"]
        del f["hop"]
    assert communication.of_timeline(yardstick.open_timeline(run))[:2] == (3, 3)


def test_an_older_timeline_has_none(tmp_path):
    assert communication.of_timeline(yardstick.open_timeline(timed(tmp_path))) is None
    assert communication.of_rows(yardstick.open(timed(tmp_path / "other", layers=0))) is None


def test_of_all_rows(tmp_path):
    found = communication.of_rows(yardstick.open(small(tmp_path, ([2, 8] * 2, [7, 9] * 2, [1, 0] * 2), ranks=2)))
    assert found["busy_ms"] == pytest.approx(9) and found["hidden_share"] == pytest.approx(5 / 9) and found["exposed_share"] == 0.25
    assert (found["p50_ms"], found["p99_ms"], found["max_ms"]) == pytest.approx((1, 2, 5)) and found["steps"] == 20
    counts, seconds = found["purposes"].iloc[:, :5], found["purposes"][["busy_ms", "exposed_ms", "hidden_share"]]
    assert counts.values.tolist() == [["dispatch", 2000, 1000, 4, 2], ["reduce", 2000, 0, 2, 0]]
    assert seconds.values == pytest.approx(np.array([[6, 3, 0.5], [5, 1, 0.8]]))


def test_version_5_has_no_seconds_by_purpose(tmp_path):
    run = small(tmp_path, ([2, 8] * 2, [7, 9] * 2, [1, 0] * 2), ranks=2, version=5)
    assert communication.of_rows(yardstick.open(run))["purposes"]["busy_ms"].isna().all()
    assert main(["report", str(run)]) == 0
    assert "<td></td>" in (run / "report/index.html").read_text().split('id="purposes"')[1].split("</table>")[0]


@pytest.mark.parametrize("ranks", [1, 2])
def test_the_report_and_the_command_say_it_where_there_are_ranks(tmp_path, capsys, ranks):
    run = small(tmp_path, ([2, 8] * ranks, [7, 9] * ranks, [1, 0] * ranks), ranks=ranks)
    assert main(["report", str(run)]) == 0 and main(["timeline", str(run)]) == 0
    out, err = capsys.readouterr()
    page, table = (run / "report/index.html").read_text(), pd.read_csv(run / "timeline/timeline-ranks.csv")
    assert ("exposed_ms" in table) == (ranks > 1)
    if ranks > 1:
        assert (table["busy_ms"] == 9000).all() and (table["exposed_ms"] == 4000).all()
        assert table["exposed_share"].tolist() == pytest.approx([1 / 3] * 2)
    assert ("9000 ms busy, 4000 ms exposed (33.3% of the step), 55.6% hidden" in out) == (ranks > 1)
    assert ('id="communication"' in page) == (ranks > 1) and err == ""
    if ranks > 1:
        table = page.split('id="communication"')[1].split("</table>")[0]
        assert "mean of 20 steps" in table and "9.000" in table and "55.6&nbsp;%" in table and "25.0&nbsp;%" in table
        purposes = page.split('id="purposes"')[1].split("</table>")[0]
        assert "dispatch" in purposes and "0.002000" in purposes and "0.001000" in purposes
        assert "6.000" in purposes and "3.000" in purposes and "50.0&nbsp;%" in purposes


def test_what_cannot_be_is_refused(tmp_path, capsys):
    run = small(tmp_path, ([2, 8], [7, 7], [1, 0]))
    assert main(["timeline", str(run)]) == 4 and "hop_end is before hop_start at step 10" in capsys.readouterr().err
