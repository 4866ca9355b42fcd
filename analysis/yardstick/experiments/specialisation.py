"""`yardstick specialisation RUN RUN RUN`: what experts take above its base rate, by class of token and by domain, and the claim on experts
for punctuation and for numbers, in runs that differ in their seed.

Lift: the share of a class (or domain) among the tokens that an expert was given, by any choice at the last evaluation, over its share of
all held-out tokens; 1 is no preference. Most of what domains show is their token ids (OpenMoE): `yardstick routing` has the control."""
import pathlib
import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ..base import writing
from ..records import special
from ..base.arguments import alike
from ..base.faults import SchemaError
from ..records.run_folder import option
from ..verdicts import acceptance
from ..drawing import figure_file
from ..drawing.figures import MOST_ROWS, Absent, _colourbar
from ..routing.analyses import open_records
from ..routing.routing_claim import WANTED, punctuation_and_number_experts
from .load_figure import caption

TOP = 3.0  # log2 of the lift at the ends of the scale


def matrices(evaluation):
    """[(block, {kind: (labels, lift (E, n), base rates (n,), choices of each expert (E,))})]: kinds are class and,
    where known, domain; labels that no token has are left out; lifts of experts without tokens are nan."""
    kinds = {"class": (special.class_labels(evaluation), special.CLASSES)}
    labels, names = special.domain_labels(evaluation)
    if labels is not None:
        kinds["domain"] = labels, names
    found = []
    for i, block in enumerate(evaluation["layer"].values):
        by_kind = {}
        for kind, (labels, names) in kinds.items():
            counts, base = special.shares(evaluation, i, labels, len(names))
            seen = base > 0
            lift = special.lift(counts, np.where(seen, base, 1))[:, seen]
            by_kind[kind] = [n for n, s in zip(names, seen) if s], lift, base[seen], counts.sum(1)
        found.append((int(block), by_kind))
    return found


def table_of(seed, found):
    """A row for each layer, expert and label."""
    return pd.DataFrame([dict(seed=seed, block=block, expert=e, kind=kind, label=label, lift=lift[e, n],
                              share=lift[e, n] * base[n], base_rate=base[n], choices=int(choices[e]))
                         for block, by_kind in found for kind, (labels, lift, base, choices) in by_kind.items()
                         for e in range(len(lift)) for n, label in enumerate(labels)])


def table_of_maps(entry):
    """A row for each run, layer and class of the claim: its largest lift beside that of permuted maps."""
    return pd.DataFrame([dict(seed=run["seed"], block=block, label=name, **found[name]["maps"])
                         for run in entry["measured"].get("runs", []) for block, found in run["blocks"].items() for name in WANTED])


def order_of(lift):
    """(E,) experts by the label that they take most above its base rate, then by how much; those without tokens last."""
    known = np.nan_to_num(lift, nan=-1)
    return np.lexsort((-known.max(1), np.where(known.max(1) < 0, lift.shape[1], known.argmax(1))))


def draw(found, text):
    """A row for each layer: log2 of the lift by class and by domain; the experts of a layer stand in one order in both."""
    kinds = list(found[0][1])
    most = max(len(found), *(len(labels) for _, by_kind in found for labels, *_ in by_kind.values()))
    if most > MOST_ROWS:
        raise Absent(f"{most:,} layers or domains are more than the {MOST_ROWS} that a figure holds; without --out they are printed")
    heights = [1.0 + 0.28 * max(len(labels) for labels, *_ in by_kind.values()) for _, by_kind in found]
    figure, axes = plt.subplots(len(found), len(kinds), figsize=(6.5 * len(kinds), 0.8 + sum(heights)),
                                squeeze=False, height_ratios=heights)
    for row, (block, by_kind) in zip(axes, found):
        order = order_of(by_kind["class"][1])
        for axis, (kind, (labels, lift, *_)) in zip(row, by_kind.items()):
            image = axis.imshow(np.log2(np.maximum(lift[order], 2.0**-TOP)).T, cmap="PuOr_r", vmin=-TOP,
                                vmax=TOP, aspect="auto", interpolation="nearest")
            axis.set_facecolor("0.8")  # experts without tokens
            axis.grid(False)
            axis.set(yticks=range(len(labels)), yticklabels=labels, xticks=range(0, len(order), max(1, len(order) // 16)))
            axis.set_xticklabels([str(order[at]) for at in axis.get_xticks()], fontsize="small")
            axis.set_title(f"block {block}, by {kind}", loc="left", fontsize="medium")
    for axis in axes[-1]:
        axis.set_xlabel("expert, by the class that it prefers")
    _colourbar(figure, image, axes.ravel(), "log₂(share / base rate)", "both")
    figure_file.note(figure, text)
    return figure


def sentences(entry):
    """What was found in every run and layer."""
    said = []
    for run in entry["measured"].get("runs", []):
        for block, found in run["blocks"].items():
            lifts = [f"{name} {found[name]['lift']['value']:.2f} [{found[name]['lift']['low']:.2f}, {found[name]['lift']['high']:.2f}] by "
                     f"expert {found[name]['expert']} (largest {found[name]['maps']['lift']:.2f}, of permuted maps "
                     f"{found[name]['maps']['null_mean']:.2f}, p = {found[name]['maps']['p']:.3f})"
                     for name in found if isinstance(found[name], dict) and "lift" in found[name]]
            nmi = found["nmi_excess"]
            fails = f"; the rule fails in {', '.join(found['fails'])}" if found["fails"] else "; the rule holds"
            said.append(f"Seed {run['seed']}, block {block}: highest lift of {', of '.join(lifts)}; NMI above its null {nmi['value']:.4f} "
                        f"[{nmi['low']:.4f}, {nmi['high']:.4f}]{fails}.")
    why = entry["measured"].get("why")
    corrected = [f"{entry['claim']}, by the rule corrected on {entry['corrected']['date']}: {entry['corrected']['status']}"] \
        if "corrected" in entry else []
    return [*said, f"{entry['claim']}: {entry['status']}" + (f" ({why})" if why else ""), *corrected]


def _names(folders, records):
    """A name for the figure of each run, by its seed where all are known; SchemaError where two are the same, as of a copied folder."""
    seeds = [option(run, "train.seed") for run, _ in records]
    same = alike(seeds)
    if same:
        first, second = same
        raise SchemaError(f"{folders[first]} and {folders[second]} have the same seed {seeds[first]}; give runs that differ in it")
    known = all(re.fullmatch("[0-9]{1,20}", s or "") for s in seeds)
    return [f"specialisation-seed{s}" if known else f"specialisation-{i}" for i, s in enumerate(seeds)]


def make(folders, out=None, command=""):
    """Returns the text to print; with `out` writes OUT/specialisation.csv and -maps.csv, a figure for each run and acceptance.json."""
    records = [open_records(folder) for folder in folders]
    without = [(str(folder), special.without_routing(*record)) for folder, record in zip(folders, records)]
    for reason in dict.fromkeys(why for _, why in without if why):
        raise SchemaError(f"{', '.join(f for f, why in without if why == reason)}: {reason}; give runs with experts and evaluations")
    names, entry = _names(folders, records), punctuation_and_number_experts(folders)
    if out is not None:
        out = pathlib.Path(out)
        found = [matrices(evaluation) for _, evaluation in records]
        tables = [table_of(option(run, "train.seed"), f) for (run, _), f in zip(records, found)]
        writing.write_table(out / "specialisation.csv", pd.concat(tables, ignore_index=True), "%.6g")
        writing.write_table(out / "specialisation-maps.csv", table_of_maps(entry), "%.6g")
        origins = [figure_file.origin_of_run(command, folder) for folder in folders]
        for folder, name, (run, _), f, origin in zip(folders, names, records, found, origins):
            text = caption(run, folder)
            figure_file.save(draw(f, text), out, name, origin._replace(caption=text))
        made = entry | dict(files=["specialisation.csv", "specialisation-maps.csv", *(f"{name}.svg" for name in names)])
        acceptance.write(out / "acceptance.json", acceptance.of_runs([made], [run for origin in origins for run in origin.runs]),
                         command, origins[0].commit)
    return "\n".join(sentences(entry))
