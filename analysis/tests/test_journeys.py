"""Rows between nodes of runs that are written by hand."""
import numpy as np
import pytest
import xarray as xr
from fixture import write_run

from yardstick.base.faults import SchemaError
from yardstick.cli import main
from yardstick.experiments import journeys

CONFIG = """model:
  width: 8
  context: 16
moe:
  experts: 4
  top_k: 2
train:
  batch: 2
  precision: fp32
layout:
  ranks_per_node: 1
  expert_parallel: 2
  exchange: EXCHANGE
"""
ROW = 2 * 16 * 3 * 8 * 4  # bytes where each of 32 tokens sends one row of 8 floats in each of 3 mixtures


def planted(rows, exchange="pairwise", config=CONFIG, ranks=2):
    """Rows of a token on the four journeys, in two steps of which one has half more and the other half less; other bytes beside them."""
    purposes = ["plan", *journeys.JOURNEYS.values()]
    mean = np.array([7.0, *(ROW * r for r in rows)])
    return xr.Dataset(dict(across_bytes=(("row", "purpose"), np.stack([0.5 * mean, 1.5 * mean])), ranks=("row", [ranks] * 2),
                           kept=(("row", "layer"), np.zeros((2, 3)))), coords=dict(purpose=purposes),
                      attrs=dict(config=config.replace("EXCHANGE", exchange)))


def test_a_table_by_hand():
    made = journeys.table([journeys.rows_of(planted([1.0, 1.0, 1.0, 1.0]), "a"),
                           journeys.rows_of(planted([0.75, 1.0, 0.75, 0.5], "node"), "b")])
    assert made[list(journeys.JOURNEYS)].values == pytest.approx(np.array([[1, 1, 1, 1], [0.75, 1, 0.75, 0.5]]))
    assert made["straight"].tolist() == [1, 1] and made["by_nodes"].tolist() == pytest.approx([1 - 1 / 6] * 2)
    assert made["saved"].tolist() == pytest.approx([0, 0.25]) and made["nodes"].tolist() == [2, 2]


@pytest.mark.parametrize("run,said", [
    (planted([1] * 4, ranks=1), "are no two nodes"), (planted([1] * 4, config=CONFIG.replace("fp32", "bf16")), "not all of 4 bytes"),
    (planted([1] * 4).drop_vars("across_bytes"), "does not say what its ranks sent")])
def test_what_cannot_be_counted_is_said(run, said):
    with pytest.raises(SchemaError, match=said):
        journeys.rows_of(run, "r")


def test_groups_of_ranks_have_no_closed_forms_here():
    with pytest.raises(SchemaError, match="several expert-parallel groups"):
        journeys.rows_of(planted([1] * 4, ranks=4), "r")


def test_the_command_writes_its_table(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(journeys, "open_run", lambda folder, segment: planted([1] * 4, str(folder)))
    assert main(["journeys", "pairwise", "node", "--out", str(tmp_path / "j.csv")]) == 0
    assert "what the program counted" in capsys.readouterr().out
    lines = (tmp_path / "j.csv").read_text().splitlines()
    assert lines[0].startswith("run,exchange,nodes,") and lines[2].startswith("node,node,2,4,2,2,1,1,1,1,1,0.833333,0")


def test_a_record_of_before_is_refused(tmp_path, capsys):
    assert main(["journeys", str(write_run(tmp_path / "r"))]) == 2
    assert "does not say what its ranks sent to other nodes" in capsys.readouterr().err
