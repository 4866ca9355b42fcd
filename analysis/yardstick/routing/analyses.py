"""`yardstick routing RUN`: every analysis of routing beside its chance level and null, as one tidy table and figures."""
import pathlib

import numpy as np
import pandas as pd

from ..base import writing
from ..records import special
from ..base.text import plain
from ..base.faults import SchemaError
from ..records.run_folder import open_evaluation, open_run, open_tokens
from ..records.sample import Measure, layers_of
from ..drawing import figure_file
from . import affinity, agreement, balance, context, routing_figures

COLUMNS = ["quantity", "layer", "step", "expert", "other", "label", *Measure._fields]
PAIRS = 64 * 63  # of a layer's ordered pairs of experts, written to routing.csv at most: the furthest from their null
STEPS = 5        # of a run's evaluations, shown in the printed table at most


class Found(dict):
    """Datasets with the fields of `Measure` by quantity; `absent` says of a group of quantities why it is missing."""

    def __init__(self):
        super().__init__()
        self.absent = {}


def _group(found, name, analysis, sample, *needed, absent=None):
    """Adds what `analysis` gives, unless the sample lacks a variable or nothing is to be measured: then says why."""
    missing = [n for n in needed if n not in sample]
    results = None if missing else analysis()
    if missing:
        found.absent[name] = f"the record has no {', '.join(missing)}"
    elif not results:
        found.absent[name] = absent
    else:
        found.update(results)


def _saturation(evaluation):
    if evaluation.sizes["evaluation"] < 2:
        return None
    return dict(saturation=agreement.saturation(evaluation), persistence=agreement.persistence(evaluation))


def _coactivation(evaluation):
    pairs = agreement.coactivation(evaluation)
    return None if pairs is None else dict(coactivation=pairs,
                                           coactivation_adjacent_ranks=agreement.coactivation(evaluation, adjacent=True))


def _context(evaluation, shuffles, seed):
    counts = context.within_documents(evaluation, shuffles, seed)
    places = {f"locality_{kind}": result for kind, result in context.locality(counts).items()}
    return dict(class_entropy=context.class_entropy(counts), **context.information(counts), **places)


def _vocabulary(evaluation, least, shuffles, seed):
    found = {}
    for variable in affinity.VARIABLES:
        mean, best = affinity.vocabulary(evaluation, variable, least, shuffles, seed)
        found |= {f"vocabulary_{variable}": mean, f"vocabulary_{variable}_best": best}
    return found


def _domains(evaluation, seed):
    known = special.domain_labels(evaluation)[1] and (evaluation["domain"].values >= 0).any()
    return affinity.domains(evaluation, seed=seed) if known else None


def measure(evaluation, tokens=None, run=None, shuffles=10, least=10, seed=0, absent="no held-out routing was recorded"):
    """All of docs/science.md, "Routing analyses": a dict of datasets by quantity (`Found`). `evaluation` as `special.with_layers` gives it
    (None: nothing is found), `tokens` as `open_tokens` (for drops) and `run` as `open_run` (for the loads of training steps);
    `shuffles` of each drawn null, `least` occurrences of a token for vocabulary specialisation; absent: why there is no routing, where
    there is none."""
    found = Found()
    if evaluation is None or "expert" not in evaluation:
        found.absent = dict.fromkeys(["saturation", "coactivation", "context", "vocabulary", "domain", "balance", "drops"], absent)
        return found
    e = evaluation
    _group(found, "saturation", lambda: _saturation(e), e, absent="there is only one evaluation to compare with itself")
    _group(found, "coactivation", lambda: _coactivation(e), e, absent="every token is given to one expert")
    _group(found, "context", lambda: _context(e, shuffles, seed), e, "token", "token_text", "position")
    _group(found, "vocabulary", lambda: _vocabulary(e, least, shuffles, seed), e, "token_text", *affinity.VARIABLES.values())
    _group(found, "domain", lambda: _domains(e, seed), e, "token", "domain", "position", absent="the corpus does not tell domains apart")
    found.update(balance.held_out(e, seed))
    if run is not None and "assigned" in run and run.sizes["layer"] == e.sizes["layer"]:
        found.update(balance.training(run, [layer.top_k for layer in layers_of(e)], seed))
    if tokens is None:
        found.absent["drops"] = "no training tokens were sampled"
    else:
        _group(found, "drops", lambda: balance.drops(special.with_layers(tokens, e), e), tokens, "kept", "expert",
               absent="the sampled training tokens have no drops")
    return found


def _furthest(frame):
    """Of each layer the rows furthest from their null, as many as are written."""
    distance = (frame["value"] - frame["null_mean"]).abs()
    return frame.loc[distance.groupby(frame["layer"]).nlargest(PAIRS).index.get_level_values(-1).sort_values()]


def tidy(found):
    """One row a value: quantity, layer (its block), step, expert, other (the second of a pair), label (class, domain, token or
    position), value, chance, null_mean, null_sd, n."""
    frames = []
    for name, dataset in found.items():
        frame = dataset.to_dataframe().reset_index().dropna(subset=["value"])
        frame = _furthest(frame) if "other" in frame and len(frame) else frame
        frames.append(frame.assign(quantity=name).reindex(columns=COLUMNS))
    table = pd.concat([f for f in frames if len(f)], ignore_index=True)
    whole = ["layer", "step", "expert", "other", "n"]
    return table.astype({name: "Int64" for name in whole})


def digest(table):
    """The rows worth printing: of a quantity by expert the one furthest from its null, of one by step a few."""
    chosen = []
    for (name, _), rows in table.groupby(["quantity", "layer"], sort=False):
        if rows["expert"].notna().any() or name == "drop_by_position":
            rows = rows.loc[[(rows["value"] - rows["null_mean"]).abs().idxmax()]]
        elif rows["step"].notna().any():
            rows = rows.iloc[np.unique(np.linspace(0, len(rows) - 1, STEPS).astype(int))]
        chosen.append(rows)
    return pd.concat(chosen)


def _where(row):
    """What a row speaks of, beside its layer."""
    names = dict(step="step {}", expert="expert {}", other="with {}", label="{}")
    return " ".join(text.format(plain(row[name], 40)) for name, text in names.items() if pd.notna(row[name]))


def formatted(table):
    """The digest as text."""
    head = ["quantity", "block", "of", "value", "chance", "null mean", "null sd", "n"]
    number = lambda x: "" if pd.isna(x) else f"{x:.4g}"
    lines = [[row["quantity"], str(row["layer"]), _where(row), *(number(row[f]) for f in Measure._fields[:-1]), str(row["n"])]
             for _, row in digest(table).iterrows()]
    widths = [max(len(line[i]) for line in [head, *lines]) for i in range(len(head))]
    right = {1, 3, 4, 5, 6, 7}
    return "\n".join("  ".join(c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(line, widths))).rstrip()
                     for line in [head, *lines])


def open_records(run_folder):
    """(run, evaluation with what the run says of its layers or None) of a run folder."""
    run, evaluation = open_run(run_folder), open_evaluation(run_folder)
    return run, None if evaluation is None else special.with_layers(evaluation, run)


def write_routing(run_folder, out=None, command="", **options):
    """Writes OUT/routing.csv and the figures as SVG and PNG (default RUN/routing); returns the text to print. `options` are those of
    `measure`."""
    run, evaluation = open_records(run_folder)
    why = special.without_routing(run, evaluation)
    if why:
        raise SchemaError(f"{run_folder}: nothing to analyse: {why}; give a run with experts and evaluations")
    found = measure(evaluation, open_tokens(run_folder), run, **options)
    table = tidy(found)
    out = pathlib.Path(out or pathlib.Path(run_folder) / "routing")
    writing.write_table(out / "routing.csv", table)
    origin = figure_file.origin_of_run(command, run_folder, ("run.h5", "evaluation.h5", "tokens.r*.h5"))
    notes = [f"not measured: {', '.join(names)}: {reason}" for reason, names in _by_reason(found.absent).items()]
    for name, (function, title) in routing_figures.FIGURES.items():
        try:
            figure = function(found)
        except routing_figures.Absent as reason:
            notes.append(f"not drawn: {name}: {reason}")
            continue
        figure.suptitle(title, fontsize="large")
        figure_file.save(figure, out, name, origin._replace(caption=title))
    return "\n".join([formatted(table), *notes, f"{out / 'routing.csv'}: {len(table)} rows"])


def _by_reason(absent):
    reasons = {}
    for name, reason in absent.items():
        reasons.setdefault(reason, []).append(name)
    return reasons
