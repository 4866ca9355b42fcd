"""What tells people how to launch, and what stops a launch that would go wrong silently."""
import pytest

from cluster import SLURM


def test_preflight_says_what_works_and_why_the_rest_does_not(work):
    told = work.cluster.call(SLURM / "preflight.sh", "--nodes=2", "--ntasks-per-node=1", "--time=3", cwd=work.folder)
    lines = {line[:18].strip(): line for line in told.splitlines()}
    assert "works" in lines["srun --mpi=pmix"] and "works" in lines["mpirun"], told
    for other in ("srun --mpi=pmi2", "srun"):
        assert "works" in lines[other] or "built without Slurm's PMI-1 and PMI-2" in lines[other], told
    assert "seen by every node" in told and "launcher=srun mpi=pmix" in told
    assert "the published bits" in told and "on 2 ranks" in told, told
    assert not list(work.folder.glob("preflight.*"))


@pytest.mark.parametrize("launcher, request_, refused", [
    ("srun", "--gpus-per-node=2", False),
    ("mpirun", "--gpus-per-node=2", False),
    ("srun", "--gpus-per-node=1", True),
    ("mpirun", "--gpus-per-task=1", True),  # the second node's ranks would see one device
])
def test_ranks_do_not_share_a_device_unasked(work, launcher, request_, refused):
    run = f"devices-{launcher}{request_}"
    job = work.train(run, "train.steps=2", options=("--nodes=2", "--ntasks-per-node=2", request_), SWITCHYARD_LAUNCHER=launcher)
    assert job.end() == (2 if refused else 0), job.describe()
    assert (work.folder / run).exists() != refused
    if refused:
        assert "sees 1 device(s) (0), so ranks would share one; ask for --gpus-per-node=" in job.log()
    else:
        assert "n1: devices 0,1, one for each rank" in job.log() and "n2: devices 0,1" in job.log()
