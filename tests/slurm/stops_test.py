"""Jobs that are stopped before their end. Whatever stops them, the bytes in the end are those of an undisturbed run."""
import os
import re
import signal

import pytest

from cluster import ranks_of, wait_for, wait_pending


@pytest.mark.parametrize("launcher", ["srun", "mpirun"])
@pytest.mark.parametrize("receiver", ["steps", "script"])
def test_a_signal_stops_after_a_checkpoint_and_requeues(work, launcher, receiver):
    if (launcher, receiver) == ("mpirun", "steps"):
        pytest.skip("mpirun's ranks on its own node are in no step, so Slurm's signal reaches only some")
    run = f"signal-{launcher}-{receiver}"
    job = work.train(run, SWITCHYARD_LAUNCHER=launcher)
    expected = signal.SIGUSR2 if receiver == "script" else signal.SIGUSR1
    with work.in_the_middle(job, run) as ranks:
        work.cluster.call("scancel", "--signal=USR1", *(["--batch"] if receiver == "script" else []), job.id)
        wait_pending(ranks, expected)
    job.wait_restart()
    assert job.end() == 0, job.describe()
    assert len(re.findall(rf"stopping after step \d+: {expected.name}", job.log())) == 1, "the log has both starts"
    assert f"resumed from {run}/checkpoints/step-" in job.log()
    assert work.nothing_lost(run)


def test_the_time_limit_is_announced_and_survived(work):
    """Slurm's own signal before the limit, up to half a minute late."""
    run = "limit"
    job = work.train(run, options=("--nodes=1", "--ntasks=2", "--time=1", "--signal=B:USR1@40"))
    with work.in_the_middle(job, run) as ranks:
        job.wait_log("USR1: handing it on")
        wait_pending(ranks, signal.SIGUSR2)
    job.wait_restart()
    assert job.end() == 0, job.describe()
    assert "SIGUSR2" in job.log() and "TIME LIMIT" not in job.log()
    assert work.nothing_lost(run)


def test_exit_75_requeues_until_the_end(work):
    """train.max_time ends every start after a step; SWITCHYARD_RESTARTS bounds how often the job comes back."""
    run = "again"
    job = work.train(run, "train.max_time=0.001", options=("--ntasks=1",), SWITCHYARD_RESTARTS="1")
    assert job.end() == 75, job.describe()
    assert job.show()["Restarts"] == "1"
    assert job.log().count("put back into the queue") == 1 and "not put back: this was start 1" in job.log()
    assert work.train(run, "train.max_time=0", options=("--ntasks=3",)).end() == 0, "and by hand, on other ranks"
    assert work.nothing_lost(run)


@pytest.mark.parametrize("launcher", ["srun", "mpirun"])
def test_a_cancelled_job_keeps_a_checkpoint_and_stays_away(work, launcher):
    """srun's ranks have KillWait to write one; under mpirun the last regular one is what is certain."""
    run = f"cancelled-{launcher}"
    job = work.train(run, options=("--ntasks=2",), SWITCHYARD_LAUNCHER=launcher)
    with work.in_the_middle(job, run):
        work.cluster.call("scancel", job.id)
        job.wait_log("TERM: the job ends")
    job.end()
    wait_for(lambda: "slurm: exit code" in job.log(), job.describe)
    shown = job.show()
    assert (shown["JobState"], shown["Restarts"]) == ("CANCELLED", "0")
    if launcher == "srun":
        [step] = re.findall(r"stopping after step (\d+): SIGTERM", job.log())
        assert (work.folder / run / f"checkpoints/step-{int(step):08d}").is_dir()
    assert work.train(run, options=("--ntasks=1",)).end() == 0, "the same command continues it"
    assert work.nothing_lost(run)


@pytest.mark.parametrize("launcher", ["srun", "mpirun"])
def test_a_rank_that_stands_still_ends_its_start_and_the_job_comes_back(work, launcher):
    run = f"stuck-{launcher}"
    job = work.train(run, "layout.timeout=4", options=("--nodes=1", "--ntasks=2"), SWITCHYARD_LAUNCHER=launcher)
    job.wait_step(work.folder / run, 30)
    wait_for(lambda: list((work.folder / run / "checkpoints").glob("step-*/manifest.json")), job.describe)
    os.kill(ranks_of(work, 2, run)[0], signal.SIGSTOP)
    job.wait_restart()
    assert job.end() == 0, job.describe()
    log = job.log()
    assert log.count("has made progress for 4 s (layout.timeout); the job ends") >= 1, log
    assert " is stopped in " in log and "slurm: exit code 9" in log and log.count("put back into the queue") == 1, log
    assert work.nothing_lost(run)
