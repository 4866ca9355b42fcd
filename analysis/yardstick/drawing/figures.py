"""The figures of a run's report: each function takes a dataset and gives a matplotlib Figure, or raises Absent with the reason
why there is none. Colours are safe for colour-blind readers; units stand on the axes; sizes are such that the letters can be
read on a phone."""
import re

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import TwoSlopeNorm
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from ..records import special
from ..base.faults import SchemaError
from ..records.run_folder import option
from . import binned
from .plain import RULES

PALETTE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F"]
plt.rcParams.update({"font.size": 12, "axes.grid": True, "grid.alpha": 0.25, "axes.prop_cycle": matplotlib.cycler(color=PALETTE),
                     "figure.constrained_layout.use": True, "axes.axisbelow": True, "axes.spines.top": False, "axes.spines.right": False,
                     "legend.framealpha": 0.85} | RULES)
WIDTH, HEIGHT, DPI = 6.0, 3.7, 160
DENSE = special.DENSE
MOST_ROWS = 64  # layers, or labels of one, that a figure holds
COLUMNS = 600  # columns of a heat map; longer runs are averaged


class Absent(SchemaError):
    """Why a figure cannot be drawn."""


def experts_axis(axis, label="experts E"):
    """Numbers of experts, a power of two apart, as the horizontal axis."""
    axis.set_xscale("log", base=2)
    axis.xaxis.set_major_formatter(StrMethodFormatter("{x:.0f}"))
    axis.set_xlabel(label)


def need(dataset, *names):
    """Raises Absent unless the dataset has these variables."""
    missing = [n for n in names if n not in dataset]
    if missing:
        raise Absent(f"the record has no {', '.join(missing)}")


def _need_layers(dataset, *names):
    """Raises Absent unless the model has mixture-of-experts layers and the dataset these variables of them."""
    if "layer" not in dataset.dims:
        raise Absent(DENSE)
    need(dataset, *names)


def setting(run, name):
    """An option in brackets, or nothing where the configuration does not say it."""
    value = option(run, name)
    return "" if value is None else f" ({name}: {value})"


def smooth(values, width):
    """Running mean over `width` rows."""
    return np.convolve(values, np.ones(width) / width, mode="valid")


def _training_loss(axis, tokens, values):
    """Every step and a running mean; of a long run what `binned.line` draws."""
    width = max(1, len(values) // 50)
    if binned.width(len(values)) > 1:
        binned.line(axis, tokens, values, lw=1.5, color=PALETTE[0], label=f"training, {binned.told(len(values))}")
        return
    axis.plot(tokens, values, alpha=0.3 if width > 1 else 1, lw=0.8 if width > 1 else 1.5, color=PALETTE[0], label="training, each step")
    if width > 1:
        axis.plot(tokens[width - 1:], smooth(values, width), color=PALETTE[0], label=f"training, mean of {width} steps")


def loss(run):
    """Training loss (raw and running mean) and held-out loss against tokens."""
    need(run, "tokens", "loss_cross_entropy")
    figure, axis = plt.subplots(figsize=(WIDTH, HEIGHT))
    tokens, values = run["tokens"].values / 1e6, run["loss_cross_entropy"].values
    _training_loss(axis, tokens, values)
    if run.sizes.get("evaluation", 0):
        at = np.interp(run["evaluation_step"].values, run["step"].values, tokens)
        axis.plot(at, run["evaluation_loss"].values, "o-", color=PALETTE[1], label="held out")
    axis.set(xlabel="tokens trained on (millions)", ylabel="cross-entropy (nat per token)")
    axis.legend()
    return figure


def throughput(run):
    """Tokens per second at every step, with the starts of segments after the first."""
    need(run, "tokens_per_second")
    figure, axis = plt.subplots(figsize=(WIDTH, HEIGHT))
    binned.line(axis, run["step"], run["tokens_per_second"] / 1e3)
    for start in run["step"].values[1:][np.diff(run["segment"].values) != 0]:
        axis.axvline(start, ls=":", color="0.4")
    axis.set(xlabel="step", ylabel="thousand tokens per second", ylim=(0, None))
    axis.xaxis.set_major_locator(MaxNLocator(9, integer=True))
    return figure


def phases(run):
    """Mean seconds a step by phase (the slowest rank), longest on top."""
    need(run, "phase_seconds")
    seconds = run["phase_seconds"].mean("row")
    seconds = seconds[seconds > 0].sortby(seconds[seconds > 0])
    if not seconds.size:
        raise Absent("no phase took any time")
    figure, axis = plt.subplots(figsize=(WIDTH, max(HEIGHT, 1 + 0.28 * seconds.size)))
    axis.barh(range(seconds.size), seconds.values * 1e3, color=PALETTE[0])
    axis.set(xlabel="milliseconds per step (slowest rank)", yticks=range(seconds.size),
             yticklabels=[str(n).replace("_", " ") for n in seconds["phase"].values])
    axis.grid(False, axis="y")
    return figure


def _per_layer(run, height=1.9):
    """One row of axes for each layer; rows are lower where there are many."""
    layers = run.sizes["layer"]
    if layers > MOST_ROWS:
        raise Absent(f"{layers:,} layers are more than the {MOST_ROWS} that a figure holds")
    height = max(1.1, height - 0.1 * max(0, layers - 2))
    figure, axes = plt.subplots(layers, 1, figsize=(WIDTH, 0.6 + height * layers), squeeze=False, sharex=True)
    axes[0, 0].xaxis.set_major_locator(MaxNLocator(9, integer=True))
    for i, axis in enumerate(axes[:, 0]):
        axis.set_title(f"block {int(run['layer'].values[i])}", loc="left", fontsize="medium")
    return figure, axes[:, 0]


def _colourbar(figure, colours, axes, label, extend):
    """One bar for all axes, as wide and with as long ends however many they are."""
    figure.colorbar(colours, ax=list(axes), label=label, extend=extend, extendfrac=0.1 / len(axes), aspect=min(80, 14 * len(axes)))


def load_shares(run):
    """(steps, [(steps, E) of each layer], top of the scale): the load of every expert by the even load, long runs averaged to COLUMNS."""
    width = max(1, -(-run.sizes["row"] // COLUMNS))

    def averaged(values):
        return values[:len(values) // width * width].reshape(-1, width, *values.shape[1:]).mean(1)
    table = [averaged(run["assigned"].isel(layer=i).values[:, :int(count)]) for i, count in enumerate(run["experts"].values)]
    table = [t / np.maximum(t.mean(1, keepdims=True), 1e-9) for t in table]
    return averaged(run["step"].values), table, min(4.0, max(2.0, max(np.percentile(t, 99) for t in table)))


def draw_load(axis, at, share, highest):
    """The heat map of one layer's `load_shares`: white is an even load, brown more, violet less."""
    mesh = axis.pcolormesh(at, np.arange(share.shape[1]), share.T, cmap="PuOr_r", norm=TwoSlopeNorm(1, 0, highest), shading="nearest",
                           rasterized=True)
    axis.set_ylabel("expert")
    axis.grid(False)
    return mesh


def load(run):
    """Heat map: share of the tokens that each expert was given, over time; 1 is an even load."""
    _need_layers(run, "assigned", "experts")
    at, table, highest = load_shares(run)
    figure, axes = _per_layer(run)
    for axis, share in zip(axes, table):
        mesh = draw_load(axis, at, share, highest)
        axis.yaxis.set_major_locator(MaxNLocator(6 if len(axes) < 5 else 3, integer=True))
    axes[-1].set_xlabel("step")
    _colourbar(figure, mesh, axes, "load / even load", "max")
    return figure


def draw_max_vio(axis, run, layer):
    """MaxVio of one layer and its sampling floor, over the steps."""
    binned.line(axis, run["step"], run["max_vio"].isel(layer=layer), label="MaxVio")
    floor = binned.medians(run["max_vio_floor"].isel(layer=layer).values)
    axis.plot(binned.middle(run["step"].values), floor, "--", color=PALETTE[1], label="sampling floor")
    axis.set(ylabel="MaxVio", ylim=(0, None))


def max_vio(run):
    """MaxVio of each layer with its sampling floor, the value that uniform random routing would show."""
    _need_layers(run, "max_vio", "max_vio_floor")
    figure, axes = _per_layer(run)
    for i, axis in enumerate(axes):
        draw_max_vio(axis, run, i)
    axes[0].legend(ncols=2, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.1, frameon=False)
    axes[-1].set_xlabel("step")
    return figure


def bias(run):
    """Trajectories of the selection bias."""
    _need_layers(run, "bias", "experts")
    if not any(np.any(run["bias"].isel(layer=i).values) for i in range(run.sizes["layer"])):
        raise Absent("no selection bias moved" + setting(run, "moe.bias_rule"))
    figure, axes = _per_layer(run)
    count = int(run["experts"].max())
    colours = PALETTE if count <= len(PALETTE) else plt.get_cmap("viridis")(np.linspace(0, 1, count))
    for i, axis in enumerate(axes):
        values = binned.medians(run["bias"].isel(layer=i).values)
        for e in range(int(run["experts"].values[i])):
            axis.plot(binned.middle(run["step"].values), values[:, e], lw=0.9, color=colours[e])
        axis.set_ylabel("bias")
    axes[-1].set_xlabel("step")
    if count <= len(PALETTE):
        lines = [plt.Line2D([], [], color=c, label=str(e)) for e, c in enumerate(colours[:count])]
        figure.legend(handles=lines, title="expert", loc="outside right center", frameon=False)
    else:
        colour = plt.cm.ScalarMappable(plt.Normalize(0, count - 1), "viridis")
        _colourbar(figure, colour, axes, "expert", "neither")
    return figure


def entropy(run):
    """Mean entropy of the scores of each layer, below ln E."""
    _need_layers(run, "entropy", "experts")
    figure, axes = _per_layer(run)
    for i, axis in enumerate(axes):
        binned.line(axis, run["step"], run["entropy"].isel(layer=i), label="entropy")
        axis.axhline(np.log(int(run["experts"].values[i])), ls="--", color=PALETTE[1], label="ln E (uniform)")
        axis.set_ylabel("nat")
    axes[0].legend(ncols=2, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.1, frameon=False)
    axes[-1].set_xlabel("step")
    return figure


def drops(run):
    """Share of choices dropped."""
    _need_layers(run, "drop_share")
    if not np.any(run["drop_share"].values):
        capacity = option(run, "moe.capacity_factor")
        none = re.fullmatch(r"0+\.?0*", capacity or "")
        why = "experts have no capacity limit" if none else "no expert was ever full"
        raise Absent(f"no tokens were dropped, since {why}" + setting(run, "moe.capacity_factor"))
    figure, axis = plt.subplots(figsize=(WIDTH, HEIGHT))
    layers = run.sizes["layer"]
    colours = PALETTE if layers <= len(PALETTE) else plt.get_cmap("viridis")(np.linspace(0, 1, layers))
    for i in range(layers):
        binned.line(axis, run["step"], run["drop_share"].isel(layer=i) * 100, color=colours[i],
                    label=f"block {int(run['layer'].values[i])}")
    axis.set(xlabel="step", ylabel="choices dropped (%)", ylim=(0, None))
    axis.xaxis.set_major_locator(MaxNLocator(9, integer=True))
    axis.legend(ncols=1 + layers // 6, fontsize="small" if layers > 5 else None)
    return figure


def traffic(run):
    """Rows sent from rank to rank at dispatch, mean over steps."""
    _need_layers(run, "traffic")
    if run.sizes["rank_from"] == 1:
        raise Absent("one rank, which sends nothing to another")
    table = run["traffic"].mean("row").values
    figure, axis = plt.subplots(figsize=(WIDTH, 4.6))
    image = axis.imshow(table, cmap="cividis", vmin=0)
    axis.grid(False)
    axis.set(xlabel="to rank", ylabel="from rank")
    for direction in (axis.xaxis, axis.yaxis):
        direction.set_major_locator(MaxNLocator(8, integer=True))
    if len(table) <= 8:
        for (i, j), value in np.ndenumerate(table):
            axis.text(j, i, f"{value:.0f}", ha="center", va="center", color="white" if value < table.max() * 0.6 else "black")
    figure.colorbar(image, label="rows per step")
    return figure


def _lift_map(evaluation, labels, names):
    """A heat map for each layer: how much more often than chance an expert is given tokens of each label."""
    if len(names) > MOST_ROWS:
        raise Absent(f"{len(names):,} labels are more than the {MOST_ROWS} that a figure holds")
    figure, axes = _per_layer(evaluation, 0.7 + 0.3 * len(names))
    for i, axis in enumerate(axes):
        table, chance = special.shares(evaluation, i, labels, len(names))
        seen = chance > 0
        values = np.log2(np.maximum(special.lift(table[:, seen], chance[seen]), 2.0**-3))
        image = axis.imshow(values.T, cmap="PuOr_r", vmin=-3, vmax=3, aspect="auto")
        axis.grid(False)
        axis.set_facecolor("0.8")  # experts without tokens
        axis.set(yticks=range(int(seen.sum())), yticklabels=[n for n, s in zip(names, seen) if s])
    axes[-1].set_xlabel("expert")
    _colourbar(figure, image, axes, "log₂(share / chance)", "both")
    return figure


def classes(evaluation):
    """What kinds of tokens each expert is given, against the share of each kind among all tokens (the chance level)."""
    _need_layers(evaluation, "expert", "token", "token_text")
    return _lift_map(evaluation, special.class_labels(evaluation), special.CLASSES)


def domains(evaluation):
    """From which domains the tokens of each expert come, against the share of each domain among all tokens."""
    _need_layers(evaluation, "expert", "domain")
    labels, names = special.domain_labels(evaluation)
    if len(names) < 2:
        raise Absent("the corpus does not tell domains apart")
    if labels is None:
        raise Absent("the domains of some held-out tokens are unknown")
    return _lift_map(evaluation, labels, names)
