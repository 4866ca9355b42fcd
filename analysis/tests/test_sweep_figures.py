"""What stands in the figures of sweeps and of known answers: every mark and line against the numbers that it is to show."""
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from test_balancing import planted
from test_known_answer import COMMITTED
from test_results import frame
from test_top_k import found_in

from yardstick.experiments import known_answer_figure, known_answer_results, known_answer_samples
from yardstick.law import curves, laws, saturation
from yardstick.law.saturation import Interval
from yardstick.law.saturation import Interval
from yardstick.sweeps import arms, balancing_report, capacity, capacity_report, costs, results, saturation_figure, top_k


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def named(axis):
    """{label: (x, y)} of the lines of an axis that have a name, of error bars their marks."""
    found = {line.get_label(): line.get_data() for line in axis.lines if not line.get_label().startswith("_")}
    return found | {bar.get_label(): bar[0].get_data() for bar in axis.containers}


def bars(axis, number=0, horizontal=False):
    """Both ends of the error bars of an axis."""
    return np.array(axis.containers[number][2][0].get_segments())[:, :, 1 - horizontal]


@pytest.fixture(scope="module")
def curve(tmp_path_factory):
    path = tmp_path_factory.mktemp("sweep") / "r.csv"
    frame(seeds=(1, 2, 3)).to_csv(path, index=False)
    (table,) = results.tables(results.read(path))
    return table, saturation.summarise(table, draws=200), costs.measure(table)


STATED = saturation_figure.Stated([Interval(0.1 - 0.01 * i, 0.02, 0.2) for i in range(7)], Interval(9.0, 2.0, np.inf))
PUBLISHED = [("HASH 15M, D/N = 3", np.array([1, 2, 4]), np.array([0.1, 0.2, 0.3]))]


def test_the_four_panels(curve):
    table, s, cost = curve
    losses, gains, speeds, memory = saturation_figure.four_panels(table, s, cost, PUBLISHED, STATED).axes
    assert [line.get_ydata().tolist() for line in losses.lines[:3]] == table.losses.mean(2).tolist()
    assert named(losses)["mean"][1] == pytest.approx(table.losses.mean((0, 2)))
    for fit, label in ((s.comparison.clark, "Clark law"), (s.comparison.power, "power law")):
        x, y = named(losses)[label]
        at = np.interp(np.log2(table.experts), np.log2(x), np.log10(y))
        assert (x[0], x[-1]) == (1, 128) and at == pytest.approx(fit.fitted, abs=1e-4), "the law runs through what was fitted"
    assert named(gains)["measured"][0].tolist() == s.left.tolist()
    assert named(gains)["measured"][1].tolist() == [g.value for g in STATED.gains]
    assert bars(gains) == pytest.approx(np.array([[g.low, g.high] for g in STATED.gains]))
    assert named(gains)[PUBLISHED[0][0]][1].tolist() == [0.1, 0.2, 0.3]
    assert named(gains)["no gain: 0.005 nat"][1] == [0.005] * 2
    assert named(gains)["E_half and its 95 %"][0] == [9.0] * 2
    limits, arrow = gains.lines[-2:]
    assert limits.get_xdata() == pytest.approx([2.0, gains.get_xlim()[1]]) and arrow.get_marker() == ">", "an interval without an end"
    assert named(speeds)["steps"][1].tolist() == cost.steps.tolist() and named(speeds)["wall time"][1].tolist() == cost.wall.tolist()
    assert not speeds.containers, "no bars where nothing is known of every evaluation"
    known = s._replace(speeds=tuple(Interval(v, v - 0.1, v + 0.2) for v in cost.steps))
    speeds = saturation_figure.four_panels(table, known, cost, PUBLISHED, STATED).axes[2]
    assert bars(speeds) == pytest.approx(np.stack([cost.steps - 0.1, cost.steps + 0.2], 1)[1:])
    assert (np.diff(bars(speeds, 1), axis=1)[:, 0] / np.diff(bars(speeds), axis=1)[:, 0]) == pytest.approx((cost.wall / cost.steps)[1:])
    assert named(memory)["total parameters"][1].tolist() == (cost.parameters * 16).tolist()
    assert named(memory)["measured peak"][1].tolist() == cost.peak.tolist()
    (line,) = [y for label, (_, y) in named(memory).items() if label.startswith("affine fit, R² = 1.0000")]
    assert line == pytest.approx(cost.peak, rel=1e-4)


def test_the_gap_of_every_seed(curve):
    table, s, _ = curve
    left, right = saturation_figure.gap(table, s).axes
    train, held_out = table.extra["loss_train"], table.losses.mean(2)
    assert named(left)["training"][1] == pytest.approx(train.mean(0)) and named(left)["held out"][1] == pytest.approx(held_out.mean(0))
    assert [line.get_ydata().tolist() for line in right.lines[:3]] == (held_out - train).tolist()
    assert right.lines[3].get_ydata() == pytest.approx((held_out - train).mean(0))


def test_what_was_not_recorded_is_said_in_its_panel(curve):
    table, s, _ = curve
    bare = costs.measure(table._replace(extra={name: values * np.nan for name, values in table.extra.items()}))
    panels = saturation_figure.four_panels(table, s._replace(comparison=None, band=None), bare, [], STATED).axes
    assert ["no wall time" in t.get_text() for t in panels[2].texts] == [True] and "no memory" in panels[3].texts[0].get_text()
    assert "wall time" not in named(panels[2]) and "measured peak" not in named(panels[3])
    assert not {"Clark law", "power law"} & set(named(panels[0]))


def test_costs_of_few_numbers_of_experts():
    assert not costs._bent(np.array([1.0, 2, 4]), np.array([1.0, 9, 2])), "three points always lie on a parabola"
    assert costs._bent(np.array([1.0, 2, 4, 8, 16]), np.array([1.0, 4, 16, 64, 256.001]))


@pytest.mark.parametrize("seeds", [1, 3])
def test_choices_at_equal_work(seeds):
    made, found = found_in([[4.004, 4], [4.006, 4], [4.002, 4]][:seeds])
    rows = top_k.table_of(made, found)
    axis = top_k.draw(made, rows).axes[0]
    by_seed = np.array([line.get_ydata() for line in axis.lines[:seeds]])
    assert by_seed == pytest.approx(np.array([[0, 0.004], [0, 0.006], [0, 0.002]][:seeds]))
    assert axis.containers[0][0].get_ydata() == pytest.approx([0, by_seed[:, 1].mean()])
    if seeds > 1:
        assert bars(axis)[1] == pytest.approx(rows[["gain_low", "gain_high"]].values[1])
    assert [t.get_text() for t in axis.get_xticklabels()] == ["1", "2"] and axis.get_ylabel() == "loss of k = 1 less that, nat"


def test_the_ways_to_balance():
    made, found, _ = planted()
    table = pd.DataFrame([dict(arm=name, seed=s, excess_global=0.1 * a + 0.01 * s)
                          for a, name in enumerate(made.names) for s in made.seeds])
    over = {name: [(np.arange(5.0), np.full(5, a + s)) for s in made.seeds] for a, name in enumerate(made.names)}
    steps, dots, losses = balancing_report.draw(made, table, over, found).axes
    assert {label: y.tolist() for label, (_, y) in named(steps).items()} == {name: [a + 1.0] * 5 for a, name in enumerate(made.names)}
    assert len({(line.get_color(), line.get_linestyle()) for line in steps.lines if line.get_label() in made.names}) == len(made.names)
    for a in range(len(made.names)):
        marks, mean, interval = dots.lines[3 * a:3 * a + 3]
        assert interval.get_xdata() == pytest.approx(found["excess_global"].of(made.names[a])[1:])
        assert marks.get_xdata() == pytest.approx([0.1 * a, 0.1 * a + 0.01, 0.1 * a + 0.02]) and set(marks.get_ydata()) == {a}
        assert mean.get_xdata() == pytest.approx([0.1 * a + 0.01] * 2)
        d = found["loss"].difference(made.names[a], "aux-batch")
        assert losses.containers[a][0].get_xdata() == [d.value] and losses.containers[a][0].get_ydata() == [a]
        assert bars(losses, a, True)[0] == pytest.approx([d.low, d.high], abs=1e-12)
    assert [t.get_text() for t in dots.get_yticklabels()] == made.names and losses.get_xlabel() == "loss less that of aux-batch, nat"
    assert dots.get_xscale() == "symlog", "0 can be shown"
    above = balancing_report.draw(made, table.assign(excess_global=table["excess_global"] + 1), over, found).axes[1]
    assert above.get_xscale() == "log", "no room is given to what is not there"


def test_drops_beside_the_null_model():
    """Arms of known drops; the curves are those of the table in docs/science.md, "Capacity"."""
    losses = 4 + 0.01 * np.random.default_rng(1).normal(size=(2, 2, 4))
    made = arms.Arms(["a", "b"], [1, 2], losses, {}, 1e4, 4e4, np.full(2, 1e5), [4] * 2, 1, [])
    table = pd.DataFrame([dict(arm=arm, seed=seed, block=block, m=32, factor=factor, sigma=0.3, sigma_counts=0.2, factor_of_rows=factor,
                               drop=0.1 / factor + 0.01 * block + 0.002 * seed, waste=0.2, theory_drop=0.08 / factor, theory_waste=0.3,
                               theory_drop_counts=0.07, sigma_from="groups")
                          for arm, factor in (("a", 1.0), ("b", 2.0)) for seed in (1, 2) for block in (1, 3)])
    factors, found = capacity.by_factor(made, table), capacity.samples(made, table)
    rows = capacity_report.table_of(made, factors, found, table)
    assert rows["drop"].tolist() == pytest.approx([0.123, 0.073]) and rows["loss_less_widest"].iloc[1] == 0
    drops, rest, quality = capacity_report.draw(made, factors, table, rows).axes
    assert sorted(named(drops)["measured, each layer"][1]) == pytest.approx([6.3, 8.3, 11.3, 13.3])
    assert sorted(named(drops)["null model at the measured σ"][1]) == pytest.approx([4, 4, 8, 8])
    assert named(rest)["measured, each layer"][1] == pytest.approx([20] * 4)
    x, y = named(drops)["null model, σ = 0.5"]
    assert np.interp(1, x, y) == pytest.approx(100 * 0.5 / np.sqrt(2 * np.pi), rel=1e-3), "drop(1) is sigma / sqrt(2 pi)"
    assert (x[0], x[-1]) == drops.get_xlim(), "curves over the whole range"
    mean = drops.containers[0]
    assert mean[0].get_ydata() == pytest.approx([12.3, 7.3]) and all(len(bar.get_segments()) == 2 for bar in mean[2])
    x, y = named(rest)["null model, σ = 0.1"]
    assert np.interp(2, x, y) == pytest.approx(50, abs=0.01), "what even loads leave of twice the room"
    assert quality.containers[0][0].get_ydata() == pytest.approx(losses.mean((0, 2)) - losses.mean((0, 2))[1])
    assert [t.get_text() for t in quality.get_xticklabels()] == ["1", "2"]


def test_known_answers():
    found = known_answer_results.read(COMMITTED)
    tax = known_answer_samples.balance_tax(found)
    figure = known_answer_figure.draw(found._replace(facts=None), tax)
    for axis, (shape, tasks) in zip(figure.axes, found.ideal):
        ideal, trained = found.ideal[shape, tasks], found.trained[shape, tasks]
        lines = named(axis)
        assert lines["ideal, exact"][1].tolist() == ideal["ideal"].tolist() and lines["hash, exact"][1].tolist() == ideal["hash"].tolist()
        for router, table in trained.items():
            assert lines[f"{router}, trained"][0].tolist() == table["experts"].tolist()
            assert lines[f"{router}, trained"][1].tolist() == table["trained"].tolist()
        assert f"L = {tasks}" in axis.get_title() and [tasks] * 2 in [list(line.get_xdata()) for line in axis.lines]
    fewer, even, routers, facts = figure.axes[5:9]
    assert {label: len(y) for label, (_, y) in named(fewer).items() if "samples" in label} == {
        f"{samples:,} samples": len(table) for samples, table in found.fewer.items()}
    wide = found.zipf[found.zipf["experts"] >= 4]
    assert named(even)["best assignment"][1].tolist() == (wide["ideal"] - wide["floor"]).tolist()
    assert named(even)["every expert exactly 1/E"][1].tolist() == (wide["balanced"] - wide["floor"]).tolist()
    vio, excess = named(routers)["E = 16"]
    assert list(zip(excess, vio)) == [tuple(tax[name]["16"]) for name in ("balanced", "oracle")]
    assert facts.texts[0].get_text() == "T2 was not run"


def test_the_published_losses_and_both_fits():
    from test_planted_curves import planted as published
    from yardstick.law import law_figure
    table = published(routers=["HASH"], steps=[curves.FINAL])
    table = table.assign(tokens=table["step"] * curves.TOKENS_PER_STEP, final=True)
    fit, (_, axis) = curves.joint_fit(table, "HASH"), plt.subplots()
    law_figure._losses(axis, table, "HASH", fit)
    for i, size in enumerate(curves.SIZES):
        marks, own, joint = axis.lines[3 * i:3 * i + 3]
        experts, losses = curves.with_dense(table, "HASH", size)
        assert marks.get_label() == size and marks.get_ydata().tolist() == losses.tolist()
        alone = laws.fit_clark(losses, experts)
        assert np.interp(np.log2(experts), np.log2(own.get_xdata()), np.log10(own.get_ydata())) == pytest.approx(alone.fitted, abs=1e-4)
        at = np.interp(np.log2(experts[1:]), np.log2(joint.get_xdata()), np.log10(joint.get_ydata()))
        rows = curves.routed(table, "HASH")["model_size_label"].values == size
        assert at == pytest.approx(fit.fitted[rows], abs=1e-4)
