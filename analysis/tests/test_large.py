"""Memory is bounded by what is asked: of a run with gigabytes of loads every table and example is made within 2 GB."""
import importlib.util
import os
import pathlib
import subprocess
import sys

import h5py
import numpy as np
import pytest
from documented import examples
from fixture import write_checkpoint
from large_fixture import CHUNK, EXPERTS, LAYERS, ROWS, write_large
from page_fixture import write_saturation

GIGABYTES = 2


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    root = tmp_path_factory.mktemp("large")
    write_saturation(root)
    run = write_large(root / "runs/quickstart", evaluations=4)
    write_checkpoint(run, ROWS, {3: np.random.default_rng(0).normal(size=(EXPERTS, 64, 32)).astype(np.float32)})
    return run


def within_memory(code, folder):
    """Runs Python in `folder` in a process of its own; its output and its largest resident memory in GB."""
    report = "\nimport resource\nprint(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9)"
    path = os.pathsep.join([str(pathlib.Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run([sys.executable, "-c", code + report], cwd=folder, capture_output=True, text=True, timeout=300,
                          env=os.environ | dict(PYTHONPATH=path, MPLBACKEND="Agg"))
    assert done.returncode == 0, done.stderr
    *said, used = done.stdout.splitlines()
    return said, float(used)


TABLES = """
import numpy as np, yardstick
run = yardstick.open("runs/quickstart")
assert run.sizes["row"] == {rows} and run["assigned"].nbytes > 8e8
steps, layers = run.table("step"), run.table("layer", ["max_vio"])
assert len(steps) == {rows} and len(layers) == {rows} * {layers}
one = run.table("expert", ["assigned"], layers=3)
assert len(one) == {rows} * {experts}
thin = run.table("expert", steps=slice(None, None, 1000))
assert len(thin) == {rows} // 1000 * {layers} * {experts}
total = sum(int(part["assigned"].sum()) for part in run.parts("expert", ["assigned"], layers=[1, 3, 5], steps=slice(1, {chunk})))
print(int(one["assigned"].sum()), total)
for ask in (lambda: run.table("expert"), run.to_dataframe):
    try:
        ask()
        raise SystemExit("not refused")
    except yardstick.SchemaError as error:
        print(error)
"""


def test_tables_of_a_large_run(large):
    said, used = within_memory(TABLES.format(rows=ROWS, layers=LAYERS, experts=EXPERTS, chunk=CHUNK), large.parents[1])
    assert used < GIGABYTES
    with h5py.File(large / "segments/000/run.h5") as f:  # block 3 is the layer 1
        first = f["assigned"][:CHUNK, :3].sum((0, 2))
    assert said[0] == f"{first[1] * (ROWS // CHUNK)} {first.sum()}"
    assert "102,400,000 rows" in said[1] and "all combinations" in said[2]


def test_the_examples_of_the_page_on_a_large_run(large):
    parquet = importlib.util.find_spec("pyarrow") is not None
    blocks = [block for block in examples("analysis.md") if parquet or "to_parquet" not in block]
    said, used = within_memory("\n".join([*blocks, "print(len(load), len(settled))"]), large.parents[1])
    assert said == [f"{ROWS // 10 * EXPERTS} {4 * LAYERS}"] and used < GIGABYTES
