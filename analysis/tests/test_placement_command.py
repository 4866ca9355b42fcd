"""`yardstick placement` as a user calls it: its table, file and figure, what is held out, what it says where there is nothing to gain."""
import re

import h5py
import numpy as np
import pandas as pd
import pytest
from fixture import write_run
from placement_fixture import CONFIG, hidden_groups, sampled_run, uniform

from yardstick.cli import main
from yardstick.drawing.figure_file import read_origin
from yardstick.placement import placement_file, sampled
from yardstick.placement.measured import measure
from yardstick.placement.ranks import Ranks
from yardstick.placement.traffic import random_rows

ALL = ("--nodes", "4", "--from-step", "5", "--tolerance", "30")  # as loads of 800 tokens differ by chance


def table_of(run, *options):
    assert main(["placement", str(run), *(options or ALL)]) == 0
    return pd.read_csv(run / "placement/placement.csv").set_index(["block", "placement", "part"])


def test_the_command_writes_a_placement_a_table_and_a_figure(tmp_path, capsys):
    run = sampled_run(tmp_path)
    table, out = table_of(run), capsys.readouterr().out
    assert {p.name for p in (run / "placement").iterdir()} == {f"placement.{kind}" for kind in ("yaml", "csv", "svg", "png")}
    orders = placement_file.read(run / "placement/placement.yaml", {1: 16, 3: 16})
    assert sorted(map(sorted, orders[1].reshape(4, 4).tolist())) == sorted(hidden_groups(16, 4).tolist())
    head = [line for line in (run / "placement/placement.yaml").read_text().splitlines() if line.startswith("#")]
    assert f"yardstick placement {run} --nodes 4" in head[0] and f"of run {run}, config_sha256" in head[1]
    assert any("bytes between nodes a held-out token" in line and line[2:] in out for line in head)
    assert set(table.index.get_level_values("placement")) == {"contiguous", "eplb", "found", "random"}
    for part, tokens in (("fit", 800), ("held_out", 800), ("all", 1600)):
        planted = table.loc[(1, "found", part)]
        assert planted["tokens"] == tokens and planted["flat_rows"] == 2 * planted["node_rows"] and planted["node_rows"] < 0.9
        assert planted["node_bytes"] == pytest.approx(256 * planted["node_rows"], rel=1e-5)
        assert table.loc[(3, "random", part), "node_rows"] == pytest.approx(random_rows(Ranks(4), 16, 2, np.full(4, 0.25))[1], rel=1e-5)
        for name in ("contiguous", "eplb", "found"):  # a block after another, and all of them
            rows = [table.loc[(block, name, part)] for block in (1, 3, -1)]
            assert rows[2]["node_rows"] == pytest.approx(rows[0]["node_rows"] + rows[1]["node_rows"], rel=1e-5)
            assert rows[2]["largest_load"] == max(rows[0]["largest_load"], rows[1]["largest_load"])
    assert table.loc[(1, "found", "fit"), "largest_load"] <= 1.3 * table.loc[(1, "eplb", "fit"), "largest_load"] * 1.00001
    assert read_origin(run / "placement/placement.svg").command.startswith("yardstick placement")
    assert "block 3: no gain beyond noise on held-out tokens" in out and "block 1:" not in out


def test_uniform_choices_gain_nothing_that_is_not_noise():
    """Of 16 layers: the change on held-out tokens is 0 on average, its error is its deviation, and on the fitted ones there is some."""
    ranks, rng, tokens = Ranks(4), np.random.default_rng(0), 1600
    at = np.arange(tokens)
    layers = [sampled.Choices(i, 16, uniform(tokens, 16, 3, rng), at // 50 % 8 // 2) for i in range(16)]
    taken = sampled.Sampled(layers, at // 50 % 2 == 1, at // 50, np.array([1]), 4, "", "", "")
    table = measure(taken, ranks, 0.05).table
    table = table[(table["block"] >= 0) & (table["placement"] == "found")].set_index("block")
    held, fit = (table[table["part"] == part] for part in ("held_out", "fit"))
    score = held["change"] / held["change_error"]
    assert abs(score.mean()) < 3 / np.sqrt(16) and 0.6 < score.std() < 1.4
    assert (fit["change"] < 0).all() and fit["change"].mean() < 3 * min(held["change"].mean(), 0)


def test_what_is_held_out_are_other_sequences_on_the_same_ranks():
    step, sequence = np.repeat([5, 10, 15], 8), np.tile(np.arange(8), 3)
    held = sampled.held_out(step, sequence)
    assert held.reshape(3, 8).tolist() == [[False, True] * 4, [True, False] * 4, [False, True] * 4]


def test_only_the_later_samples_are_taken(tmp_path, capsys, monkeypatch):
    run = sampled_run(tmp_path)
    for options, said in (((), "sampled steps 15 to 20 (2): placed by 400 tokens, held out 400"),
                          (("--from-step", "20"), "sampled steps 20 to 20 (1): placed by 200"),
                          (("--from-step", "1"), "sampled steps 5 to 20 (4): placed by 800")):
        assert main(["placement", str(run), "--nodes", "2", *options]) == 0 and said in capsys.readouterr().out
    for most, said in ((1200, "steps 10 to 20 (3)"), (1199, "steps 15 to 20 (2)"), (1, "steps 20 to 20 (1)")):
        monkeypatch.setattr(sampled, "MOST_TOKENS", most)
        assert main(["placement", str(run), *ALL]) == 0 and said in capsys.readouterr().out


def test_dropped_choices_are_not_sent(tmp_path):
    chosen = np.tile([0, 15], (1600, 1))
    dropped = np.zeros((1600, 1, 2), bool)
    dropped[::2, 0, 1] = True
    table = table_of(sampled_run(tmp_path, [chosen], dropped=dropped))
    # expert 0 is on node 0, 15 on node 3; a quarter of the tokens is on each node; of every second token only expert 0 is left
    assert table.loc[(1, "contiguous", "all"), "flat_rows"] == pytest.approx(0.75 + 0.5 * 0.75)
    assert table.loc[(1, "contiguous", "all"), "largest_load"] == pytest.approx(4 * 1600 / 2400, rel=1e-5)


def test_the_rank_of_a_token_is_that_of_its_grain(tmp_path):
    """8 sequences in 4 grains on 2 nodes: all tokens choose experts of the node that has their first four sequences, or their last."""
    sequence = np.arange(1600) // 50 % 8
    chosen = np.where(sequence[:, None] < 4, [0, 1], [8, 9])
    table = table_of(sampled_run(tmp_path / "a", [chosen]), "--nodes", "2", "--from-step", "5")
    assert table.loc[(1, "contiguous", "all"), "flat_rows"] == 0
    table = table_of(sampled_run(tmp_path / "b", [chosen]), "--nodes", "2", "--ranks-per-node", "4", "--from-step", "5")
    assert table.loc[(1, "contiguous", "all"), "flat_rows"] == 0


def test_one_choice_a_token(tmp_path, capsys):
    run = sampled_run(tmp_path, [uniform(1600, 16, 1, np.random.default_rng(0))])
    table = table_of(run)
    assert "block 1: every token is given to one expert: nothing is chosen together" in capsys.readouterr().out
    assert table.loc[(1, "found", "fit"), "largest_load"] <= table.loc[(1, "eplb", "fit"), "largest_load"]


def test_limit_and_comparison(tmp_path, capsys):
    run = sampled_run(tmp_path / "r")
    first = table_of(run, *ALL, "--group-limit", "1")
    assert (first["limited_rows"].dropna() <= first.loc[first["limited_rows"].notna(), "node_rows"] + 1e-9).all()
    assert first.loc[(1, "found", "all"), "moved_share"] == 0 and first.loc[(1, "random", "all"), "limited_rows"] == 0.75
    kept = tmp_path / "kept.yaml"
    kept.write_bytes((run / "placement/placement.yaml").read_bytes())
    table = table_of(run, *ALL, "--compare", str(kept))
    for column in ("node_rows", "largest_load", "change"):
        assert table.xs("given", level=1)[column].tolist() == table.xs("found", level=1)[column].tolist()
    kept.write_text("1: [0]\n")
    assert main(["placement", str(run), *ALL, "--compare", str(kept)]) == 2
    assert "kept.yaml: block 1: lists 1 experts, but the block has 16" in capsys.readouterr().err


def test_the_same_twice(tmp_path):
    run, texts = sampled_run(tmp_path / "r"), []
    for out in "ab":
        assert main(["placement", str(run), *ALL, "--seed", "4", "--out", str(tmp_path / out / "p.yaml")]) == 0
        texts.append([(tmp_path / out / f"p.{kind}").read_bytes() for kind in ("yaml", "csv")])
    assert texts[0][1] == texts[1][1] and texts[0][0].split(b"\n", 1)[1] == texts[1][0].split(b"\n", 1)[1]


REFUSED = {
    "dense": (lambda folder: write_run(folder, layers=0, config=CONFIG), ALL, "nothing to place: the model is dense"),
    "never sampled": (lambda folder: write_run(folder, config=CONFIG.replace("5", "0")), ALL,
                      "no training tokens were sampled (record.sample_every: 0); give a run that has them, and set record.sample_every"),
    "not yet": (lambda folder: write_run(folder, config=CONFIG), ALL, "no training tokens were sampled yet (record.sample_every: 5)"),
    "later steps": (sampled_run, ("--nodes", "2", "--from-step", "21"), "no step from 21 on was sampled, the last is 20"),
    "a wide limit": (sampled_run, ("--nodes", "2", "--group-limit", "3"), "--group-limit 3 is more than --nodes 2"),
    "the name of a table": (sampled_run, (*ALL, "--out", "p.csv"), "p.csv: a table and figures of this name are written beside")}


@pytest.mark.parametrize("make,options,said", REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_placed_is_said(tmp_path, capsys, make, options, said):
    assert main(["placement", str(make(tmp_path)), *options]) == 2
    assert said in capsys.readouterr().err and not (tmp_path / "placement").exists()


def test_one_sequence_is_not_halved(tmp_path, capsys):
    run = sampled_run(tmp_path)
    with h5py.File(run / "segments/000/tokens.r0000.h5", "a") as f:
        f["sequence"][:] = 0
    assert main(["placement", str(run), "--nodes", "2", "--from-step", "20"]) == 2
    assert "one sequence was sampled from step 20 on, but a half is held out" in capsys.readouterr().err


DAMAGED = {
    "no batch": (lambda f: None, dict(config="model:\n  width: 64\n"), "no number for train.batch"),
    "a sequence beyond the batch": (lambda f: f["sequence"].write_direct(f["sequence"][()] + 1), {},
                                    "have sequence 8, but train.batch is 8"),
    "another element": (lambda f: None, dict(config=CONFIG.replace("  batch", "  precision: fp7\n  batch")), "has train.precision fp7"),
    "experts beyond any": (lambda f: f["expert"].write_direct(f["expert"][()] + 1), {},
                           "expert ids 1 to 16, but the layer has 16 experts")}


@pytest.mark.parametrize("change,options,said", DAMAGED.values(), ids=DAMAGED)
def test_records_that_contradict_themselves(tmp_path, capsys, change, options, said):
    run = sampled_run(tmp_path, **options)
    with h5py.File(run / "segments/000/tokens.r0000.h5", "a") as f:
        change(f)
    assert main(["placement", str(run), *ALL]) == 4 and re.search(re.escape(said), capsys.readouterr().err)


@pytest.mark.parametrize("options", [(), ("--nodes", "1"), ("--nodes", "2", "--tolerance", "101"), ("--nodes", "2", "--nodes", "3"),
                                     ("--nodes", "2", "--ranks-per-node", "0"), ("--nodes", "2", "--group-limit", "0")])
def test_command_lines_that_mean_nothing(tmp_path, capsys, options):
    with pytest.raises(SystemExit) as ended:
        main(["placement", str(tmp_path), *options])
    assert ended.value.code == 2 and "Traceback" not in capsys.readouterr().err


def test_samples_without_what_was_kept(tmp_path, capsys):
    run = sampled_run(tmp_path)
    with h5py.File(run / "segments/000/tokens.r0000.h5", "a") as f:
        del f["kept"]
    assert main(["placement", str(run), *ALL]) == 2 and "its samples have no kept: there is no one table" in capsys.readouterr().err
