"""What experts specialise in: token classes, domains and typical tokens, each beside its chance level."""
import json
from typing import NamedTuple

import numpy as np
from scipy.stats import norm

from ..base.faults import RecordError
from .run_folder import option
from .sample import experts_of, layer_of, tally

DENSE = "the model is dense, without routers and experts"
CLASSES = ["punctuation", "digits", "upper", "lower", "whitespace", "other"]


def token_class(text):
    """Class of a token by its first character that is not a space: punctuation, digits, upper, lower, whitespace, other."""
    stripped = text.replace("\u2581", " ").strip()
    if not text:
        return "other"
    if not stripped:
        return "whitespace"
    c = stripped[0]
    if c.isdigit():
        return "digits"
    if c.isalpha() and c.isascii():
        return "upper" if c.isupper() else "lower"
    return "punctuation" if c.isascii() and c.isprintable() else "other"


def visible(text):
    """A token's text with its spaces and line ends as signs."""
    signs = {"\u2581": "\u2423", " ": "\u2423", "\n": "\u21b5", "\r": "\u240d", "\t": "\u21e5"}
    return "".join(signs.get(c, c if c.isprintable() else "\ufffd") for c in text)


def token_texts(evaluation):
    """Texts of the vocabulary (their first 16 bytes)."""
    return [t.rstrip(b"\0").decode("utf-8", "replace") for t in evaluation["token_text"].values.astype("S16")]


def with_layers(evaluation, run):
    """The evaluation with what only run.h5 says of its layers: their blocks and how many experts each has."""
    if "experts" not in run or evaluation.sizes.get("layer") != run.sizes["layer"]:
        return evaluation
    return evaluation.assign(experts=("layer", run["experts"].values)).assign_coords(layer=run["layer"].values)


def shares(evaluation, layer, labels, count):
    """Of the last evaluation: (experts, count) counts of the tokens with each label that an expert of a layer was given
    (any choice), and the labels' own share of all tokens, which is the chance level of every expert."""
    table = tally(layer_of(evaluation, layer), labels, count).T.astype(float)
    return table, np.bincount(labels, minlength=count) / len(labels)


def class_labels(evaluation, tokens=None):
    """Class of each token, an index of CLASSES: of the evaluation, or of a token sample of the same run."""
    table = np.array([CLASSES.index(token_class(t)) for t in token_texts(evaluation)], np.int8)
    ids = (evaluation if tokens is None else tokens)["token"].values
    if ids.size and ids.max() >= len(table):
        raise RecordError(f"token id {ids.max()} is beyond the vocabulary of {len(table):,}; run `switchyard verify` on the run folder")
    return table[ids]


def domain_names(evaluation):
    """Names of the domains; none where the record has none, or where segments differ in them."""
    return json.loads(evaluation.attrs.get("domains", "[]")) if "domain" in evaluation else []


def without_routing(run, evaluation):
    """Why there is no held-out routing of a run to analyse; None where there is."""
    if "layer" not in run.dims:
        return DENSE
    if evaluation is not None:
        missing = [name for name in ("expert", "token", "token_text") if name not in evaluation]
        differ = [name for name in missing if name in evaluation.attrs.get("left_out", [])]
        if differ:
            return f"its segments differ in {', '.join(differ)}: their held-out routing is not one table"
        return f"its evaluation.h5 has no {', '.join(missing)}" if missing else None
    every = option(run, "train.evaluate_every")
    if run.sizes.get("evaluation", 0):
        return "its held-out routing (evaluation.h5) cannot be read"
    if every is None or every == "0":
        return "no held-out routing was recorded" + (" (train.evaluate_every: 0)" if every else "")
    return f"no held-out routing was recorded yet (train.evaluate_every: {every})"


def domain_labels(evaluation):
    """Labels and names; None where the corpus has no domains."""
    names = domain_names(evaluation)
    if not names:
        return None, names
    labels = evaluation["domain"].values
    return (labels, names) if len(names) > 1 and (labels >= 0).all() else (None, names)


def lift(table, chance):
    """Share of a label among an expert's tokens over its chance level; 1 = no preference. Experts without tokens give nan."""
    total = table.sum(1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return table / total / chance


class Token(NamedTuple):
    """A token and one expert: the share of its occurrences that the expert was given, and that over the expert's chance."""
    text: str
    share: float
    lift: float


class Typical(NamedTuple):
    """The tokens that an expert prefers, and its share of all tokens: what a token would show by chance."""
    chance: float
    tokens: list


def wilson(hits, count, level=0.95):
    """The lower end of Wilson's interval of the share of hits among counts."""
    z = norm.ppf((1 + level) / 2)
    share = hits / count
    return (share + z**2 / (2 * count) - z * np.sqrt(share * (1 - share) / count + (z / (2 * count)) ** 2)) / (1 + z**2 / count)


def typical_tokens(evaluation, layer, top=6, least=20):
    """Of each expert the tokens (seen at least `least` times) that most surely go to it, more often than by chance: by the lower end of
    the interval of their lift, so that a token that always goes there stands before a rarer one of which that is said."""
    tokens, texts = evaluation["token"].values, token_texts(evaluation)
    experts = evaluation["expert"].isel(evaluation=-1, layer=layer).values
    occurrences = np.bincount(tokens, minlength=len(texts))
    rows = []
    for e in range(experts_of(evaluation, layer)):
        given = (experts == e).any(1)
        chance = float(given.mean())
        hits = np.bincount(tokens[given], minlength=len(texts))
        often = occurrences >= max(least, 1)
        share = np.where(often, hits / np.maximum(occurrences, 1), 0)
        surely = np.where(often, wilson(hits, np.maximum(occurrences, 1)), 0)
        best = np.lexsort((np.arange(len(share)), -surely))[:top]
        rows.append(Typical(chance, [Token(texts[i], float(share[i]), float(share[i]) / chance) for i in best if share[i] > chance]))
    return rows
