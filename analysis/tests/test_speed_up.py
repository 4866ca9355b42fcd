"""The speed-up of a curve over E has limits from seeds and blocks of all its evaluations."""
import json

import numpy as np
import pytest
from sweep_fixture import write_results

from yardstick.sweeps import results, saturation_report
from yardstick.cli import main

STEPS, EXPERTS, SEEDS, BLOCKS = (50, 100, 200), (1, 4, 64), (1, 2, 3), 5


def sweep(folder, skip=()):
    """results.h5 of a small sweep and its block losses by (E, seed, step); runs in `skip` end at the second evaluation."""
    rng, rows, losses = np.random.default_rng(2), [], {}
    for e in EXPERTS:
        for seed in SEEDS:
            for step in STEPS[:2] if (e, seed) in skip else STEPS:
                blocks = 3 * (step / 50) ** -0.2 * e**-0.05 + 0.02 * seed + 0.01 * rng.normal(size=BLOCKS)
                losses[e, seed, step] = blocks
                rows.append(dict(task=len(rows), num_experts=e, k=1, seed=seed, router_type="softmax", step=step, tokens=6400,
                                 loss_validation=blocks.mean(), dense_parameter_count=100.0, total_parameter_count=100.0 + e))
    folder.mkdir(exist_ok=True)
    write_results(folder, rows, np.array(list(losses.values())))
    return folder / "results.h5", losses


@pytest.mark.parametrize("skip,seeds", [((), SEEDS), ([(4, 2)], (1, 3))])
def test_histories_are_those_of_the_runs_that_count(tmp_path, skip, seeds):
    path, losses = sweep(tmp_path, skip)
    (table,) = results.tables(results.read(path))
    found = saturation_report.histories(table)
    assert found == pytest.approx(np.array([[[losses[e, s, t] for t in STEPS] for e in EXPERTS] for s in seeds]))
    assert found.mean((0, 3)) == pytest.approx(table.curves) and found[:, :, -1] == pytest.approx(table.losses)


def test_the_claim_prints_the_interval_that_decides_it(tmp_path):
    path, _ = sweep(tmp_path / "sweep")
    assert main(["saturation", str(path), "--out", str(tmp_path)]) == 0
    claim = json.loads((tmp_path / "acceptance.json").read_text())[0]
    low, high = claim["interval"]["speed_up"]
    assert claim["key"] == "more-experts-help" and claim["status"] == "reproduced"
    assert 1.5 <= low < claim["measured"]["speed_up"] < high and list(claim["interval"]) == ["1", "4", "speed_up"]
    record = json.loads((tmp_path / "saturation.json").read_text())["curves"][0]
    assert record["speed_up"] == dict(value=claim["measured"]["speed_up"], low=low, high=high)
    assert record["seed_sd"][0] == pytest.approx(0.02, rel=0.3) and list(record["seed_error_by_loss"]) == ["1", "64"]
    slope = json.loads((tmp_path / "acceptance.json").read_text())[1]
    assert list(slope["interval"]) == ["slope", "e_half"]


def test_without_blocks_somewhere_the_means_are_drawn(tmp_path):
    path, losses = sweep(tmp_path)
    frame = results.read(path)
    frame.loc[frame["step"] == 50, [f"block_loss_{i}" for i in range(BLOCKS)]] = np.nan
    found = saturation_report.histories(results.tables(frame)[0])
    assert found.shape == (3, 3, 3, 1) and found[0, 0, 0, 0] == pytest.approx(losses[1, 1, 50].mean())
