"""Sweeps as job arrays: tasks stop, lose their node, are cancelled, and the results are those of an undisturbed sweep."""
import re
import signal

import h5py
import numpy as np
import pytest

from cluster import SLURM, Job, wait_pending

SWEEP = """
configuration: tiny.yaml
experts: [2, 4]
top_k: [1]
seeds: [1, 2]
ranks: 2
"""
NAMES = ["E2-k1-g1-seed1", "E4-k1-g1-seed1", "E2-k1-g1-seed2", "E4-k1-g1-seed2"]


class Array:
    """A sweep in a folder, which may be submitted several times."""

    def __init__(self, work, name):
        self.work, self.name, self.folder = work, name, work.folder / name
        self.runs = [self.folder / "tasks" / task for task in NAMES]

    def submit(self):
        """The jobs of its tasks. Two tasks of two ranks fill a node of four CPUs."""
        options = [f"--sbatch={o}" for o in ("--output=%A_%a.out", "--nodes=1")]
        told = self.work.cluster.call(self.work.program, "sweep", "submit", "sweep.yaml", "--out", self.name, "--job",
                                      SLURM / "array.sbatch", *options, cwd=self.work.folder)
        [number] = re.findall(r"^job (\d+): 4 tasks", told)
        return [Job(self.work.cluster, f"{number}_{i}", self.work.folder / f"{number}_{i}.out") for i in range(len(NAMES))]

    def in_the_middle(self, tasks, i):
        return self.work.in_the_middle(tasks[i], self.runs[i], self.folder, "--task", i)

    def status(self):
        return self.work.cluster.call(self.work.program, "sweep", "status", self.name, cwd=self.work.folder)

    def results(self):
        assert "4 tasks: 4 finished" in self.status()
        with h5py.File(self.folder / "results.h5") as file:
            return {name: values[()] for name, values in file.items() if values.attrs.get("scope") not in (b"timing", "timing")}


@pytest.fixture(scope="module")
def undisturbed(work):
    """The same sweep by the local queue."""
    (work.folder / "sweep.yaml").write_text(SWEEP)
    work.cluster.call(work.program, "sweep", "run", "sweep.yaml", "--out", "local", "--jobs", "2", "--launch",
                      "mpirun --oversubscribe -n {ranks}", cwd=work.folder, OMPI_ALLOW_RUN_AS_ROOT="1",
                      OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    return Array(work, "local")


def nothing_lost(array, undisturbed):
    for run, expected in zip(array.runs, undisturbed.runs):
        array.work.cluster.call(array.work.program, "verify", run)
        assert array.work.digest(run) == array.work.digest(expected), run.name
    found, wanted = array.results(), undisturbed.results()
    assert found.keys() == wanted.keys() and len(found["step"]) == 2 * len(NAMES)
    for name in found:
        assert np.array_equal(found[name], wanted[name], equal_nan=found[name].dtype.kind == "f"), name
    return True


def test_an_array_of_which_one_task_stops_early(work, undisturbed):
    """The last task bears the id of the whole array, and must come back alone."""
    array = Array(work, "array")
    tasks = array.submit()
    last = tasks[-1]
    with array.in_the_middle(tasks, 3) as ranks:
        work.cluster.call("scancel", "--signal=USR1", "--batch", last.id)
        wait_pending(ranks, signal.SIGUSR2)
    last.wait_restart()
    assert [task.end() for task in tasks] == [0, 0, 0, 0]
    assert [task.show()["Restarts"] for task in tasks] == ["0", "0", "0", "1"]
    assert nothing_lost(array, undisturbed)


def test_an_array_survives_the_loss_of_a_node(work, undisturbed):
    array = Array(work, "power")
    tasks = array.submit()
    with array.in_the_middle(tasks, 0):
        lost = tasks[0].show()["NodeList"]
        there = [task.show()["NodeList"] == lost for task in tasks]
        work.cluster.switch_off(lost)
    try:
        assert [task.end() for task in tasks] == [0, 0, 0, 0]
    finally:
        work.cluster.switch_on(lost)
    came_back = [task.show()["Restarts"] == "1" for task in tasks]
    assert came_back[0] and all(was_there or not again for was_there, again in zip(there, came_back))
    assert nothing_lost(array, undisturbed)


def test_a_cancelled_task_is_continued_by_a_second_submission(work, undisturbed):
    array = Array(work, "cancelled")
    tasks = array.submit()
    with array.in_the_middle(tasks, 1):
        work.cluster.call("scancel", tasks[1].id)
        tasks[1].wait_log("TERM: the job ends")
    codes = [task.end() for task in tasks]
    assert (codes[0], codes[2:], tasks[1].state()) == (0, [0, 0], "CANCELLED")
    assert re.search(rf"{NAMES[1]} +stopped", array.status()), array.status()

    again = array.submit()
    assert [task.end() for task in again] == [0, 0, 0, 0]
    assert ["finished already" in task.log() for task in again] == [True, False, True, True]
    assert f"resumed from {array.runs[1]}/checkpoints/step-" in again[1].log()
    assert nothing_lost(array, undisturbed)
