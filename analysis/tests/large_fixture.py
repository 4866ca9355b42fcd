"""A run of 100,000 steps, 16 layers and 64 experts, made in seconds: every chunk of a large table has the same compressed bytes."""
import zlib

import h5py
import numpy as np
from fixture import scale, variable, write_run

ROWS, LAYERS, EXPERTS, CHUNK = 100_000, 16, 64, 100


def _shuffled(values):
    """Bytes as the filter `shuffle` orders them: all first bytes, all second bytes, and so on."""
    return np.frombuffer(values.tobytes(), np.uint8).reshape(-1, values.dtype.itemsize).T.tobytes()


def _rounded(values):
    """Values of which a chunk takes a tenth of the space."""
    return (np.round(values * 4) / 4).astype(values.dtype) if values.dtype.kind == "f" else values & ~3


def _repeated(file, name, dims, chunk):
    """A variable of ROWS rows that are `chunk` over and over, its compressed bytes written as they are."""
    made = file.create_dataset(name, (ROWS, *chunk.shape[1:]), chunk.dtype, chunks=chunk.shape, maxshape=(None, *chunk.shape[1:]),
                               shuffle=True, compression="gzip")
    packed = zlib.compress(_shuffled(chunk), 6)
    for row in range(0, ROWS, len(chunk)):
        made.id.write_direct_chunk((row,) + (0,) * (chunk.ndim - 1), packed)
    made.attrs.update(units="1", long_name=name, scope="invariant")
    for axis, dim in enumerate(dims):
        made.dims[axis].attach_scale(file[dim])


def write_large(folder, **changes):
    """`write_run` with as many layers and experts, its run.h5 as long as that."""
    write_run(folder, rows=CHUNK, layers=LAYERS, experts=EXPERTS, choices=2, **changes)
    with h5py.File(folder / "segments/000/run.h5", "a") as f:
        tables = {name: f[name][()] for name in f if not f[name].is_scale and f[name].dims[0][0].name == "/row"}
        dims = {name: [d[0].name[1:] for d in f[name].dims] for name in tables}
        for name in (*tables, "row"):
            del f[name]
        tables = {name: values if values.ndim == 1 else _rounded(values) for name, values in tables.items()}
        scale(f, "row", ROWS, True)
        steps = np.arange(1, ROWS + 1)
        for name, values in tables.items():
            if values.ndim > 1:
                _repeated(f, name, dims[name], values)
            else:
                variable(f, name, dims[name], dict(step=steps, tokens=steps * 512).get(name, np.resize(values, ROWS)))
        _repeated(f, "prob_mass", ["row", "layer", "expert"], tables["kept"].astype(float))
        f["evaluation_step"][:] = ROWS * (1 + np.arange(f["evaluation"].size)) // f["evaluation"].size
    with h5py.File(folder / "segments/000/evaluation.h5", "a") as f:
        f["step"][:] = ROWS * (1 + np.arange(f["evaluation"].size)) // f["evaluation"].size
    return folder
