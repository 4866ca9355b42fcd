"""How even the loads are, beside what sampling alone would show, and who is dropped."""
import numpy as np
import xarray as xr

from ..records import special
from ..records.sample import Measure, entropy, layers_of, load, stack
from .nulls import max_vio_floor, share_sd, uniform_loads

DRAWS = 200       # of uniform random loads
LAST_STEPS = 100  # training steps averaged, as in the plots of Wang et al. 2024
BINS = 16         # of the position in a sequence


def evenness(loads):
    """Effective experts exp(H), H / ln E, the coefficient of variation and MaxVio of loads (..., experts)."""
    loads = np.asarray(loads, float)
    mean, h = loads.mean(-1), entropy(loads)
    with np.errstate(invalid="ignore", divide="ignore"):
        return dict(effective_experts=np.exp(h), normalised_entropy=h / np.log(loads.shape[-1]),
                    cv=loads.std(-1) / mean, max_vio=loads.max(-1) / mean - 1)


def _measures(loads, tokens, top_k, rng):
    """Measure by quantity of loads (steps, experts) of `tokens` tokens a step: means over the steps."""
    experts, steps = loads.shape[1], len(loads)
    drawn = evenness(uniform_loads(tokens, top_k, experts, DRAWS, rng))
    chance = dict(effective_experts=experts, normalised_entropy=1.0, cv=0.0, max_vio=max_vio_floor(tokens, top_k, experts))
    return {name: Measure(value.mean(), chance[name], drawn[name].mean(), drawn[name].std(ddof=1) / np.sqrt(steps), tokens)
            for name, value in evenness(loads).items()}


def held_out(evaluation, seed=0):
    """Evenness over the held-out sample at the last evaluation (MaxVio_global of Wang et al. 2024, up to the sample's size), a
    dataset on (layer) by quantity. Chance is perfect balance, but of MaxVio its sampling floor; null: uniform random choices
    of k different experts."""
    layers, rng = layers_of(evaluation), np.random.default_rng(seed)
    found = [_measures(load(layer)[None], len(layer.chosen), layer.top_k, rng) for layer in layers]
    return {name: stack(layers, [measures[name] for measures in found]) for name in found[0]}


def training(run, top_k, seed=0):
    """As `held_out`, of the choices of single training steps before drop (MaxVio_batch): the mean of the last 100 steps. `run`
    is what `yardstick.open` gives, top_k (layers,)."""
    rng, found = np.random.default_rng(seed), []
    recent = run["assigned"].isel(row=slice(-LAST_STEPS, None)).values
    for i, (experts, k) in enumerate(zip(run["experts"].values, top_k)):
        loads = recent[:, i, :int(experts)]
        found.append(_measures(loads, int(loads[-1].sum()) // int(k), int(k), rng))
    fields = {name: {f: ("layer", [float(getattr(m[name], f)) for m in found]) for f in Measure._fields} for name in found[0]}
    return {f"{name}_of_a_step": xr.Dataset(values, coords=dict(layer=run["layer"].values)) for name, values in fields.items()}


def _drops(kept, layer, labels, count):
    """Measure of a layer's dropped share of the choices of each label; nan for labels without tokens."""
    dropped, choices = np.zeros(count), np.bincount(labels, minlength=count).astype(float) * layer.top_k
    for c in range(layer.top_k):
        dropped += np.bincount(labels[kept[:, c] == 0], minlength=count)
    rate = dropped.sum() / choices.sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        value = dropped / choices
    return Measure(value, rate, np.full(count, rate), share_sd(rate, choices, choices.sum()), choices)


def drops(tokens, evaluation):
    """Dropped share of the choices by class of the input token and by sixteenth of the position, on (layer, label), of the
    sampled training tokens (`open_tokens`); the texts of tokens come from the evaluation. None where nothing was dropped.
    Chance: the layer's share; null: choices shuffled over all labels (hypergeometric)."""
    if not (tokens["kept"].values == 0).any():
        return None
    layers = layers_of(tokens)
    length = int(tokens["position"].values.max()) + 1
    bins = min(BINS, length)
    edges = [-(-length * b // bins) for b in range(bins + 1)]
    labels = dict(drop_by_position=(tokens["position"].values * bins // length, [f"{a} to {b - 1}" for a, b in zip(edges, edges[1:])]))
    if evaluation is not None:
        labels["drop_by_class"] = special.class_labels(evaluation, tokens), special.CLASSES
    return {name: stack(layers, [_drops(tokens["kept"].values[:, i], layer, of, len(names)) for i, layer in enumerate(layers)],
                        ("label",), label=names) for name, (of, names) in labels.items()}
