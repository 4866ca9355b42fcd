"""One cluster and one tiny corpus for all scenarios, and the digest of a run that nothing disturbed."""
import contextlib
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

from cluster import SLURM, Cluster, Job, held, ranks_of

# Tasks are delayed, which makes a step 20 ms or more: a test that sees a run in its middle has time to stop it there (in_the_middle).
CONFIG = """
model: {width: 64, blocks: 1, heads: 4, context: 32, hidden: 128}
moe: {every: 1, experts: 4, top_k: 2, hidden: 64, normalise: before, aux_loss: 0.01}
train: {steps: 120, batch: 32, grains: 4, warmup: 1, schedule: constant, evaluate_every: 60, evaluate_tokens: 1024, checkpoint_every: 20}
record: {flush_every: 5, sample_every: 20, log_every: 5}
layout: {delay: 1000}
"""


class Work:
    """The folder that jobs are submitted from, and what is known of its runs."""

    def __init__(self, cluster, folder):
        self.cluster, self.folder, self.program = cluster, pathlib.Path(folder).resolve(), cluster.program
        text = "".join(f"line {i * 7919 % 2000} of a small text.\n" for i in range(2000))
        names = ["a.txt", "b.txt", "c.txt"]
        for name in names:
            (self.folder / name).write_text(text)
        cluster.call(self.program, "data", "build", *names, "--out", "corpus", "--tokenizer", "bytes", "--validation-share",
                     "0.3", cwd=folder)
        (self.folder / "tiny.yaml").write_text(CONFIG)
        cluster.call(self.program, "train", "tiny.yaml", "--run", "undisturbed", cwd=folder)
        self.expected = self.digest("undisturbed")

    def submit(self, *arguments, options=("--nodes=2", "--ntasks-per-node=1"), script="job.sbatch", **environment):
        """A job of slurm/job.sbatch, by default two ranks on two nodes."""
        number = self.cluster.call("sbatch", "--parsable", "--output=%j.out", *options, SLURM / script, *arguments,
                                   cwd=self.folder, **environment).strip()
        return Job(self.cluster, number, self.folder / f"{number}.out")

    def train(self, run, *arguments, **others):
        return self.submit("tiny.yaml", run, *arguments, **others)

    @contextlib.contextmanager
    def in_the_middle(self, job, run, *words, step=30, ranks=2):
        """The ranks of a run, of whose call these words (or its name) are some, at a halt after this step: what is done to their job
        meanwhile finds it in its middle, however long Slurm takes."""
        job.wait_step(self.folder / run, step)
        found = ranks_of(self, ranks, *(words or (run,)))
        with held(found):
            yield found

    def digest(self, run):
        return self.cluster.call(self.program, "verify", run, "--digest", cwd=self.folder)

    def nothing_lost(self, run):
        """The run is sound and has the bytes of one that nothing disturbed: weights, optimizer, rows, sampled tokens."""
        self.cluster.call(self.program, "verify", run, cwd=self.folder)
        assert self.digest(run) == self.expected
        return True


@pytest.fixture(scope="session")
def program():
    return pathlib.Path(os.environ["SWITCHYARD"]).resolve()


@pytest.fixture(scope="session")
def work(program):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="switchyard-slurm-"))
    cluster = Cluster(folder, program)
    try:
        (folder / "work").mkdir()
        yield Work(cluster, folder / "work")
    finally:
        cluster.down()
        if os.environ.get("SWITCHYARD_KEEP"):
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder)


@pytest.fixture
def cluster(work):
    return work.cluster
