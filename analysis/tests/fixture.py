"""A small run folder in record schema version 1, made with h5py: what the tests of yardstick read."""
import json

import h5py
import numpy as np

PHASES = ["data", "attention", "router", "experts", "head", "reduce", "optimizer"]


def _scale(file, name, size, growing=False):
    file.create_dataset(name, (size,), "i4", maxshape=(None if growing else size,), chunks=(max(1, size),))
    file[name].make_scale(f"This is a netCDF dimension but not a netCDF variable. {size:8d}")


def _variable(file, name, dims, values, units="1"):
    values = np.asarray(values)
    file.create_dataset(name, data=values, chunks=values.shape, fletcher32=True)
    file[name].attrs.update(units=units, long_name=name, scope="invariant")
    for axis, dim in enumerate(dims):
        file[name].dims[axis].attach_scale(file[dim])


def _head(file, schema, version=1, **attributes):
    file.attrs.update(schema=schema, schema_version=version, program_version="0.1.0", commit="abc", **attributes)


def write_run(folder, first=1, rows=40, layers=2, experts=4, ranks=2, segment=0, version=1, seed=0):
    """Segment `segment` with rows for steps first … first+rows−1 and one evaluation; returns the run folder."""
    path = folder / "segments" / f"{segment:03d}"
    path.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    steps = np.arange(first, first + rows)
    with h5py.File(path / "run.h5", "w") as f:
        _head(f, "switchyard-run", version, config="model: {}\n", provenance=json.dumps({"start_time": "2026-01-01T00:00:00Z"}), segment=segment, ranks=ranks)
        for name, size in dict(row=rows, layer=layers, expert=experts, phase=len(PHASES), rank_from=ranks, rank_to=ranks, margin_bin=4, evaluation=1).items():
            _scale(f, name, size, name in ("row", "evaluation"))
        _variable(f, "block", ["layer"], np.arange(layers, dtype="i4"))
        _variable(f, "experts", ["layer"], np.full(layers, experts, "i4"))
        _variable(f, "phase_name", ["phase"], np.array(PHASES, "S16"))
        _variable(f, "step", ["row"], steps)
        _variable(f, "tokens", ["row"], steps * 512)
        for name in ("loss", "loss_cross_entropy"):
            _variable(f, name, ["row"], 5 * np.exp(-steps / 30) + segment, "nat")
        _variable(f, "tokens_per_second", ["row"], rng.uniform(9e3, 1e4, rows))
        _variable(f, "phase_seconds", ["row", "phase"], rng.uniform(0, 0.01, (rows, len(PHASES))))
        assigned = rng.multinomial(1024, np.full(experts, 1 / experts), (rows, layers))
        _variable(f, "assigned", ["row", "layer", "expert"], assigned)
        _variable(f, "kept", ["row", "layer", "expert"], assigned)
        _variable(f, "bias", ["row", "layer", "expert"], rng.normal(0, 0.01, (rows, layers, experts)).astype("f4").cumsum(0))
        mean = assigned.mean(-1)
        _variable(f, "max_vio", ["row", "layer"], assigned.max(-1) / mean - 1)
        _variable(f, "max_vio_floor", ["row", "layer"], np.full((rows, layers), 0.06))
        _variable(f, "entropy", ["row", "layer"], rng.uniform(1.0, 1.3, (rows, layers)))
        _variable(f, "drop_share", ["row", "layer"], rng.uniform(0, 0.1, (rows, layers)))
        _variable(f, "traffic", ["row", "rank_from", "rank_to"], rng.integers(100, 200, (rows, ranks, ranks)))
        _variable(f, "evaluation_step", ["evaluation"], steps[-1:])
        _variable(f, "evaluation_loss", ["evaluation"], [4.0])
        _variable(f, "evaluation_bits_per_byte", ["evaluation"], [2.0])
    _write_evaluation(path, steps[-1], layers, experts, rng)
    return folder


def _write_evaluation(path, step, layers, experts, rng, samples=4000):
    words = ["the", "The", "7", "42", ",", ";", " ", "\u00e9"]
    with h5py.File(path / "evaluation.h5", "w") as f:
        _head(f, "switchyard-evaluation", domains=json.dumps(["documentation", "python"]))
        for name, size in dict(evaluation=1, sample=samples, layer=layers, choice=1, vocabulary=len(words)).items():
            _scale(f, name, size, name == "evaluation")
        token = rng.integers(0, len(words), samples)
        _variable(f, "token", ["sample"], token.astype("i4"))
        _variable(f, "domain", ["sample"], (np.arange(samples) % 2).astype("i4"))
        _variable(f, "token_text", ["vocabulary"], np.array([w.encode() for w in words], "S16"))
        _variable(f, "step", ["evaluation"], [step])
        # expert 0 of layer 0 takes the digits, the rest is at chance
        expert = rng.integers(1, experts, (1, samples, layers, 1))
        expert[0, (token == 2) | (token == 3), 0, 0] = 0
        _variable(f, "expert", ["evaluation", "sample", "layer", "choice"], expert.astype("i2"))
