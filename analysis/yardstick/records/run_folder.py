"""Opening a run folder: one dataset across segments, by schema version, latest row of each step."""
import pathlib
import re
import warnings

import h5py
import numpy as np
import xarray as xr

SCHEMA_VERSIONS = range(1, 3)  # 2 adds variables to 1
# schema and growing dimensions of the files of which a segment has one
FILES = {"run.h5": ("switchyard-run", {"row", "evaluation"}), "evaluation.h5": ("switchyard-evaluation", {"evaluation"})}


class SchemaError(ValueError):
    """A file that this version cannot read, with what it is and what to do."""


class NotWhole(SchemaError):
    """A file that is damaged, or that a killed run had not finished making: its segment is left out, with a RecordWarning."""


class RecordWarning(UserWarning):
    """What a dataset lacks of the records it was made from, and why; also in its attribute `warnings`."""


def _segments(run):
    folder = pathlib.Path(run) / "segments"
    if not folder.is_dir():
        raise SchemaError(f"{run}: not a run folder (there is no {folder}); give the folder that `switchyard train --run` wrote")
    return sorted((p for p in folder.iterdir() if p.is_dir() and p.name.isdigit()), key=lambda p: int(p.name))


def check_schema(file, path, schema):
    if "schema" not in file.attrs or "schema_version" not in file.attrs:
        raise NotWhole(f"{path}: has no schema: it was not whole when its run ended")
    found = _value(file.attrs["schema"])
    if found != schema:
        raise SchemaError(f"{path}: schema '{found}', expected '{schema}'")
    version = int(file.attrs["schema_version"])
    if version not in SCHEMA_VERSIONS:
        known = f"{SCHEMA_VERSIONS[0]} to {SCHEMA_VERSIONS[-1]}"
        raise SchemaError(f"{path}: schema version {version}, but this yardstick reads versions {known}; "
                          f"install the yardstick that came with that run's program ({file.attrs.get('commit', 'unknown')})")


def _value(v):
    return v.decode() if isinstance(v, bytes) else (v.item() if isinstance(v, np.generic) else v)


def _text(value):
    return value.decode("utf-8", "replace").rstrip("\0") if isinstance(value, bytes) else str(value)


def _dimensions(name, dataset):
    """Names of a dataset's dimensions; one without a scale, as another program may add, is its own."""
    return [_value(d[0].name.split("/")[-1]) if len(d) else f"{name}_{i}" for i, d in enumerate(dataset.dims)]


def _load(path, schema, growing):
    """Dataset of one file. Growing dimensions are cut to the shortest of their variables: what a killed run had
    acknowledged, since chunks are flushed before their dimension grows."""
    try:
        with h5py.File(path, "r") as file:
            check_schema(file, path, schema)
            dims = {name: _dimensions(name, ds) for name, ds in file.items() if isinstance(ds, h5py.Dataset) and not ds.is_scale}
            lengths = {}
            for name, names in dims.items():
                for i, dim in enumerate(names):
                    if dim in growing:
                        lengths[dim] = min(lengths.get(dim, file[dim].shape[0] if dim in file else 1 << 60), file[name].shape[i])
            variables = {}
            for name, names in dims.items():
                cut = tuple(slice(lengths[d]) if d in growing else slice(None) for d in names)
                attributes = {k: _value(file[name].attrs[k]) for k in ("units", "long_name", "scope") if k in file[name].attrs}
                variables[name] = (names, file[name][cut], attributes)
            if "step" not in variables:
                raise NotWhole(f"{path}: has no steps: it was not whole when its run ended")
            return xr.Dataset(variables, attrs={k: _value(v) for k, v in file.attrs.items()})
    except (OSError, RuntimeError, KeyError) as error:
        raise NotWhole(f"{path}: cannot be read ({error}); run `switchyard verify` on the run folder") from error


def _parts(run, file, expected, notes):
    """(segment's number, dataset) of each segment whose `file` can be read; `notes` gets a sentence for each of the others,
    which a killed run can leave. A missing file is one only in segments for which `expected` is true."""
    schema, growing = FILES[file]
    parts = []
    for segment in _segments(run):
        path = segment / file
        try:
            if path.exists():
                parts.append((int(segment.name), _load(path, schema, growing)))
            elif expected(segment):
                raise NotWhole(f"there is no {path}")
        except NotWhole as error:
            notes.append(f"Segment {segment.name}: {file} is left out: {error}.")
    return parts


def _numbers(parts):
    return ", ".join(f"{n:03d}" for n, _ in parts)


def _differing(name, parts, growing):
    """Dimensions in whose size or labels a variable differs among the parts that have it, each with its sizes."""
    shapes = [{d: tuple(p[d].values) if d in p.coords else p.sizes[d] for d in p[name].dims if d != growing} for _, p in parts]
    found = []
    for d in dict.fromkeys(d for s in shapes for d in s):
        if any(s.get(d) != shapes[0].get(d) for s in shapes):
            sizes = [p.sizes.get(d, 0) for _, p in parts]
            found.append(f"{d} ({', '.join(map(str, sizes)) if len(set(sizes)) > 1 else 'other names'})")
    return " and ".join(found)


def _alike(parts, growing, notes):
    """The parts without the variables whose shape or labels differ among them (ranks, bins, phases), and those variables'
    names: such a variable cannot stand in one table. Variables that only some parts have stay, NaN elsewhere."""
    left_out, partial = {}, {}
    for name in dict.fromkeys(name for _, p in parts for name in p.data_vars):
        having = [(n, p) for n, p in parts if name in p]
        differing = _differing(name, having, growing)
        if differing:
            left_out.setdefault(differing, []).append(name)
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


def _concat(parts, dimension):
    return xr.concat(parts, dimension, data_vars="minimal", coords="minimal", compat="override", join="override", combine_attrs="override")


def _latest(parts, dimension, step, notes):
    """Segments one after another; where two hold the same step the later one counts; ordered by step. None without rows.
    Attributes are the last segment's; `left_out` names the variables in which segments differ."""
    parts = [(n, p) for n, p in parts if p.sizes.get(dimension, 0)]
    if not parts:
        return None
    attributes = dict(parts[-1][1].attrs)
    alike, left_out = _alike(parts, dimension, notes)
    together = _concat(alike, dimension)
    last = {int(s): i for i, s in enumerate(together[step].values)}
    together = together.isel({dimension: [last[s] for s in sorted(last)]})
    return together.assign_attrs(attributes, left_out=left_out)


def _rows(number, part):
    """What of a segment goes by row: phases and layers by their names, the segment and its ranks beside each row."""
    rows = part.drop_dims("evaluation", errors="ignore")
    if "phase_name" in rows:
        rows = rows.assign_coords(phase=[_text(n) for n in rows["phase_name"].values]).drop_vars("phase_name")
    if "block" in rows:
        rows = rows.assign_coords(layer=rows["block"].values).drop_vars("block")
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


def open_run(run, segment=None):
    """All rows of a run: an xarray Dataset with the dimensions row, layer, expert, phase, rank_from, rank_to, margin_bin
    and evaluation; `segment` and `ranks` say of each row where it was written. Only one segment's rows with segment=N, or
    segment="last" (the last that has rows). What is not whole, or in which segments differ, is left out with a
    RecordWarning; the attribute `warnings` lists them."""
    notes = []
    parts = _parts(run, "run.h5", lambda segment: True, notes)
    if not parts:
        raise SchemaError(f"{run}: no segment has a run.h5 that can be read. {' '.join(notes)}".strip())
    parts = _chosen(parts, segment, run)
    merged = _latest([(n, _rows(n, p)) for n, p in parts], "row", "step", notes)
    if merged is None:
        raise SchemaError(f"{run}: no row was acknowledged yet; wait for record.flush_every steps")
    evaluations = [(n, p[[v for v in p.data_vars if "evaluation" in p[v].dims]]) for n, p in parts]
    held_out = _latest(evaluations, "evaluation", "evaluation_step", notes)
    if held_out is not None:
        merged = xr.merge([merged, held_out], combine_attrs="override", compat="override")
    return _told(merged.assign_coords(row=merged["step"].values), notes)


def _told(dataset, notes):
    """The dataset with what it lacks, each said as a warning too."""
    for note in notes:
        warnings.warn(note, RecordWarning, stacklevel=3)
    return None if dataset is None else dataset.assign_attrs(warnings=notes)


def _evaluated(segment):
    """Whether a segment's run.h5 has evaluations."""
    try:
        with h5py.File(segment / "run.h5", "r") as file:
            return "evaluation_step" in file and file["evaluation_step"].shape[0] > 0
    except OSError:
        return False


def open_evaluation(run):
    """Held-out routing at each evaluation; None where the run made none."""
    notes = []
    return _told(_latest(_parts(run, "evaluation.h5", _evaluated, notes), "evaluation", "step", notes), notes)


def open_tokens(run):
    """Sampled training tokens of all ranks and segments, ordered by step, sequence and position; None where there are none."""
    parts, notes = [], []
    for segment in _segments(run):
        for path in sorted(segment.glob("tokens.r*.h5")):
            try:
                part = _load(path, "switchyard-tokens", {"sample"})
                if part.sizes.get("sample", 0):
                    parts.append((int(segment.name), part.assign(segment=("sample", np.full(part.sizes["sample"], int(segment.name))))))
            except NotWhole as error:
                notes.append(f"Samples of segment {segment.name} are left out: {error}.")
    if not parts:
        return _told(None, notes)
    alike, _ = _alike(parts, "sample", notes)
    together = _concat(alike, "sample")
    order = np.lexsort((together["position"].values, together["sequence"].values, together["segment"].values, together["step"].values))
    together = together.isel(sample=order)
    newest = together["segment"].groupby(together["step"]).max()
    return _told(together.isel(sample=np.nonzero(together["segment"].values == newest.sel(step=together["step"]).values)[0]), notes)


def option(run, name):
    """An option's value as it stands in the configuration of a dataset, like option(run, "moe.bias_rule"); None where it
    has none."""
    section, key = name.split(".")
    part = re.search(rf"^{section}:[^\n]*\n((?:[ \t]+[^\n]*\n?|\n)*)", str(run.attrs.get("config", "")), re.MULTILINE)
    line = part and re.search(rf"^[ \t]+{key}:[ \t]*([^#\n]*)", part[1], re.MULTILINE)
    return line[1].strip() if line else None
