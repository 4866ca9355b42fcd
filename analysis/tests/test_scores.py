"""Quantiles of margins from histograms: against tokens placed evenly in the bins, at the ends, of steps without tokens; the figure."""
import numpy as np
import pytest
from fixture import write_run

import yardstick
from yardstick.drawing import scores

EDGES = np.append(0, 2.0 ** np.arange(-15, 0))


def test_against_tokens_spread_evenly_in_their_bins():
    histogram = np.random.default_rng(1).integers(0, 400, (5, 16))
    found = scores.quantiles(histogram, EDGES)
    for row, counts in enumerate(histogram):
        upper = np.append(EDGES[1:], 1)
        tokens = np.concatenate([a + (np.arange(n) + 0.5) / n * (b - a) for a, b, n in zip(EDGES, upper, counts) if n])
        assert found[:, row] == pytest.approx(np.quantile(tokens, scores.PARTS), rel=0.02)
        assert (np.diff(found[:, row]) > 0).all()


def test_ends_and_steps_without_tokens():
    only = np.zeros((3, 16), int)
    only[0, 0], only[1, -1] = 100, 100
    found = scores.quantiles(only, EDGES)
    parts = np.array(scores.PARTS)
    assert found[:, 0] == pytest.approx(parts * EDGES[1]) and found[:, 1] == pytest.approx(0.5 + 0.5 * parts)
    assert np.isnan(found[:, 2]).all()


@pytest.mark.parametrize("rows", [8, 1200])
def test_the_figure_has_a_line_and_a_band_a_layer(tmp_path, rows):
    data = yardstick.open(write_run(tmp_path, rows=rows, version=8))
    axes = scores.margins(data).axes
    assert len(axes) == data.sizes["layer"] and all(a.get_yscale() == "log" for a in axes)
    expected = scores.quantiles(data["margin"].values[:, 0], data["margin_bin"].values)[1]
    drawn = axes[0].lines[0].get_ydata()
    assert len(drawn) == min(rows, 500) and (rows > 500 or drawn == pytest.approx(expected))
    assert "σ of the scores" in [line.get_label() for line in axes[0].lines]
