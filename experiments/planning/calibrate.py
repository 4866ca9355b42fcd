"""A machine description out of three lines that `bench step` measured, where `bench machine` was not run: calibrate.py FOLDER > MACHINE

FOLDER is experiments/communication/results. Of steps-3000mbit.jsonl the serial straight line gives what stages take (its product rate and
the rest of every phase; backwards twice as much as forwards) and the interleaved one with two lanes what polls take; of steps-200mbit.jsonl
the interleaved one with two lanes gives the buffer that a plan's counts wait behind. All other lines are left to be predicted."""
import json
import pathlib
import sys

RANKS, BLOCKS = 2, 4


def line(folder, rate, schedule):
    records = map(json.loads, (pathlib.Path(folder) / f"steps-{rate}mbit.jsonl").read_text(encoding="utf-8").splitlines())
    lanes = 1 if schedule == "serial" else 2
    return next(r for r in records if (r["schedule"], r["exchange"], r["lanes"]) == (schedule, "pairwise", lanes))


def stages(d):
    """{stage: (forward, backward)}, s of an element as src/plan/work.cpp counts them."""
    width, hidden, experts, context, vocabulary = d["width"], d["expert_hidden"], d["experts"], d["context"], 256
    tokens = d["step_tokens"] // RANKS
    rows = tokens * d["top_k"]
    rate = d["product_gflops"] / RANKS * 1e9
    seconds = {name: ms * 1e-3 for name, ms in d["phase_ms"].items()}

    def both(phase, flop, elements):
        """The rest of a phase beside its products, which are `flop` forwards and twice as many backwards."""
        forward = max(0.0, seconds[phase] - 3 * flop / rate) / 3 / elements
        return forward, 2 * forward
    waited = (d["exposed_ms"] - sum(d["phase_ms"][p] for p in ("plan", "reduce", "balance"))) * 1e-3
    copied = (seconds["dispatch"] + seconds["combine"] - waited) / (8 * rows * width * BLOCKS)
    rest = (seconds["experts"] - 3 * 2 * rows * 2 * width * hidden * BLOCKS / rate) / 3
    activated, weights = rest / (rows * hidden * BLOCKS), rest / (rows * width * BLOCKS)
    dense = 2 * vocabulary * width + BLOCKS * (4 * width * width + experts * width) + BLOCKS * experts // RANKS * 2 * width * hidden
    found = dict(embedding=both("embedding", 0, tokens * width),
                 attention=both("attention", 2 * tokens * 4 * width * width * BLOCKS, BLOCKS * tokens * width * context / 2),
                 feed_forward=both("feed_forward", 0, BLOCKS * tokens * width),
                 router=both("router", 2 * tokens * width * experts * BLOCKS, BLOCKS * tokens * (width + experts)), plan=(0.0, 0.0))
    found |= {name: (copied, copied) for name in ("dispatch", "dispatch_finish", "combine", "combine_finish")}
    return rate, found | dict(experts=(activated, activated), expert_weights=(0.0, weights), shared=(activated, 2 * activated),
                              head=both("head", 2 * tokens * vocabulary * width, tokens * vocabulary), norm=(0.0, 0.0),
                              optimizer=(seconds["optimizer"] / dense, 0.0))


def poll_us(serial, overlapped):
    """Of each interval: how much longer computing takes while rows travel."""
    more = sum(overlapped["phase_ms"][p] - serial["phase_ms"][p] for p in ("experts", "attention"))
    return overlapped.get("poll_interval_us", overlapped["poll_us"]) * more / (overlapped["communication_ms"] - overlapped["exposed_ms"])


def buffer_kib(d, mbit):
    """Bytes that pass while a plan waits, at two lanes a block."""
    return d["phase_ms"]["plan"] * 1e-3 / (2 * BLOCKS) * mbit * 1e6 / 8 / 1024


def main(folder):
    serial, fast, slow = line(folder, 3000, "serial"), line(folder, 3000, "interleaved"), line(folder, 200, "interleaved")
    rate, found = stages(serial)
    grid = "".join(f"  {name}: [1]\n" for name in ("rows", "inner", "columns"))
    grid += "".join(f"  {name}: [{rate * 1e-9:.6g}]\n" for name in ("forward", "input_gradient", "weight_gradient"))
    print("# Made by experiments/planning/calibrate.py of three measured steps (its head says how), not by bench machine.\n"
          "format: switchyard-machine-1\ncommit: \"d831dea\"\nhost: \"two virtual cores of an Intel Xeon\"\ndate: \"2026-11-29\"\n"
          f"products_by: \"{serial['products']}\"\nreference: \"experiments/communication/overlap.yaml\"\n"
          f"ranks: {RANKS}\nnodes: 2\nthreads: 1\nrepetitions: {serial['repetitions']}\nmemory_gib: 16  # not measured\n"
          f"products:\n{grid}stages:\n"
          + "".join(f"  {name}: [{f * 1e12:.6g}, {b * 1e12:.6g}]\n" for name, (f, b) in found.items())
          + "# latencies are those of an idle network; the rate is given to plan by --network\n"
          f"far:\n  latency_us: 150\n  gbit_per_s: 3\n  collective_us: 250\n  buffer_kib: {buffer_kib(slow, 200):.6g}\n"
          f"  poll_us: {poll_us(serial, fast):.6g}")


if __name__ == "__main__":
    main(sys.argv[1])
