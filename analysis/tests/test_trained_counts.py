"""`yardstick placement --counts`: rows before and after, as `yardstick communication` takes them."""
import json

import numpy as np
import pytest
from communication_fixture import good, write_results
from placement_fixture import CONFIG, sampled_run
from test_placement_command import ALL, table_of

from yardstick.base.faults import SchemaError
from yardstick.cli import main
from yardstick.experiments.communication_results import read
from yardstick.placement import trained_counts
from yardstick.placement.ranks import Ranks
from yardstick.placement.sampled import Choices, Sampled


def test_counts_are_those_of_the_table(tmp_path):
    run, counts = sampled_run(tmp_path, config=CONFIG + "moe:\n  router: sigmoid\n"), tmp_path / "new/trained.json"
    table = table_of(run, *ALL, "--counts", str(counts))
    found = json.loads(counts.read_text())
    assert [count["router"] for count in found] == [f"sigmoid, trained to step 20, experts {where}" for where in ("in order", "placed")]
    for count, name in zip(found, ("contiguous", "found")):
        row = table.loc[(-1, name, "held_out")]
        assert (count["nodes"], count["experts"], count["top_k"], count["limit"]) == (4, 16, 2, 0) and count["tokens"] == row["tokens"]
        assert count["straight"] == pytest.approx(row["flat_rows"] / 2, rel=1e-5)  # of two blocks
        assert count["by_nodes"] == pytest.approx(row["node_rows"] / 2, rel=1e-5)
        assert count["by_nodes_bytes"] == pytest.approx(256 * count["by_nodes"], rel=1e-5)
    assert found[1]["by_nodes"] < found[0]["by_nodes"]
    judged = read(write_results(tmp_path / "all", good(), trained=found)).trained
    assert judged["saved"].tolist() == pytest.approx([1 - count["by_nodes"] / count["straight"] for count in found])


def test_a_list_grows_by_run_and_nodes(tmp_path):
    run, counts = sampled_run(tmp_path), tmp_path / "trained.json"
    for nodes in ("4", "2", "4"):
        table_of(run, "--nodes", nodes, *ALL[2:], "--counts", str(counts))
    assert [count["nodes"] for count in json.loads(counts.read_text())] == [2, 2, 4, 4]


def test_what_cannot_be_added_to_is_refused(tmp_path, capsys):
    run, counts = sampled_run(tmp_path), tmp_path / "trained.json"
    for text, said in (("{}", "is no list of counts"), ("[1]", "is no list of counts"), ("[", "cannot be read as JSON")):
        counts.write_text(text)
        assert main(["placement", str(run), *ALL, "--counts", str(counts)]) == 2
        assert said in capsys.readouterr().err and counts.read_text() == text


def test_mixtures_that_differ_have_no_one_count():
    layers = [Choices(block, experts, np.zeros((1, 2), int), None) for block, experts in ((0, 8), (1, 4))]
    with pytest.raises(SchemaError, match="its mixtures differ in experts and choices"):
        trained_counts.counts(None, Sampled(layers, None, None, [1], 4, "", "", ""), Ranks(2), "softmax")
