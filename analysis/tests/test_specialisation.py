"""`yardstick specialisation` and `yardstick load`: matrices against plain loops, planted experts, what the commands write."""
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from fixture import WORDS, write_run
from sweep_fixture import config_of, write_sweep
from test_routing_command import specialised

import yardstick
from yardstick.records import special
from yardstick.sweeps import arms
from yardstick.experiments import load_figure, specialisation
from yardstick.cli import main
from yardstick.routing.analyses import open_records


def test_lifts_against_plain_loops(tmp_path):
    _, evaluation = open_records(write_run(tmp_path, choices=2, experts=5))
    token, chosen, domain = evaluation["token"].values, evaluation["expert"].values[-1], evaluation["domain"].values
    kinds = [special.token_class(WORDS[t]) for t in token]
    (block, by_kind), _ = specialisation.matrices(evaluation)
    for kind, own in (("class", kinds), ("domain", [["documentation", "python"][d] for d in domain])):
        labels, lift, base, choices = by_kind[kind]
        assert block == 1 and lift.shape == (5, len(labels)) and set(labels) == set(own)
        for e in range(5):
            given = [own[i] for i in range(len(own)) for c in range(2) if chosen[i, 0, c] == e]
            assert choices[e] == len(given)
            for n, label in enumerate(labels):
                assert base[n] == pytest.approx(own.count(label) / len(own))
                assert lift[e, n] == pytest.approx(given.count(label) / len(given) / base[n])


def test_without_domains_only_classes_are_shown(tmp_path):
    _, evaluation = open_records(write_run(tmp_path, domains=()))
    assert [list(by_kind) for _, by_kind in specialisation.matrices(evaluation)] == [["class"]] * 2


def test_the_order_of_experts():
    """By the class that each takes most, then by how much; those without tokens last."""
    lift = np.array([[1.1, 2.0], [np.nan, np.nan], [1.5, 0.2], [3.0, 1.0], [0.1, 5.0]])
    assert specialisation.order_of(lift).tolist() == [3, 2, 4, 0, 1]


def test_planted_experts_are_written(tmp_path, capsys):
    runs, out = [str(specialised(tmp_path / str(seed), seed)) for seed in (1, 2, 3)], tmp_path / "out"
    assert main(["specialisation", *runs, "--out", str(out)]) == 0
    text, (claim,) = capsys.readouterr().out, json.loads((out / "acceptance.json").read_text())
    assert claim["key"] == "punctuation-numbers" and claim["status"] == "reproduced"
    assert claim["command"].startswith("yardstick specialisation") and claim["commit"] and claim["runs_commits"] == ["abc"]
    assert "Seed 2, block 1:" in text and "digits 4" in text and "by expert 0" in text
    assert "block 3" in text and "the rule fails in" in text and "numbers: reproduced" in text
    table = pd.read_csv(out / "specialisation.csv")
    digits = table.query("block == 1 and kind == 'class' and label == 'digits'")
    assert digits.groupby("seed")["lift"].idxmax().map(table["expert"]).tolist() == [0, 0, 0]
    assert digits.query("expert == 0")["share"].tolist() == [1, 1, 1] and digits.query("expert > 0")["lift"].max() == 0
    maps = pd.read_csv(out / "specialisation-maps.csv")
    assert len(maps) == 3 * 2 * 2 and list(maps) == ["seed", "block", "label", "lift", "null_mean", "null_high", "p"]
    lowest = maps.query("block == 1 and label == 'digits'")["lift"].min()
    assert claim["corrected"]["measured"]["digits lift"] == pytest.approx(lowest, 1e-4)
    assert "by the rule corrected on 2026-12-01: " + claim["corrected"]["status"] in text
    assert claim["files"] == ["specialisation.csv", "specialisation-maps.csv", *(f"specialisation-seed{s}.svg" for s in (1, 2, 3))]
    assert all((out / f).stat().st_size for f in claim["files"])


def test_runs_without_routing_are_refused(tmp_path, capsys):
    run = write_run(tmp_path / "run", evaluations=0)
    for command in (["specialisation", str(run)], ["specialisation", str(tmp_path / "none")]):
        assert main(command) == 2
    assert "no held-out routing was recorded" in capsys.readouterr().err
    assert main(["load", str(write_run(tmp_path / "dense", layers=0)), "--out", str(tmp_path / "out")]) == 2
    assert "dense" in capsys.readouterr().err


def test_runs_of_one_seed_are_refused(tmp_path, capsys):
    first, other = specialised(tmp_path / "first", 1), specialised(tmp_path / "other", 2)
    copied = shutil.copytree(first, tmp_path / "copied")
    assert main(["specialisation", str(first), str(other), str(copied), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr()
    assert said.err == f"yardstick: {first} and {copied} have the same seed 1; give runs that differ in it\n" and not said.out
    assert not (tmp_path / "out").exists()


def test_runs_of_unknown_seeds_are_not_held_to_be_of_one(tmp_path):
    runs, out = [str(write_run(tmp_path / name)) for name in "ab"], tmp_path / "out"
    assert main(["specialisation", *runs, "--out", str(out)]) == 0 and {p.name for p in out.glob("*.svg")} == {
        "specialisation-0.svg", "specialisation-1.svg"}


def test_load_of_a_run_by_tenths(tmp_path, capsys):
    run, out = write_run(tmp_path / "run", config="train:\n  seed: 7\n"), tmp_path / "out"
    assert main(["load", str(run), "--out", str(out)]) == 0
    text, table, opened = capsys.readouterr().out, pd.read_csv(out / "load.csv"), yardstick.open(run)
    assert "seed 7" in text and "E = 4, k = 1" in text and "N =" not in text and len(table) == 20
    row = table.query("block == 3 and first_step == 5").iloc[0]
    loads = [sum(int(opened["assigned"].values[r, 1, e]) for r in range(4, 8)) for e in range(4)]
    assert row["last_step"] == 8
    assert row["largest"] == pytest.approx(max(loads) / (sum(loads) / 4), rel=1e-5)
    assert row["smallest"] == pytest.approx(min(loads) / (sum(loads) / 4), rel=1e-5)
    assert row["max_vio"] == pytest.approx(opened["max_vio"].values[4:8, 1].mean(), rel=1e-5)
    assert (out / "load.svg").stat().st_size and (out / "load.png").stat().st_size


def test_a_run_of_a_sweep_knows_its_parameters(tmp_path):
    sweep = write_sweep(tmp_path, {"a": (4, config_of(train__seed=1)), "b": (4, None)}, seeds=(1,), b=dict(dense_parameter_count=5e4))
    run = sweep / "tasks/0"
    assert arms.active_parameters(run) == 1e4 and arms.active_parameters(sweep / "tasks/1") == 5e4
    assert arms.active_parameters(tmp_path / "x/y") is None
    assert load_figure.caption(yardstick.open(run), run).startswith("N = 10,000 active parameters, D/N = 2.05")


def test_figures_are_the_same_twice(tmp_path):
    run, made = write_run(tmp_path / "run"), []
    for _ in range(2):
        assert main(["load", str(run), "--out", str(tmp_path / "out")]) == 0
        made.append([(tmp_path / "out" / f"load.{kind}").read_bytes() for kind in ("svg", "png", "csv")])
    assert made[0] == made[1]
