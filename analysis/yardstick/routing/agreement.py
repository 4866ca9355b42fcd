"""How choices agree: with the last evaluation (saturation), with the one before (persistence) and with each other in one token
(co-activation)."""
from math import comb

import numpy as np
import xarray as xr

from ..records.sample import Measure, chunks, common, layer_of, layers_of, stack
from .nulls import matched_overlap, pairs_given_loads


def pair_counts(layer, adjacent=False):
    """(experts, experts) int64: tokens that have both experts i and j among their choices, in any order; on the diagonal those
    that have i. With `adjacent` only choices whose ranks follow each other count as a pair."""
    size, top_k = layer.experts, layer.top_k
    pairs = [(a, b) for a in range(top_k) for b in range(a + 1, a + 2 if adjacent else top_k) if b < top_k]
    table, single = np.zeros(size * size, np.int64), np.zeros(size, np.int64)
    for part in chunks(len(layer.chosen)):
        chosen = layer.chosen[part].astype(np.int64)
        for a, b in pairs:
            table += np.bincount(chosen[:, a] * size + chosen[:, b], minlength=size * size)
        for a in range(top_k):
            single += np.bincount(chosen[:, a], minlength=size)
    table = table.reshape(size, size)
    return table + table.T + np.diag(single)


def any_overlap_chance(experts, top_k):
    """Probability that two uniform choices of k of E experts have one in common: 1 - C(E-k, k)/C(E, k)."""
    return 1 - comb(experts - top_k, top_k) / comb(experts, top_k)


def _saturation(now, last, pairs_now, pairs_last):
    """Measure of one layer at one evaluation."""
    tokens = len(now.chosen)
    found = sum(int(common(now.chosen[p], last.chosen[p]).sum(dtype=np.int64)) for p in chunks(tokens))
    mean, sd = matched_overlap(np.diag(pairs_now), pairs_now, np.diag(pairs_last), pairs_last, tokens)
    return Measure(found / tokens / last.top_k, last.top_k / last.experts, mean / last.top_k, sd / last.top_k, tokens)


def between(now, last):
    """Measure of the choices that two evaluations of one layer have in common, as `saturation` has it."""
    return _saturation(now, last, pair_counts(now), pair_counts(last))


def saturation(evaluation):
    """Router saturation (OLMoE; docs/science.md, "Routing analyses") at every evaluation, on (step, layer): the mean over tokens of
    |E(t) and E(T)| / k, with T the last evaluation. Chance k/E; null: the same loads, tokens permuted (exact)."""
    last = layers_of(evaluation)
    pairs_last = [pair_counts(layer) for layer in last]
    steps = []
    for t in range(evaluation.sizes["evaluation"]):
        final = t == evaluation.sizes["evaluation"] - 1
        measures = []
        for i, layer in enumerate(last):
            now = layer if final else layer_of(evaluation, i, t)
            measures.append(_saturation(now, layer, pairs_last[i] if final else pair_counts(now), pairs_last[i]))
        steps.append(stack(last, measures))
    return xr.concat(steps, xr.DataArray(evaluation["step"].values, dims="step", name="step"))


def persistence(evaluation):
    """Persistence of choices at every evaluation but the first, on (step, layer): the mean over tokens of |E(t) and E(s)| / k, with s the
    evaluation before; None where there is one only. Chance and null as of `saturation`."""
    layers = layers_of(evaluation)
    before, steps = None, []
    for t in range(evaluation.sizes["evaluation"]):
        now = [layer_of(evaluation, i, t) for i in range(len(layers))]
        now = [(layer, pair_counts(layer)) for layer in now]
        if before is not None:
            steps.append(stack(layers, [_saturation(a, b, pairs_a, pairs_b) for (a, pairs_a), (b, pairs_b) in zip(now, before)]))
        before = now
    return xr.concat(steps, xr.DataArray(evaluation["step"].values[1:], dims="step", name="step")) if steps else None


def coactivation_of(layer, adjacent=False):
    """As `coactivation`: Measure of one layer, on (expert, other); nan on the diagonal and for experts without tokens."""
    counts = pair_counts(layer, adjacent).astype(float)
    given, tokens, top_k, size = np.diag(counts).copy(), len(layer.chosen), layer.top_k, layer.experts
    part = 2 / top_k if adjacent else 1  # of the k(k-1)/2 pairs of a token, k-1 are adjacent
    likely = pairs_given_loads(given / tokens, top_k) * tokens * part
    with np.errstate(invalid="ignore", divide="ignore"):
        value, null = counts / given[:, None], np.clip(likely / given[:, None], 0, 1)
        sd = np.sqrt(null * (1 - null) / given[:, None])
    for table in (value, null, sd):
        table[np.eye(size, dtype=bool) | (given == 0)[:, None]] = np.nan
    return Measure(value, (top_k - 1) / (size - 1) * part, null, sd, np.broadcast_to(given[:, None], value.shape))


def coactivation(evaluation, adjacent=False):
    """Co-activation N_ij / N_i (OLMoE) at the last evaluation, on (layer, expert, other), over all unordered pairs of a token's
    choices; None where no layer has k > 1. Chance (k-1)/(E-1). Null: k different experts, as random as the loads allow
    (sets of highest entropy); its deviation is binomial given N_i. With `adjacent` the variant of the released OLMoE script
    (`more_itertools.pairwise` over choices by rank), which counts neighbouring ranks only: chance and null are 2/k of it."""
    layers = [layer for layer in layers_of(evaluation) if layer.top_k > 1]
    return stack(layers, [coactivation_of(layer, adjacent) for layer in layers], ("expert", "other")) if layers else None
