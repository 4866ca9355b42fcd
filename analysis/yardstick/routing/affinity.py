"""What experts specialise in: domains, with token identity as a control, and single tokens of the vocabulary."""
import numpy as np
from scipy.sparse import csr_array

from ..records import special
from ..records.sample import Measure, chunks, documents, layers_of, load, occurrences, stack, tally
from .nulls import shuffled_tables

VARIABLES = dict(input="token", next="next", predicted="predicted")


def _given(counts, top_k):
    """(vocabulary, experts) P(expert | x) = N_(x, expert) / N_x of counts; the loads for a token that has none."""
    seen = counts.sum(1, keepdims=True) / top_k
    return np.where(seen > 0, counts / np.maximum(seen, 1), counts.sum(0) / max(seen.sum(), 1))


def from_tokens(layer, tokens, document, fold):
    """Two (documents, experts) tables of the choices that the documents' token ids alone predict: the sum over their tokens x
    of P(expert | x) = N_(x, expert) / N_x. In the first, P comes from the same tokens, so that one seen once predicts itself;
    in the second from the documents of the other `fold` (documents,), 0 or 1, and a token that does not occur there has
    the loads; nan without a second document."""
    count, vocabulary = len(fold), int(tokens.max()) + 1
    counts = tally(layer, lambda part: fold[document[part]] * vocabulary + tokens[part], 2 * vocabulary).reshape(2, vocabulary, -1)
    same, others = _given(counts.sum(0), layer.top_k), np.stack([_given(counts[1 - f], layer.top_k) for f in range(2)])
    predicted = np.zeros((2, count, layer.experts))
    for part in chunks(len(tokens)):
        low, high = document[part].min(), document[part].max() + 1
        occurs = csr_array((np.ones(part.stop - part.start), (document[part] - low, tokens[part])), shape=(high - low, vocabulary))
        predicted[0, low:high] += occurs @ same
        for f in range(2):
            predicted[1, low:high] += (fold[low:high] == f)[:, None] * (occurs @ others[f])
    return predicted[0], predicted[1] if count > 1 else np.full_like(predicted[1], np.nan)


class _Domains:
    """Documents of known domains: how many tokens each has, and to which domains they would belong after shuffles."""

    def __init__(self, evaluation, shuffles, seed):
        self.names = special.domain_names(evaluation)
        self.document, first = documents(evaluation)
        self.domain = evaluation["domain"].values[first]
        self.tokens = evaluation["token"].values
        self.size = occurrences(self.document, len(first))
        known = self.domain >= 0
        self.counts = np.bincount(self.domain[known], self.size[known], len(self.names))  # (domains,) tokens of each
        rng = np.random.default_rng(seed)
        self.fold = rng.permutation(len(first)) % 2
        self.draws = [self.domain] + [rng.permutation(self.domain) for _ in range(shuffles)]

    def shares(self, table):
        """(draws, experts, domains) sums of a (documents, experts) table over each domain, over the domain's tokens."""
        shares = np.empty((len(self.draws), table.shape[1], len(self.names)))
        for draw, domain in enumerate(self.draws):
            member = (domain[:, None] == np.arange(len(self.names))).astype(float)
            with np.errstate(invalid="ignore", divide="ignore"):
                shares[draw] = table.T @ member / (self.size @ member)
        return shares


def _by_domain(domains, layer, table, chance, base):
    """Measures of the shares that a (documents, experts) table gives to domains, and of their spread: the root mean square,
    over experts and domains, of share - base."""
    shares = domains.shares(table)
    spread = np.sqrt(np.nanmean((shares - base[:, None]) ** 2, axis=(1, 2)))
    drawn = shares[1:]
    return (Measure(shares[0], chance, drawn.mean(0), drawn.std(0, ddof=1), np.broadcast_to(domains.counts, shares.shape[1:])),
            Measure(spread[0], 0.0, spread[1:].mean(), spread[1:].std(ddof=1), float(domains.counts.sum())))


def domains(evaluation, shuffles=100, seed=0):
    """Domain specialisation N_(E, D) / N_D (OLMoE) of the last evaluation, on (layer, expert, label): `domain`; what token ids
    alone predict of it, `domain_from_tokens` (from the same tokens: an upper bound of their part) and
    `domain_from_other_documents` (from a random half of the documents for the other); and `domain_beyond_tokens`, the
    difference to the latter, with chance 0. `*_spread` (layer): root mean square over experts and domains of the distance to
    the expert's load. Chance k/E; null: the documents' domains are shuffled, so that documents stay whole."""
    found = _Domains(evaluation, shuffles, seed)
    layers = layers_of(evaluation)
    results = {}
    for layer in layers:
        share = load(layer) / len(layer.chosen)
        recorded = tally(layer, found.document, len(found.size)).astype(float)
        same, held_out = from_tokens(layer, found.tokens, found.document, found.fold)
        chance = layer.top_k / layer.experts
        tables = dict(domain=(recorded, chance, share), domain_from_tokens=(same, chance, share),
                      domain_from_other_documents=(held_out, chance, share), domain_beyond_tokens=(recorded - held_out, 0.0, 0 * share))
        for name, (table, level, base) in tables.items():
            if np.isfinite(table).all():
                both = _by_domain(found, layer, table, level, base)
                results.setdefault(name, []).append(both[0])
                results.setdefault(f"{name}_spread", []).append(both[1])
    return {name: stack(layers, measures, ("expert", "label"), label=found.names) if measures[0].value.ndim else stack(layers, measures)
            for name, measures in results.items()}


def _token_ids(evaluation, variable):
    ids = evaluation[VARIABLES[variable]]
    return (ids.isel(evaluation=-1) if "evaluation" in ids.dims else ids).values


def _vocabulary(layer, ids, texts, least, shuffles, rng):
    """Measure of one layer, that of its experts, and the text of each expert's best token."""
    times = occurrences(ids, len(texts))
    often = np.nonzero(times >= max(least, 1))[0]
    row = np.full(len(texts), len(often))
    row[often] = np.arange(len(often))
    # the last row holds the rarer tokens, so that shuffles keep the loads
    row = np.append(row, -1)  # of the id -1
    table = tally(layer, lambda part: row[ids[part]], len(often) + 1, choices=1)
    times = times[often, None]
    highest, best = [], []
    for drawn in [table, *shuffled_tables(table, shuffles, rng)] if len(often) else []:
        shares = drawn[:-1] / times
        highest.append(shares.max(1).mean())
        best.append(shares.max(0))
    if not highest:
        none = np.full(layer.experts, np.nan)
        return Measure(np.nan, np.nan, np.nan, np.nan, 0), Measure(none, none, none, none, none), [""] * layer.experts
    leader = (table[:-1] / times).argmax(0)
    used = np.where(table.sum(0) > 0, 1.0, np.nan)
    return (Measure(highest[0], 1 / layer.experts, np.mean(highest[1:]), np.std(highest[1:], ddof=1), len(often)),
            Measure(best[0] * used, 1 / layer.experts, np.mean(best[1:], 0), np.std(best[1:], 0, ddof=1), times[leader, 0]),
            [special.visible(texts[t]) for t in often[leader]])


def vocabulary(evaluation, variable="input", least=10, shuffles=10, seed=0):
    """Vocabulary specialisation N_(x, E) / N_x (OLMoE) over first choices at the last evaluation, x being the input token, the
    true `next` or the `predicted` one that occurs at least `least` times. Two datasets: on (layer) the mean over such x of the
    share of their most frequent expert, n being the number of x; on (layer, expert) the expert's highest share, with the token's text
    as `label`. Both are biased upward for rare tokens: chance 1/E is the limit of many occurrences, the null (tokens shuffled
    over the sample, loads and occurrences kept) has the bias."""
    layers, texts = layers_of(evaluation), special.token_texts(evaluation)
    ids, rng = _token_ids(evaluation, variable), np.random.default_rng(seed)
    mean, best, labels = zip(*[_vocabulary(layer, ids, texts, least, shuffles, rng) for layer in layers])
    experts = stack(layers, best, ("expert",))
    names = np.full(experts["value"].shape, "", object)
    for i, row in enumerate(labels):
        names[i, :len(row)] = row
    return stack(layers, mean), experts.assign(label=(("layer", "expert"), names))
