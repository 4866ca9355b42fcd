"""Weak scaling of `yardstick communication`: a table by hand, what is refused, and where it is told."""
import json

import pytest
from communication_fixture import BYTES, LOSS, good, step, write_lines, write_results

from yardstick.cli import main
from yardstick.experiments import communication_scaling as scaling


def line(nodes, step_ms, exposed, busy, across, **other):
    grows = dict(ranks=nodes, nodes=nodes, step_tokens=8192 * nodes, grains=8 * nodes, expert_parallel=nodes, last_loss=LOSS + nodes)
    return step(step_ms, exposed, busy, across, **(grows | other))


def planted(folder):
    """One node alone takes 1000 ms; two have 1100 of compute and 600 of communication, which is halved by nodes."""
    write_results(folder, good())
    write_lines(folder / "weak-1.jsonl", [line(1, 1000.0, 0.0, 0.0, 0, schedule="serial", lanes=1), line(1, 1010.0, 0.0, 0.0, 0)])
    write_lines(folder / "weak-2.jsonl", [line(2, 1250.0, 20.0, 590.0, BYTES), line(2, 1120.0, 10.0, 320.0, BYTES // 2, exchange="node"),
                                          line(2, 1700.0, 600.0, 600.0, BYTES, schedule="serial", lanes=1)])
    write_lines(folder / "weak-4.jsonl", [line(4, 2000.0, 900.0, 1800.0, 3 * BYTES, schedule="serial", lanes=1),
                                          line(4, 1900.0, 100.0, 1800.0, 3 * BYTES)])
    return folder


def test_a_table_by_hand(tmp_path):
    rows, files = scaling.read_scaling(planted(tmp_path))
    assert [path.name for path in files] == ["weak-1.jsonl", "weak-2.jsonl", "weak-4.jsonl"]
    table = scaling.scaling_table(rows)
    assert table["nodes"].tolist() == [1, 1, 2, 2, 2, 4, 4] and table["schedule"].tolist()[2] == "serial"
    assert table["bound_ms"].tolist() == [1000, 1000, 1100, 1100, 1100, 1800, 1800]
    assert table["efficiency"].tolist() == pytest.approx([1, 1 / 1.01, 1 / 1.7, 0.8, 1 / 1.12, 0.5, 1 / 1.9])
    assert table["bound_efficiency"].tolist() == pytest.approx([1, 1, 1 / 1.1, 1 / 1.1, 1 / 1.1, 1 / 1.8, 1 / 1.8])
    assert table["bound_reached"].tolist() == pytest.approx([1, 1 / 1.01, 11 / 17, 0.88, 1100 / 1120, 0.9, 18 / 19])
    assert scaling.summary(table)["2"] == dict(serial=0.5882, best=0.8929, bound_of_best=0.9091, by="node interleaved 4")


def test_it_is_told_where_it_was_measured(tmp_path, capsys):
    assert main(["communication", str(planted(tmp_path / "in")), "--out", str(tmp_path / "out")]) == 0
    assert "bound efficiency" in capsys.readouterr().out
    entry = json.loads((tmp_path / "out" / "acceptance.json").read_text())[0]
    assert entry["measured"]["weak_scaling"]["4"]["best"] == 0.5263 and (tmp_path / "out" / "scaling.csv").exists()
    assert main(["communication", str(write_results(tmp_path / "without", good())), "--out", str(tmp_path / "other")]) == 0
    assert "Weak scaling" not in capsys.readouterr().out and not (tmp_path / "other" / "scaling.csv").exists()


FAULTS = {
    "without one node": (lambda f: (f / "weak-1.jsonl").unlink(), 2, "but not weak-1.jsonl"),
    "a name": (lambda f: (f / "weak-x.jsonl").write_text("{}"), 2, "its name has no number of nodes"),
    "other nodes": (lambda f: (f / "weak-2.jsonl").rename(f / "weak-8.jsonl"), 2, "is of 2 node(s), not 8"),
    "other tokens": (lambda f: write_lines(f / "weak-4.jsonl", [line(4, 2.0, 1.0, 1.5, 9, schedule="serial", lanes=1, step_tokens=9)]), 2,
                     "step_tokens is not 4 times"),
    "another model": (lambda f: write_lines(f / "weak-4.jsonl", [line(4, 2.0, 1.0, 1.5, 9, schedule="serial", lanes=1, width=9)]), 2,
                      "in width (128 and 9)"),
    "other bits": (lambda f: write_lines(f / "weak-4.jsonl", [line(4, 2.0, 1.0, 1.5, 9, schedule="serial", lanes=1),
                                                              line(4, 2.0, 1.0, 1.5, 9, last_loss=5.0)]), 1, "a schedule changed bits"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_refused(tmp_path, capsys, name):
    change, code, message = FAULTS[name]
    change(planted(tmp_path))
    assert main(["communication", str(tmp_path)]) == code
    assert message in capsys.readouterr().err
