"""The routing sample as the analyses take it: layers with their chosen experts, documents, pieces of bounded size, counts, and
the form of a result. A sample is what `open_evaluation` or `open_tokens` gives, best after `special.with_layers`."""
from typing import NamedTuple

import numpy as np
import xarray as xr

from ..base.faults import RecordError

CHUNK = 1 << 17  # tokens taken at once: intermediate arrays stay this long, however long the sample is


class Layer(NamedTuple):
    """A mixture-of-experts layer of a sample."""
    block: int           # transformer block, from 0
    experts: int         # E
    chosen: np.ndarray   # (tokens, k) expert ids, best first

    @property
    def top_k(self):
        return self.chosen.shape[1]


class Measure(NamedTuple):
    """A quantity beside what it would be without any preference; scalars or arrays of the shape of `value`."""
    value: np.ndarray
    chance: np.ndarray     # exact level of uniform random choices (or what the quantity's docstring says)
    null_mean: np.ndarray  # mean and standard deviation where the preference looked for is removed but loads are kept
    null_sd: np.ndarray
    n: np.ndarray          # tokens (or types of tokens) behind the value


def experts_of(sample, layer):
    """How many experts a layer has: as `with_layers` of a run says, or up to the last one that was chosen, at any evaluation."""
    if "experts" in sample:
        return int(sample["experts"].values[layer])
    return int(sample["expert"].isel(layer=layer).max()) + 1


def chosen_of(sample, evaluation=-1, layer=slice(None)):
    """(tokens, layers, choices) expert ids of one evaluation, or of a token sample; (tokens, choices) of one layer, by its place."""
    expert = sample["expert"].isel(layer=layer)
    return (expert.isel(evaluation=evaluation) if "evaluation" in expert.dims else expert).values


def layer_of(sample, layer, evaluation=-1):
    """One layer of a sample, by its place; an expert id that the layer cannot have is an error."""
    chosen, count = chosen_of(sample, evaluation, layer), experts_of(sample, layer)
    top_k = int((chosen[:1] >= 0).sum())  # -1 stands beyond the choices of the layer, the same for every token
    if len(chosen) and not 1 <= top_k <= count:
        raise RecordError(f"layer {layer}: a token has {top_k} of the layer's {count} experts; run `switchyard verify` on the run folder")
    chosen = chosen[:, :top_k]
    if chosen.size and not (0 <= chosen.min() and chosen.max() < count):
        raise RecordError(f"layer {layer}: expert ids {chosen.min()} to {chosen.max()}, but the layer has {count} experts; "
                          "run `switchyard verify` on the run folder")
    block = sample["layer"].values[layer] if "layer" in sample.coords else layer
    return Layer(int(block), count, chosen)


def layers_of(sample, evaluation=-1):
    return [layer_of(sample, i, evaluation) for i in range(sample.sizes["layer"])]


def chunks(count):
    """Slices that cover `count` tokens."""
    return [slice(i, min(i + CHUNK, count)) for i in range(0, count, CHUNK)]


def tally(layer, labels, count, choices=None):
    """(count, experts) int64: how often tokens of each label were given to each expert, by any choice or the first
    `choices`. Labels are an array, or a function that makes those of a slice; tokens with the label -1 are left out."""
    table = np.zeros(count * layer.experts, np.int64)
    for part in chunks(len(layer.chosen)):
        own = labels(part) if callable(labels) else labels[part]
        base, chosen, known = own.astype(np.int64) * layer.experts, layer.chosen[part, :choices], own >= 0
        if not known.all():
            base, chosen = base[known], chosen[known]
        for c in range(chosen.shape[1]):
            table += np.bincount(base + chosen[:, c], minlength=table.size)
    return table.reshape(count, layer.experts)


def occurrences(ids, count):
    """(count,) int64: how often each id from 0 on occurs; -1 is left out."""
    table = np.zeros(count, np.int64)
    for part in chunks(len(ids)):
        table += np.bincount(ids[part][ids[part] >= 0], minlength=count)
    return table


def load(layer):
    """(experts,) int64: choices of each expert, before any drop."""
    return tally(layer, lambda part: np.zeros(part.stop - part.start, np.int8), 1)[0]


def common(a, b):
    """(tokens,) int8: how many experts two choices of each token, (tokens, k) each, have in common."""
    found = np.zeros(len(a), np.int8)
    for i in range(a.shape[1]):
        for j in range(b.shape[1]):
            found += a[:, i] == b[:, j]
    return found


def sequences(sample):
    """(tokens,) int64: number of the sequence that a token stands in, by the places where positions do not go on."""
    if "position" not in sample:
        raise RecordError("the record has no position of its tokens; run `switchyard verify` on the run folder")
    goes_on = np.diff(sample["position"].values) == 1
    if "sequence" in sample:  # of training tokens, which may miss some of a sequence
        goes_on &= np.diff(sample["sequence"].values) == 0
    number = np.zeros(len(goes_on) + 1, np.int32)
    np.cumsum(~goes_on, out=number[1:])
    return number


def documents(sample):
    """(tokens,) document of each token, numbered from 0 without gaps, and (documents,) the first token of each. Where the
    record does not know the document, the sequence stands in its place."""
    if "document" in sample and (sample["document"].values >= 0).all():
        key = sample["document"].values
    else:
        known = sample["document"].values if "document" in sample else np.full(sample.sizes["sample"], -1)
        key = np.where(known >= 0, known, -1 - sequences(sample))
    if (key[1:] >= key[:-1]).all():  # as they are recorded: no need to sort
        number, starts = np.zeros(len(key), np.int32), key[1:] != key[:-1]
        np.cumsum(starts, out=number[1:])
        return number, np.concatenate([[0], np.nonzero(starts)[0] + 1])
    _, first, number = np.unique(key, return_index=True, return_inverse=True)
    return number.astype(np.int32), first


def entropy(counts):
    """Plug-in entropy of counts over the last axis, in nat; nan where there are none."""
    total = counts.sum(-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = counts / total
        return -np.where(counts > 0, share * np.log(share), 0 * share).sum(-1)


def stack(layers, measures, dims=(), **coords):
    """Dataset with the fields of `Measure` on (layer, *dims), a Measure for each layer; nan beyond the experts of a layer."""
    shape = (len(layers), *np.max([np.shape(m.value) for m in measures], axis=0).astype(int))
    fields = {name: np.full(shape, np.nan) for name in Measure._fields}
    for i, measure in enumerate(measures):
        at = (i, *(slice(size) for size in np.shape(measure.value)))
        for name, values in fields.items():
            values[at] = getattr(measure, name)
    return xr.Dataset({name: (("layer", *dims), values) for name, values in fields.items()},
                      coords=dict(layer=[layer.block for layer in layers], **coords))
