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
    pairs = planning.read(planted(tmp_path))
    assert [round(p.error, 9) for p in pairs] == [-0.1, 0.2, 0.0]
    assert [p.mbit for p in pairs] == [200.0, 200.0, 1000.0]
    lost = planning.losses(pairs)
    assert lost[200.0][0][1] == "serial" and round(lost[200.0][1], 9) == 0.25 and lost[1000.0][1] == 0.0
    text = planning.make(tmp_path, tmp_path / "planning.txt")
    assert (tmp_path / "planning.txt").read_text() == text + "\n"
    assert planning.drifts(pairs) == {200.0: (3, 0.125)}
    for said in ("machine at 200 Mbit/s: described 3 times between the steps, drift 12.5 %", "machine at 1000 Mbit/s: described once",
                 "median error: 10.0 %, within 10 % (drift of the machine at most 12.5 %)",
                 "worst error: 20.0 %, within 25 %", "first choice, worst: 25.0 %, NOT within 10 %",
                 "bytes across nodes, worst: 1.00 %"):
        assert said in text, text


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
