"""Long runs in bins: medians and bands against plain loops, and the figures that draw them."""
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from fixture import write_run

from yardstick.drawing import binned, figures, training
from yardstick.pages.report import make_report


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.mark.parametrize("count", [1, 499, 500])
def test_short_runs_are_drawn_step_by_step(count):
    values = np.random.default_rng(count).random((count, 2))
    assert binned.width(count) == 1 and binned.told(count) == "each step"
    assert binned.medians(values) is values and binned.middle(np.arange(count)).tolist() == list(range(count))


@pytest.mark.parametrize("count", [501, 1000, 4321])
def test_medians_and_bands_of_long_ones(count):
    values = np.random.default_rng(count).random((count, 3))
    found, at = binned.percentiles(values), binned.middle(np.arange(count))
    edges = [int(count * i / 500) for i in range(501)]
    assert found.shape == (3, 500, 3) and binned.width(count) == max(b - a for a, b in zip(edges, edges[1:])) == -(-count // 500)
    for i, (a, b) in enumerate(zip(edges, edges[1:])):
        assert a <= at[i] < b
        for e in range(3):
            ordered = sorted(values[a:b, e])
            expected = [np.interp(share / 100 * (b - a - 1), range(b - a), ordered) for share in (5, 50, 95)]
            assert found[:, i, e] == pytest.approx(expected)


def test_steps_without_a_number_are_passed_over():
    values = np.arange(1000.0)
    values[::2] = np.nan
    values[500:502] = np.nan
    low, median, high = binned.percentiles(values)
    assert np.isnan(median[250]) and np.isfinite(np.delete(median, 250)).all() and median[0] == 1


def long_run(rows=2000):
    rng = np.random.default_rng(1)
    step = np.arange(1, rows + 1)
    return xr.Dataset(dict(step=("row", step), tokens=("row", step * 512), segment=("row", np.zeros(rows, int)), experts=("layer", [4, 3]),
                           loss_cross_entropy=("row", 5 / step), tokens_per_second=("row", rng.random(rows)),
                           learning_rate=("row", 1 / step), gradient_norm=("row", rng.random(rows) + 0.1),
                           loss_aux=("row", rng.random(rows)), loss_head_z=("row", np.zeros(rows)), loss_router_z=("row", rng.random(rows)),
                           max_vio=(("row", "layer"), rng.random((rows, 2))), max_vio_floor=(("row", "layer"), np.full((rows, 2), 0.1)),
                           entropy=(("row", "layer"), rng.random((rows, 2))), drop_share=(("row", "layer"), rng.random((rows, 2))),
                           bias=(("row", "layer", "expert"), rng.random((rows, 2, 4)))), coords=dict(layer=[1, 3]))


DRAWN = dict(loss=(figures.loss, 1, 1), throughput=(figures.throughput, 1, 1), max_vio=(figures.max_vio, 2, 1),
             entropy=(figures.entropy, 2, 1), drops=(figures.drops, 1, 2), learning_rate=(training.learning_rate, 1, 1),
             gradient_norm=(training.gradient_norm, 1, 1), loss_parts=(training.loss_parts, 1, 2))


@pytest.mark.parametrize("draw,axes,bands", DRAWN.values(), ids=DRAWN)
def test_long_runs_are_medians_and_bands(draw, axes, bands):
    figure = draw(long_run())
    assert len(figure.axes) == axes
    for axis in figure.axes:
        assert len(axis.collections) == bands and all(len(line.get_xdata()) in (2, 500) for line in axis.lines)


def test_biases_of_a_long_run_are_medians():
    run = long_run()
    for layer, axis in enumerate(figures.bias(run).axes[:2]):
        for e, drawn in enumerate(axis.lines):
            assert drawn.get_ydata()[7] == pytest.approx(np.median(run["bias"].values[28:32, layer, e]))


def test_what_is_drawn_of_training():
    run = long_run(100)
    line, = training.learning_rate(run).axes[0].lines
    assert line.get_ydata().tolist() == run["learning_rate"].values.tolist()
    parts = {drawn.get_label(): drawn.get_ydata().tolist() for drawn in training.loss_parts(run).axes[0].lines}
    assert parts == {"balancing loss": run["loss_aux"].values.tolist(), "z-loss of the routers": run["loss_router_z"].values.tolist()}
    with pytest.raises(figures.Absent, match="the loss is the cross-entropy alone"):
        training.loss_parts(run.drop_vars(["loss_aux", "loss_router_z"]))
    with pytest.raises(figures.Absent, match="the record has no gradient_norm"):
        training.gradient_norm(run.drop_vars("gradient_norm"))


def test_losses_by_domain_and_memory():
    loss = np.random.default_rng(2).random((3, 50)).astype("f4")
    domain = np.arange(50) % 4 - 1
    data = xr.Dataset(dict(loss=(("evaluation", "sample"), loss), domain=("sample", domain), step=("evaluation", [5, 9, 12])),
                      attrs=dict(domains='["a", "b", "c", "d"]'))
    drawn = {line.get_label(): line.get_data() for line in training.loss_by_domain(data).axes[0].lines}
    assert list(drawn) == ["a", "b", "c"]
    for i, (at, values) in enumerate(drawn.values()):
        assert at.tolist() == [5, 9, 12]
        assert values == pytest.approx([np.mean([x for x, d in zip(row, domain) if d == i]) for row in loss.astype(float)], rel=1e-5)
    with pytest.raises(figures.Absent, match="does not tell domains apart"):
        training.loss_by_domain(data.assign_attrs(domains='["a"]'))
    peak = xr.Dataset(dict(step=("row", [1, 2]), peak_bytes=("row", [1 << 30, 3 << 30])))
    assert training.memory(peak).axes[0].lines[0].get_ydata().tolist() == [1, 3]


def test_the_page_of_a_long_run_says_what_its_lines_are(tmp_path):
    page = make_report(write_run(tmp_path, rows=600, layers=0, evaluations=0)).read_text()
    assert "median and 5 to 95 % of 2 steps" in page
