"""A random rank of a random way through a step, stopped or killed at a random moment: the watchdog's message, its code, and the same bytes
after a resume on another way (scripts/campaign.sh)."""
import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import tempfile
import time

import campaign_ways as ways
from campaign import Bench, acknowledged, check_rows, children, run


def random_moment(process, segment, rng):
    """Waits until a random line of the log, then for up to as long as a line takes: a machine may be loaded or not."""
    lines, start = rng.randrange(0, 10), None
    while process.poll() is None:
        if (segment / "log.txt").exists():
            start = start or time.time()
            if acknowledged(segment) >= 5 * lines:
                break
        time.sleep(0.002)
    moment = rng.uniform(0.0, max(0.02, (time.time() - (start or time.time())) / max(lines, 1)))
    time.sleep(moment)
    return f"{moment:.3f} s after step {5 * lines}"


def expect_told(output, code, took, signal_sent, timeout):
    """One message that says which rank it was, in time. Of a kill mpirun knows at once too, and its code comes first."""
    stopped = signal_sent == signal.SIGSTOP
    first = f"has made progress for {timeout} s (layout.timeout); the job ends" if stopped else "a rank has died; the job ends"
    assert output.count("; the job ends") == 1 and output.count(first) == 1, output
    assert len(re.findall(r"^  rank \d+ \(process \d+\) " + ("is stopped" if stopped else "has died") + " in ", output, re.M)) == 1, output
    assert code == 9 or (not stopped and code == 137), f"exit code {code}\n{output}"
    assert took < (timeout if stopped else 0) + 5, f"{took} s\n{output}"  # mpirun itself takes one or two of them
    assert not stopped or took > 0.9 * timeout, f"{took} s\n{output}"


def watchdog_trial(bench, trial, rng):
    """A rank of 2 or 3, or 4, on a random way, stopped (even trials) or killed; the job must tell, end, and resume. What it was, or None:
    it was over."""
    name, ranks, timeout = f"watched-{trial}", rng.choice([2, 3, 4]), rng.choice([2, 2.5, 3])
    folder, sent = bench.folder / name, signal.SIGKILL if trial % 2 else signal.SIGSTOP
    way = ways.draw(bench, ranks, rng)
    command = bench.command(ranks, "train", bench.config, "--run", folder, f"layout.timeout={timeout}", *way)
    with open(bench.folder / "output", "w+") as output:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=output, start_new_session=True)
        moment = random_moment(process, folder / "segments/000", rng)
        victim = rng.choice(children(process.pid) or [None])
        try:
            if victim:
                os.kill(victim, sent)
        except ProcessLookupError:  # it has just ended
            pass
        start = time.time()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:  # may be all right, but only where the run was over: see below
            if victim:
                os.kill(victim, signal.SIGCONT)
            process.wait(timeout=60)
        took = time.time() - start
        output.seek(0)
        text = output.read()
    log = (folder / "segments/000/log.txt").read_text()
    if "; the job ends" not in text and "finished 60 steps" in log:
        return None  # done before: from its last line on nobody watches
    try:
        expect_told(text, process.returncode, took, sent, timeout)
    except AssertionError as error:
        raise AssertionError(f"{sent.name} {moment}, {ranks} ranks, {' '.join(way)}: {error}\n{log}") from None
    check_rows(folder)
    bench.verify(name)
    ranks = rng.choice([1, 2, 3])
    resumed = run(bench.command(ranks, "resume", folder, "layout.timeout=600", *ways.draw(bench, ranks, rng)))
    assert resumed.returncode == 0, resumed.stdout
    place = re.search(r"(?:is stopped|has died) in (.*)", text)[1]
    what = "stopped" if sent == signal.SIGSTOP else "killed"
    return f"{what} {moment} in {place} ({ways.said(way)}): exit code {process.returncode} after {took:.1f} s"


def watchdog(bench, trials):
    ways.enlarge(bench)
    reference = bench.train(2, "reference")
    assert reference.returncode == 0, reference.stdout
    expected = bench.digest("reference")
    rng, start = random.Random(1), time.time()
    told = over = 0
    while told < trials:
        trial = told + over
        what = watchdog_trial(bench, trial, rng)
        found = bench.digest(f"watched-{trial}")
        assert found == expected, f"trial {trial}: the run differs\n{found}\n{expected}"
        told, over = told + (what is not None), over + (what is None)
        assert over <= trials, "most runs are over before a rank can be stopped"
        print(f"trial {trial}: {what or 'the run was over before, which counts for nothing'}, the same bytes", flush=True)
        shutil.rmtree(bench.folder / f"watched-{trial}")
    print(f"{trials} of {trials} trials ended by the watchdog's message, and resumed to the same bytes; {over} more were over before; "
          f"{time.time() - start:.0f} s; {ways.program_of(bench)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", required=True)
    parser.add_argument("--trials", type=int, default=50)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="switchyard-campaign-") as folder:
        watchdog(Bench(args.program, folder), args.trials)


if __name__ == "__main__":
    main()
