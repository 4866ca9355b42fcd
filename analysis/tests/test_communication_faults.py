"""What `yardstick communication` refuses: one sentence, its code, and nothing written."""
import json
import re

import numpy as np
import pytest
from communication_fixture import LOSS, TRAINED, count, counts, damaged_lines, good, hidden, serial, write_lines, write_results

from yardstick.cli import main


def refused(results, capsys, code=2):
    """The sentence of a command that ends with this code and leaves nothing."""
    out = results.parent / "out"
    assert main(["communication", str(results), "--out", str(out)]) == code and not out.exists()
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("yardstick: ") and said.err.count("\n") == 1
    return said.err


def test_what_is_missing(tmp_path, capsys):
    results = write_results(tmp_path / "results", good())
    (results / "exchange.jsonl").rename(tmp_path / "e")
    assert "results/exchange.jsonl: no such file; make it with experiments/communication/run.sh" in refused(results, capsys)
    (tmp_path / "e").rename(results / "exchange.jsonl")
    for path in results.glob("steps-*"):
        path.unlink()
    assert "results: has no steps-RATE.jsonl" in refused(results, capsys)
    assert "none/exchange.jsonl: no such file" in refused(tmp_path / "none", capsys)


@pytest.mark.parametrize("name", ["steps-fast.jsonl", "steps-10tbit.jsonl", "steps-0mbit.jsonl", "steps-.jsonl", "steps-1Mbit.jsonl"])
def test_a_name_without_a_rate(tmp_path, capsys, name):
    results = write_results(tmp_path / "results", good())
    write_lines(results / name, [serial(0.5)])
    assert f"{name}: its name has no rate as steps-700mbit.jsonl has" in refused(results, capsys)


STEPS = [
    ([hidden(0.1)], "steps-500mbit.jsonl: needs one line of schedule serial, exchange pairwise, lanes 1.*has none"),
    ([serial(0.5) | dict(lanes=2), hidden(0.1)], "needs one line of schedule serial"),
    ([serial(0.5) | dict(exchange="node"), hidden(0.1)], "needs one line of schedule serial"),
    ([serial(0.5), serial(0.4, poll_us=9.0)], "needs one line of schedule serial.*and has 2"),
    ([], "steps-500mbit.jsonl: holds no line"), ([serial(0.5), [1]], "line 2: is no object"),
    ([serial(0.5), hidden(0.1) | dict(width=256)], "line 2: differs from .*250mbit.jsonl: line 1 in width .128 and 256."),
    ([serial(0.5), hidden(0.1) | dict(experts=16, step_tokens=1)], "experts .8 and 16., step_tokens .8192 and 1.; measure all with one"),
    ([serial(0.5), hidden(0.1, repetitions=3)], "line 2: differs from .* in repetitions .2 and 3."),
    ([serial(0.5), hidden(0.1), hidden(0.2)], "line 3: is of the same exchange, schedule, lanes, waves and poll_us as .*line 2"),
    ([serial(0.5), hidden(0.1) | dict(exchange="magic")], "exchange is 'magic', none of pairwise"),
    ([serial(0.5), hidden(0.1) | dict(schedule=["serial"])], "schedule is '..serial..', none of serial"),
    ([serial(0.5), hidden(0.1) | dict(step_ms="fast")], "line 2: step_ms is no number from 0 on .'fast'"),
    ([serial(0.5), hidden(0.1) | dict(step_ms=True)], "step_ms is no number"),
    ([serial(0.5), hidden(0.1) | dict(exposed_ms=-1.0)], "exposed_ms is no number from 0 on"),
    ([serial(0.5), hidden(0.1) | dict(exposed_ms=float("nan"))], "exposed_ms is no number"),
    ([serial(0.5), hidden(0.1) | dict(lanes=1.5)], "lanes is no whole number"),
    ([serial(0.5), hidden(0.1) | dict(last_loss=None)], "last_loss is no number"),
    ([serial(0.5), hidden(0.1) | dict(exposed_ms=1e6)], "times do not go together"),
    ([serial(0.5) | dict(exposed_ms=0.0), hidden(0.1)], "nothing crosses between nodes; measure on the nodes of"),
    ([serial(0.5) | dict(row_bytes_across=0), hidden(0.1)], "nothing crosses between nodes")]


@pytest.mark.parametrize("lines,said", STEPS, ids=[said[:40] for _, said in STEPS])
def test_steps_that_cannot_be_judged(tmp_path, capsys, lines, said):
    found = refused(write_results(tmp_path / "results", good() | {"500mbit": lines}), capsys)
    assert re.search(said, found), found


@pytest.mark.parametrize("name", sorted(set(serial(0.5)) - {"place", "compute_ms"}))
def test_a_step_without_a_field(tmp_path, capsys, name):
    lines = [serial(0.5), {k: v for k, v in hidden(0.1).items() if k != name}]
    assert f"steps-1gbit.jsonl: line 2: has no {name};" in refused(write_results(tmp_path / "results", {"1gbit": lines}), capsys)


def test_a_line_that_is_no_json(tmp_path, capsys):
    results = write_results(tmp_path / "results", good())
    for name, whole in (("steps-1gbit.jsonl", json.dumps(serial(0.5))), ("exchange.jsonl", json.dumps(count(2, 0, "straight")))):
        before = (results / name).read_text()
        (results / name).write_text(f"{whole}\n\n{whole[:50]}")
        assert f"{name}: line 3: cannot be read as JSON" in refused(results, capsys)
        (results / name).write_text(before)


def test_a_bit_that_a_schedule_changed(tmp_path, capsys):
    rates = good()
    rates["500mbit"][1] = hidden(0.12, last_loss=float(np.nextafter(LOSS, 6)))
    said = refused(write_results(tmp_path / "results", rates), capsys, code=1)
    assert "steps-500mbit.jsonl: line 2: last_loss 5.57246972329449 is not the 5.572469723294489 of" in said
    assert "250mbit.jsonl: line 1" in said and "changed bits, so no time of it counts" in said


def test_lines_of_other_waves_are_others(tmp_path):
    rates = good()
    rates["500mbit"].append(rates["500mbit"][1] | dict(waves=2))
    assert main(["communication", str(write_results(tmp_path / "results", rates))]) == 0


def test_a_rate_of_fewer_steps_has_a_loss_of_its_own(tmp_path, capsys):
    fewer = dict(repetitions=1, last_loss=5.6)
    rates = good() | {"50mbit": [serial(0.8, **fewer), hidden(0.7, **fewer)]}
    assert main(["communication", str(write_results(tmp_path / "results", rates))]) == 0
    assert f"have the same last loss, 5.6 and {LOSS!r}." in capsys.readouterr().out
    rates["50mbit"][1] = hidden(0.7, **fewer | dict(last_loss=LOSS))
    assert "steps-50mbit.jsonl: line 2: last_loss" in refused(write_results(tmp_path / "other", rates), capsys, code=1)


@pytest.mark.parametrize("change,said", [
    (dict(way="by air"), "way is 'by air', none of straight"), (dict(nodes=1), "nodes is no number from 2 on"),
    (dict(nodes=3), "nodes, ranks, experts, top_k and limit do not go together"), (dict(rows=[1, 2, 3]), "rows are no four numbers"),
    (dict(rows=[1, 2, 3, "4"]), "rows are no four numbers"), (dict(closed_form=[4, 4, 4, 4.1]), "closed_form is not that of its exchange"),
    (dict(ranks=1), "nodes, ranks, experts"), (dict(ranks=17), "do not go together"),
    (dict(closed_form_inside="3.5"), "inside is not that of"),
    (dict(closed_form_inside=None), "its exchange (3.5)"), (dict(way="gathered", limit=1, closed_form=[0.5, 4] * 2), "its exchange (null)"),
    (dict(closed_form_inside=4), "closed_form_inside is not that of its exchange (3.5)"), (dict(inside="4"), "inside is no number"),
    (dict(closed_form=7), "closed_form are no four numbers"), (dict(limit=9), "do not go together"),
    (dict(top_k=1 << 30), "do not go together"),
    (dict(tokens=0), "tokens is no number from 1 on"),
    (dict(ranks=8, limit=1, closed_form=[4] * 4, closed_form_inside=3.0), "its lines differ in ranks (8, 16)"),
    ({}, "is of the same nodes, limit and way as")])
def test_counts_that_cannot_be_judged(tmp_path, capsys, change, said):
    line = count(2, 0, "straight") | change
    results = write_results(tmp_path / "results", good(), [*counts(), line])
    assert said in refused(results, capsys)


@pytest.mark.parametrize("name", ["nodes", "ranks", "experts", "top_k", "tokens", "limit", "way", "rows", "closed_form", "other_bytes",
                                  "inside", "closed_form_inside"])
def test_a_count_without_a_field(tmp_path, capsys, name):
    lines = [{k: v for k, v in count(2, 0, "straight").items() if k != name}]
    assert f"exchange.jsonl: line 1: has no {name};" in refused(write_results(tmp_path / "results", good(), lines), capsys)


@pytest.mark.parametrize("trained,said", [
    ({}, "trained.json: is no list of counts"), ([], "is no list of counts"), ([1], "count 1: is no object"),
    ([TRAINED[0], {}], "count 2: has no router"), ([TRAINED[0] | dict(straight=0)], "straight is not above 0"),
    ([TRAINED[0] | dict(router=1)], "router is no text"), ([TRAINED[0] | dict(by_nodes="2")], "by_nodes is no number")])
def test_trained_counts_that_cannot_be_judged(tmp_path, capsys, trained, said):
    assert said in refused(write_results(tmp_path / "results", good(), trained=trained), capsys)


@pytest.mark.parametrize("seed", range(20))
def test_damaged_lines_end_in_a_sentence(tmp_path, capsys, seed):
    results = write_results(tmp_path / "results", good(), trained=TRAINED)
    damaged_lines(np.random.default_rng(seed), sorted(results.iterdir()))
    code = main(["communication", str(results)])
    said = capsys.readouterr().err
    assert code in (0, 1, 2) and (code == 0 or said.startswith("yardstick: ")) and "a defect of yardstick" not in said
