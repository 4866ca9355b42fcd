"""What scores leave between the last chosen expert and the first refused, beside how far they lie apart."""
import numpy as np

from . import binned
from .figures import PALETTE, _need_layers, _per_layer

PARTS = (0.05, 0.5, 0.95)  # of a step's tokens


def quantiles(histogram, edges):
    """(len(PARTS), steps) margins below which these parts of a step's tokens lie; histogram (steps, bins), edges: the lower ones of the
    bins, the upper one of the last is 1. Within a bin tokens count as spread evenly; nan of a step without any."""
    upper = np.append(edges[1:], 1.0)
    counts = np.cumsum(histogram, 1, dtype=float)
    wanted, found = counts[:, -1:] * np.array(PARTS), np.full((len(PARTS), len(histogram)), np.nan)
    for i in range(len(PARTS)):
        bins = np.minimum((counts < wanted[:, i:i + 1]).sum(1), len(edges) - 1)
        rows = np.arange(len(histogram))
        within = histogram[rows, bins]
        share = np.divide(wanted[:, i] - counts[rows, bins] + within, within, out=np.full(len(rows), np.nan), where=within > 0)
        found[i] = edges[bins] + share * (upper[bins] - edges[bins])
    return found


def margins(run):
    """Median margin of each step with the middle 90 % of its tokens, on a logarithmic axis, and the spread of scores where it is known."""
    _need_layers(run, "margin")
    figure, axes = _per_layer(run)
    edges = run["margin_bin"].values.astype(float)
    for i, axis in enumerate(axes):
        low, median, high = (binned.medians(part) for part in quantiles(run["margin"].isel(layer=i).values, edges))
        steps = run["step"].values if len(median) == run.sizes["row"] else binned.middle(run["step"].values)
        axis.fill_between(steps, low, high, color=PALETTE[0], alpha=0.2, lw=0, label="5 to 95 %")
        axis.plot(steps, median, color=PALETTE[0], lw=0.9, label="median")
        if "score_spread" in run and np.isfinite(run["score_spread"].isel(layer=i).values).any():
            binned.line(axis, run["step"], run["score_spread"].isel(layer=i), ls="--", color=PALETTE[1], label="σ of the scores")
        axis.set(yscale="log", ylabel="score")
    axes[0].legend(ncols=3, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.1, frameon=False, fontsize="small")
    axes[-1].set_xlabel("step")
    return figure
