"""What is asked of the held-out routing of a run, each as a tidy table: the tokens of an expert, one token through training, how choices
settle, domains, and which experts are chosen together. Layers go by their transformer block, evaluations by the steps done."""
import difflib

import numpy as np
import pandas as pd

from ..base.faults import SchemaError
from ..records import run_folder, special
from ..records.sample import Measure, experts_of, layer_of, occurrences, tally
from ..routing import agreement

PREFIXES = ("", "\u2581", " ")  # of a word's token, by the tokenizer
TEXT = 16                       # bytes of a token's text that are recorded
LEAST = 20                      # occurrences below which a share says little


class HeldOut:
    """The held-out routing of a run (`tables.run.Run`), in the layers that the run has."""

    def __init__(self, run):
        folder = run.attrs.get("run_folder")
        if folder is None:
            raise SchemaError("this dataset does not say its run folder; give what yardstick.open gave")
        part = run[[n for n in ("experts", "evaluation_loss") if n in run]]
        part = part.expand_dims("layer") if "layer" in part.coords and "layer" not in part.dims else part
        data = run_folder.open_evaluation(folder)
        why = special.without_routing(part, data)
        if why:
            raise SchemaError(f"{folder}: nothing to analyse: {why}; give a run with experts and evaluations")
        data = data.sel(layer=part["layer"].values) if "layer" in data.coords else data
        self.data, self.folder = special.with_layers(data, part), folder
        self.blocks = [int(b) for b in self.data["layer"].values]
        self.steps = [int(s) for s in self.data["step"].values]

    def layers(self, block):
        """(block, place) of one layer, or of all."""
        if block is not None and block not in self.blocks:
            raise SchemaError(f"{self.folder}: block {block} has no experts; there are the blocks {', '.join(map(str, self.blocks))}")
        return [(b, i) for i, b in enumerate(self.blocks) if block in (None, b)]

    def at(self, step):
        """The place of an evaluation, by default the last."""
        if step is None:
            return len(self.steps) - 1
        if step not in self.steps:
            near = min(self.steps, key=lambda s: abs(s - step))
            raise SchemaError(f"{self.folder}: no evaluation at step {step}; there are {len(self.steps)}, the nearest at step {near}")
        return self.steps.index(step)

    def ids(self, text):
        """The ids of a token by its text, with or without the sign of a word's beginning, and how many each has in the sample."""
        texts = special.token_texts(self.data)
        wanted = {(prefix + text).encode()[:TEXT].decode("utf-8", "replace") for prefix in PREFIXES}
        ids = [i for i, t in enumerate(texts) if t in wanted]
        if not ids:
            near = difflib.get_close_matches(text, [t.strip("\u2581 ") for t in texts], 3)
            raise SchemaError(f"{self.folder}: no token of the vocabulary is '{text}'{f'; near it are {near}' if near else ''}")
        return ids


def _tidy(measure, **columns):
    """A row for each value of a Measure."""
    shape = np.shape(measure.value)
    return pd.DataFrame(columns | {n: np.broadcast_to(getattr(measure, n), shape).reshape(-1) for n in Measure._fields})


def _together(frames):
    return pd.concat(frames, ignore_index=True)


def tokens_of(run, expert, layer, step=None, least=LEAST):
    """A row for each token of the vocabulary of which the expert was given any of at least `least` occurrences."""
    held_out = HeldOut(run)
    (_, place), = held_out.layers(layer)
    routing, data = layer_of(held_out.data, place, held_out.at(step)), held_out.data
    if not 0 <= expert < routing.experts:
        raise SchemaError(f"{held_out.folder}: block {layer} has no expert {expert}; it has {routing.experts}, from 0")
    texts, ids = special.token_texts(data), data["token"].values
    given = (routing.chosen == expert).any(1)
    times, hits = occurrences(ids, len(texts)), occurrences(ids[given], len(texts))
    token = np.nonzero((times >= max(1, least)) & (hits > 0))[0]
    frame = pd.DataFrame(dict(token=token, text=np.array(texts)[token], given=hits[token], occurrences=times[token],
                              share=hits[token] / times[token]))
    frame["lift"] = frame["share"] / max(given.mean(), np.finfo(float).tiny)
    frame["share_low"] = special.wilson(frame["given"], frame["occurrences"])
    return frame.sort_values(["share_low", "token"], ascending=[False, True], ignore_index=True)


def trace_token(run, text, layer=None):
    """A row for each evaluation, layer and expert."""
    held_out = HeldOut(run)
    at = np.nonzero(np.isin(held_out.data["token"].values, held_out.ids(text)))[0]
    if not len(at):
        raise SchemaError(f"{held_out.folder}: '{text}' does not occur in the held-out sample; ask for a more frequent token")
    rows, part = [], held_out.data.isel(sample=at)
    for block, place in held_out.layers(layer):
        for i, step in enumerate(held_out.steps):
            given = tally(layer_of(part, place, i), np.zeros(len(at), np.int8), 1)[0]
            rows.append(pd.DataFrame(dict(step=step, layer=block, expert=np.arange(len(given)), given=given, occurrences=len(at),
                                          share=given / len(at))))
    return _together(rows).sort_values(["step", "layer", "expert"], ignore_index=True)


def saturation(run, a=None, b=None):
    """A row for each layer, and each evaluation where `a` is None."""
    held_out = HeldOut(run)
    rows, last = [], held_out.at(b)
    for i in range(len(held_out.steps)) if a is None else [held_out.at(a)]:
        for block, place in held_out.layers(None):
            found = agreement.between(layer_of(held_out.data, place, i), layer_of(held_out.data, place, last))
            rows.append(_tidy(found, step=held_out.steps[i], against=held_out.steps[last], layer=block))
    return _together(rows)


def domains(run, layer=None, step=None):
    """A row for each layer, expert and domain."""
    held_out, rows = HeldOut(run), []
    names = special.domain_names(held_out.data)
    if len(names) < 2:
        raise SchemaError(f"{held_out.folder}: its corpus does not tell domains apart")
    label = held_out.data["domain"].values
    known = np.bincount(label[label >= 0], minlength=len(names))
    for block, place in held_out.layers(layer):
        table = tally(layer_of(held_out.data, place, held_out.at(step)), label, len(names)).T
        expert, domain = np.indices(table.shape)
        with np.errstate(invalid="ignore", divide="ignore"):
            share, chance = table / table.sum(1, keepdims=True), known / known.sum()
            rows.append(pd.DataFrame(dict(layer=block, expert=expert.ravel(), domain=np.array(names)[domain.ravel()], given=table.ravel(),
                                          share=share.ravel(), chance=chance[domain.ravel()], lift=(share / chance).ravel())))
    return _together(rows)


def coactivation(run, layer=None, step=None):
    """A row for each layer and ordered pair of its experts."""
    held_out, rows = HeldOut(run), []
    for block, place in held_out.layers(layer):
        routing = layer_of(held_out.data, place, held_out.at(step))
        if routing.top_k > 1:
            expert, other = np.indices((experts_of(held_out.data, place),) * 2)
            frame = _tidy(agreement.coactivation_of(routing), layer=block, expert=expert.ravel(), other=other.ravel())
            rows.append(frame[frame["expert"] != frame["other"]])
    if not rows:
        raise SchemaError(f"{held_out.folder}: nothing is chosen together: every token is given to one expert (moe.top_k: 1)")
    return _together(rows)
