"""Single jobs of slurm/job.sbatch: submitted, chained, and two that want the same folder."""
import signal

import pytest

from cluster import SLURM, Job, wait_pending


@pytest.mark.parametrize("launcher", ["srun", "mpirun"])
def test_submit(work, launcher):
    run = f"submit-{launcher}"
    job = work.train(run, options=("--nodes=2", "--ntasks-per-node=2"), SWITCHYARD_LAUNCHER=launcher)
    assert job.end() == 0, job.describe()
    assert "hosts=n1:2 n2:2" in job.log(), "four ranks on two nodes, as one program"
    assert work.nothing_lost(run)


def test_a_second_job_in_the_folder_is_refused(work):
    run = "shared"
    first = work.train(run, options=("--nodelist=n1", "--ntasks=1"))
    with work.in_the_middle(first, run, step=20, ranks=1):
        second = work.train(run, options=("--nodelist=n2", "--ntasks=1"))
        assert second.end() == 6
        # A job that came back after a node failure waits for what may still be ending.
        third = work.train(run, options=("--nodelist=n3", "--ntasks=1", "--export=ALL,SLURM_RESTART_COUNT=1"))
        third.wait_log("the folder is in use; trying again")
        host, pid = (work.folder / run / "lock").read_text().split()
    assert host == "n1"
    assert f"{run} is in use (by process {pid} on host {host})" in second.log()
    assert (first.end(), third.end()) == (0, 0)
    assert work.nothing_lost(run)


def test_a_chain_goes_on_after_every_link(work):
    run = "chain"
    numbers = work.cluster.call(SLURM / "chain.sh", 3, "--output=%j.out", "--ntasks=2", SLURM / "job.sbatch", "tiny.yaml", run,
                                cwd=work.folder).split()
    links = [Job(work.cluster, n, work.folder / f"{n}.out") for n in numbers]
    for link, step in zip(links, (30, 60)):
        with work.in_the_middle(link, run, step=step) as ranks:
            assert links[-1].state() == "PENDING"
            work.cluster.call("scancel", "--signal=USR1", link.id)
            wait_pending(ranks, signal.SIGUSR1)
        assert link.end() == 75, "not requeued: its successor goes on"
    assert links[-1].end() == 0
    assert ["resumed from" in link.log() for link in links] == [False, True, True]
    assert work.nothing_lost(run)


def test_jobs_of_one_name_follow_each_other(work):
    run = "singleton"
    options = ("--ntasks=2", "--no-requeue", "--job-name=singleton", "--dependency=singleton")
    first, second = work.train(run, options=options), work.train(run, options=options)
    with work.in_the_middle(first, run) as ranks:
        assert (second.state(), second.show()["Reason"]) == ("PENDING", "Dependency")
        work.cluster.call("scancel", "--signal=USR1", first.id)
        wait_pending(ranks, signal.SIGUSR1)
    assert (first.end(), second.end()) == (75, 0)
    assert work.nothing_lost(run)
