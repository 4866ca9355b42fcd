"""Power cuts: a run trains into an ext4 image; a copy of the image at a random moment is what a power cut leaves.

The copy is mounted (ext4 replays its journal), the run is resumed there and must verify and have the digest of an
undisturbed run. Needs root and loop devices; skips, saying so, where they are missing. A cut that is not sound leaves its
image, which --keep names the folder of.
"""
import argparse
import contextlib
import ctypes
import filecmp
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

CONFIG = """
model: {width: 32, blocks: 2, heads: 2, context: 32, hidden: 64}
moe: {experts: 4, top_k: 2, hidden: 32}
train: {steps: 400, batch: 8, grains: 4, warmup: 5, evaluate_every: 10, evaluate_tokens: 256, checkpoint_every: 50, keep: 2}
record: {flush_every: 5, sample_every: 5, timeline_every: 5, log_every: 50}
"""
ENVIRONMENT = dict(os.environ, OMP_NUM_THREADS="1", OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")


def run(*command):
    return subprocess.run([str(c) for c in command], text=True, env=ENVIRONMENT, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)


def must(*command):
    done = run(*command)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stdout}")
    return done.stdout


@contextlib.contextmanager
def mounted(image, place):
    """The image at `place`; unmounted however the block ends."""
    place.mkdir(exist_ok=True)
    must("mount", "-o", "loop", image, place)
    try:
        yield place
    finally:
        must("umount", place)


def make_image(image):
    with open(image, "wb") as file:
        file.truncate(96 << 20)
    must("mkfs.ext4", "-q", "-F", image)


def why_not(folder):
    """Why power cuts cannot be made here; empty where they can."""
    if os.geteuid() != 0:
        return "not root"
    if not shutil.which("mkfs.ext4"):
        return "no mkfs.ext4"
    try:
        make_image(folder / "probe.img")
        with mounted(folder / "probe.img", folder / "probe"):
            pass
    except RuntimeError as error:
        return str(error).strip().replace("\n", " ")
    return ""


def prepare(program, folder):
    """Corpus, configuration, and the time and digest of an undisturbed run."""
    text = folder / "text"
    text.mkdir()
    for i in range(20):
        (text / f"{i}.txt").write_text(" ".join(str((i * 7919 + j * j) % 1009) for j in range(1000)))
    must(program, "data", "build", "--out", folder / "corpus", "--tokenizer", "bytes", text)
    config = folder / "config.yaml"
    config.write_text(CONFIG + f"data: {{path: {folder / 'corpus'}}}\n")
    start = time.monotonic()
    must(program, "train", config, "--run", folder / "whole")
    seconds = time.monotonic() - start
    return config, seconds, must(program, "verify", "--digest", folder / "whole")


def write_back_some(run_folder, draw):
    """Writes half of the pages of the record files to the disk, as the kernel may at any time and in any order, and
    commits the journal (by the fsync of a file of nobody's)."""
    write_range = ctypes.CDLL(None, use_errno=True).sync_file_range
    for path in sorted(run_folder.glob("segments/*/*.h5")):
        file = os.open(path, os.O_RDONLY)
        try:
            for page in range(0, os.fstat(file).st_size, 4096):
                if draw.random() < 0.5:
                    write_range(file, ctypes.c_int64(page), ctypes.c_int64(4096), ctypes.c_uint(7))
        finally:
            os.close(file)
    with open(run_folder.parent / "other", "w") as other:
        other.write("x")
        other.flush()
        os.fsync(other.fileno())


def copy_at_once(image, copy):
    """A copy of a file of which no page is newer than another: without this a commit of the journal can be in it, and the
    data that was on the disk before that commit not, which no power cut leaves."""
    for _ in range(20):
        shutil.copyfile(image, copy)
        if filecmp.cmp(image, copy, shallow=False):
            return
    raise RuntimeError(f"{image}: changes all the time")


def cut(program, folder, config, delay, draw):
    """Trains into an image and leaves cut.img, the image as it was `delay` seconds after the run had its config.yaml."""
    image = folder / "disk.img"
    make_image(image)
    with mounted(image, folder / "disk") as disk, open(os.devnull, "w") as nothing:
        job = subprocess.Popen([program, "train", config, "--run", disk / "run"], stdout=nothing, stderr=nothing,
                               env=ENVIRONMENT)
        try:
            while not (disk / "run" / "config.yaml").exists():
                if job.poll() is not None:
                    raise RuntimeError(f"train ended with {job.returncode} before it began")
                time.sleep(0.01)
            time.sleep(delay)
            job.send_signal(signal.SIGSTOP)
            write_back_some(disk / "run", draw)
            copy_at_once(image, folder / "cut.img")
        finally:
            job.kill()
            job.wait()


def trial(program, folder, config, delay, digest, draw):
    """What is wrong after one power cut, empty where nothing is; and what is to be noted. None, None: no run was there yet."""
    cut(program, folder, config, delay, draw)
    with mounted(folder / "cut.img", folder / "after") as disk:
        if not (disk / "run" / "config.yaml").exists():
            return None, None
        resumed = run(program, "resume", disk / "run")
        if resumed.returncode:
            return f"resume: exit code {resumed.returncode}\n{resumed.stdout[-1500:]}", ""
        checked = run(program, "verify", disk / "run")
        found = run(program, "verify", "--digest", disk / "run")
        problem = f"verify: exit code {checked.returncode}\n{checked.stdout[:1500]}" if checked.returncode else ""
        if found.stdout != digest:
            ours, theirs = digest.splitlines(), found.stdout.splitlines()
            problem += "the digest differs: " + "; ".join(sorted(set(theirs) - set(ours)))[:600]
        notes = [line for line in checked.stdout.splitlines() if "superseded" in line]
        return problem, "; ".join(notes)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", required=True)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=pathlib.Path, default=pathlib.Path("build/powercut"))
    options = parser.parse_args()
    program = str(pathlib.Path(options.program).resolve())
    with tempfile.TemporaryDirectory(prefix="switchyard_powercut_") as name:
        folder = pathlib.Path(name)
        if reason := why_not(folder):
            print(f"skipped: power cuts need root and loop devices ({reason})")
            return 0
        return campaign(program, folder, prepare(program, folder), options)


def campaign(program, folder, prepared, options):
    """All trials; the exit code."""
    config, seconds, digest = prepared
    draw, bad, empty = random.Random(options.seed), 0, 0
    for i in range(options.trials):
        delay = draw.uniform(0.0, 0.9) * seconds
        problem, note = trial(program, folder, config, delay, digest, draw)
        bad, empty = bad + bool(problem), empty + (problem is None)
        if problem:
            options.keep.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / "cut.img", options.keep / f"{i + 1}.img")
            note = f"{options.keep / f'{i + 1}.img'} is kept"
        text = "no run on the disk yet" if problem is None else problem or "sound"
        print(f"{i + 1}/{options.trials}: cut after {delay:.2f} s: {text}{' (' + note + ')' if note else ''}", flush=True)
    print(f"{options.trials - empty - bad} of {options.trials - empty} power cuts resumed to the digest of an undisturbed run"
          + (f"; {empty} came before anything was on the disk" if empty else ""))
    return 1 if bad or empty == options.trials else 0


if __name__ == "__main__":
    sys.exit(main())
