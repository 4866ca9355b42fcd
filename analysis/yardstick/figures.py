"""The figures of a run's report: each function takes datasets and gives a matplotlib Figure, or None where its data are
missing. Colours are safe for colour-blind readers; units stand on the axes."""
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from . import special

PALETTE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442"]
plt.rcParams.update({"font.size": 11, "axes.grid": True, "grid.alpha": 0.25, "axes.prop_cycle": matplotlib.cycler(color=PALETTE),
                     "figure.constrained_layout.use": True, "axes.axisbelow": True})
SIZE = (7.2, 4.0)


def _smooth(values, width):
    """Running mean over `width` rows."""
    kernel = np.ones(width) / width
    return np.convolve(values, kernel, mode="valid")


def loss(run):
    """Training loss (raw and running mean) and held-out loss against tokens."""
    figure, axis = plt.subplots(figsize=SIZE)
    tokens, values = run["tokens"].values / 1e6, run["loss_cross_entropy"].values
    width = max(1, len(values) // 50)
    axis.plot(tokens, values, alpha=0.3, lw=0.8, color=PALETTE[0], label="training, each step")
    axis.plot(tokens[width - 1:], _smooth(values, width), color=PALETTE[0], label=f"training, mean of {width} steps")
    if run.sizes.get("evaluation", 0):
        at = np.interp(run["evaluation_step"].values, run["step"].values, tokens)
        axis.plot(at, run["evaluation_loss"].values, "o-", color=PALETTE[1], label="held out")
    axis.set(xlabel="tokens trained on (millions)", ylabel="cross-entropy (nat per token)", title="Loss")
    axis.legend()
    return figure


def throughput(run):
    figure, axis = plt.subplots(figsize=SIZE)
    axis.plot(run["step"], run["tokens_per_second"] / 1e3, lw=0.9)
    axis.set(xlabel="step", ylabel="thousand tokens per second", title="Throughput", ylim=(0, None))
    return figure


def phases(run):
    """Mean seconds a step by phase (the slowest rank), stacked in one bar chart."""
    seconds = run["phase_seconds"].mean("row")
    seconds = seconds[seconds > 0].sortby(seconds[seconds > 0])
    figure, axis = plt.subplots(figsize=SIZE)
    axis.barh(list(seconds["phase"].values), seconds.values * 1e3, color=PALETTE[0])
    axis.set(xlabel="milliseconds per step (slowest rank)", title="Time by phase")
    return figure


def _per_layer(run, name):
    """One row of axes for each layer."""
    layers = run.sizes.get("layer", 0)
    if not layers or name not in run:
        return None, []
    figure, axes = plt.subplots(layers, 1, figsize=(SIZE[0], 1.0 + 2.2 * layers), squeeze=False, sharex=True)
    return figure, axes[:, 0]


def load(run):
    """Heat map: share of the tokens that each expert was given, over time; 1 is an even load."""
    figure, axes = _per_layer(run, "assigned")
    for i, axis in enumerate(axes):
        count = int(run["experts"].values[i])
        share = run["assigned"].isel(layer=i).values[:, :count].astype(float)
        share = share / share.mean(1, keepdims=True)
        mesh = axis.pcolormesh(run["step"], np.arange(count), share.T, cmap="cividis", vmin=0, vmax=max(2.0, np.percentile(share, 99)), shading="nearest")
        axis.set(ylabel=f"expert\n(block {int(run['layer'].values[i])})")
        axis.grid(False)
        figure.colorbar(mesh, ax=axis, label="load / even load")
    if figure:
        axes[-1].set_xlabel("step")
        figure.suptitle("Load of each expert over time")
    return figure


def max_vio(run):
    """MaxVio of each layer with its sampling floor, the value that uniform random routing would show."""
    figure, axes = _per_layer(run, "max_vio")
    for i, axis in enumerate(axes):
        axis.plot(run["step"], run["max_vio"].isel(layer=i), lw=0.9, label="MaxVio")
        axis.plot(run["step"], run["max_vio_floor"].isel(layer=i), "--", color=PALETTE[1], label="sampling floor")
        axis.set(ylabel=f"MaxVio\n(block {int(run['layer'].values[i])})", ylim=(0, None))
    if figure:
        axes[0].legend()
        axes[-1].set_xlabel("step")
        figure.suptitle("Imbalance: (largest load - mean) / mean")
    return figure


def bias(run):
    """Trajectories of the selection bias; None where it never moved."""
    if "bias" not in run or not np.any(run["bias"].values):
        return None
    figure, axes = _per_layer(run, "bias")
    for i, axis in enumerate(axes):
        count = int(run["experts"].values[i])
        axis.plot(run["step"], run["bias"].isel(layer=i)[:, :count], lw=0.8)
        axis.set(ylabel=f"bias\n(block {int(run['layer'].values[i])})")
    axes[-1].set_xlabel("step")
    figure.suptitle("Selection bias of each expert")
    return figure


def entropy(run):
    figure, axes = _per_layer(run, "entropy")
    for i, axis in enumerate(axes):
        axis.plot(run["step"], run["entropy"].isel(layer=i), lw=0.9, label="entropy")
        axis.axhline(np.log(int(run["experts"].values[i])), ls="--", color=PALETTE[1], label="ln E (uniform)")
        axis.set(ylabel=f"nat\n(block {int(run['layer'].values[i])})")
    if figure:
        axes[0].legend()
        axes[-1].set_xlabel("step")
        figure.suptitle("Entropy of the router's scores, mean over tokens")
    return figure


def drops(run):
    """Share of choices dropped; None where nothing was."""
    if "drop_share" not in run or not np.any(run["drop_share"].values):
        return None
    figure, axis = plt.subplots(figsize=SIZE)
    for i in range(run.sizes["layer"]):
        axis.plot(run["step"], run["drop_share"].isel(layer=i) * 100, lw=0.9, label=f"block {int(run['layer'].values[i])}")
    axis.set(xlabel="step", ylabel="choices dropped (%)", title="Drops at the expert capacity", ylim=(0, None))
    axis.legend()
    return figure


def traffic(run):
    """Rows sent from rank to rank at dispatch, mean over steps."""
    if "traffic" not in run or run.sizes.get("rank_from", 0) < 1:
        return None
    table = run["traffic"].mean("row").values
    figure, axis = plt.subplots(figsize=(5.2, 4.4))
    image = axis.imshow(table, cmap="cividis", vmin=0)
    axis.grid(False)
    axis.set(xlabel="to rank", ylabel="from rank", title="Rows per step at dispatch", xticks=range(len(table)), yticks=range(len(table)))
    if len(table) <= 8:
        for (i, j), value in np.ndenumerate(table):
            axis.text(j, i, f"{value:.0f}", ha="center", va="center", color="white" if value < table.max() * 0.6 else "black")
    figure.colorbar(image, label="rows")
    return figure


def _lift_map(evaluation, labels, names, title):
    layers = evaluation.sizes["layer"]
    figure, axes = plt.subplots(1, layers, figsize=(1.2 + 3.2 * layers, 4.4), squeeze=False, sharey=True)
    for i, axis in enumerate(axes[0]):
        table, chance = special.shares(evaluation, i, labels, len(names))
        seen = chance > 0
        values = np.log2(np.maximum(special.lift(table[:, seen], chance[seen]), 2.0**-3))
        image = axis.imshow(values.T, cmap="PuOr_r", vmin=-3, vmax=3, aspect="auto")
        axis.grid(False)
        axis.set(xlabel=f"expert (layer {i})", yticks=range(int(seen.sum())), yticklabels=[n for n, s in zip(names, seen) if s])
    figure.colorbar(image, ax=axes[0].tolist(), label="log2(share / chance); 0 = chance")
    figure.suptitle(title)
    return figure


def classes(evaluation):
    """What kinds of tokens each expert is given, against the share of each kind among all tokens (the chance level)."""
    if evaluation is None or "expert" not in evaluation:
        return None
    return _lift_map(evaluation, special.class_labels(evaluation), special.CLASSES, "Token classes by expert")


def domains(evaluation):
    if evaluation is None or "expert" not in evaluation:
        return None
    labels, names = special.domain_labels(evaluation)
    return None if labels is None else _lift_map(evaluation, labels, names, "Domains by expert")
