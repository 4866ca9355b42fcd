"""Runs beside each other: what differs in their configurations, how they end, and the curves that are drawn."""
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from fixture import write_run
from sweep_fixture import config_of

from yardstick.cli import main
from yardstick.drawing import figure_file
from yardstick.tables import compare


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture
def runs(tmp_path):
    a, b = (config_of(moe__bias_rule="sign", moe__bias_rate=rate, train__seed=1) for rate in (0.01, 0.02))
    write_run(tmp_path / "a/run", config=a, evaluations=2)
    return [str(tmp_path / "a/run"), str(write_run(tmp_path / "b/run", seed=1, rows=60, config=b)),
            str(write_run(tmp_path / "dense", layers=0, rows=20, config=b + "data:\n  seed: 7\n"))]


def test_what_differs_and_how_runs_end(runs):
    compared = compare.opened(runs)
    frame = compare.table(compared)
    assert [run.name for run in compared] == list(frame)[2:] == ["a/run", "b/run", compared[2].name] and compared[2].name.endswith("/dense")
    rows = frame.set_index("name").drop(columns="kind").T.to_dict("list")
    assert frame[frame["kind"] == "option"]["name"].tolist() == ["moe.bias_rate", "data.seed"]
    assert rows["moe.bias_rate"] == [0.01, 0.02, 0.02] and rows["data.seed"] == ["", "", 7]
    assert rows["steps"] == [40, 60, 20] and rows["loss_validation"] == [4.0] * 3 and rows["tokens"][1] == 60 * 512
    expected = [np.mean([5 * np.exp(-step / 30) for step in range(max(1, n - 19), n + 1)]) for n in (40, 60, 20)]
    assert rows["loss_train"] == pytest.approx(expected)
    assert rows["max_vio"][1] == pytest.approx(compared[1].data["max_vio"].values[-6:].mean()) and np.isnan(rows["max_vio"][2])


def test_the_curves(runs):
    compared = compare.opened(runs)
    loss, vio, rate = compare.draw(compared).axes
    assert [text.get_text() for text in loss.get_legend().get_texts()] == [run.name for run in compared]
    assert [len(line.get_xdata()) for line in loss.lines] == [40, 2, 60, 1, 20, 1] and len(vio.lines) == 2 and len(rate.lines) == 3
    assert vio.lines[0].get_ydata() == pytest.approx(compared[0].data["max_vio"].values.mean(1))
    assert loss.lines[1].get_xdata() == pytest.approx(np.array([20, 40]) * 512 / 1e6)
    assert rate.lines[2].get_ydata() == pytest.approx(compared[2].data["learning_rate"].values)


def test_the_command(runs, tmp_path, capsys):
    assert main(["compare", *runs, "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "options that differ" in said and "moe.bias_rate" in said and "train.seed" not in said and "held-out loss (nat)" in said
    table = pd.read_csv(tmp_path / "out/compare.csv")
    assert table["name"][0] == "moe.bias_rate" and len(figure_file.read_origin(tmp_path / "out/compare.svg").runs) == 3
    assert main(["compare", runs[0]]) == 2 and "give two runs or more" in capsys.readouterr().err


def test_runs_of_one_configuration(tmp_path, capsys):
    assert main(["compare", str(write_run(tmp_path / "a")), str(write_run(tmp_path / "b", seed=1))]) == 0
    assert capsys.readouterr().out.startswith("The configurations are the same.\n\nresults")


def test_long_runs_are_binned(tmp_path):
    runs = [str(write_run(tmp_path / name, rows=1200, layers=0, evaluations=0)) for name in "ab"]
    assert {len(line.get_xdata()) for axis in compare.draw(compare.opened(runs)).axes for line in axis.lines} == {500}
