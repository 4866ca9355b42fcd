"""What stands in the figures of a run: every line, mark and cell against the record, not only that a picture was made."""
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from fixture import write_run

import yardstick
from yardstick.base.faults import SchemaError
from yardstick.drawing import figures
from yardstick.records import run_folder, special
from yardstick.experiments import load_figure, specialisation


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = write_run(tmp_path_factory.mktemp("run"), rows=120, evaluations=3, choices=2, experts=5)
    opened = yardstick.open(folder)
    return opened, special.with_layers(run_folder.open_evaluation(folder), opened)


def lines(axis):
    """{label: (x, y)} of the lines of an axis that have a name."""
    return {line.get_label(): line.get_data() for line in axis.lines if not line.get_label().startswith("_")}


def images(figure):
    return [np.ma.filled(axis.images[0].get_array(), np.nan) for axis in figure.axes if axis.images]


def test_losses_and_their_running_mean(run):
    data, found = run[0], lines(figures.loss(run[0]).axes[0])
    tokens, values = (data["tokens"].values / 1e6).tolist(), data["loss_cross_entropy"].values.tolist()
    raw, mean, held_out = found["training, each step"], found["training, mean of 2 steps"], found["held out"]
    assert raw[0].tolist() == tokens and raw[1].tolist() == values
    assert mean[0].tolist() == tokens[1:] and mean[1] == pytest.approx([(a + b) / 2 for a, b in zip(values, values[1:])])
    steps = data["step"].values.tolist()
    assert held_out[0].tolist() == [tokens[steps.index(step)] for step in data["evaluation_step"].values]
    assert held_out[1].tolist() == data["evaluation_loss"].values.tolist() and len(held_out[1]) == 3


@pytest.mark.parametrize("rows,width", [(1, 1), (99, 1), (100, 2), (499, 9)])
def test_how_many_steps_a_running_mean_takes(rows, width):
    values = np.random.default_rng(1).random(rows)
    data = xr.Dataset(dict(tokens=("row", np.arange(rows)), step=("row", np.arange(rows)), loss_cross_entropy=("row", values)))
    found = lines(figures.loss(data).axes[0])
    assert list(found) == ["training, each step", *([f"training, mean of {width} steps"] if width > 1 else [])]
    for i in range(rows - width + 1 if width > 1 else 0):
        assert found[f"training, mean of {width} steps"][1][i] == pytest.approx(sum(values[i:i + width]) / width)


def test_speed_and_where_segments_begin(tmp_path):
    for n, first in enumerate((1, 11, 16)):
        write_run(tmp_path, first=first, rows=10, segment=n, layers=0, evaluations=0)
    data = yardstick.open(tmp_path)
    speed, *starts = figures.throughput(data).axes[0].lines
    assert speed.get_xdata().tolist() == data["step"].values.tolist()
    assert speed.get_ydata() == pytest.approx(data["tokens_per_second"].values / 1000)
    assert [line.get_xdata()[0] for line in starts] == [11, 16]


def test_phases_ascend_and_those_without_time_are_left_out():
    seconds = np.array([[0.001, 0.0, 0.003], [0.003, 0.0, 0.005]])
    data = xr.Dataset(dict(phase_seconds=(("row", "phase"), seconds)), coords=dict(phase=["a_b", "none", "c"]))
    axis = figures.phases(data).axes[0]
    assert [bar.get_width() for bar in axis.patches] == pytest.approx([2, 4])
    assert [t.get_text() for t in axis.get_yticklabels()] == ["a b", "c"]
    with pytest.raises(figures.Absent, match="no phase took any time"):
        figures.phases(data * 0)


@pytest.mark.parametrize("rows", [1, 599, 600, 601, 1250])
def test_loads_of_long_runs_are_averaged(rows):
    """Against plain loops; the second layer has fewer experts than the table has columns."""
    assigned = np.random.default_rng(rows).integers(0, 9, (rows, 2, 4))
    assigned[:, 1, 3] = 0
    data = xr.Dataset(dict(assigned=(("row", "layer", "expert"), assigned), step=("row", np.arange(rows) + 7), experts=("layer", [4, 3])))
    at, tables, highest = figures.load_shares(data)
    width = next(w for w in range(1, rows + 1) if rows / w <= 600)
    assert len(at) == rows // width <= 600
    for layer, experts in ((0, 4), (1, 3)):
        assert tables[layer].shape == (len(at), experts)
        for i in range(len(at)):
            piece = assigned[i * width:(i + 1) * width, layer, :experts].mean(0)
            assert tables[layer][i] == pytest.approx(piece / max(piece.mean(), 1e-9))
            assert at[i] == pytest.approx(i * width + 7 + (width - 1) / 2)
    assert 2 <= highest <= 4 and highest == pytest.approx(min(4, max(2, max(np.percentile(t, 99) for t in tables))))


def test_the_map_of_loads(run):
    figure = figures.load(run[0])
    for layer, axis in enumerate(figure.axes[:2]):
        assigned = run[0]["assigned"].values[:, layer]
        mesh = np.asarray(axis.collections[0].get_array()).reshape(5, 120)
        assert mesh == pytest.approx((assigned / assigned.mean(1, keepdims=True)).T) and axis.get_title("left") == f"block {2 * layer + 1}"


@pytest.mark.parametrize("draw,columns,scale", [(figures.max_vio, {"MaxVio": "max_vio", "sampling floor": "max_vio_floor"}, 1),
                                                (figures.entropy, {"entropy": "entropy"}, 1)])
def test_lines_of_each_layer(run, draw, columns, scale):
    for layer, axis in enumerate(draw(run[0]).axes):
        found = lines(axis)
        for label, name in columns.items():
            assert found[label][0].tolist() == run[0]["step"].values.tolist()
            assert found[label][1].tolist() == (run[0][name].values[:, layer] * scale).tolist()
    if draw is figures.entropy:
        assert found["ln E (uniform)"][1] == pytest.approx([np.log(5)] * 2)


def test_biases_of_few_and_of_many_experts(run):
    for experts in (5, 12):
        many = run[0].isel(expert=np.arange(experts) % 5).assign(experts=("layer", [experts, experts - 1]))
        for layer, axis in enumerate(figures.bias(many).axes[:2]):
            assert [line.get_ydata().tolist() for line in axis.lines] == [run[0]["bias"].values[:, layer, e % 5].tolist()
                                                                         for e in range(experts - layer)]
            assert len({str(line.get_color()) for line in axis.lines}) == experts - layer
    with pytest.raises(figures.Absent, match=r"no selection bias moved \(moe.bias_rule: none\)"):
        figures.bias((run[0] * 0).assign(experts=run[0]["experts"]).assign_attrs(config="moe:\n  bias_rule: none\n"))


def test_drops_in_percent(run):
    found = lines(figures.drops(run[0]).axes[0])
    assert list(found) == ["block 1", "block 3"]
    assert [found[f"block {2 * i + 1}"][1] for i in (0, 1)] == pytest.approx((run[0]["drop_share"].values.T * 100))


@pytest.mark.parametrize("factor,why", [*((zero, "have no capacity limit") for zero in ("0", "0.0", "00")),
                                        *((other, "no expert was ever full") for other in ("0.5", "10", None))])
def test_why_nothing_was_dropped(run, factor, why):
    data = run[0].assign(drop_share=run[0]["drop_share"] * 0).assign_attrs(config=f"moe:\n  capacity_factor: {factor}\n" if factor else "")
    with pytest.raises(figures.Absent, match=why):
        figures.drops(data)


def test_rows_from_rank_to_rank(run):
    figure = figures.traffic(run[0])
    table = run[0]["traffic"].values.mean(0)
    assert images(figure)[0] == pytest.approx(table)
    assert {t.get_position(): t.get_text() for t in figure.axes[0].texts} == {(j, i): f"{table[i, j]:.0f}" for i in (0, 1) for j in (0, 1)}
    assert figure.axes[0].get_xlabel() == "to rank" and figure.axes[0].get_ylabel() == "from rank"


def lift_of(evaluation, layer, labels, label, expert):
    """log2 of the share of a label among the choices of an expert over its share of all, at the last evaluation, by plain loops."""
    given = [own for own, chosen in zip(labels, evaluation["expert"].values[-1, :, layer]) for e in chosen if e == expert]
    if not given:
        return float("nan")
    lift = given.count(label) / len(given) / (list(labels).count(label) / len(labels))
    return np.log2(max(lift, 1 / 8))


@pytest.mark.parametrize("draw,labels_of", [(figures.classes, lambda e: (special.class_labels(e), special.CLASSES)),
                                            (figures.domains, lambda e: (e["domain"].values, ["documentation", "python"]))])
def test_maps_of_lifts(run, draw, labels_of):
    labels, names = labels_of(run[1])
    labels = labels.tolist()
    seen = [i for i in range(len(names)) if i in labels]
    figure = draw(run[1])
    for layer, table in enumerate(images(figure)):
        assert table.shape == (len(seen), 5)
        for row, label in enumerate(seen):
            for expert in range(5):
                assert table[row, expert] == pytest.approx(lift_of(run[1], layer, labels, label, expert), nan_ok=True)
        assert [t.get_text() for t in figure.axes[layer].get_yticklabels()] == [names[i] for i in seen]


def test_maps_of_specialisation_stand_in_one_order(run):
    found = specialisation.matrices(run[1])
    figure = specialisation.draw(found, "below")
    shown = iter(axis for axis in figure.axes if axis.images)
    for block, by_kind in found:
        order = specialisation.order_of(by_kind["class"][1])
        for kind, (labels, lift, *_) in by_kind.items():
            axis = next(shown)
            assert np.ma.filled(axis.images[0].get_array(), np.nan) == pytest.approx(np.log2(np.maximum(lift[order], 1 / 8)).T, nan_ok=True)
            assert [int(t.get_text()) for t in axis.get_xticklabels()] == order.tolist() and kind in axis.get_title("left")


NOT_DRAWN = [(figures.loss, dict(drop="loss_cross_entropy"), "the record has no loss_cross_entropy"),
             (figures.entropy, dict(drop="entropy"), "the record has no entropy"),
             (figures.phases, dict(drop="phase_seconds"), "the record has no phase_seconds"),
             (figures.traffic, dict(drop="traffic"), "the record has no traffic"),
             (figures.load, dict(layers=65), "65 layers are more than the 64"),
             (figures.bias, dict(layers=65), "65 layers are more"), (figures.entropy, dict(layers=100), "100 layers are more")]


@pytest.mark.parametrize("draw,change,why", NOT_DRAWN, ids=[f"{d.__name__} {w}" for d, _, w in NOT_DRAWN])
def test_what_cannot_be_drawn_says_why(run, draw, change, why):
    data = run[0].drop_vars(change["drop"]) if "drop" in change else run[0].isel(layer=[0] * change["layers"])
    with pytest.raises(figures.Absent, match=why):
        draw(data)


def test_limits_of_the_other_figures(run):
    with pytest.raises(SchemaError, match="65 layers are more than the 64"):
        load_figure.draw(run[0].isel(layer=[0] * 65), "")
    with pytest.raises(SchemaError, match="65 layers or domains are more than the 64 that a figure holds; without --out"):
        specialisation.draw([specialisation.matrices(run[1])[0]] * 65, "")
    wide = run[1].assign_attrs(domains=str([f"d{i}" for i in range(65)]).replace("'", '"'))
    with pytest.raises(figures.Absent, match="65 labels are more"):
        figures.domains(wide)
    with pytest.raises(figures.Absent, match="the domains of some held-out tokens are unknown"):
        figures.domains(run[1].assign(domain=run[1]["domain"] - 1))


def test_the_figure_of_a_load_has_both_of_each_layer(run):
    figure = load_figure.draw(run[0], "below")
    for layer in (0, 1):
        above, below = figure.axes[2 * layer:2 * layer + 2]
        assigned = run[0]["assigned"].values[:, layer]
        assert np.asarray(above.collections[0].get_array()).reshape(5, 120) == pytest.approx((assigned / assigned.mean(1, keepdims=True)).T)
        assert lines(below)["MaxVio"][1].tolist() == run[0]["max_vio"].values[:, layer].tolist()
