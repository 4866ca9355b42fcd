"""Single layers of ours by themselves: what bench/gpu.py layer --alone does."""
import shlex
import statistics
import time

from layers import PUBLISHED, options_of
from side import Failed, Side


class Alone:
    """One layer under one load, whose passes and products alone are asked for in turn."""

    def __init__(self, name, load, args, clocks, log, folder):
        self.name, self.load, self.args, self.clocks = name, load, args, clocks
        self.side = Side("ours", [*shlex.split(args.launch), args.program, "bench", "layer", *options_of(name, load, args), *args.ours,
                                  "--serve"], log, folder)

    def round(self, n, seen):
        """About --round seconds of passes and as many products."""
        begin = time.monotonic()
        for ask in ("run", "products"):
            seen[ask] += self.side.ask(ask, n)
        seen["spans"].append((begin, time.monotonic()))

    def rounds(self, n, enough):
        seen = {"run": [], "products": [], "spans": []}
        while not enough(seen):
            self.round(n, seen)
        return seen

    def measure(self, deadline):
        """Yields a row of each phase: warm, and hot once the work has run for --settle seconds."""
        args = self.args
        self.side.start(args.timeout)
        first = statistics.median(self.side.ask("run", 3))
        n = max(3, min(200, int(1e3 * args.round / (first * args.queued))))
        for phase in ("warm", "hot"):
            if phase == "hot":
                until = min(time.monotonic() + args.settle, deadline)
                self.rounds(n, lambda seen: time.monotonic() >= until)
            yield self.row(phase, self.rounds(n, lambda seen: len(seen["run"]) >= args.steps and len(seen["spans"]) >= 3))

    def row(self, phase, seen):
        ms, products = (statistics.median(seen[ask]) for ask in ("run", "products"))
        ours = self.side.ready
        return {"what": "alone", "shape": self.name, "load": self.load, "phase": phase, "ms": ms, "products_ms": products,
                "tflops": ours["flop"] / ms * 1e-9, "products_tflops": ours["flop"] / products * 1e-9, "share_of_products": products / ms,
                "published_tflops": PUBLISHED.get(self.name), "steps": len(seen["run"]), "clocks": self.clocks.during(seen["spans"]),
                "ours": {**ours, "command": shlex.join(self.side.command)}}


def skew_row(name, hot):
    """What a Zipf-skewed load costs a pass, and what it costs its products, over balanced ones: by shares, since only what ran in turn is
    comparable on a chip that throttles. None where one of them was not measured."""
    balanced, zipf = hot.get("balanced"), hot.get("zipf")
    if not balanced or not zipf:
        return None
    return {"what": "skew", "shape": name, "pass": zipf["ms"] / balanced["ms"], "products": zipf["products_ms"] / balanced["products_ms"],
            "over_products": balanced["share_of_products"] / zipf["share_of_products"]}


def print_row(row):
    if row["what"] == "skew":
        print(f"{row['shape']:14} zipf over balanced: a pass {row['pass']:.3f}, its products {row['products']:.3f}, the one over the other "
              f"{row['over_products']:.3f}", flush=True)
        return
    clock = f"{row['clocks']['sm_mhz']:.0f}" if row["clocks"] else "-"
    published = f"  SonicMoE publishes {row['published_tflops']} (H100)" if row["published_tflops"] else ""
    print(f"{row['shape']:14} {row['load']:9} {row['phase']:5} {row['ms']:9.3f} {row['tflops']:7.1f} {row['products_ms']:9.3f} "
          f"{row['products_tflops']:7.1f} {row['share_of_products']:6.3f} {row['steps']:6d} {clock:>5}{published}", flush=True)


def measure_all(names, args, clocks, budget, places, done):
    """Every load of every layer; done(row) is called for each row. Returns the layers that failed. places(name): log and folder."""
    print(f"{'layer':14} {'load':9} {'':5} {'pass, ms':>9} {'TF/s':>7} {'products':>9} {'TF/s':>7} {'share':>6} {'passes':>6} {'MHz':>5}",
          flush=True)
    failed = []
    for name in names:
        hot = {}
        for load in args.loads.split(","):
            deadline = budget.next()
            if deadline is None:
                print(f"{name:14} {load:9} left out: no time", flush=True)
                continue
            one = Alone(name, load, args, clocks, *places(f"{name} {load}"))
            try:
                for row in one.measure(deadline):
                    print_row(row), done(row)
                    hot[load] = row
            except Failed as why:
                print(f"{name:14} {load:9} failed: {why}", flush=True)
                failed.append(name)
            finally:
                one.side.stop()
        skew = skew_row(name, hot)
        if skew:
            print_row(skew), done(skew)
    return failed
