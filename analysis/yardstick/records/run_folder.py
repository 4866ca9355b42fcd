"""Opening a run folder: one dataset across segments, by schema version, latest row of each step."""
import pathlib
import re
import warnings

import numpy as np
import xarray as xr

from ..base.faults import NotWhole, RecordError, RecordWarning, SchemaError, of_system
from . import hdf5, lock, segment_file, stored

RUN, EVALUATION, TOKENS = "switchyard-run", "switchyard-evaluation", "switchyard-tokens"
EVERY = dict(evaluation="train.evaluate_every", sample="record.sample_every", timeline="record.timeline_every")  # steps are multiples of it


def no_run_folder(run):
    """Why a path is no run folder, and what to give."""
    folder = pathlib.Path(run)
    told = "give the folder that `switchyard train --run` wrote"
    try:
        if folder.is_file():
            return f"{run}: is a file, not a run folder; {told}"
        if not folder.exists():
            return f"{run}: no such folder; {told}"
        if (folder / "results.h5").exists() or (folder / "tasks").is_dir():
            return f"{run}: is the folder of a sweep, not of a run; give one of its runs, a folder in {folder / 'tasks'}"
    except (OSError, ValueError) as error:
        return f"{run}: cannot be looked at ({error}); {told}"
    return f"{run}: not a run folder (there is no {folder / 'segments'}); {told}"


def segments(run):
    """Folders of the segments in their order."""
    folder = pathlib.Path(run) / "segments"
    try:
        if not folder.is_dir():
            raise SchemaError(no_run_folder(run))
        return sorted((p for p in folder.iterdir() if re.fullmatch("[0-9]{1,9}", p.name) and p.is_dir()), key=lambda p: int(p.name))
    except OSError as error:
        raise of_system(error, folder, "cannot be read", "give the folder that `switchyard train --run` wrote") from error
    except ValueError as error:
        raise error if isinstance(error, SchemaError) else SchemaError(no_run_folder(run)) from error


class _Head:
    """What the root attributes of a segment's run.h5 say of it: after which step it begins (None where it does not know), its options,
    whether it has evaluations, and the transformer block of each of its layers."""

    def __init__(self, attrs, evaluated, blocks=()):
        self.attrs, self.evaluated, self.blocks = attrs, evaluated, blocks

    @classmethod
    def read(cls, path):
        def look(file):
            hdf5.check_schema(file.attrs, path, RUN)
            steps = file.datasets.get("evaluation_step")
            return cls(file.attrs, steps is not None and bool(steps.shape) and steps.shape[0] > 0, _blocks(file))
        return hdf5.opened(path, look)

    def every(self):
        """Dimension -> of which number its steps are multiples, where the configuration says it."""
        values = {dim: config_option(self.attrs.get("config", ""), name) or "" for dim, name in EVERY.items()}
        return {dim: int(value) for dim, value in values.items() if re.fullmatch("[0-9]{1,15}", value)}


def _blocks(file):
    """The transformer blocks of the layers of a run.h5; none where it does not say them: `load` says what is wrong with it."""
    block = file.datasets.get("block")
    if block is None or block.ndim != 1 or block.dtype.kind not in "iu":
        return ()
    try:
        found = tuple(file.read("block").astype(np.int32).tolist())
    except RecordError:
        return ()
    return found if len(set(found)) == len(found) else ()


class Segments:
    """The segments of a run, each with the last step that later ones leave it. notes: a sentence for each file that cannot be read."""

    def __init__(self, run):
        self.run, self.notes, self.patience = run, [], hdf5.Patience()
        self.heads = {p: self._head(p / "run.h5") for p in segments(run)}
        begins = [head.attrs.get("begins_after") for head in self.heads.values()]
        self.limits = {p: min((b for b in begins[i + 1:] if b is not None), default=None) for i, p in enumerate(self.heads)}

    def _head(self, path):
        try:
            return self.patience(path, lambda: _Head.read(path))
        except SchemaError:  # `load` says what is wrong with it
            return _Head({}, False)

    def load(self, segment, path, kind):
        """The dataset of a file, or None with a note."""
        def read():
            if not path.exists():
                raise NotWhole(f"there is no {path}")
            head = self.heads[segment]
            return self._numbered(segment_file.load(path, kind, self.limits[segment], head.every(), head.attrs.get("begins_after")), head)
        try:
            return self.patience(path, read)
        except RecordError as error:
            what = "Samples of segment {} are" if kind == TOKENS else "Segment {}: " + path.name + " is"
            self.notes.append(f"{what.format(segment.name)} left out: {error}.")
            return None

    def _numbered(self, data, head):
        """A dataset with the transformer block of each layer as its coordinate: as it says itself (run.h5; since version 8 every file), or
        its segment, or another of as many layers."""
        if "block" in data:
            return data.assign_coords(layer=data["block"].values).drop_vars("block")
        count = data.sizes.get("layer", 0)
        blocks = next((h.blocks for h in (head, *self.heads.values()) if len(h.blocks) == count), ())
        return data.assign_coords(layer=np.array(blocks, np.int32)) if blocks else data

    def parts(self, kind):
        """(number, dataset) of each segment whose file of this kind can be read."""
        name = {RUN: "run.h5", EVALUATION: "evaluation.h5"}[kind]
        found = [(int(s.name), self.load(s, s / name, kind)) for s in self.heads
                 if kind == RUN or (s / name).exists() or self.heads[s].evaluated]
        return [(n, part) for n, part in found if part is not None]

    def samples(self):
        """(number, dataset) of each file of sampled tokens."""
        found = [(int(s.name), self.load(s, path, TOKENS)) for s in self.heads for path in sorted(s.glob("tokens.r*.h5"))]
        return [(n, part) for n, part in found if part is not None and part.sizes.get("sample", 0)]


def _numbers(parts):
    return ", ".join(f"{n:03d}" for n in dict.fromkeys(n for n, _ in parts))


def _differing(name, parts, growing):
    """In what a variable differs among the parts that have it: dimensions with their sizes or labels; of one that does not grow, values."""
    shapes = [{d: tuple(p[d].values) if d in p.coords else p.sizes[d] for d in p[name].dims if d != growing} for _, p in parts]
    found = []
    for d in dict.fromkeys(d for s in shapes for d in s):
        if any(s.get(d) != shapes[0].get(d) for s in shapes):
            sizes = [p.sizes.get(d, 0) for _, p in parts]
            found.append(f"{d} ({', '.join(map(str, sizes)) if len(set(sizes)) > 1 else 'other names'})")
    if not found and any(p[name].dims != parts[0][1][name].dims for _, p in parts):
        found.append("its dimensions")
    if not found and growing not in parts[0][1][name].dims:
        first = parts[0][1][name].values
        if any(not np.array_equal(p[name].values, first, equal_nan=first.dtype.kind == "f") for _, p in parts[1:]) or (
                name == "domain" and len({p.attrs.get("domains") for _, p in parts}) > 1):
            found.append("its values, as of another corpus or model")
    return " and ".join(found)


def _alike(parts, growing, notes):
    """The parts without the variables that differ among them in shape, labels (ranks, bins, phases) or fixed values, and those
    variables' names: such a variable cannot stand in one table. Variables that only some parts have stay, NaN elsewhere."""
    left_out, partial = {}, {}
    for name in dict.fromkeys(name for _, p in parts for name in p.data_vars):
        having = [(n, p) for n, p in parts if name in p]
        differing = _differing(name, having, growing)
        if differing:
            left_out.setdefault(differing, []).append(name)
        elif len(having) < len(parts) and growing != "row" and having[0][1][name].dtype.kind in "iu":
            left_out.setdefault("whether they recorded it", []).append(name)
        elif len(having) < len(parts) and growing in having[0][1][name].dims:
            partial.setdefault(_numbers(having), []).append(name)
    for differing, names in left_out.items():
        notes.append(f"{', '.join(names)}: left out, since segments {_numbers(parts)} differ in {differing}; "
                     "yardstick.open(run, segment=N) has it.")
    for having, names in partial.items():
        notes.append(f"{', '.join(names)}: recorded in segment {having} only, NaN in the others.")
    names = [name for some in left_out.values() for name in some]
    kept = [p.drop_vars(names, errors="ignore") for _, p in parts]
    return [p.drop_vars([c for c in p.coords if not any(c in v.dims for v in p.data_vars.values())]) for p in kept], names


def _latest(parts, dimension, step, notes):
    """Segments one after another; where two hold the same step the later one counts; ordered by step. None without rows.
    Attributes are the last segment's; `left_out` names the variables in which segments differ."""
    parts = [(n, p) for n, p in parts if p.sizes.get(dimension, 0)]
    if not parts:
        return None
    attributes = dict(parts[-1][1].attrs)
    alike, left_out = _alike(parts, dimension, notes)
    together = stored.concat(alike, dimension)
    last = {int(s): i for i, s in enumerate(together[step].values)}
    together = together.isel({dimension: [last[s] for s in sorted(last)]})
    return together.assign_attrs(attributes, left_out=left_out)


def _rows(number, part):
    """What of a segment goes by row: phases and layers by their names, bins of the margin by their lower edges, which before version 8
    were equal parts of [0, 1], the segment and its ranks beside each row."""
    rows = part.drop_dims(["evaluation", "timeline", "task", "hop"], errors="ignore").drop_vars("rank_node", errors="ignore")
    if "phase_name" in rows:
        rows = rows.assign_coords(phase=[hdf5.text_of(n) for n in rows["phase_name"].values]).drop_vars("phase_name")
    if "purpose_name" in rows:
        rows = rows.assign_coords(purpose=[hdf5.text_of(n) for n in rows["purpose_name"].values]).drop_vars("purpose_name")
    if bins := rows.sizes.get("margin_bin"):
        edges = rows["margin_edge"].values if "margin_edge" in rows else np.arange(bins) / bins
        rows = rows.assign_coords(margin_bin=edges).drop_vars("margin_edge", errors="ignore")
    size = rows.sizes.get("row", 0)
    return rows.assign(segment=("row", np.full(size, number)), ranks=("row", np.full(size, int(part.attrs.get("ranks", 0)))))


def _chosen(parts, segment, run):
    """All parts, or those of one segment: a number, or "last", the last that has rows."""
    if segment is None:
        return parts
    if segment == "last":
        return [(n, p) for n, p in parts if p.sizes.get("row", 0)][-1:] or parts[-1:]
    if segment not in [n for n, _ in parts]:
        raise SchemaError(f"{run}: no segment {segment} can be read; there are {_numbers(parts)}")
    return [(n, p) for n, p in parts if n == segment]


def run_parts(folder):
    """(number, dataset) of each segment of `Segments` whose run.h5 can be read, at least one. Raises SchemaError where there is no
    segment, RecordError where none can be read."""
    parts, run = folder.parts(RUN), folder.run
    if not folder.heads:
        raise SchemaError(f"{run}: has no segment yet: no training has begun in it; run `switchyard train --run {run}` first")
    if not parts:
        raise RecordError(f"{run}: no segment has a run.h5 that can be read. {' '.join(folder.notes)}".strip())
    return parts


def open_run(run, segment=None):
    """All rows of a run: an xarray Dataset with the dimensions row, layer, expert, phase, rank_from, rank_to, margin_bin
    and evaluation; `segment` and `ranks` say of each row where it was written. Only one segment's rows with segment=N, or
    segment="last" (the last that has rows). What is not whole, or in which segments differ, is left out with a
    RecordWarning; the attribute `warnings` lists them. Raises SchemaError where there is no run or no row yet, RecordError where no
    segment can be read."""
    folder = Segments(run)
    parts, notes = _chosen(run_parts(folder), segment, run), folder.notes
    merged = _latest([(n, _rows(n, p)) for n, p in parts], "row", "step", notes)
    if merged is None:
        then = "wait for record.flush_every steps" if lock.held(run) else "no job is writing it: go on with `switchyard resume`"
        raise SchemaError(f"{run}: no row was acknowledged yet; {then}")
    evaluations = [(n, p[[v for v in p.data_vars if "evaluation" in p[v].dims]]) for n, p in parts]
    held_out = _latest(evaluations, "evaluation", "evaluation_step", notes) if all("evaluation_step" in p for _, p in parts) else None
    if held_out is not None:
        merged = xr.merge([merged, held_out], combine_attrs="override", compat="override")
    return told(merged.assign_coords(row=merged["step"].values), notes)


def told(dataset, notes):
    """The dataset with what it lacks, each said as a warning too."""
    for note in notes:
        warnings.warn(note, RecordWarning, stacklevel=3)
    return None if dataset is None else dataset.assign_attrs(warnings=notes)


def open_evaluation(run):
    """Held-out routing at each evaluation; None where the run made none."""
    folder = Segments(run)
    return told(_latest(folder.parts(EVALUATION), "evaluation", "step", folder.notes), folder.notes)


def open_tokens(run):
    """Sampled training tokens of all ranks and segments, ordered by step, sequence and position; None where there are none."""
    folder = Segments(run)
    notes = folder.notes
    parts = [(n, part.assign(segment=("sample", np.full(part.sizes["sample"], n)))) for n, part in folder.samples()]
    if not parts:
        return told(None, notes)
    alike, left_out = _alike(parts, "sample", notes)
    together = stored.concat(alike, "sample").assign_attrs(left_out=left_out)
    order = np.lexsort((together["position"].values, together["sequence"].values, together["segment"].values, together["step"].values))
    together = together.isel(sample=order)
    newest = together["segment"].groupby(together["step"]).max()
    return told(together.isel(sample=np.nonzero(together["segment"].values == newest.sel(step=together["step"]).values)[0]), notes)


def config_option(config, name):
    """An option's value as it stands in the text of a configuration; None where it has none."""
    section, key = name.split(".")
    part = re.search(rf"^{section}:[^\n]*\n((?:[ \t]+[^\n]*\n?|\n)*)", str(config), re.MULTILINE)
    line = part and re.search(rf"^[ \t]+{key}:[ \t]*([^#\n]*)", part[1], re.MULTILINE)
    return line[1].strip() if line else None


def option(run, name):
    """An option's value as it stands in the configuration of a dataset, like option(run, "moe.bias_rule"); None where it
    has none."""
    return config_option(run.attrs.get("config", ""), name)


def number(run, name, folder, whole=False):
    """An option's value as a number, whole and at least 1 with `whole`; RecordError where it is none."""
    value = option(run, name)
    try:
        if value is not None and re.fullmatch(r"[0-9]{1,15}" if whole else r"[0-9.eE+-]{1,40}", value) and (not whole or int(value) > 0):
            return int(value) if whole else float(value)
    except ValueError:
        pass
    raise RecordError(f"{folder}: its configuration has no number for {name}{f' but {value[:40]}' if value else ''}; {hdf5.ADVICE}")
