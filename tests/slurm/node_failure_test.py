"""A node goes off in the middle of a run: the job comes back on other nodes and loses nothing."""
import pytest


@pytest.mark.parametrize("place", ["first", "last"])
def test_a_job_survives_the_loss_of_a_node(work, cluster, place):
    """The first node holds the job script, rank 0 and the lock of the run folder."""
    run = f"power-{place}"
    job = work.train(run)
    with work.in_the_middle(job, run):
        nodes = cluster.call("scontrol", "show", "hostnames", job.show()["NodeList"]).split()
        lost = nodes[0 if place == "first" else -1]
        cluster.switch_off(lost)
    try:
        job.wait_restart()
        assert lost not in cluster.call("scontrol", "show", "hostnames", job.show()["NodeList"]).split()
        assert job.end() == 0, job.describe()
    finally:
        cluster.switch_on(lost)
    assert f"resumed from {run}/checkpoints/step-" in job.log()
    assert work.nothing_lost(run)
