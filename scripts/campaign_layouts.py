"""Campaigns of layouts: whole runs through the command line, whose files must have the digest of one rank (scripts/campaign.sh)."""
import argparse
import itertools
import random
import re
import shutil
import subprocess
import tempfile
import time

from campaign import Bench, run

PATIENCE = 120.0  # s of a run that takes two


def divisors(n):
    return [d for d in range(1, n + 1) if n % d == 0]


def choices(bench):
    """The names that an option of the layout can have, of those that have names."""
    reference = run([bench.program, "show", "--reference"]).stdout
    found = {name: names.split(", ") for name, names in
             re.findall(r"^\| `layout\.(\w+)` \|[^|]*\|[^|]*\| one of ([\w, ]+) \|", reference, re.M)}
    assert found.keys() == {"exchange", "transport", "schedule", "recompute"}, f"options with names in the reference: {sorted(found)}"
    return found


def layouts(bench, _):
    """Every number of ranks, degree and exchange, by all transports in turn."""
    expected, transports = None, itertools.cycle(choices(bench)["transport"])
    for ranks in range(1, 9):
        for ep in divisors(ranks):
            for exchange in choices(bench)["exchange"]:
                expected = compare(bench, ranks, expected, f"expert_parallel={ep}", f"exchange={exchange}", "ranks_per_node=1",
                                   f"transport={next(transports)}")


def compare(bench, ranks, expected, *options):
    """Trains, and returns the digest, which must be the expected one."""
    folder, name = bench.folder / "run", f"{ranks} ranks {' '.join(options)}"
    done = subprocess.run(bench.command(ranks, "train", bench.config, "--run", folder, *(f"layout.{o}" for o in options)),
                          text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE)
    assert done.returncode == 0, f"{name}:\n{done.stdout}"
    found = bench.digest("run")
    assert found == (expected or found), f"{name} differs\n{found}\n{expected}"
    print(name, "the same digest", flush=True)
    shutil.rmtree(folder)
    return found


def schedules(bench, trials):
    """Random ways through a step, with random delays before every task: none hangs, and none changes a bit."""
    text = bench.config.read_text().replace("steps: 60", "steps: 10").replace("evaluate_every: 20", "evaluate_every: 5")
    text = text.replace("checkpoint_every: 10", "checkpoint_every: 5")
    text = text.replace("top_k: 2,", "top_k: 3, combine_groups: 4, hidden_chunks: 4,")
    bench.config.write_text(text)
    rng, start, names = random.Random(13), time.time(), choices(bench)
    expected = compare(bench, 1, None)
    for _ in range(trials):
        ranks = rng.choice([2, 2, 3, 4, 4, 5, 6])
        ep = rng.choice(divisors(ranks)[1:])
        threads = rng.choice([1, 2]) if ranks == 2 else 1  # those of more ranks than cores wait for each other too long
        named = {name: rng.choice(values) for name, values in names.items()}
        team = rng.choice([t for t in (1, 2, 4) if ep % t == 0 and (t == 1 or named["exchange"] != "gather")])
        near = rng.choice([n for n in divisors(ep) if n % team == 0])  # an expert stays on one node
        lanes = rng.choice([1, 2, 4, 8])
        waves = rng.choice([w for w in (1, 2, 4, 8) if w <= lanes])
        if waves > 1:
            named["recompute"] = "none"  # experts that are made again have one wave
        options = [f"expert_parallel={ep}", f"expert_tensor_parallel={team}", f"ranks_per_node={near}",
                   f"lanes={lanes}", f"waves={waves}", f"poll={rng.choice([0, 20, 500])}", f"threads={threads}",
                   f"delay={rng.uniform(1, 1000):.3f}", *(f"{name}={value}" for name, value in named.items()),
                   f"zero={rng.choice([0, 1])}"]
        compare(bench, ranks, expected, *options)
    print(f"{trials} of {trials} trials: none hung, all had the digest of one rank; {time.time() - start:.0f} s")


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
