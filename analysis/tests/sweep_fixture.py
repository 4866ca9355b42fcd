"""A small sweep folder as `switchyard sweep` leaves it: results.h5 and a run folder for each arm and seed,
with planted losses and loads."""
import json

import h5py
import numpy as np
from fixture import write_run

BLOCKS = 16


def config_of(**options):
    """The text of a configuration, of options like moe__aux_loss."""
    sections = {}
    for name, value in options.items():
        section, key = name.split("__")
        sections.setdefault(section, []).append(f"  {key}: {value}\n")
    return "".join(f"{section}:\n{''.join(lines)}" for section, lines in sections.items())


def write_results(folder, rows, losses):
    """results.h5 of rows (dicts of its columns) and losses (rows, blocks)."""
    with h5py.File(folder / "results.h5", "w") as f:
        f.attrs.update(schema="switchyard-results", schema_version=1, commit="abc",
                       tasks=json.dumps([f"tasks/{i}" for i in range(len(rows))]))
        for name in rows[0]:
            values = [row[name] for row in rows]
            f[name] = np.array([value.encode() for value in values], "S16") if isinstance(values[0], str) else values
        f["block_loss"] = losses


def write_sweep(folder, arms, seeds=(1, 2, 3), plant=None, **columns):
    """A sweep of one evaluation a run. arms: {name: (loss, configuration)}; what seeds and blocks are harder by is the same in every arm,
    beside noise of 1e-4 of each; plant(run folder, arm, seed) changes a run's records; columns: {arm: {column: value}}."""
    folder.mkdir(parents=True, exist_ok=True)
    rng, rows, losses = np.random.default_rng(5), [], []
    by_seed, by_block = 0.05 * rng.normal(size=max(seeds) + 1), 0.3 * rng.normal(size=BLOCKS)
    for seed in seeds:
        for name, (loss, config) in arms.items():
            blocks = loss + by_seed[seed] + by_block + 1e-4 * rng.normal(size=BLOCKS)
            rows.append(dict(task=len(rows), arm=name, num_experts=4, k=1, granularity=1, seed=seed,
                             router_type="sigmoid", step=40, tokens=40960,
                             loss_validation=blocks.mean(), dense_parameter_count=1e4, total_parameter_count=1e5) | columns.get(name, {}))
            losses.append(blocks)
            if config is not None:
                run = write_run(folder / f"tasks/{rows[-1]['task']}", seed=seed, config=config)
                if plant:
                    plant(run, name, seed)
    write_results(folder, rows, losses)
    return folder
