"""Ours beside PyTorch on one GPU: whole training steps and single layers, both programs ready at once, alternating in rounds.

  gpu.py step XS:8 S:64 OLMOE ... [-- section.option=value ...]     NAME[:EXPERTS] of bench/<name>.yaml, or a file
  gpu.py layer olmoe sat64 ... [--loads jittered,zipf] [--sonic]    NAME of layers.py, eight, sonic, all, or T,d,f,E,k
  gpu.py layer all --alone --loads balanced,jittered,zipf           ours by itself, its passes beside its own products

A chip throttles under load, so only ratios of one run count. Of each shape two lines: `warm`, from the first round that is measured, and
`hot`, once its clock has settled under the same work. At least --steps repetitions of each side; medians; ratio is PyTorch's over ours.
Results are appended to --out as JSON lines. Logs of the programs are in build/log. Both stand in the GPU's memory at once, but with
--apart. With --budget all shapes share so many seconds, about: clocks are given less time to settle, and what would begin too late is
left out."""
import argparse
import datetime
import json
import pathlib
import re
import shlex
import statistics
import sys
import time

from alone import measure_all
from budget import Budget
from clocks import Clocks
from layers import names_of, options_of
from side import Failed, Side

BENCH = pathlib.Path(__file__).resolve().parent


def log_of(what):
    return BENCH.parent / "build" / "log" / re.sub(r"[^\w.-]", "-", f"gpu-{what}")


class Case:
    """Two programs on one shape; `asks` are what can be asked of ours, and of the peer where it answers to it."""

    def __init__(self, what, shape, ours, peer, asks):
        self.what, self.shape, self.asks = what, shape, asks
        log = log_of(f"{what}-{shape}")
        self.ours = Side("ours", ours, f"{log}-ours.log", BENCH.parent)
        self.peer = Side("peer", peer, f"{log}-peer.log", BENCH.parent)
        self.sides = (self.ours, self.peer)


def step_case(name, args):
    size, _, experts = name.partition(":")
    config = BENCH / f"{size.lower()}.yaml"
    config = str(config if config.exists() else pathlib.Path(size).resolve())
    options = ([f"moe.experts={experts}"] if experts else []) + args.overrides
    ours = [*shlex.split(args.launch), args.program, "bench", "step", config, f"train.precision={args.precision}", *options,
            *args.ours, "--serve"]
    peer = [args.python, str(BENCH / "peers" / "step_gpu.py"), config, *options, "--precision", args.precision,
            "--form", args.form or "graph", "--device", args.device]
    return Case("step", name, ours, peer, ("run",))


def layer_case(name, load, sonic, args):
    options = options_of(name, load, args)
    ours = [*shlex.split(args.launch), args.program, "bench", "layer", *options, *args.ours, "--serve"]
    script = "sonic.py" if sonic else "layer_gpu.py"
    peer = [args.python, str(BENCH / "peers" / script), *options, f"--form={args.form or 'compile'}", "--device", args.device]
    return Case("layer", f"{name} {load}" + (" sonic" if sonic else ""), ours, peer, ("run",) if sonic else ("run", "products"))


class Phase:
    """Repetitions of both sides, and when."""

    def __init__(self):
        self.ms, self.spans = {"ours": [], "peer": []}, {"ours": [], "peer": []}

    def add(self, side, ms, begin, end):
        self.ms[side.name].append(ms)
        self.spans[side.name].append((begin, end))

    def all(self, name):
        return [ms for round_ in self.ms[name] for ms in round_]

    def fewest(self):
        return min(len(self.all(name)) for name in self.ms)

    def ratios(self):
        """Of medians of rounds that stood beside each other."""
        return [statistics.median(peer) / statistics.median(ours) for ours, peer in zip(self.ms["ours"], self.ms["peer"])]


class Run:
    def __init__(self, case, args, clocks, deadline):
        self.case, self.args, self.clocks, self.deadline, self.per_round = case, args, clocks, deadline, {}

    def ensure(self, side):
        """Ready to be asked; the other one out of the way where both do not fit."""
        if self.args.apart:
            for other in self.case.sides:
                if other is not side:
                    other.stop()
        if not side.running:
            side.start(self.args.timeout)
            side.ask("run", 3)

    def round(self, phase, ask):
        for side in self.case.sides:
            self.ensure(side)
            begin = time.monotonic()
            ms = side.ask(ask, self.per_round[ask])
            phase.add(side, ms, begin, time.monotonic())

    def settle_rounds(self, ask):
        """As many repetitions as make a round of about --round seconds on the slower side."""
        self.per_round[ask] = 3
        first = Phase()
        self.round(first, ask)
        slowest = max(statistics.median(first.all(name)) for name in first.ms) * (self.args.queued if self.case.what == "layer" else 1)
        self.per_round[ask] = max(3, min(200, int(1e3 * self.args.round / slowest)))

    def measure(self, ask):
        phase = Phase()
        while phase.fewest() < self.args.steps or len(phase.ms["ours"]) < 3:
            self.round(phase, ask)
        return phase

    def heat(self):
        """Rounds until two pairs of them have the same clock to 1 % and the same medians to 2 %, or --settle seconds are over, or the time
        of this shape."""
        before, end = None, min(time.monotonic() + self.args.settle, self.deadline)
        while time.monotonic() < end:
            phase = Phase()
            for _ in range(2):
                self.round(phase, "run")
            found = self.clocks.during(phase.spans["ours"] + phase.spans["peer"])
            now = [found["sm_mhz"] if found else 1.0] + [statistics.median(phase.all(name)) for name in ("ours", "peer")]
            if before and all(abs(a - b) <= limit * b for a, b, limit in zip(now, before, (0.01, 0.02, 0.02))):
                return
            before = now

    def row(self, phase, name, ask):
        ours, peer = self.case.ours.ready, self.case.peer.ready
        ours_ms, peer_ms = (statistics.median(phase.all(side)) for side in ("ours", "peer"))
        ratios = phase.ratios()
        row = {"what": self.case.what, "shape": self.case.shape, "asked": ask, "phase": name, "ours_ms": ours_ms, "peer_ms": peer_ms,
               "ratio": peer_ms / ours_ms, "ratio_least": min(ratios), "ratio_most": max(ratios), "steps": phase.fewest(),
               "peer": peer["peer"], "form": peer["form"], "commit": ours["commit"],
               "clocks": {side: self.clocks.during(phase.spans[side]) for side in ("ours", "peer")}}
        if "flop" in ours:
            row["ours_tflops"], row["peer_tflops"] = (ours["flop"] / ms * 1e-9 for ms in (ours_ms, peer_ms))
        else:
            row["ours_tokens_per_s"], row["peer_tokens_per_s"] = (1e3 * ours["step_tokens"] / ms for ms in (ours_ms, peer_ms))
        row["same_work"] = all(ours.get(key) == peer.get(key) for key in ("step_tokens", "experts", "choices", "activation", "precision"))
        row["sides"] = {"ours": {**ours, "command": shlex.join(self.case.ours.command)},
                        "peer": {**peer, "command": shlex.join(self.case.peer.command)}}
        return row

    def rows(self):
        """Yields a row of each phase, the warm ones first."""
        for ask in self.case.asks:
            self.settle_rounds(ask)
        for name in ("warm", "hot"):
            if name == "hot":
                self.heat()
            for ask in self.case.asks:
                yield self.row(self.measure(ask), name, ask)


def print_row(row):
    speed = ("tflops", "TF/s", 1.0) if "ours_tflops" in row else ("tokens_per_s", "ktok/s", 1e-3)
    clocks = [str(round(found["sm_mhz"])) if found else "-" for found in row["clocks"].values()]
    print(f"{row['what']:5} {row['shape']:22} {row['asked']:8} {row['phase']:4} {row['ours_ms']:9.3f} {row['peer_ms']:9.3f} "
          f"{row['ratio']:6.3f} ({row['ratio_least']:.3f} to {row['ratio_most']:.3f}) {row['steps']:5d} "
          f"{row['ours_' + speed[0]] * speed[2]:8.1f} {row['peer_' + speed[0]] * speed[2]:8.1f} {speed[1]:6} {'/'.join(clocks):9}"
          + ("" if row["same_work"] else "  NOT THE SAME WORK"), flush=True)


def arguments():
    words, overrides = sys.argv[1:], []
    if "--" in words:
        at = words.index("--")
        words, overrides = words[:at], words[at + 1:]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("step", "layer"))
    parser.add_argument("shapes", nargs="+")
    parser.add_argument("--program", default="build/cuda/switchyard")
    parser.add_argument("--launch", default="", help="what starts our program: 'mpirun -n 1'")
    parser.add_argument("--ours", action="append", default=[], help="a word more for our program alone, such as train.grains=1")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16")
    parser.add_argument("--form", choices=("eager", "compile", "graph"), help="of the peer: steps graph, layers compile")
    parser.add_argument("--device", default="cuda", help="of the peer; cpu to try the scripts")
    parser.add_argument("--loads", default="jittered", help="of layers: balanced,jittered,zipf")
    parser.add_argument("--activation", choices=("swiglu", "gelu"), default="swiglu")
    parser.add_argument("--sonic", action="store_true", help="layers beside SonicMoE too, where it is there")
    parser.add_argument("--alone", action="store_true", help="layers of ours by themselves, without an opponent")
    parser.add_argument("--budget", type=float, help="seconds for all shapes, about")
    parser.add_argument("--queued", type=int, default=3, help="passes of a layer asked for at once")
    parser.add_argument("--steps", type=int, default=20, help="repetitions of each side, at least")
    parser.add_argument("--round", type=float, default=0.5, help="seconds of a round of one side, about")
    parser.add_argument("--settle", type=float, default=30.0, help="seconds at most until the clock has settled")
    parser.add_argument("--timeout", type=float, default=600.0, help="seconds until a side is ready, at most")
    parser.add_argument("--apart", action="store_true", help="one side at a time in memory: started anew each round")
    parser.add_argument("--out", default="bench/results/gpu.jsonl")
    args = parser.parse_args(words)
    args.overrides = overrides
    if args.alone and (args.what != "layer" or args.sonic):
        parser.error("--alone is of layers, and without SonicMoE")
    if args.what == "layer":
        args.shapes = names_of(args.shapes)
    return args


def cases(args):
    for name in args.shapes:
        if args.what == "step":
            yield step_case(name, args)
            continue
        for load in args.loads.split(","):
            for sonic in (False, True) if args.sonic else (False,):
                yield layer_case(name, load, sonic, args)


def stamped(row, args):
    return {**row, "precision": args.precision, "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "command": shlex.join(sys.argv)}


def compare_all(args, clocks, done):
    """Returns the shapes that failed."""
    print(f"{'what':5} {'shape':22} {'asked':8} {'':4} {'ours, ms':>9} {'peer, ms':>9} {'ratio':>6} {'(of rounds)':16} {'steps':>5} "
          f"{'ours':>8} {'peer':>8} {'':6} MHz", flush=True)
    failed, all_cases = [], list(cases(args))
    budget = Budget(args.budget, len(all_cases))
    for case in all_cases:
        deadline = budget.next()
        if deadline is None:
            print(f"{case.what:5} {case.shape:22} left out: no time", flush=True)
            continue
        try:
            for row in Run(case, args, clocks, deadline).rows():
                print_row(row), done(row)
        except Failed as why:
            print(f"{case.what:5} {case.shape:22} no ratio: {why}", flush=True)
            failed += [] if "not run" in str(why) else [case.shape]
        finally:
            for side in case.sides:
                side.stop()
    return failed


def main():
    args = arguments()
    out = pathlib.Path(args.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    clocks = Clocks()

    def done(row):
        with open(out, "a") as file:
            file.write(json.dumps(stamped(row, args)) + "\n")

    if args.alone:
        budget = Budget(args.budget, len(args.shapes) * len(args.loads.split(",")))
        failed = measure_all(args.shapes, args, clocks, budget, lambda what: (f"{log_of('alone-' + what)}.log", BENCH.parent), done)
    else:
        failed = compare_all(args, clocks, done)
    clocks.close()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
