"""The figures of `yardstick routing` and of the report's section on it: each takes what `analyses.measure` found and gives a
matplotlib Figure, or raises Absent. Filled marks are measured, hollow ones are the null with two standard deviations, dashed
lines are chance."""
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import MaxNLocator

from ..drawing.figures import HEIGHT, PALETTE, WIDTH, Absent, _colourbar, _per_layer

MARKS = "osD^v"


def _need(found, group, *names):
    """Raises Absent, with the reason of the group, unless these quantities were measured."""
    if not all(name in found for name in names):
        raise Absent(found.absent.get(group, "it was not measured"))


def _blocks(axis, dataset):
    """Blocks as places on the horizontal axis."""
    axis.set(xticks=range(dataset.sizes["layer"]), xticklabels=[str(b) for b in dataset["layer"].values], xlabel="block",
             xlim=(-0.5, dataset.sizes["layer"] - 0.5))
    if dataset.sizes["layer"] > 12:
        axis.xaxis.set_major_locator(MaxNLocator(9, integer=True))


def _marks(axis, at, dataset, number, label, scale=1):
    """Measured values and their nulls at places on the horizontal axis."""
    colour, mark = PALETTE[number], MARKS[number]
    axis.errorbar(at, dataset["null_mean"].values * scale, 2 * dataset["null_sd"].values * scale, fmt=mark,
                  mfc="white", color=colour, alpha=0.7, capsize=3)
    axis.plot(at, dataset["value"].values * scale, mark, color=colour, label=label)


def _by_layer(series, unit, scale, chances=True):
    """Quantities side by side over the blocks: {label: dataset}."""
    figure, axis = plt.subplots(figsize=(WIDTH, HEIGHT + 1))
    for number, (label, dataset) in enumerate(series.items()):
        at = np.arange(dataset.sizes["layer"]) + 0.16 * (number - (len(series) - 1) / 2)
        _marks(axis, at, dataset, number, label, scale)
        if chances:
            axis.hlines(dataset["chance"].values * scale, at - 0.08, at + 0.08, ls="--", color=PALETTE[number])
    _blocks(axis, dataset)
    axis.set_ylabel(unit)
    low, high = axis.get_ylim()
    axis.set_ylim(min(low, 0), high)
    axis.plot([], [], "o", mfc="white", color="0.4", label="null")
    if chances:
        axis.plot([], [], "--", color="0.4", label="chance")
    figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    return figure


def _over_evaluations(found, name):
    """Agreement of choices at each evaluation, of each layer."""
    _need(found, "saturation", name)
    data = found[name]
    figure, axes = _per_layer(data)
    for i, axis in enumerate(axes):
        layer = data.isel(layer=i)
        axis.plot(layer["step"], layer["value"] * 100, "o-", label="measured")
        axis.plot(layer["step"], layer["null_mean"] * 100, "v:", ms=4, color=PALETTE[2], label="null: same loads")
        axis.axhline(float(layer["chance"][0]) * 100, ls="--", color=PALETTE[1], label="chance k/E")
        axis.set(ylabel="%", ylim=(0, 105))
    axes[0].legend(ncols=3, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.1, frameon=False, fontsize="small")
    axes[-1].set_xlabel("step")
    return figure


def saturation(found):
    """Agreement with the last evaluation over time, of each layer."""
    return _over_evaluations(found, "saturation")


def persistence(found):
    """Agreement with the evaluation before over time, of each layer."""
    return _over_evaluations(found, "persistence")


def coactivation(found):
    """How often a second expert is chosen together with a first, against chance."""
    _need(found, "coactivation", "coactivation")
    data = found["coactivation"]
    figure, axes = _per_layer(data, 2.6)
    for i, axis in enumerate(axes):
        layer = data.isel(layer=i)
        used = int(np.isfinite(layer["chance"].values).any(1).sum())
        ratio = (layer["value"] / layer["chance"]).values[:used, :used]
        image = axis.imshow(np.log2(np.maximum(ratio, 2.0**-3)), cmap="PuOr_r", vmin=-3, vmax=3, aspect="auto")
        axis.grid(False)
        axis.set_facecolor("0.8")  # an expert with itself, or without tokens
        axis.set_ylabel("expert i")
        axis.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes[-1].set_xlabel("expert j")
    _colourbar(figure, image, axes, "log₂(N_ij/N_i / chance)", "both")
    return figure


def vocabulary(found):
    """Share of a token's most frequent first expert, mean over tokens."""
    names = {"input token": "vocabulary_input", "true next": "vocabulary_next", "predicted next": "vocabulary_predicted"}
    _need(found, "vocabulary", *names.values())
    if not any(np.isfinite(found[name]["value"]).any() for name in names.values()):
        raise Absent("no token occurs often enough")
    return _by_layer({label: found[name] for label, name in names.items()}, "share of occurrences (%)", 100)


def locality(found):
    """How often neighbours go to the same expert."""
    _need(found, "context", "locality_top1", "locality_any")
    series = {"same first expert": found["locality_top1"], "any expert in common": found["locality_any"]}
    return _by_layer(series, "pairs of neighbours (%)", 100)


def _by_label(data, unit, chance, scale, turn):
    """A row of axes for each layer, with a mark for each label."""
    figure, axes = _per_layer(data)
    for i, axis in enumerate(axes):
        layer = data.isel(layer=i)
        _marks(axis, np.arange(layer.sizes["label"]), layer, 0, "measured", scale)
        axis.axhline(float(layer["chance"].max()) * scale, ls="--", color=PALETTE[1], label=chance)
        axis.plot([], [], "o", mfc="white", color=PALETTE[0], label="null")
        axis.set(ylabel=unit, ylim=(0, axis.get_ylim()[1] * 1.05), xticks=range(layer.sizes["label"]),
                 xticklabels=[str(n) for n in layer["label"].values])
    axes[-1].tick_params(axis="x", rotation=turn)
    axes[0].legend(ncols=3, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.1, frameon=False, fontsize="small")
    return figure


def class_entropy(found):
    """Entropy of the experts of each token class."""
    _need(found, "context", "class_entropy")
    return _by_label(found["class_entropy"], "nat", "ln E (chance)", 1, 25)


def information(found):
    """Normalised mutual information of expert and token class."""
    _need(found, "context", "nmi")
    return _by_layer({"NMI(expert, class)": found["nmi"]}, "NMI (1)", 1)


def domain_control(found):
    """How far domains are from the experts' loads, and how much of it token ids explain."""
    names = {"measured": "domain_spread", "predicted: same tokens": "domain_from_tokens_spread",
             "predicted: other documents": "domain_from_other_documents_spread", "measured \u2212 predicted": "domain_beyond_tokens_spread"}
    _need(found, "domain", "domain_spread")
    if found["domain"].sizes["label"] < 2:
        raise Absent("the corpus does not tell domains apart")
    return _by_layer({label: found[name] for label, name in names.items() if name in found}, "RMS distance (% of tokens)", 100, False)


def drop_by_class(found):
    """Dropped share of the choices of each token class."""
    _need(found, "drops", "drop_by_class")
    return _by_label(found["drop_by_class"], "dropped (%)", "all (chance)", 100, 25)


def drop_by_position(found):
    """Dropped share of the choices by position in the sequence."""
    _need(found, "drops", "drop_by_position")
    figure = _by_label(found["drop_by_position"], "dropped (%)", "all (chance)", 100, 60)
    figure.axes[-1].set_xlabel("position (tokens)")
    return figure


# by the name of the file: the function, what the figure is called
FIGURES = dict(
    saturation=(saturation, "Router saturation: choices as at the last evaluation"),
    persistence=(persistence, "Persistence of choices: as at the evaluation before"),
    coactivation=(coactivation, "Co-activation of experts"),
    vocabulary=(vocabulary, "Vocabulary specialisation"),
    locality=(locality, "Temporal locality"),
    class_entropy=(class_entropy, "Entropy of experts by token class"),
    information=(information, "Expert and token class"),
    domain_control=(domain_control, "Domains beyond token identity"),
    drop_by_class=(drop_by_class, "Dropped choices by token class"),
    drop_by_position=(drop_by_position, "Dropped choices by position"))
