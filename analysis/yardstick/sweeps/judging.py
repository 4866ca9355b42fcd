"""`yardstick judge FOLDER`: corrected verdicts, and of router-learning those of its other sweeps, from what an experiment has committed;
its runs need not be there.

Registered verdicts stay as they are to the last digit; of losses, the blocks of held-out text count where they are committed, and seeds
alone where they are not. A csv of runs from before 2026-12-01 lacks what is the same in all of them, which saturation.json and the csv of
its curve say."""
import json
import pathlib
import re
import tempfile

import numpy as np

from ..base import reading, writing
from ..base.faults import SchemaError
from ..drawing import figure_file
from ..law import contrasts, curves
from ..verdicts import acceptance, claims
from .arms_report import EXACT
from . import arms as arms_of, arms_corrected, companions, corrected, overtaking, results, router_learning, saturation_report, trained

ADVICE = "give the folder of an experiment that `yardstick saturation`, `balancing`, `top-k` or `router-learning` wrote"
OWN = "router-learning"  # the file of its laptop scale, whose entry its own command writes
PUBLISHED = "law-from-published-curves"  # the experiment beside that has the gains of published curves
SAME = re.compile(r"(\w+) = ([^,]+)")


def _json(path):
    return reading.parse_json(reading.read_text(path, ADVICE), path, ADVICE)


def _entries(folder):
    """Those of the folder's acceptance.json."""
    found = _json(folder / "acceptance.json")
    if not isinstance(found, list):
        raise SchemaError(f"{folder / 'acceptance.json'}: is no list of entries; {ADVICE}")
    return found


def _frame(folder, record, kind):
    """The committed evaluations of a curve, with the columns that all of its runs share."""
    path = folder / f"{record['name']}-{kind}.csv"
    frame = reading.read_csv(path, ["num_experts", "seed", "step", "tokens", "loss_validation"], ADVICE)
    if "total_parameter_count" not in frame:
        known = reading.read_csv(folder / f"{record['name']}.csv", ["num_experts", "parameters"], ADVICE).set_index("num_experts")
        frame["total_parameter_count"] = frame["num_experts"].map(known["parameters"])
    for name, value in SAME.findall(record["label"]):
        if name not in frame:
            frame[name] = value if name in ("arm", "router_type") else float(value)
    return results.checked(frame, path)


def _redraw(folder, record, out, command):
    """The figures of a committed curve from its committed evaluations, by the runs that those say which stand there. Tables of before
    2026-12-01 are written anew with all columns that `yardstick saturation` needs."""
    name, gains = record["name"], folder.parent / PUBLISHED
    kinds = [kind for kind in ("runs", "times", "cooled") if reading.is_file(folder / f"{name}-{kind}.csv")]
    runs, digests = figure_file.read_origin(folder / f"{name}.svg").runs, {}
    with tempfile.TemporaryDirectory() as whole:
        for kind in kinds:
            rows = saturation_report.evaluations(_frame(folder, record, kind))
            text = writing.table_text(rows, EXACT)
            pathlib.Path(f"{whole}/{kind}.csv").write_text(text, encoding="utf-8")
            writing.write_text(out / f"{name}-{kind}.csv", text)
            digests[str(out / f"{name}-{kind}.csv")] = figure_file.sha256(f"{whole}/{kind}.csv")
        others = {kind: f"{whole}/{kind}.csv" for kind in kinds[1:]}
        beside = companions.Beside(published=str(gains) if gains.is_dir() else None, **others)
        (table,) = results.tables(results.read(f"{whole}/runs.csv"))
        origin = figure_file.origin_of(command, [gains / curves.GAINS] if gains.is_dir() else [], runs)
        saturation_report.Curve(table, runs, name, beside).draw(out, origin._replace(inputs=origin.inputs | digests))


class Curve:
    """A committed curve over E, as far as corrected verdicts need it; others: all curves of its folder."""

    def __init__(self, folder, record):
        self.name, self.record, frame = record["name"], record, _frame(folder, record, "runs")
        (self.table,) = results.tables(frame)
        self.contrasts, self.shorter, self.beside = contrasts.measure(self.table), [], None
        if reading.is_file(folder / f"{self.name}-cooled.csv"):
            self.shorter = companions.beside_dense(_frame(folder, record, "cooled"), self.table, [])

    def said(self):
        return [*corrected.sentences(self.contrasts, contrasts.upto(self.table.experts)),
                *([trained.sentence(self.beside)] if self.beside else [])]


def _curves(folder, command):
    """(text, {(key, label): part}, what to write) of a folder of `yardstick saturation`."""
    path = folder / "saturation.json"
    content = _json(path)
    made = [Curve(folder, record) for record in content["curves"]]
    for curve in made:
        curve.beside = trained.curve(curve.table, [other.table for other in made])
    parts = {(key, curve.record["label"]): part for curve in made
             for key, part in corrected.verdicts(curve.contrasts, curve.table, curve.shorter, curve.beside).items()}

    def write(out):
        for curve in made:
            saturation_report.write_contrasts(out, curve.name, curve.contrasts)
            _redraw(folder, curve.record, out, command)
        records = [curve.record | dict(corrected=curve.said()) for curve in made]
        writing.write_text(out / path.name, json.dumps(content | dict(curves=records), indent=1, ensure_ascii=False) + "\n")
    return "\n\n".join("\n".join([curve.record["label"], *curve.said()]) for curve in made), parts, write


def _losses(folder, *names, by="arm"):
    """Of the first of these files that is there."""
    return next(arms_of.read_losses(folder / name, by) for name in names if reading.is_file(folder / name))


def _arms(folder, command):
    """The same of a folder of `yardstick balancing`."""
    names, losses, hashed, still = _losses(folder, "balancing-losses.csv", "balancing-runs.csv")
    runs = reading.read_csv(folder / "balancing-runs.csv", ["seed", "excess_global"], ADVICE)
    excess = runs.pivot(index="seed", columns="arm", values="excess_global")[names].values
    beside, parts = trained.arms(names, losses, hashed, still), arms_corrected.balancing(names, losses, excess, hashed)
    if beside is not None and beside.lost:
        parts |= {key: claims.not_trained(*trained.numbers(beside)) for key in arms_corrected.TEXT}
    return trained.sentence(beside) if beside else "", {(key, ""): part for key, part in parts.items()}, None


def _choices(folder, command):
    """The same of a folder of `yardstick top-k`; before 2026-12-01 its table alone had the losses of seeds."""
    if reading.is_file(folder / "top-k-losses.csv"):
        names, losses, *_ = arms_of.read_losses(folder / "top-k-losses.csv", "k")
    else:
        rows = reading.read_csv(folder / "top-k.csv", ["k"], ADVICE)
        names = [str(int(k)) for k in rows["k"]]
        losses = rows[[name for name in rows if name.startswith("loss_seed_")]].values.T[:, :, None]
    return "", {(key, ""): part for key, part in arms_corrected.top_2(names, losses).items()}, None


def _other_sweep(folder, name, command, out):
    """The entry of a sweep of router-learning, whose NAME-losses.csv and NAME-curves.csv are committed; with `out` draws the latter."""
    names, losses, hashed, _ = arms_of.read_losses(folder / f"{name}-losses.csv")
    if trained.HASH not in hashed:
        raise SchemaError(f"{folder / name}-losses.csv: has no arm {trained.HASH} whose column hash is 1; {ADVICE}")
    path, figure = folder / f"{name}-curves.csv", f"{name}-curves"
    curves = overtaking.read(path)
    if curves.empty:
        raise SchemaError(f"{path}: has no rows; {ADVICE}")
    label = f"{name}, {curves['tokens'].max() / 1e6:.0f} million tokens"
    if out is not None:
        origin = figure_file.origin_of(command, [path])
        caption = f"Loss less that of a hash on its way: {label}, {len(losses)} seeds"
        figure_file.save(overtaking.draw(curves, len(losses)), out, figure, origin._replace(caption=caption))
    files = [f"{name}.csv", f"{name}-losses.csv", f"{figure}.svg"]
    return claims.entry("router-learns", *router_learning.learned(names, losses), files, label)


def _other_sweeps(folder, out, command):
    """What `make` returns and does of router-learning: the verdicts of its sweeps beside that of laptop scale."""
    known = (path.name.removesuffix("-losses.csv") for path in sorted(folder.glob("*-losses.csv")))
    entries = [_other_sweep(folder, name, command, out) for name in known if name != OWN]
    judged = {e["label"].split(",")[0] for e in entries}  # a sweep whose losses are not here keeps its verdict
    kept = [e for e in _entries(folder) if e["label"].split(",")[0] not in judged]
    if out is not None:
        acceptance.add(out / "acceptance.json", kept, entries, command)
    return "\n".join(f"{e['label']}: {e['status']}" for e in entries)


KINDS = {"saturation.json": _curves, "balancing-runs.csv": _arms, "top-k.csv": _choices}


def make(folder, out=None, command=""):
    """Returns what corrected rules say of an experiment; with `out` writes acceptance.json there, registered verdicts as they were, and of
    a curve OUT/NAME-contrasts.csv and -power.csv, what they say in saturation.json, and its figures anew."""
    folder = pathlib.Path(folder)
    if reading.is_file(folder / f"{OWN}.csv"):
        try:
            return _other_sweeps(folder, out and pathlib.Path(out), command)
        except (KeyError, TypeError) as error:
            raise SchemaError(f"{folder}: is not what yardstick writes ({error}); {ADVICE}") from error
    kind = next((judge for name, judge in KINDS.items() if reading.is_file(folder / name)), None)
    if kind is None:
        raise SchemaError(f"{folder}: has none of {', '.join([*KINDS, OWN + '.csv'])}; {ADVICE}")
    entries = _entries(folder)
    try:
        said, parts, write = kind(folder, command)
        known = {(e["key"], e["label"]): e["claim"] for e in entries}
    except (KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
        raise SchemaError(f"{folder}: is not what yardstick writes ({error}); {ADVICE}") from error
    if out is not None:
        if write is not None:
            write(pathlib.Path(out))
        acceptance.rewrite(pathlib.Path(out) / "acceptance.json", entries, parts, command, acceptance.commit())
    verdicts = [f"{known[key]}: {part['status']}" for key, part in parts.items() if key in known]
    return "\n".join([*([said, ""] if said else []), *verdicts])
