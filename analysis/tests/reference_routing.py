"""The definitions of docs/science.md, "Routing analyses", as plain loops, and small random logs to hold them against the analyses."""
import itertools
import json
import math
from collections import Counter, defaultdict

import numpy as np
import xarray as xr

TEXTS = ["the", "The", "7", "42", ",", ";", " ", "\u00e9", "and", "x", "Y", "."]
CLASS = ["lower", "upper", "digits", "digits", "punctuation", "punctuation", "whitespace", "other",
         "lower", "lower", "upper", "punctuation"]


def log(experts=(7, 5), top_k=2, tokens=400, evaluations=3, unused=False, domains=("a", "b", "c"), words=range(12), seed=0, chosen=None):
    """An evaluation of skewed random routing: sequences of 50 tokens, documents of 1 to 90, which cross them. `words` are the
    token ids that occur, `chosen` (evaluations, tokens, layers, choices) is taken as it is. Its many arguments are the tests' cases."""
    rng = np.random.default_rng(seed)
    token = rng.choice(list(words), tokens)
    document = np.repeat(np.arange(tokens), rng.integers(1, 90, tokens))[:tokens]
    if chosen is None:
        chosen = np.full((evaluations, tokens, len(experts), top_k), -1)
        for layer, count in enumerate(experts):
            score = rng.gumbel(size=(evaluations, tokens, count)) + np.linspace(0, 1.5, count)
            score += 2 * (token[:, None] % count == np.arange(count))
            score[..., count // 2] -= 1e9 * (unused and layer == 0)
            k = min(top_k, count)
            chosen[:, :, layer, :k] = (-score).argsort(-1)[..., :k]
    columns = dict(token=token, next=rng.choice(list(words), tokens), position=np.arange(tokens) % 50, document=document,
                   domain=document % len(domains))
    return xr.Dataset({**{name: ("sample", values) for name, values in columns.items()},
                       "step": ("evaluation", 10 * np.arange(1, len(chosen) + 1)),
                       "predicted": (("evaluation", "sample"), rng.choice(list(words), (len(chosen), tokens))),
                       "expert": (("evaluation", "sample", "layer", "choice"), chosen.astype("i2")),
                       "token_text": ("vocabulary", np.array([t.encode() for t in TEXTS], "S16")), "experts": ("layer", list(experts))},
                      coords=dict(layer=2 * np.arange(len(experts)) + 1), attrs=dict(domains=json.dumps(domains)))


def choices(sample, layer, evaluation=-1):
    """The experts of each token, a list of lists."""
    return [[int(e) for e in row if e >= 0] for row in sample["expert"].values[evaluation, :, layer]]


def saturation(sample, layer, evaluation, other=-1):
    pairs = list(zip(choices(sample, layer, evaluation), choices(sample, layer, other)))
    return sum(len(set(now) & set(last)) / len(last) for now, last in pairs) / len(pairs)


def coactivation(sample, layer, adjacent):
    """{(i, j): N_ij / N_i} of ordered pairs."""
    pair, single = Counter(), Counter()
    for row in choices(sample, layer):
        single.update(row)
        for a, b in zip(row, row[1:]) if adjacent else itertools.combinations(row, 2):
            pair[a, b] += 1
            pair[b, a] += 1
    count = int(sample["experts"][layer])
    return {(i, j): pair[i, j] / single[i] for i in range(count) for j in range(count) if i != j and single[i]}


def locality(sample, layer):
    """Shares of neighbours with the same first expert, and with any in common, and how many neighbours there are."""
    rows, position, document = choices(sample, layer), sample["position"].values, sample["document"].values
    at = [i for i in range(len(rows) - 1) if position[i + 1] == position[i] + 1 and document[i] == document[i + 1]]
    return (sum(rows[i][0] == rows[i + 1][0] for i in at) / len(at),
            sum(bool(set(rows[i]) & set(rows[i + 1])) for i in at) / len(at), len(at))


def _entropy(counts):
    total = sum(counts)
    return -sum(c / total * math.log(c / total) for c in counts if c)


def class_entropy(sample, layer):
    """{class: nat} of the classes that occur."""
    given = defaultdict(Counter)
    for token, row in zip(sample["token"].values, choices(sample, layer)):
        given[CLASS[token]].update(row)
    return {name: _entropy(counts.values()) for name, counts in given.items()}


def nmi(sample, layer):
    joint = Counter((CLASS[token], e) for token, row in zip(sample["token"].values, choices(sample, layer)) for e in row)
    kinds, experts, total = Counter(), Counter(), sum(joint.values())
    for (kind, e), n in joint.items():
        kinds[kind] += n
        experts[e] += n
    information = sum(n / total * math.log(n * total / kinds[kind] / experts[e]) for (kind, e), n in joint.items())
    return 2 * information / (_entropy(kinds.values()) + _entropy(experts.values()))


def domain(sample, layer):
    """{(expert, domain): N_(E, D) / N_D}."""
    given, size = Counter(), Counter()
    for d, row in zip(sample["domain"].values, choices(sample, layer)):
        size[d] += 1
        given.update((e, d) for e in row)
    return {(e, d): given[e, d] / size[d] for d in size for e in range(int(sample["experts"][layer]))}


def domain_from_tokens(sample, layer, fold=None):
    """{(expert, domain): share} that token ids predict: from all tokens, or from the documents of the other fold."""
    token, d, document, rows = sample["token"].values, sample["domain"].values, sample["document"].values, choices(sample, layer)
    count, total, size = int(sample["experts"][layer]), Counter(), Counter()
    for i in range(len(rows)):
        others = [j for j in range(len(rows)) if fold is None or fold[document[j]] != fold[document[i]]]
        like = [j for j in others if token[j] == token[i]] or others
        size[d[i]] += 1
        for e in range(count):
            total[e, d[i]] += sum(e in rows[j] for j in like) / len(like)
    return {key: value / size[key[1]] for key, value in total.items()}


def vocabulary(sample, layer, variable, least):
    """Mean over the token ids of the share of their most frequent first expert, each expert's highest share, and how many
    token ids occur often enough."""
    ids = sample[variable].values[-1] if variable == "predicted" else sample[variable].values
    given = defaultdict(Counter)
    for x, row in zip(ids, choices(sample, layer)):
        given[x][row[0]] += 1
    often = {x: c for x, c in given.items() if sum(c.values()) >= least}
    used = {row[0] for row in choices(sample, layer)}
    best = {e: max(c[e] / sum(c.values()) for c in often.values()) for e in used}
    return np.mean([max(c.values()) / sum(c.values()) for c in often.values()]), best, len(often)


def evenness(loads):
    mean, h = sum(loads) / len(loads), _entropy(loads)
    return dict(effective_experts=math.exp(h), normalised_entropy=h / math.log(len(loads)), max_vio=(max(loads) - mean) / mean,
                cv=math.sqrt(sum((c - mean) ** 2 for c in loads) / len(loads)) / mean)


def drops(tokens, layer, label):
    """{label: dropped share of the choices}; `label` is a function of a token's place."""
    dropped, total = Counter(), Counter()
    for i, (row, kept) in enumerate(zip(tokens["expert"].values[:, layer], tokens["kept"].values[:, layer])):
        for e, k in zip(row, kept):
            if e >= 0:
                total[label(i)] += 1
                dropped[label(i)] += k == 0
    return {name: dropped[name] / total[name] for name in total}


def largest_lift(ids, expert, kind_of, kind):
    """The largest lift of any expert over a class of ids: its share among the expert's tokens, over its share of all."""
    share = sum(kind_of[i] == kind for i in ids) / len(ids)
    return max(sum(kind_of[i] == kind for i, e in zip(ids, expert) if e == one) / sum(e == one for e in expert) / share
               for one in set(expert))


def permuted_largest_lifts(ids, experts_of, kind_of, kind):
    """The largest lift over a class under every map there is in which ids have changed places with those whose occurrences lie between the
    same powers of two, [float]. experts_of: of each token its choices. An id goes to experts as often as it occurs, in the shares in which
    the id whose place it took did."""
    times, went = Counter(ids), defaultdict(Counter)
    for i, experts in zip(ids, experts_of):
        went[i].update(experts)
    strata = defaultdict(list)
    for i in sorted(times):
        strata[times[i].bit_length()].append(i)
    found = []
    for orders in itertools.product(*(itertools.permutations(stratum) for stratum in strata.values())):
        place = {i: other for stratum, order in zip(strata.values(), orders) for i, other in zip(stratum, order)}
        load, of_kind = Counter(), Counter()
        for i, n in times.items():
            for expert, count in went[place[i]].items():
                load[expert] += n * count / times[place[i]]
                of_kind[expert] += n * count / times[place[i]] * (kind_of[i] == kind)
        share = sum(of_kind.values()) / sum(load.values())
        found.append(max(of_kind[e] / load[e] / share for e in load))
    return found
