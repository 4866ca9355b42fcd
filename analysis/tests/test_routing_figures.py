"""What stands in the figures of routing, and in its table and printed digest: the values that were measured, and nothing of others."""
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from reference_routing import log
from test_routing import sampled

from yardstick.drawing.figures import Absent
from yardstick.records.sample import Layer, Measure, stack
from yardstick.routing import analyses, routing_figures


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def found():
    tokens, _ = sampled(3)
    return analyses.measure(log(top_k=3), tokens, shuffles=3)


def named(axis):
    return {line.get_label(): line.get_data() for line in axis.lines if not line.get_label().startswith("_")}


def hollow(axis):
    """Places and heights of the nulls' marks, and of the ends of their bars."""
    marks = [line for line in axis.lines if line.get_markerfacecolor() == "white" and len(line.get_xdata())]
    bars = [np.array(c.get_segments())[:, :, 1] for c in axis.collections if c.get_linestyle()[0][1] is None]
    return [m.get_ydata() for m in marks], bars


@pytest.mark.parametrize("quantity,steps", [("saturation", [10, 20, 30]), ("persistence", [20, 30])])
def test_agreement_of_evaluations_in_each_layer(found, quantity, steps):
    data = found[quantity]
    for i, axis in enumerate(getattr(routing_figures, quantity)(found).axes):
        lines = named(axis)
        for label, name in (("measured", "value"), ("null: same loads", "null_mean")):
            assert lines[label][0].tolist() == steps and lines[label][1] == pytest.approx(data[name].values[:, i] * 100)
        assert lines["chance k/E"][1] == pytest.approx([100 * 3 / (7, 5)[i]] * 2) and axis.get_title("left") == f"block {2 * i + 1}"


def test_pairs_of_experts_over_chance(found):
    """The second layer has 5 experts, so its map has 5 rows of the table's 7."""
    for i, axis in enumerate(axis for axis in routing_figures.coactivation(found).axes if axis.images):
        count, table = (7, 5)[i], np.ma.filled(axis.images[0].get_array(), np.nan)
        value = found["coactivation"]["value"].values[i, :count, :count]
        assert table.shape == (count, count) and np.isnan(np.diag(table)).all()
        assert table == pytest.approx(np.log2(np.maximum(value / (2 / (count - 1)), 1 / 8)), nan_ok=True)


BY_LAYER = dict(vocabulary={"input token": "vocabulary_input", "true next": "vocabulary_next", "predicted next": "vocabulary_predicted"},
                locality={"same first expert": "locality_top1", "any expert in common": "locality_any"},
                information={"NMI(expert, class)": "nmi"},
                domain_control={"measured": "domain_spread", "predicted: same tokens": "domain_from_tokens_spread",
                                "predicted: other documents": "domain_from_other_documents_spread",
                                "measured \u2212 predicted": "domain_beyond_tokens_spread"})


@pytest.mark.parametrize("name", BY_LAYER)
def test_quantities_over_the_blocks(found, name):
    axis, scale = routing_figures.FIGURES[name][0](found).axes[0], 1 if name == "information" else 100
    lines, series = named(axis), BY_LAYER[name]
    assert [label for label in lines if label in series] == list(series) and ("chance" in lines) == (name != "domain_control")
    nulls, bars = hollow(axis)
    for number, (label, quantity) in enumerate(series.items()):
        data = found[quantity]
        assert np.round(lines[label][0]).tolist() == [0, 1] and lines[label][1] == pytest.approx(data["value"].values * scale)
        assert nulls[number] == pytest.approx(data["null_mean"].values * scale)
        mean, sd = data["null_mean"].values * scale, data["null_sd"].values * scale
        assert bars[number] == pytest.approx(np.stack([mean - 2 * sd, mean + 2 * sd], 1))
    assert len({x for label in series for x in lines[label][0]}) == 2 * len(series), "marks stand side by side"
    assert [t.get_text() for t in axis.get_xticklabels()] == ["1", "3"]


@pytest.mark.parametrize("name,scale", [("class_entropy", 1), ("drop_by_class", 100), ("drop_by_position", 100)])
def test_quantities_by_label(found, name, scale):
    data = found[name]
    figure = routing_figures.FIGURES[name][0](found)
    assert [t.get_text() for t in figure.axes[-1].get_xticklabels()] == [str(n) for n in data["label"].values]
    for i, axis in enumerate(figure.axes):
        lines = named(axis)
        assert lines["measured"][1] == pytest.approx(data["value"].values[i] * scale, nan_ok=True)
        assert lines["measured"][0].tolist() == list(range(data.sizes["label"])) == axis.get_xticks().tolist()
        level = next(y for label, (_, y) in lines.items() if "chance" in label)
        assert level == pytest.approx([np.log((7, 5)[i]) if scale == 1 else data["chance"].values[i, 0] * 100] * 2)


def test_many_blocks_are_labelled_as_there_is_room():
    layers = [Layer(block, 4, np.zeros((1, 1), int)) for block in range(20)]
    data = stack(layers, [Measure(0.5, 0.25, 0.3, 0.01, 10)] * 20)
    (axis,) = routing_figures.information(dict(nmi=data)).axes
    assert len(axis.get_xticks()) < 15 and named(axis)["NMI(expert, class)"][0].tolist() == list(range(20))


ABSENT = [(dict(top_k=1), "coactivation", "every token is given to one expert"),
          (dict(evaluations=1), "saturation", "there is only one evaluation to compare with itself"),
          (dict(domains=("a",)), "domain_control", "the corpus does not tell domains apart"),
          ({}, "drop_by_class", "no training tokens were sampled")]


@pytest.mark.parametrize("changes,name,why", ABSENT)
def test_what_is_not_drawn_says_why(changes, name, why):
    with pytest.raises(Absent, match=why):
        routing_figures.FIGURES[name][0](analyses.measure(log(**changes), shuffles=2))


def test_no_token_often_enough_is_no_figure():
    with pytest.raises(Absent, match="no token occurs often enough"):
        routing_figures.vocabulary(analyses.measure(log(), shuffles=2, least=1000))
    with pytest.raises(Absent, match="no held-out routing"):
        routing_figures.locality(analyses.measure(None))


def test_the_table_has_every_value_once(found):
    """Counted from the datasets: a row for each finite value, with the coordinates that it stands at."""
    table = analyses.tidy(found)
    for name, data in found.items():
        rows = table[table["quantity"] == name]
        assert len(rows) == int(np.isfinite(data["value"]).sum()) and rows["value"].sum() == pytest.approx(float(data["value"].sum()))
    row = table.query("quantity == 'coactivation' and layer == 3 and expert == 1 and other == 4").iloc[0]
    for field in Measure._fields:
        assert row[field] == pytest.approx(float(found["coactivation"][field].values[1, 1, 4]))
    row = table.query("quantity == 'domain' and layer == 1 and expert == 6 and label == 'b'").iloc[0]
    assert row["value"] == pytest.approx(float(found["domain"]["value"].values[0, 6, 1])) and pd.isna(row["step"]) and pd.isna(row["other"])
    row = table.query("quantity == 'saturation' and layer == 3 and step == 20").iloc[0]
    assert row["value"] == pytest.approx(float(found["saturation"]["value"].values[1, 1]))
    assert set(table["quantity"]) == set(found) and {str(table[c].dtype) for c in ("layer", "step", "expert", "other", "n")} == {"Int64"}


def dataset(values, dims, **coords):
    values = np.array(values, float)
    fields = dict(value=values, chance=values * 0, null_mean=values * 0, null_sd=values * 0 + 0.1, n=values * 0 + 7)
    return xr.Dataset({name: (dims, v) for name, v in fields.items()}, coords=coords)


def test_the_digest_has_the_furthest_and_a_few_steps():
    made = analyses.Found()
    made["best"] = dataset([[0.1, -0.9, 0.5]], ("layer", "expert"), layer=[1], expert=[0, 1, 2])
    made["drop_by_position"] = dataset([[0.1, 0.2, 0.05]], ("layer", "label"), layer=[1], label=["a", "b", "c"])
    made["classes"] = dataset([[0.1, np.nan, 0.05]], ("layer", "label"), layer=[1], label=["a", "b", "c"])
    made["settles"] = dataset([[i] for i in range(11)], ("step", "layer"), step=range(10, 120, 10), layer=[1])
    shown = analyses.digest(analyses.tidy(made))
    assert shown.groupby("quantity", sort=False)["value"].apply(list).to_dict() == {
        "best": [-0.9], "drop_by_position": [0.2], "classes": [0.1, 0.05], "settles": [0, 2, 5, 7, 10]}
    head, *lines = analyses.formatted(analyses.tidy(made)).splitlines()
    assert head.split() == ["quantity", "block", "of", "value", "chance", "null", "mean", "null", "sd", "n"] and len(lines) == 9
    assert lines[0].split() == ["best", "1", "expert", "1", "-0.9", "-0", "-0", "0.1", "7"]
    assert [line.split()[2:5] for line in lines[4:6]] == [["step", "10", "0"], ["step", "30", "2"]]
    assert len({line.rindex("0.1") for line in lines}) == 1, "columns stand below one another"


def test_reasons_are_said_once_for_all_that_they_stop():
    assert analyses._by_reason(dict(a="x", b="y", c="x")) == dict(x=["a", "c"], y=["b"])
    assert set(analyses.measure(None, absent="none").absent.values()) == {"none"} and not analyses.measure(None)
