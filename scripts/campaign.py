"""Campaigns against the built program: kill -9 and resume, sweeps too (scripts/campaign.sh)."""
import argparse
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import h5py
import numpy as np

CONFIG = """
model: {width: 64, blocks: 2, heads: 4, context: 64, hidden: 128}
moe: {experts: 5, top_k: 2, hidden: 64, router: sigmoid, bias_rule: sign}
train: {steps: 60, batch: 8, grains: 4, warmup: 5, evaluate_every: 20, evaluate_tokens: 1024, checkpoint_every: 10, keep: 3}
record: {flush_every: 5, sample_every: 20, timeline_every: 10, log_every: 5}
"""


def run(command, **options):
    return subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)


class Bench:
    """A scratch folder with a tiny corpus and configuration."""

    def __init__(self, program, folder):
        self.program, self.folder = str(pathlib.Path(program).resolve()), pathlib.Path(folder)
        text = self.folder / "text"
        text.mkdir()
        for i in range(40):
            (text / f"{i}.txt").write_text(" ".join(str((i * 7919 + j * j) % 1009) for j in range(2000)))
        done = run([self.program, "data", "build", "--out", str(self.folder / "corpus"), "--tokenizer", "bytes", str(text)])
        if done.returncode:
            sys.exit(done.stdout)
        self.config = self.folder / "config.yaml"
        self.config.write_text(CONFIG + f"data: {{path: {self.folder / 'corpus'}}}\n")

    def command(self, ranks, verb, *arguments):
        return ["mpirun", "--oversubscribe", "-n", str(ranks), self.program, verb, *map(str, arguments)]

    def train(self, ranks, name, *overrides):
        return run(self.command(ranks, "train", self.config, "--run", self.folder / name, *overrides))

    def verify(self, name):
        done = run([self.program, "verify", str(self.folder / name)])
        assert done.returncode == 0, f"verify {name}:\n{done.stdout}"

    def digest(self, name):
        done = run([self.program, "verify", "--digest", str(self.folder / name)])
        if done.returncode:
            sys.exit(f"verify {name} failed:\n{done.stdout}")
        return done.stdout


def acknowledged(folder):
    """The last step whose line stands in the log: its row's chunk was flushed before (log_every = flush_every)."""
    log = folder / "log.txt"
    steps = [int(s) for s in re.findall(r"\bstep=(\d+) loss=", log.read_text())] if log.exists() else []
    return max(steps, default=0)


def check_rows(run_folder):
    """Every acknowledged row of every segment is readable with plain h5py; returns how many."""
    total = 0
    for segment in sorted((run_folder / "segments").glob("*")):
        safe = acknowledged(segment)
        if not safe:
            continue
        with h5py.File(segment / "run.h5") as f:
            steps = f["step"][:]
            wanted = np.arange(steps[0], safe + 1)
            assert np.array_equal(steps[: len(wanted)], wanted), f"{segment}: rows {steps} do not hold steps up to {safe}"
            for name in ("loss", "assigned", "kept", "traffic"):
                assert len(f[name][: len(wanted)]) == len(wanted), f"{segment}: {name} is short"
            total += len(wanted)
    return total


def children(pid):
    out = run(["ps", "-o", "pid=", "--ppid", str(pid)]).stdout
    return [int(p) for p in out.split()]


def kill_trial(bench, trial, seconds, rng):
    """One run killed at a random moment, checked, and resumed until it is done; returns (moment, rows, resumes)."""
    name = f"killed-{trial}"
    folder = bench.folder / name
    command = bench.command(2, "train", bench.config, "--run", folder)
    if trial % 2:  # what is killed is the continuation of a run that stopped between two chunks of rows
        stopped = bench.train(1, name, f"train.max_time={rng.uniform(0.1, 0.5) * seconds:.3f}")
        assert stopped.returncode in (0, 75), stopped.stdout  # 0: this time it was done before the limit came
        command = bench.command(2, "resume", folder, "train.max_time=0")
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    moment = rng.uniform(0.05, 1.0) * seconds
    time.sleep(moment)
    victims = children(process.pid) or [process.pid]
    for pid in victims if rng.random() < 0.5 else [rng.choice(victims)]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    process.wait(timeout=120)
    rows = check_rows(folder)
    if (folder / "segments").exists():
        bench.verify(name)
    if (folder / "config.yaml").exists():
        resumed = run(bench.command(rng.choice([1, 2, 3]), "resume", folder, "train.max_time=0"))
    else:
        resumed = bench.train(2, name)
    assert resumed.returncode == 0, resumed.stdout
    return moment, rows


def kill(bench, trials):
    start = time.time()
    reference = bench.train(2, "reference")
    assert reference.returncode == 0, reference.stdout
    seconds = time.time() - start
    expected = bench.digest("reference")
    rng = random.Random(1)
    for trial in range(trials):
        moment, rows = kill_trial(bench, trial, seconds, rng)
        bench.verify(f"killed-{trial}")
        found = bench.digest(f"killed-{trial}")
        assert found == expected, f"trial {trial}: the resumed run differs\n{found}\n{expected}"
        print(f"trial {trial}: killed after {moment:.2f} s, {rows} acknowledged rows readable, resumed to the same bytes", flush=True)
        shutil.rmtree(bench.folder / f"killed-{trial}")
    print(f"{trials} of {trials} trials: nothing acknowledged was lost")


def descendants(pid):
    below = children(pid)
    return below + [p for child in below for p in descendants(child)]


def at_work(folder):
    """Whether a process has this folder in its command line; also one whose parent was killed as it started it."""
    for file in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if os.fsencode(folder) in file.read_bytes():
                return True
        except OSError:  # it has just ended
            pass
    return False


def kill_one(pid, rng):
    """Signal 9 to this process or one below it; that one, and all that there were. Some may end before the signal comes."""
    while True:
        family = [pid, *descendants(pid)]
        victim = rng.choice(family)
        try:
            os.kill(victim, signal.SIGKILL)
            return victim, family
        except ProcessLookupError:
            continue


def sweep(bench, trials):
    """A sweep of 12 tasks, two at a time on two ranks each; one process of it is killed, then the sweep is run again."""
    file = bench.folder / "sweep.yaml"
    file.write_text("configuration: config.yaml\nset: [train.steps=20]\nexperts: [1, 2, 4, 8]\ntop_k: [1]\n"
                    "seeds: [1, 2, 3]\nranks: 2\n")
    command = [bench.program, "sweep", "run", str(file), "--jobs", "2", "--launch", "mpirun --oversubscribe -n {ranks}", "--out"]
    start = time.time()
    whole = run([*command, str(bench.folder / "whole")])
    assert whole.returncode == 0, whole.stdout
    seconds, expected = time.time() - start, bench.digest("whole/results.h5")
    rng = random.Random(1)
    for trial in range(trials):
        name = f"sweep-{trial}"
        process = subprocess.Popen([*command, str(bench.folder / name)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0.1, 0.9) * seconds)
        victim, family = kill_one(process.pid, rng)
        process.wait(timeout=300)
        while at_work(bench.folder / name):  # tasks of a killed queue go on by themselves
            time.sleep(0.1)
        again = run([*command, str(bench.folder / name)])
        assert again.returncode == 0, again.stdout
        found = bench.digest(f"{name}/results.h5")
        assert found == expected, f"trial {trial}: the results differ\n{found}\n{expected}"
        which = "the queue" if victim == process.pid else f"process {family.index(victim)} of {len(family)}"
        print(f"trial {trial}: killed {which}; {again.stdout.count('finished already')} of 12 tasks were finished already, "
              "the same results", flush=True)
    print(f"{trials} of {trials} trials: results.h5 is the same as that of an undisturbed sweep")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("campaign", choices=["kill", "sweep"])
    parser.add_argument("--program", required=True)
    parser.add_argument("--trials", type=int, default=50)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="switchyard-campaign-") as folder:
        {"kill": kill, "sweep": sweep}[args.campaign](Bench(args.program, folder), args.trials)


if __name__ == "__main__":
    main()
