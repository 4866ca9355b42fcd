"""`yardstick top-k`: planted differences, every verdict, the command."""
import json

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sweep_fixture import config_of, write_sweep

from yardstick.sweeps import arms, top_k
from yardstick.sweeps.arms_report import caption
from yardstick.cli import main

NONE = config_of(train__steps=40)
BY_K = {"1": dict(arm="", k=1), "2": dict(arm="", k=2, total_parameter_count=5e4), "4": dict(arm="", k=4)}


def sweep_of(folder, losses, **columns):
    return write_sweep(folder, {k: (loss, NONE) for k, loss in losses.items()}, **{k: c | columns.get(k, {}) for k, c in BY_K.items()})


def found_in(losses):
    """Arms of k = 1 and 2 and the sample of their losses, of losses (S, 2) by seed and k."""
    values = np.array(losses)[:, :, None] + 0.3 * np.random.default_rng(1).normal(size=(1, 1, 16))
    made = arms.Arms(["1", "2"], list(range(len(values))), values, {}, 1e4, 4e4, np.array([1e5, 5e4]), [4, 4], None, [])
    return made, arms.sample(made.names, values)


@pytest.mark.parametrize("losses,status", [
    ([[4.004, 4], [4.005, 4], [4.003, 4]], "reproduced"), ([[4.004, 4], [4.005, 4]], "direction only"),
    ([[4.004, 4], [4.005, 4], [4, 4.003]], "direction only"),
    ([[4, 4.004], [4, 4.005], [4, 4.003]], "not reproduced"), ([[4, 4.004], [4, 4.005], [4.003, 4]], "not testable here")])
def test_verdicts(losses, status):
    (found, measured), limits = top_k.two_over_one(*found_in(losses))
    assert found == status and measured["gain"] == pytest.approx(np.mean(losses, 0) @ [1, -1])
    assert limits[0] <= measured["gain"] <= limits[1]


def test_the_command_writes_what_it_says(tmp_path, capsys):
    sweep, out = sweep_of(tmp_path / "sweep", {"1": 4.0, "2": 3.99, "4": 4.02}), tmp_path / "out"
    assert main(["top-k", str(sweep), "--out", str(out)]) == 0
    text, (claim,) = capsys.readouterr().out, json.loads((out / "acceptance.json").read_text())
    assert claim["key"] == "top-2" and claim["status"] == "reproduced" and claim["measured"]["gain"] == pytest.approx(0.01, abs=2e-4)
    assert "k = 2 over k = 1 at equal work, with 0.5 times the parameters: 0.01" in text
    assert "a gain" in text and "k = 4 over k = 2" in text and "a loss" in text
    table = pd.read_csv(out / "top-k.csv")
    assert table["k"].tolist() == [1, 2, 4]
    assert table["gain"].tolist() == pytest.approx([0, 0.01, -0.02], abs=2e-4)
    assert (table["gain_low"] <= table["gain"]).all()
    assert all((out / f).stat().st_size for f in claim["files"])


def test_a_sweep_over_granularity_has_its_own_experts(tmp_path, capsys):
    sweep = sweep_of(tmp_path, {"1": 4.0, "2": 3.99}, **{"2": dict(num_experts=8, granularity=2)})
    assert main(["top-k", str(sweep)]) == 0
    text = capsys.readouterr().out
    assert "top-2 over top-1: not testable here (the numbers of experts differ: this compares granularity)" in text
    assert "k = 2 over k = 1 at equal work, with 0.5 times the parameters: 0.01" in text


def test_other_experts_of_k_4_do_not_matter_to_top_2():
    found, _ = found_in([[4.004, 4], [4.005, 4], [4.003, 4]])
    losses = np.concatenate([found.losses, found.losses[:, :1]], 1)
    wider = found._replace(names=["1", "2", "4"], experts=[4, 4, 16], losses=losses)
    assert wider.num_experts is None and top_k.two_over_one(wider, arms.sample(wider.names, losses))[0][0] == "reproduced"


@pytest.mark.parametrize("seeds,label", [(3, "mean, 95 % interval over 3 seeds"), (1, "mean, 95 % interval over 1 seed")])
def test_the_figure_says_over_how_many_seeds(seeds, label):
    found, sample = found_in([[4.004, 4]] * seeds)
    figure = top_k.draw(found, top_k.table_of(found, sample))
    assert label in [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    plt.close(figure)


def test_the_caption_gives_tokens_an_expert_by_k():
    found, _ = found_in([[4.004, 4]] * 3)
    start = "N = 10,000 active parameters, D = 40,000 tokens, D/N = 4"
    assert caption(found) == f"{start}, E = 4, k = 1 / 2, 10,000 / 20,000 tokens an expert, seeds 0, 1, 2"
    assert caption(found._replace(experts=[4, 8])) == f"{start}, E = 4 / 8, k = 1 / 2, 10,000 tokens an expert, seeds 0, 1, 2"
    assert caption(found._replace(names=["a", "b"], k=2)) == f"{start}, E = 4, k = 2, 20,000 tokens an expert, seeds 0, 1, 2"


def test_unequal_work_is_refused(tmp_path, capsys):
    sweep = sweep_of(tmp_path, {"1": 4.0, "2": 3.99}, **{"2": dict(dense_parameter_count=2e4)})
    assert main(["top-k", str(sweep)]) == 2 and "differ in dense_parameter_count" in capsys.readouterr().err


def test_without_top_2_nothing_is_tested(tmp_path, capsys):
    assert main(["top-k", str(sweep_of(tmp_path, {"1": 4.0, "4": 3.99}))]) == 0
    assert "not testable here (the sweep has no finished runs of k = 2)" in capsys.readouterr().out
