"""`yardstick planning` on planted predictions."""
import json

import pytest

from yardstick.base.faults import SchemaError
from yardstick.experiments import planning


def line(step_ms, exchange="pairwise", schedule="serial", lanes=1, across=1000, **other):
    return dict(exchange=exchange, schedule=schedule, lanes=lanes, recompute="none", expert_parallel=2, step_ms=step_ms,
                row_bytes_across=across) | other


def write(folder, name, lines):
    (folder / name).write_text("".join(json.dumps(one) + "\n" for one in lines))


def planted(folder):
    """Errors of +20, -10 and 0 %; at 200 Mbit/s the first choice takes 25 % more than the best."""
    drift = dict(machines=3, machine_drift=0.125)
    write(folder, "steps-200mbit.jsonl", [line(100.0), line(80.0, schedule="interleaved", lanes=4)])
    write(folder, "plan-200mbit.jsonl", [line(90.0, **drift), line(96.0, schedule="interleaved", lanes=4, **drift),
                                            line(1.0, exchange="node", **drift)])
    write(folder, "steps-1gbit.jsonl", [line(50.0)])
    write(folder, "plan-1gbit.jsonl", [line(50.0, zero=0, across=1010), line(30.0, zero=1)])
    return folder


def test_errors_and_first_choices_are_those_that_were_planted(tmp_path):
    found = planning.read(planted(tmp_path))
    pairs = found.pairs
    assert [round(p.error, 9) for p in pairs] == [-0.1, 0.2, 0.0]
    assert [p.mbit for p in pairs] == [200.0, 200.0, 1000.0]
    made = planning.choices(found)
    assert made[200.0].key[1] == "serial" and round(made[200.0].loss, 9) == 0.25 and made[1000.0].loss == 0.0
    assert made[200.0].above[0] == "node" and made[1000.0].above[5] == "1", "plan's own first choices, which nobody measured"
    text = planning.make(tmp_path, tmp_path / "planning.txt")
    assert (tmp_path / "planning.txt").read_text() == text + "\n"
    assert planning.drifts(pairs) == {200.0: (3, 0.125)}
    for said in ("machine at 200 Mbit/s: described 3 times between the steps, drift 12.5 %", "machine at 1000 Mbit/s: described once",
                 "median error: 10.0 %, within 10 % (drift of the machine at most 12.5 %)",
                 "worst error: 20.0 %, within 25 %", "first choice of those measured, worst: 25.0 %, NOT within 10 %",
                 "plan puts node serial 1 none 2 0 1 above it, which was not measured", "bytes across nodes, worst: 1.00 %"):
        assert said in text, text
    assert "hidden share" not in text


def test_other_layouts_count_as_well(tmp_path):
    """Among them plan's first choice, and one that plan does not list."""
    planted(tmp_path)
    write(tmp_path, "steps-1gbit.jsonl", [line(50.0), line(40.0, zero=1), line(1.0, local_first=True)])
    found = planning.read(tmp_path)
    made = planning.choices(found)[1000.0]
    assert len(found.pairs) == 4 and made.key[5] == "1" and made.loss == 0.0 and made.above is None
    assert " zero 1 " in planning.make(tmp_path)


def test_hidden_shares_that_fall_short_are_counted(tmp_path):
    write(tmp_path, "steps-1gbit.jsonl", [line(50.0, hidden_share=0.6, communication_ms=9.0),
                                          line(60.0, lanes=2, hidden_share=0.95, communication_ms=9.0),
                                          line(60.0, lanes=4, hidden_share=0.1, communication_ms=0.0)])
    write(tmp_path, "plan-1gbit.jsonl", [line(50.0, lanes=lanes, hidden_share=0.9) for lanes in (1, 2, 4)])
    assert "measured less than predicted: by at most 0.30; by more than 0.25, where a run warns: 1 of 2" in planning.make(tmp_path)


@pytest.mark.parametrize("name, lines, said", [
    ("plan-200mbit.jsonl", [line(90.0)], "has no layout pairwise interleaved 4 none 2"),
    ("plan-200mbit.jsonl", [], "holds no line"),
    ("steps-200mbit.jsonl", [dict(step_ms=1)], "has no exchange"),
    ("steps-200mbit.jsonl", [[1]], "has no exchange"),
    ("steps-200mbit.jsonl", [line(0)], "step_ms is no number above 0"),
    ("steps-200mbit.jsonl", [line("3")], "step_ms is no number above 0"),
    ("plan-200mbit.jsonl", [line(1.0, machines=2)], "has machines or machine_drift without the other"),
    ("plan-200mbit.jsonl", [line(1.0, machines=2, machine_drift="much")], "machine_drift is no number"),
    ("steps-fast.jsonl", [line(1.0)], "its name has no rate")])
def test_what_is_wrong_is_named(tmp_path, name, lines, said):
    planted(tmp_path)
    write(tmp_path, name, lines)
    with pytest.raises(SchemaError, match=said):
        planning.make(tmp_path)


def test_plans_of_one_description_know_no_drift(tmp_path):
    planted(tmp_path)
    write(tmp_path, "plan-200mbit.jsonl", [line(90.0, machines=1, machine_drift=0.0), line(96.0, schedule="interleaved", lanes=4)])
    text = planning.make(tmp_path)
    assert "machine at 200 Mbit/s: described once, so its drift is not known" in text
    assert "worst error: 20.0 %, within 25 % (drift of the machine not known)" in text


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(SchemaError, match="has no steps-RATE.jsonl"):
        planning.make(tmp_path)
