"""A Slurm whose nodes have a slow network between them: those of scripts/virtual-nodes.sh."""
import pathlib
import shutil
import subprocess
import tempfile

import pytest

from cluster import HERE, Cluster
from conftest import Work

NODES = HERE.parents[1] / "scripts/virtual-nodes.sh"


@pytest.fixture(scope="module")
def slow(program):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="switchyard-slurm-"))
    up = [NODES, "up", "--nodes", "2", "--rate", "200mbit"]
    network = subprocess.run(up, check=True, text=True, stdout=subprocess.PIPE).stdout.strip()
    try:
        cluster = Cluster(folder, program, network, nodes=2)
        try:
            (folder / "work").mkdir()
            yield Work(cluster, folder / "work")
        finally:
            cluster.down()
    finally:
        subprocess.run([NODES, "down", network], check=True)
        shutil.rmtree(folder)


def sent(work):
    """Bytes that the first node's device has sent."""
    lines = work.cluster.call("cat", "/proc/net/dev").splitlines()
    return int(next(line for line in lines if "eth0:" in line).split(":")[1].split()[8])


@pytest.mark.parametrize("launcher", ["srun", "mpirun"])
def test_a_job_trains_over_the_slow_network(slow, launcher):
    before = sent(slow)
    job = slow.train(f"slow-{launcher}", "train.steps=120", SWITCHYARD_LAUNCHER=launcher)
    assert job.end() == 0, job.describe()
    assert "hosts=n1:1 n2:1" in job.log(), job.log()
    assert sent(slow) - before > 5e6, "rows and gradients went over the limited device"
    assert slow.nothing_lost(f"slow-{launcher}")
