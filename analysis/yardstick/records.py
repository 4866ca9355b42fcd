"""Opening a run folder: one dataset across segments, by schema version, latest row of each step."""
import pathlib

import h5py
import numpy as np
import xarray as xr

SCHEMA_VERSION = 1


class SchemaError(ValueError):
    """A file that this version cannot read, with what it is and what to do."""


def _segments(run):
    folder = pathlib.Path(run) / "segments"
    if not folder.is_dir():
        raise SchemaError(f"{run}: not a run folder (there is no {folder}); give the folder that `switchyard train --run` wrote")
    return sorted(p for p in folder.iterdir() if p.is_dir())


def _check(file, path, schema):
    found = file.attrs.get("schema", b"")
    found = found.decode() if isinstance(found, bytes) else str(found)
    if found != schema:
        raise SchemaError(f"{path}: schema '{found}', expected '{schema}'")
    version = int(file.attrs.get("schema_version", -1))
    if version != SCHEMA_VERSION:
        raise SchemaError(f"{path}: schema version {version}, but this yardstick reads version {SCHEMA_VERSION}; "
                          f"install the yardstick that came with that run's program ({file.attrs.get('commit', 'unknown')})")


def _value(v):
    return v.decode() if isinstance(v, bytes) else (v.item() if isinstance(v, np.generic) else v)


def _load(path, schema, growing):
    """Dataset of one file. Growing dimensions are cut to the shortest of their variables: what a killed run had
    acknowledged, since chunks are flushed before their dimension grows."""
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise SchemaError(f"{path}: cannot be read ({error}); run `switchyard verify` on the run folder") from error
    with file:
        _check(file, path, schema)
        dims = {name: [_value(d[0].name.split("/")[-1]) if len(d) else f"dim{i}" for i, d in enumerate(ds.dims)]
                for name, ds in file.items() if isinstance(ds, h5py.Dataset) and not ds.is_scale}
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
        return xr.Dataset(variables, attrs={k: _value(v) for k, v in file.attrs.items()})


def _latest(parts, dimension, step):
    """Segments one after another; where two hold the same step the later one counts; ordered by step."""
    parts = [p for p in parts if p.sizes.get(dimension, 0)]
    if not parts:
        return None
    together = xr.concat(parts, dimension, data_vars="minimal", coords="minimal", compat="override", join="override", combine_attrs="override")
    steps = together[step].values
    last = {int(s): i for i, s in enumerate(steps)}
    return together.isel({dimension: [last[s] for s in sorted(last)]})


def open_run(run):
    """All rows of a run: an xarray Dataset with the dimensions row, layer, expert, phase, rank_from, rank_to, margin_bin
    and evaluation. `traffic` is kept where all segments had the same number of ranks."""
    parts = [_load(p / "run.h5", "switchyard-run", {"row", "evaluation"}) for p in _segments(run) if (p / "run.h5").exists()]
    if not parts:
        raise SchemaError(f"{run}: no segment has a run.h5; the run ended before its first rows")
    if len({p.sizes.get("rank_from") for p in parts}) > 1:
        parts = [p.drop_vars("traffic", errors="ignore") for p in parts]
    evaluations = [p[[v for v in p.data_vars if "evaluation" in p[v].dims]] for p in parts]
    rows = _latest([p.drop_dims("evaluation", errors="ignore") for p in parts], "row", "step")
    if rows is None:
        raise SchemaError(f"{run}: no row was acknowledged yet; wait for record.flush_every steps")
    held_out = _latest(evaluations, "evaluation", "evaluation_step")
    merged = rows if held_out is None else xr.merge([rows, held_out], combine_attrs="override", compat="override")
    merged = merged.assign_coords(row=merged["step"].values)
    if "phase_name" in merged:
        merged = merged.assign_coords(phase=[_text(n) for n in merged["phase_name"].values]).drop_vars("phase_name")
    if "block" in merged:
        merged = merged.assign_coords(layer=merged["block"].values).drop_vars("block")
    merged.attrs = dict(parts[-1].attrs)
    return merged


def _text(value):
    return value.decode("utf-8", "replace").rstrip("\0") if isinstance(value, bytes) else str(value)


def open_evaluation(run):
    """Held-out routing at each evaluation; None where the run made none."""
    parts = [_load(p / "evaluation.h5", "switchyard-evaluation", {"evaluation"}) for p in _segments(run) if (p / "evaluation.h5").exists()]
    dataset = _latest(parts, "evaluation", "step")
    return None if dataset is None else dataset.assign_attrs(parts[-1].attrs)


def open_tokens(run):
    """Sampled training tokens of all ranks and segments, ordered by step, sequence and position; None where there are none."""
    parts = []
    for segment in _segments(run):
        for path in sorted(segment.glob("tokens.r*.h5")):
            part = _load(path, "switchyard-tokens", {"sample"})
            if part.sizes.get("sample", 0):
                parts.append(part.assign(segment=("sample", np.full(part.sizes["sample"], int(segment.name)))))
    if not parts:
        return None
    together = xr.concat(parts, "sample", combine_attrs="override")
    order = np.lexsort((together["position"].values, together["sequence"].values, together["segment"].values, together["step"].values))
    together = together.isel(sample=order)
    newest = together["segment"].groupby(together["step"]).max()
    return together.isel(sample=np.nonzero(together["segment"].values == newest.sel(step=together["step"]).values)[0])
