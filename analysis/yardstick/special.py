"""What experts specialise in: token classes, domains and typical tokens, each beside its chance level."""
import json

import numpy as np

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


def token_texts(evaluation):
    """Texts of the vocabulary (their first 16 bytes)."""
    return [t.rstrip(b"\0").decode("utf-8", "replace") for t in evaluation["token_text"].values.astype("S16")]


def shares(evaluation, layer, labels, count):
    """Of the last evaluation: (experts, count) counts of the tokens with each label that an expert of a layer was given
    (any choice), and the labels' own share of all tokens, which is the chance level of every expert."""
    experts = evaluation["expert"].isel(evaluation=-1, layer=layer).values
    size = int(experts.max()) + 1
    table = np.zeros((size, count))
    for choice in range(experts.shape[1]):
        good = experts[:, choice] >= 0
        np.add.at(table, (experts[good, choice], labels[good]), 1)
    return table, np.bincount(labels, minlength=count) / len(labels)


def class_labels(evaluation):
    table = np.array([CLASSES.index(token_class(t)) for t in token_texts(evaluation)])
    return table[evaluation["token"].values]


def domain_labels(evaluation):
    """Labels and names; None where the corpus has no domains."""
    names = json.loads(evaluation.attrs.get("domains", "[]"))
    labels = evaluation["domain"].values
    return (labels, names) if len(names) > 1 and (labels >= 0).all() else (None, names)


def lift(table, chance):
    """Share of a label among an expert's tokens over its chance level; 1 = no preference. Experts without tokens give nan."""
    total = table.sum(1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return table / total / chance


def typical_tokens(evaluation, layer, top=6, least=20):
    """Of each expert the tokens (seen at least `least` times) that most often go to it: [(text, share of its occurrences)]."""
    tokens, texts = evaluation["token"].values, token_texts(evaluation)
    experts = evaluation["expert"].isel(evaluation=-1, layer=layer).values
    occurrences = np.bincount(tokens, minlength=len(texts))
    rows = []
    for e in range(int(experts.max()) + 1):
        hits = np.bincount(tokens[(experts == e).any(1)], minlength=len(texts))
        share = np.where(occurrences >= least, hits / np.maximum(occurrences, 1), 0)
        best = np.lexsort((np.arange(len(share)), -hits, -share))[:top]
        rows.append([(texts[i], float(share[i])) for i in best if share[i] > 0])
    return rows
