"""Campaigns of layouts: whole runs through the command line, whose files must have the digest of one rank (scripts/campaign.sh)."""
import argparse
import itertools
import random
import shutil
import subprocess
import tempfile
import time

import campaign_ways as ways
from campaign import Bench

PATIENCE = 120.0  # s of a run that takes two


def layouts(bench, _):
    """Every number of ranks, degree and exchange, by all transports in turn."""
    expected, transports = None, itertools.cycle(ways.choices(bench.program)["transport"])
    for ranks in range(1, 9):
        for ep in ways.divisors(ranks):
            for exchange in ways.choices(bench.program)["exchange"]:
                expected = compare(bench, ranks, expected, f"layout.expert_parallel={ep}", f"layout.exchange={exchange}",
                                   "layout.ranks_per_node=1", f"layout.transport={next(transports)}")


def compare(bench, ranks, expected, *options):
    """Trains, and returns the digest, which must be the expected one."""
    folder, name = bench.folder / "run", f"{ranks} ranks {' '.join(options)}"
    done = subprocess.run(bench.command(ranks, "train", bench.config, "--run", folder, *options),
                          text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE)
    assert done.returncode == 0, f"{name}:\n{done.stdout}"
    found = bench.digest("run")
    assert found == (expected or found), f"{name} differs\n{found}\n{expected}"
    print(name, "the same digest", flush=True)
    shutil.rmtree(folder)
    return found


def schedules(bench, trials):
    """Random ways through a step, with random delays before every task: none hangs, and none changes a bit."""
    ways.enlarge(bench)
    text = bench.config.read_text().replace("steps: 60", "steps: 10").replace("evaluate_every: 20", "evaluate_every: 5")
    bench.config.write_text(text.replace("checkpoint_every: 10", "checkpoint_every: 5"))
    rng, start = random.Random(13), time.time()
    expected = compare(bench, 1, None)
    for _ in range(trials):
        ranks = rng.choice([2, 2, 3, 4, 4, 5, 6])
        compare(bench, ranks, expected, *ways.draw(bench, ranks, rng), f"layout.delay={rng.uniform(1, 1000):.3f}")
    print(f"{trials} of {trials} trials: none hung, all had the digest of one rank; {time.time() - start:.0f} s; {ways.program_of(bench)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("campaign", choices=["layouts", "schedules"])
    parser.add_argument("--program", required=True)
    parser.add_argument("--trials", type=int, default=200)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="switchyard-campaign-") as folder:
        {"layouts": layouts, "schedules": schedules}[args.campaign](Bench(args.program, folder), args.trials)


if __name__ == "__main__":
    main()
