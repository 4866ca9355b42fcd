"""`yardstick communication`: what planted steps and counts must give, and every verdict each way."""
import json
import pathlib

import pandas as pd
import pytest
from communication_fixture import BYTES, LOSS, TRAINED, WAYS, by_nodes, count, counts, good, hidden, serial, step, write_results

from yardstick.cli import main
from yardstick.drawing import figure_file
from yardstick.experiments import communication, communication_scaling, communication_tables as tables
from yardstick.experiments.communication_results import node_rows, read, straight_rows


def judged(folder, rates, counted=None, trained=None):
    """{key: entry} of planted results."""
    found = read(write_results(folder, rates, counted, trained))
    made = communication.entries(found, tables.overlap_table(found.steps), tables.exchange_table(found.exchange))
    return {e["key"]: e for e in made}


def test_a_table_by_hand(tmp_path):
    """Compute 1000 − 400, f0 0.4; the reference is busy for 900 ms, of which 40 % of the bytes take 360."""
    lines = [step(1000.0, 400.0, 900.0, schedule="serial", lanes=1), step(950.0, 90.0, 800.0),
             step(640.0, 50.0, 500.0, 0.4 * BYTES, "node"), step(600.0, 0.0, 0.0, 0)]
    lines[3]["schedule"] = "pipelined"
    lines[0]["compute_ms"], lines[1]["compute_ms"] = 600.0, 855.0
    table = tables.overlap_table(read(write_results(tmp_path, {"700mbit": lines})).steps)
    assert table["serial_compute_ms"].tolist() == [600] * 4 and table["f0"].tolist() == pytest.approx([0.4] * 4)
    assert table["bound_ms"].tolist() == pytest.approx([900, 900, 600, 600])
    assert table["bound_reached"].tolist() == pytest.approx([0.9, 900 / 950, 600 / 640, 1])
    assert table["utilisation"].tolist()[:2] == pytest.approx([0.6, 0.9]) and table["utilisation"].isna().tolist()[2:] == [True, True]
    assert table["exposed_share"].tolist() == pytest.approx([0.4, 90 / 950, 50 / 640, 0])
    assert table["busy_share"].tolist() == pytest.approx([0.9, 800 / 950, 500 / 640, 0])
    assert table["hidden_share"].tolist() == pytest.approx([1 - 4 / 9, 1 - 9 / 80, 0.9, 1])
    assert table["hidden_ms"].tolist() == [500, 710, 450, 0]
    assert table["bytes_removed"].tolist() == pytest.approx([0, 0, 0.6, 1])
    assert table["exposed_cut"].tolist() == pytest.approx([0, 1 - 90 / 400, 1 - 50 / 400, 1])


def test_a_line_is_bound_by_the_compute_of_its_own_exchange(tmp_path):
    """By nodes 500 ms of a serial step of 700 are work; straight it is not written, so 1000 − 400."""
    lines = [step(1000.0, 400.0, 400.0, schedule="serial", lanes=1),
             step(700.0, 150.0, 200.0, BYTES // 2, "node", "serial", 1, compute_ms=500.0), step(560.0, 30.0, 200.0, BYTES // 2, "node"),
             step(650.0, 30.0, 400.0)]
    table = tables.overlap_table(read(write_results(tmp_path, {"700mbit": lines})).steps)
    assert table["serial_compute_ms"].tolist() == [600, 500, 500, 600] and table["bound_ms"].tolist() == [600, 500, 500, 600]


def test_other_layouts_are_left_to_planning(tmp_path):
    lines = [serial(0.4, zero=0), hidden(0.1, zero=0), hidden(0.05, zero=1), hidden(0.2, zero=0, lanes=8)]
    table = tables.overlap_table(read(write_results(tmp_path, {"700mbit": lines})).steps)
    assert table["lanes"].tolist() == [1, 4, 8] and table["exposed_share"].tolist() == pytest.approx([0.4, 0.1, 0.2])


def test_utilisation_that_nobody_wrote_is_told_as_none(tmp_path):
    lines = [{k: v for k, v in line.items() if k != "compute_ms"} for line in (serial(0.5), hidden(0.1))]
    assert judged(tmp_path, {"700mbit": lines})["communication"]["measured"]["utilisation_alone"] == {"700mbit": None}


def test_the_reference_may_stand_anywhere(tmp_path):
    lines = [hidden(0.1), by_nodes(0.1), serial(0.5)]
    table = tables.overlap_table(read(write_results(tmp_path, {"1gbit": lines, "1000mbit": [hidden(0.1), serial(0.2)]})).steps)
    assert table["schedule"].tolist() == ["serial", "interleaved"] + ["serial", "interleaved", "interleaved"]
    assert table["f0"].tolist() == pytest.approx([0.2] * 2 + [0.5] * 3)


def test_the_closed_forms_are_the_published_ones():
    """docs/science.md, "Rows across nodes", and the share of redundant rows that X-MoE reports at 2 nodes."""
    assert [round(node_rows(m, 256, 8), 2) for m in (4, 8, 16)] == [2.71, 4.63, 6.12]
    assert [straight_rows(m, 8) for m in (4, 8, 16)] == [6, 7, 7.5] and straight_rows(8, 2) == 1.75
    assert [round(node_rows(8, 64, k), 2) for k in (6, 2)] == [3.97, 1.65]
    assert round(100 * (1 - node_rows(2, 256, 8) / straight_rows(2, 8)), 1) == 75.1
    assert [round(100 * (1 - node_rows(4, 256, 8, limit) / 6), 1) for limit in (3, 2)] == [62.5, 75]
    assert node_rows(2, 4, 3) == 1  # 3 of 4 experts, 2 on a node: none can miss one


@pytest.mark.parametrize("folder, lines", [("results", 100), ("sixteen-cores/results", 50)])
def test_the_published_results_are_read(folder, lines):
    results = pathlib.Path(__file__).parents[2] / "experiments" / "communication" / folder
    found, (weak, _) = read(results), communication_scaling.read_scaling(results)
    assert len(found.steps) >= lines and set(found.exchange["way"]) == set(WAYS) and len(weak) >= 8


def test_whether_a_rank_is_at_work_is_said_beside_the_verdict(tmp_path):
    for share, said in ((0.04, "met, 100mbit: 96.0 % from f0 60.0 %"), (0.06, "not met, 100mbit: 94.0 % from f0 60.0 %")):
        found = judged(tmp_path / f"{share}", {"100mbit": [serial(0.6), by_nodes(share)], "200mbit": [serial(0.5), by_nodes(0.01)]})
        assert found["communication"]["measured"]["at_work_95_percent"] == said
    found = judged(tmp_path / "none", {"200mbit": [serial(0.5), by_nodes(0.01)]})
    assert found["communication"]["measured"]["at_work_95_percent"] == "not measured at f0 of 55.0 % to 65.0 %"


RATES = {
    "both ways": (good(), "reproduced", "met", "met"),
    "by overlap alone": ({"a": [serial(0.47), hidden(0.149)], "b": [serial(0.3), hidden(0.1)]}, "reproduced", "met", "no rate with"),
    "from 52 %, which is harder": ({"a": [serial(0.52), hidden(0.14)]}, "reproduced", "met", "no rate with f0 from 55.0 % on was"),
    "with fewer bytes alone": ({"a": [serial(0.47), hidden(0.2)], "b": [serial(0.6), by_nodes(0.15, 0.35)]},
                               "reproduced", "exposed 20.0 % from f0 47.0 %", "met"),
    "within 5 points of 60 %": ({"a": [serial(0.56), by_nodes(0.14)]}, "reproduced", "no rate with f0 from 45.0 % on", "met"),
    "what is beyond 65 % need not come there": ({"a": [serial(0.6), by_nodes(0.14)], "b": [serial(0.9), by_nodes(0.6)]},
                                                "reproduced", "no rate", "met"),
    "nor does the lowest beyond stand for others": ({"a": [serial(0.7), by_nodes(0.2)], "b": [serial(0.9), by_nodes(0.6)]},
                                                    "direction only", "no rate", "exposed 20.0 %, bytes removed 50.0 %"),
    "one of two above": ({"a": [serial(0.47), hidden(0.12)], "b": [serial(0.35), hidden(0.151)]},
                         "direction only", "exposed 15.1 % from f0 35.0 %", "no rate"),
    "a rate that was not measured with overlap": ({"a": [serial(0.47), hidden(0.12)], "b": [serial(0.35), by_nodes(0.1)]},
                                                  "direction only", "mbit: not measured", "no rate"),
    "no rate near 50 %": ({"a": [serial(0.3), hidden(0.05)]}, "direction only", "no rate with f0 from 45.0 % on", "no rate"),
    "too few bytes removed": ({"a": [serial(0.62), by_nodes(0.1, 0.34)]}, "direction only", "no rate", "bytes removed 34.0 %"),
    "nothing reduced": ({"a": [serial(0.3), hidden(0.31)]}, "not reproduced", "exposed 31.0 %", "no rate"),
    "little to reduce": ({"a": [serial(0.1), hidden(0.05)]}, "not testable here", "no rate", "no rate"),
    "no overlap": ({"a": [serial(0.6)]}, "not testable here", "no rate", "no rate")}


@pytest.mark.parametrize("name", RATES)
def test_verdicts_on_communication(tmp_path, name):
    rates, status, alone, fewer = RATES[name]
    rates = {f"{i}00mbit" if rate in ("a", "b") else rate: lines for i, (rate, lines) in enumerate(rates.items(), 1)}
    found = judged(tmp_path, rates)["communication"]
    assert found["status"] == status
    assert alone in found["measured"]["by_overlap_alone"] and fewer in found["measured"]["with_fewer_bytes"]
    if "met" in (alone, fewer):  # all that the rule wants printed
        of = "alone" if alone == "met" else "node"
        assert all(found["measured"][f"{part}_{of}"] for part in ("busy_share", "exposed_share", "utilisation"))


@pytest.mark.parametrize("rates,status,cut", [
    ([(0.2001, 0.01), (0.5, 0.1)], "reproduced", 0.8889), ([(0.5, 0.374)], "reproduced", 0.4026),
    ([(0.5, 0.376)], "direction only", 0.3974),
    ([(0.5, 0.1), (0.3, 0.25)], "direction only", 0.2222), ([(0.5, 0.1), (0.19, 0.18)], "reproduced", 0.8889),
    ([(0.5, 0.1), (0.81, 0.8)], "reproduced", 0.8889), ([(0.5, 0.1), (0.3, 0.31)], "not reproduced", -0.0483),
    ([(0.19, 0.01)], "not testable here", None), ([(0.81, 0.01)], "not testable here", None)])
def test_verdicts_on_overlap(tmp_path, rates, status, cut):
    found = judged(tmp_path, {f"{i}gbit": [serial(f0), hidden(share)] for i, (f0, share) in enumerate(rates, 1)})["overlap"]
    assert found["status"] == status and found["measured"].get("least_cut") == cut and found["measured"]["same_loss"] == repr(LOSS)


def test_overlap_is_that_of_one_exchange_and_of_the_fastest_line(tmp_path):
    found = judged(tmp_path / "node", {"1gbit": [serial(0.5), by_nodes(0.01)]})["overlap"]
    assert found["status"] == "not testable here" and "pairwise with overlap at 1gbit" in found["measured"]["why"]
    slower = hidden(0.01, lanes=8) | dict(step_ms=1900.0)
    found = judged(tmp_path / "two", {"1gbit": [serial(0.5), slower, hidden(0.4)]})["overlap"]
    assert found["measured"]["exposed_cut"] == {"1gbit": pytest.approx(1 / 3, abs=1e-4)}


def without(nodes, limit):
    return [line for line in counts() if (line["nodes"], line["limit"]) != (nodes, limit)]


@pytest.mark.parametrize("counted,trained,status,said", [
    (counts(0.0099), TRAINED, "reproduced", None), (counts(0.0099), None, "direction only", None),
    (counts(0.0101), TRAINED, "direction only", "2 nodes, straight: 1.0 % from the closed form"),
    ([*counts()[1:], count(2, 0, WAYS[0], -0.02)], TRAINED, "direction only", "2 nodes, straight: 2.0 %"),
    (counts(0.08), TRAINED, "direction only", "4 nodes, limit 3, by nodes: saves 59.5 % at dispatch"),
    (counts(3.2), TRAINED, "not reproduced", "320.0 % from"), (without(4, 3), TRAINED, "not testable here", None),
    (without(2, 0), TRAINED, "not testable here", None),
    (counts(), [TRAINED[0] | dict(by_nodes=6.1)], "direction only", None)])
def test_verdicts_on_grouped_experts(tmp_path, counted, trained, status, said):
    found = judged(tmp_path, good(), counted, trained)["grouped-experts"]
    assert found["status"] == status
    assert said in found["measured"]["not_met"] if said else found["measured"]["not_met"] is None
    assert ("there is no trained.json" in found["measured"]["trained"]) == (trained is None)
    if status == "reproduced":
        saved = found["measured"]["saved_where_60_possible"]
        assert saved == {"2 nodes": 0.7484, "4 nodes, limit 3": 0.6213, "4 nodes, limit 2": 0.7475}
        assert "softmax, 400 steps, E = 256, k = 8, 4 nodes, limit 3: 6.1 rows, by nodes 2.2, saved 63.9 %" in found["measured"]["trained"]


def test_the_command_writes_what_it_says(tmp_path, capsys):
    results, out = write_results(tmp_path / "results", good(), trained=TRAINED), tmp_path / "out"
    assert main(["communication", str(results), "--out", str(out)]) == 0
    said, claims = capsys.readouterr().out, json.loads((out / "acceptance.json").read_text())
    assert [(e["key"], e["status"]) for e in claims] == [(k, "reproduced") for k in ("communication", "grouped-experts", "overlap")]
    assert "hidden share (eta) = 1 − exposed / busy" in said
    assert f"All 8 lines that made as many steps have the same last loss, {LOSS!r}." in said
    assert "communication 60 % → < 15 %, > 95 % utilisation: reproduced" in said
    table = pd.read_csv(out / "overlap.csv")
    assert table["rate"].tolist() == ["250mbit"] * 3 + ["500mbit"] * 3 + ["1gbit"] * 2 and (table["last_loss"] == LOSS).all()
    assert len(pd.read_csv(out / "exchange.csv")) == len(counts())
    for e in claims:
        assert all((tmp_path / name if name.startswith("results/") else out / name).stat().st_size for name in e["files"])
    origin = figure_file.read_origin(out / "communication.png")
    assert {path.rsplit("/")[-1] for path in origin.inputs} == {"exchange.jsonl", "trained.json", *(f"steps-{r}.jsonl" for r in good())}
    assert origin.command.startswith("yardstick communication")
    assert "250mbit (f0 62 %), 500mbit (f0 47 %), 1gbit (f0 20 %)" in origin.caption


def test_without_out_nothing_is_written(tmp_path, capsys):
    results = write_results(tmp_path / "results", good())
    before = sorted(tmp_path.rglob("*"))
    assert main(["communication", str(results)]) == 0 and sorted(tmp_path.rglob("*")) == before
    assert "not measured on trained routing: there is no trained.json" in capsys.readouterr().out
