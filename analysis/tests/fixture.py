"""A small run folder in record schema version 1, made with h5py: what the tests of yardstick read."""
import dataclasses
import json

import h5py
import numpy as np

PHASES = ("data", "attention", "router", "experts", "head", "reduce", "optimizer")
WORDS = ["the", "The", "7", "42", ",", ";", " ", "\u00e9"]


@dataclasses.dataclass
class Segment:
    """What one segment holds: rows for the steps first … first+rows−1 and evaluations at even distances, the last at the end."""
    first: int = 1
    rows: int = 40
    layers: int = 2
    experts: int = 4
    ranks: int = 2
    bins: int = 4
    segment: int = 0
    version: int = 1
    phases: tuple = PHASES
    config: str = "model: {}\n"
    evaluations: int = 1
    drops: bool = True
    domains: tuple = ("documentation", "python")
    choices: int = 1
    sampled: bool = False  # whether training tokens are sampled
    chunk: int = 0  # rows of a chunk, and then an evaluation a chunk; 0: all in one

    @property
    def steps(self):
        return np.arange(self.first, self.first + self.rows)

    @property
    def evaluated(self):
        return self.first - 1 + self.rows * np.arange(1, self.evaluations + 1) // max(1, self.evaluations)


def scale(file, name, size, growing=False):
    file.create_dataset(name, (size,), "i4", maxshape=(None if growing else size,), chunks=(max(1, size),))
    file[name].make_scale(f"This is a netCDF dimension but not a netCDF variable. {size:8d}")


def variable(file, name, dims, values, units="1"):
    values = np.asarray(values)
    first = {"row": file.attrs.get("rows_of_a_chunk"), "evaluation": file.attrs.get("rows_of_a_chunk") and 1}.get(dims[0])
    file.create_dataset(name, data=values, chunks=tuple(max(1, n) for n in (first or values.shape[0], *values.shape[1:])),
                        maxshape=(None,) * values.ndim, fletcher32=True)
    file[name].attrs.update(units=units, long_name=name, scope="invariant")
    for axis, dim in enumerate(dims):
        file[name].dims[axis].attach_scale(file[dim])


def _head(file, schema, version=1, **attributes):
    file.attrs.update(schema=schema, schema_version=version, program_version="0.1.0", commit="abc", **attributes)


def write_run(folder, seed=0, **changes):
    """A segment of a run, by default as `Segment` says; returns the run folder."""
    shape = Segment(**changes)
    path = folder / "segments" / f"{shape.segment:03d}"
    path.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    with h5py.File(path / "run.h5", "w") as f:
        _head(f, "switchyard-run", shape.version, config=shape.config, provenance=json.dumps({"start_time": "2026-01-01T00:00:00Z"}),
              segment=shape.segment, ranks=shape.ranks,
              step_tokens=1024 // shape.choices, top_k=shape.choices)
        sizes = dict(row=shape.rows, phase=len(shape.phases), rank_from=shape.ranks, rank_to=shape.ranks, evaluation=shape.evaluations)
        if shape.layers:
            sizes |= dict(layer=shape.layers, expert=shape.experts, margin_bin=shape.bins)
        if shape.chunk:
            f.attrs["rows_of_a_chunk"] = shape.chunk
        for name, size in sizes.items():
            scale(f, name, size, name in ("row", "evaluation"))
        _write_training(f, shape, rng)
        if shape.layers:
            _write_routing(f, shape, rng)
    if shape.evaluations:
        _write_evaluation(path, shape, rng)
    if shape.sampled and shape.layers:
        _write_tokens(path, shape, rng)
    return folder


def _write_training(f, shape, rng):
    steps = shape.steps
    variable(f, "phase_name", ["phase"], np.array(shape.phases, "S16"))
    variable(f, "step", ["row"], steps)
    variable(f, "tokens", ["row"], steps * 512)
    for name in ("loss", "loss_cross_entropy"):
        variable(f, name, ["row"], 5 * np.exp(-steps / 30) + shape.segment, "nat")
    variable(f, "learning_rate", ["row"], 1e-3 * np.minimum(1, steps / 10))
    variable(f, "gradient_norm", ["row"], 1 + 1 / steps)
    for name, value in dict(loss_head_z=0, loss_aux=0.01, loss_importance=0, loss_router_z=0.001).items():
        variable(f, name, ["row"], np.full(shape.rows, value, float))
    variable(f, "peak_bytes", ["row"], (1 << 20) * np.minimum(steps, 9))
    variable(f, "tokens_per_second", ["row"], rng.uniform(9e3, 1e4, shape.rows))
    variable(f, "phase_seconds", ["row", "phase"], rng.uniform(0, 0.01, (shape.rows, len(shape.phases))))
    variable(f, "traffic", ["row", "rank_from", "rank_to"], rng.integers(100, 200, (shape.rows, shape.ranks, shape.ranks)))
    variable(f, "evaluation_step", ["evaluation"], shape.evaluated)
    variable(f, "evaluation_loss", ["evaluation"], np.full(shape.evaluations, 4.0))
    variable(f, "evaluation_bits_per_byte", ["evaluation"], np.full(shape.evaluations, 2.0))


def _write_routing(f, shape, rng):
    table = (shape.rows, shape.layers, shape.experts)
    variable(f, "block", ["layer"], 2 * np.arange(shape.layers, dtype="i4") + 1)
    variable(f, "experts", ["layer"], np.full(shape.layers, shape.experts, "i4"))
    assigned = rng.multinomial(1024, np.full(shape.experts, 1 / shape.experts), table[:2])
    variable(f, "assigned", ["row", "layer", "expert"], assigned)
    variable(f, "kept", ["row", "layer", "expert"], assigned)
    variable(f, "bias", ["row", "layer", "expert"], rng.normal(0, 0.01, table).astype("f4").cumsum(0))
    variable(f, "max_vio", ["row", "layer"], assigned.max(-1) / assigned.mean(-1) - 1)
    variable(f, "max_vio_floor", ["row", "layer"], np.full(table[:2], 0.06))
    variable(f, "entropy", ["row", "layer"], rng.uniform(1.0, 1.3, table[:2]))
    variable(f, "drop_share", ["row", "layer"], rng.uniform(0, 0.1, table[:2]) * shape.drops)
    variable(f, "margin", ["row", "layer", "margin_bin"], rng.integers(0, 200, (*table[:2], shape.bins)))
    if shape.version >= 7:
        variable(f, "score_spread", ["row", "layer"], np.full(table[:2], 0.05))
    if shape.version >= 8:
        variable(f, "margin_edge", ["margin_bin"], np.append(0, 2.0 ** np.arange(1 - shape.bins, 0)))


def _write_evaluation(path, shape, rng, samples=4000):
    with h5py.File(path / "evaluation.h5", "w") as f:
        _head(f, "switchyard-evaluation", shape.version, domains=json.dumps(shape.domains), rows_of_a_chunk=shape.chunk)
        for name, size in dict(evaluation=shape.evaluations, sample=samples, vocabulary=len(WORDS)).items():
            scale(f, name, size, name == "evaluation")
        # the same held-out text in every segment of a run
        token, at = np.random.default_rng(0).integers(0, len(WORDS), samples), np.arange(samples)
        document = at // 125  # half a sequence
        variable(f, "token", ["sample"], token.astype("i4"))
        variable(f, "next", ["sample"], np.roll(token, -1).astype("i4"))
        variable(f, "position", ["sample"], (at % 250).astype("i4"))
        variable(f, "document", ["sample"], document)
        variable(f, "domain", ["sample"], (document % max(1, len(shape.domains))).astype("i4"))
        variable(f, "token_text", ["vocabulary"], np.array([w.encode() for w in WORDS], "S16"))
        variable(f, "step", ["evaluation"], shape.evaluated)
        variable(f, "predicted", ["evaluation", "sample"], rng.integers(0, len(WORDS), (shape.evaluations, samples)).astype("i4"))
        loss = np.random.default_rng(shape.first).uniform(2, 4, (shape.evaluations, samples))
        variable(f, "loss", ["evaluation", "sample"], loss.astype("f4"), "nat")
        if shape.layers:
            scale(f, "layer", shape.layers)
            scale(f, "choice", shape.choices)
            _write_blocks(f, shape)
            # expert 0 of layer 0 takes the digits, the rest is at chance
            expert = _different(rng, shape, (shape.evaluations, samples), 1)
            expert[:, (token == 2) | (token == 3), 0, 0] = 0
            variable(f, "expert", ["evaluation", "sample", "layer", "choice"], expert.astype("i2"))


def _write_blocks(f, shape):
    if shape.version >= 8:
        variable(f, "block", ["layer"], 2 * np.arange(shape.layers, dtype="i4") + 1)


def _different(rng, shape, size, first):
    """(*size, layers, choices) different experts of each token, uniform from `first` on."""
    order = rng.random((*size, shape.layers, shape.experts - first)).argsort(-1)
    return order[..., :shape.choices] + first


def _write_tokens(path, shape, rng, samples=2000):
    """A sample of training tokens, in which expert 0 refuses every second choice of it."""
    with h5py.File(path / "tokens.r0000.h5", "w") as f:
        _head(f, "switchyard-tokens", shape.version)
        for name, size in dict(sample=samples, layer=shape.layers, choice=shape.choices).items():
            scale(f, name, size, name == "sample")
        _write_blocks(f, shape)
        at = np.arange(samples)
        variable(f, "step", ["sample"], np.full(samples, shape.first))
        variable(f, "sequence", ["sample"], at // 250)
        variable(f, "position", ["sample"], (at % 250).astype("i4"))
        variable(f, "token", ["sample"], rng.integers(0, len(WORDS), samples).astype("i4"))
        expert = _different(rng, shape, (samples,), 0)
        variable(f, "expert", ["sample", "layer", "choice"], expert.astype("i2"))
        variable(f, "kept", ["sample", "layer", "choice"], ((expert > 0) | (at % 2 == 0)[:, None, None]).astype("u1"))


def write_checkpoint(run, step, up, chunks=1):
    """A kept checkpoint of a run as far as yardstick reads it: up: {block: (E, hidden, d)}, 32 experts a file, each in so many parts of its
    hidden width. Returns its folder."""
    folder = run / f"checkpoints/step-{step:08d}"
    folder.mkdir(parents=True)
    for block, matrices in up.items():
        for first in range(0, len(matrices), 32):
            with h5py.File(folder / f"experts-{block:02d}-{first:04d}.h5", "w") as f:
                _head(f, "switchyard-checkpoint", 8, block=block, first_expert=first)
                held = matrices[first:first + 32]
                parts = held.reshape(len(held) * chunks, held.shape[1] // chunks, held.shape[2])
                f[f"blocks.{block}.moe.experts.up.weight/value"] = parts
    (folder / "manifest.json").write_text("{}")
    return folder
