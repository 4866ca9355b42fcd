"""Experts by the class of their tokens and from token to token, against shuffles within documents: what is left when each
document keeps its tokens and its loads but not their order."""
import numpy as np
import xarray as xr

from ..records import sample as pieces_of, special
from ..records.sample import Measure, chosen_of, common, documents, entropy, layers_of, occurrences, sequences
from .agreement import any_overlap_chance
from .nulls import shuffled_within


def _pieces(groups):
    """Slices that cover ascending groups, whole groups each, as near to pieces_of.CHUNK tokens as these allow."""
    starts = np.concatenate([[0], np.nonzero(groups[1:] != groups[:-1])[0] + 1])
    pieces, begin = [], 0
    while begin < len(groups):
        fitting = starts[(starts > begin) & (starts <= begin + pieces_of.CHUNK)]
        after = starts[starts > begin]
        end = len(groups) if begin + pieces_of.CHUNK >= len(groups) or not after.size else int(fitting[-1] if fitting.size else after[0])
        pieces.append(slice(begin, end))
        begin = end
    return pieces


def _count(chosen, labels, follows, layers, given, same):
    """Adds a piece's tokens to `given` (layer, class, expert) and its pairs of neighbours to `same` (layer, 2)."""
    for i, layer in enumerate(layers):
        experts, base = np.ascontiguousarray(chosen[:, i, :layer.top_k]), np.multiply(labels, layer.experts, dtype=np.int64)
        for c in range(layer.top_k):
            found = np.bincount(base + experts[:, c], minlength=given.shape[1] * layer.experts)
            given[i, :, :layer.experts] += found.reshape(given.shape[1], layer.experts)
        same[i, 0] += np.count_nonzero((experts[1:, 0] == experts[:-1, 0]) & follows)
        same[i, 1] += np.count_nonzero((common(experts[1:], experts[:-1]) > 0) & follows)


def within_documents(evaluation, shuffles=10, seed=0):
    """Counts of the last evaluation on a dimension `draw`: as recorded (draw 0), and after each shuffle of the tokens' choices
    within their documents. `given` (draw, layer, class, expert): choices by class of the input token; `same` (draw, layer,
    kind): neighbours in one sequence and document with the same first expert, and with any expert in common; `pairs`: all
    neighbours; `tokens` (class)."""
    layers, labels, chosen = layers_of(evaluation), special.class_labels(evaluation), chosen_of(evaluation)
    document, sequence = documents(evaluation)[0], sequences(evaluation)
    order = None if (document[1:] >= document[:-1]).all() else np.argsort(document, kind="stable")
    given = np.zeros((shuffles + 1, len(layers), len(special.CLASSES), max(layer.experts for layer in layers)), np.int64)
    same, pairs, rng = np.zeros((shuffles + 1, len(layers), 2), np.int64), 0, np.random.default_rng(seed)
    for piece in _pieces(document if order is None else document[order]):
        at = piece if order is None else order[piece]
        group, own, rows = document[at], labels[at], chosen[at]
        follows = (np.diff(group) == 0) & (np.diff(sequence[at]) == 0)
        pairs += int(follows.sum())
        for draw in range(shuffles + 1):
            drawn = rows if draw == 0 else rows[shuffled_within(group, rng)]
            _count(drawn, own, follows, layers, given[draw], same[draw])
    tokens = occurrences(labels, len(special.CLASSES))
    return xr.Dataset(dict(given=(("draw", "layer", "class", "expert"), given), same=(("draw", "layer", "kind"), same), pairs=pairs,
                           tokens=("class", tokens), top_k=("layer", [layer.top_k for layer in layers]),
                           experts=("layer", [layer.experts for layer in layers])),
                      coords={"layer": [layer.block for layer in layers], "class": special.CLASSES, "kind": ["top1", "any"]})


def _against_shuffles(values, chance, n):
    """Measure of values on a first axis of draws, of which the first is the record's."""
    drawn = values[1:]
    empty = np.full(values.shape[1:], np.nan)
    return Measure(values[0], chance, drawn.mean(0) if len(drawn) else empty, drawn.std(0, ddof=1) if len(drawn) > 1 else empty, n)


def _dataset(counts, measure, dims=(), **coords):
    """Dataset of a Measure whose values lie on (layer, *dims)."""
    fields = {name: (("layer", *dims), np.broadcast_to(np.asarray(v, float), measure.value.shape)) for name, v in measure._asdict().items()}
    return xr.Dataset(fields, coords=dict(layer=counts["layer"].values, **coords))


def locality(counts):
    """Temporal locality (Mixtral, table 5) as two datasets: a token's first expert is that of the token before (`top1`,
    chance 1/E), and their choices have any expert in common (`any`, chance 1 - C(E-k, k)/C(E, k))."""
    experts, top_k, pairs = counts["experts"].values, counts["top_k"].values, int(counts["pairs"])
    chances = dict(top1=1 / experts, any=np.array([any_overlap_chance(int(e), int(k)) for e, k in zip(experts, top_k)]))
    return {kind: _dataset(counts, _against_shuffles(counts["same"].sel(kind=kind).values / max(pairs, 1), chance, pairs))
            for kind, chance in chances.items()}


def class_entropy(counts):
    """Entropy in nat of the experts that the tokens of a class are given, all choices (ST-MoE, table 14), on (layer, label).
    Chance ln E; the null, shuffles within documents, has as few tokens of the class. nan for a class without tokens."""
    measure = _against_shuffles(entropy(counts["given"].values), np.log(counts["experts"].values)[:, None], counts["tokens"].values)
    return _dataset(counts, measure, ("label",), label=counts["class"].values)


def mutual_information(given):
    """I(expert; class) in nat and the normalised 2 I / (H(expert) + H(class)) of counts (..., class, expert)."""
    by_class, by_expert = entropy(given.sum(-1)), entropy(given.sum(-2))
    information = by_class + by_expert - entropy(given.reshape(*given.shape[:-2], -1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return information, 2 * information / (by_class + by_expert)


def information(counts):
    """NMI(expert, class) over all choices (normalised by the mean of both entropies), and the same minus its mean under
    shuffles within documents, on (layer): `nmi` and `nmi_excess`. Chance 0."""
    values = mutual_information(counts["given"].values)[1]
    measure = _against_shuffles(values, 0.0, int(counts["tokens"].sum()))
    excess = measure._replace(value=measure.value - measure.null_mean, null_mean=0 * measure.null_mean)
    return dict(nmi=_dataset(counts, measure), nmi_excess=_dataset(counts, excess))
