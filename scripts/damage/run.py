"""The damage campaign (scripts/campaign.sh damage): files of every kind damaged by seed, and every command that reads them. Each must end
with an exit code of README's table and a sentence, in time and memory; nothing outside is touched, and no damage passes as sound."""
import argparse
import collections
import itertools
import multiprocessing
import os
import pathlib
import queue
import shlex
import shutil
import sys
import time

import bench as benches
import cases
import verdict

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "build" / "campaign" / "damage"


def _after(name, bench, before, outside):
    """What a command changed that it may not: a list of words."""
    wrong = []
    if benches.snapshot(bench.outside, True) != outside:
        wrong.append("changed something outside of the run")
    if name in verdict.READERS:
        now = benches.snapshot(bench.work)
        changed = sorted(path for path in now.keys() | before.keys() if now.get(path) != before.get(path))
        if changed:
            wrong.append("changed " + ", ".join(os.path.relpath(p, bench.work) for p in changed[:3]))
    return wrong


def _one(seed, bench):
    """A case: (damage, [(name, words of the command, outcome, what is wrong)])."""
    damage, commands = cases.prepare(seed, bench)
    outcomes, found = {}, []
    outside = benches.snapshot(bench.outside, True)
    for name, words in commands:
        words = words or benches.COMMANDS[name]
        before = benches.snapshot(bench.work)
        outcomes[name] = outcome = bench.run(words)
        wrong = verdict.plain(damage, name, outcome) + _after(name, bench, before, outside) + verdict.sense(damage, name, outcomes, bench)
        if name == "verify":
            wrong += verdict.must_be_refused(damage, outcomes, bench)
        if name.startswith("data build") and outcome.code == 0 and damage.kind == "text" and bench.run("data check made").code:
            wrong.append("made a corpus that data check refuses")
        found.append((name, words if isinstance(words, str) else shlex.join(words), outcome, wrong))
    return damage, found


def _keep(seed, bench, found):
    """The damaged folder as the commands left it, and what they said."""
    kept = FOLDER / "failed" / str(seed)
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True)
    os.rename(bench.work, kept / "work")
    for i, (name, words, outcome, wrong) in enumerate(found):
        lines = [f"$ {words}", f"exit {outcome.code} after {outcome.seconds:.2f} s", *wrong, "-- out", outcome.out, "-- err", outcome.err]
        (kept / f"{i}-{name.replace(' ', '-')}.txt").write_text("\n".join(lines), errors="replace")


def _worker(number, args, seeds, results):
    try:
        bench = benches.Slot(args.program, FOLDER / f"slot-{number}", args.limit)
        for seed in seeds:
            damage, found = _one(seed, bench)
            if any(wrong for *_, wrong in found):
                _keep(seed, bench, found)
            results.put((seed, damage, found))
        for folder in (bench.work, bench.outside):
            shutil.rmtree(folder, ignore_errors=True)
        if benches.snapshot(bench.template) != bench.before:
            raise RuntimeError(f"{bench.template} was changed: a case wrote outside of its folder")
        results.put(None)
    except BaseException as error:
        results.put(f"worker {number}: {type(error).__name__}: {error}")
        raise


def _report(tally, kinds, failures, seconds):
    print(f"{'kind':20} cases  ends of commands: exit code x times")
    for kind in sorted(kinds):
        print(f"{kind:20} {kinds[kind]:5}  " + "  ".join(f"{code} x {n}" for code, n in sorted(tally[kind].items(), key=str)))
    print(f"{sum(kinds.values())} cases in {seconds:.0f} s: " + (f"{failures} failed; what they left is in {FOLDER / 'failed'}"
                                                              if failures else "every end was clear, nothing damaged passed as sound"))


def campaign(args, seeds):
    workers = os.cpu_count()
    results = multiprocessing.Queue()
    start = time.monotonic()
    parts = [[seed for seed in seeds if seed % workers == n] for n in range(workers)]  # a seed always has the same slot
    running = [multiprocessing.Process(target=_worker, args=(n, args, part, results), daemon=True) for n, part in enumerate(parts) if part]
    for process in running:
        process.start()
    tally, kinds, failures, left = collections.defaultdict(collections.Counter), collections.Counter(), 0, len(running)
    while left:
        try:
            result = results.get(timeout=10)
        except queue.Empty:
            if any(process.exitcode for process in running):
                sys.exit("a worker was killed; run it again")
            continue
        if result is None:
            left -= 1
            continue
        if isinstance(result, str):
            sys.exit(result)
        seed, damage, found = result
        kinds[damage.kind] += 1
        for name, words, outcome, wrong in found:
            tally[damage.kind]["hang" if outcome.hung else outcome.code] += 1
            if args.case is not None:
                print(f"$ {words}\n{outcome.out}{outcome.err}exit {outcome.code}")
            if wrong:
                print(f"FAILED seed={seed} {damage.kind} {damage.target}: {damage.said[:100]}; `{words}` ends with {outcome.code}: "
                      f"{'; '.join(wrong)}; again: scripts/campaign.sh damage --case {seed}", flush=True)
        failures += any(wrong for *_, wrong in found)
    _report(tally, kinds, failures, time.monotonic() - start)
    return failures


def main():
    parser = argparse.ArgumentParser(prog="scripts/campaign.sh damage", description=__doc__)
    parser.add_argument("cases", type=int, nargs="?", default=2000, help="how many, of the seeds from --first on (2000)")
    parser.add_argument("--kind", choices=sorted(kind.name for kind in cases.KINDS), help="of this kind of file alone")
    parser.add_argument("--first", type=int, default=0, help="first seed (0)")
    parser.add_argument("--case", type=int, metavar="SEED", help="only this one; shows what the commands print")
    parser.add_argument("--limit", type=float, default=20, help="seconds after which a command is said to hang (20)")
    parser.add_argument("--program", required=True)
    args = parser.parse_args()
    os.environ.update(benches.ENVIRONMENT)
    benches.import_yardstick()
    of_kind = (seed for seed in itertools.count(args.first) if args.kind in (None, cases.kind_of(seed).name))
    seeds = list(itertools.islice(of_kind, args.cases)) if args.case is None else [args.case]
    if args.case is None:
        shutil.rmtree(FOLDER / "failed", ignore_errors=True)
    sys.exit(1 if campaign(args, seeds) else 0)


if __name__ == "__main__":
    main()
