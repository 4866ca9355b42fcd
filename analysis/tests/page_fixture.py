"""What the examples of docs/analysis.md read: runs/quickstart and runs/saturation below a folder."""
import numpy as np
from fixture import write_checkpoint, write_run
from sweep_fixture import config_of, write_sweep

EXPERTS = (1, 4, 16)


def write_saturation(root):
    """A sweep of three numbers of experts, whose loss falls by 0.1 nat a factor of 4."""
    arms = {f"e{e}": (4.2 - 0.1 * i, config_of(moe__experts=e, train__steps=40)) for i, e in enumerate(EXPERTS)}
    write_sweep(root / "runs/saturation", arms, seeds=(1, 2), **{f"e{e}": dict(num_experts=e) for e in EXPERTS})


def write_page(root):
    run = write_run(root / "runs/quickstart", experts=8, choices=2, evaluations=4, sampled=True)
    write_checkpoint(run, 40, {3: np.random.default_rng(0).normal(size=(8, 16, 8))})
    write_saturation(root)
    return root
