"""Planted results of experiments/communication: steps of any exposed time and bytes, and counts that follow the closed forms."""
import json

import damage

PROTOCOL = dict(ranks=2, threads=1, products="simd", width=128, blocks=4, context=256, experts=8, top_k=4, expert_hidden=512,
                step_tokens=8192, grains=8, expert_parallel=2, combine_groups=2, poll_us=50.0, determinism="layout", warmup=1,
                repetitions=2, nodes=2)
COMPUTE, BYTES, LOSS = 1000.0, 1_000_000, 5.572469723294489
WAYS = ("straight", "by nodes", "by nodes, sums home", "gathered", "gathered, sums home")


def step(step_ms, exposed, busy, across=BYTES, exchange="pairwise", schedule="interleaved", lanes=4, **other):
    """A line of bench step."""
    return PROTOCOL | dict(exchange=exchange, schedule=schedule, lanes=lanes, step_ms=step_ms, communication_ms=busy, exposed_ms=exposed,
                           row_bytes_across=across, last_loss=LOSS) | other


def serial(f0, **other):
    """The reference of a compute of 1000 ms, of which nothing is hidden."""
    exposed = COMPUTE * f0 / (1 - f0)
    return step(COMPUTE + exposed, exposed, exposed, schedule="serial", lanes=1, compute_ms=COMPUTE, **other)


def hidden(share, busy=1000.0, **other):
    """A line with overlap of which such a share is exposed."""
    exposed = COMPUTE * share / (1 - share)
    return step(COMPUTE + exposed, exposed, max(busy, exposed), compute_ms=COMPUTE, **other)


def by_nodes(share, removed=0.5, **other):
    return hidden(share, across=round((1 - removed) * BYTES), exchange="node", **other)


def forms(nodes, experts, top_k, limit):
    """(rows straight, rows once a node), the latter by counting the choices that miss a node: another way than the program's."""
    flat, missed = top_k * (nodes - 1) / nodes, 1.0
    for i in range(top_k):
        missed *= 1 - (experts / nodes) / (experts - i)
    return flat, limit * (nodes - 1) / nodes if limit else (nodes - 1) * (1 - missed)


def inside(nodes, limit, way, experts, top_k, ranks=16):
    """Rows out that go to another rank of their node, by the chance of each choice, or of each rank to be missed; None: no simple form."""
    other = top_k * (1 - nodes / ranks)  # choices at other ranks than those that have the number of their token's on its node
    if not way.startswith("gathered"):
        return other / nodes if way == WAYS[0] else other
    missed = 1.0
    for i in range(top_k):
        missed *= 1 - (experts / ranks) / (experts - i)
    return None if limit else (ranks - nodes) * (1 - missed)


def count(nodes, limit, way, off=0.0, experts=256, top_k=8):
    """A line of bench exchange whose rows are off the closed form by such a share."""
    flat, once = forms(nodes, experts, top_k, limit)
    out, home = (flat if way == WAYS[0] else once), (once if way.endswith("sums home") else flat)
    closed, among = [out, home, out, home], inside(nodes, limit, way, experts, top_k)
    return dict(nodes=nodes, ranks=16, experts=experts, top_k=top_k, tokens=2048.0, limit=limit, way=way,
                rows=[(1 + off) * rows for rows in closed], closed_form=closed, other_bytes=15.0,
                inside=0.7 if among is None else among, closed_form_inside=among)


def counts(off=0.0):
    """Of 2, 4, 8 and 16 nodes and every limit."""
    return [count(nodes, limit, way, off) for nodes in (2, 4, 8, 16) for limit in (0, 4, 3, 2) for way in WAYS if limit < nodes]


TRAINED = [dict(router="softmax, 400 steps", nodes=4, experts=256, top_k=8, limit=3, straight=6.1, by_nodes=2.2)]


def write_lines(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def write_results(folder, rates, counted=None, trained=None):
    """A folder of results; rates: {RATE: lines}."""
    folder.mkdir(parents=True, exist_ok=True)
    write_lines(folder / "exchange.jsonl", counts(0.001) if counted is None else counted)
    for rate, lines in rates.items():
        write_lines(folder / f"steps-{rate}.jsonl", lines)
    if trained is not None:
        (folder / "trained.json").write_text(json.dumps(trained))
    return folder


def good():
    """Rates at which each claim holds."""
    return {"1gbit": [serial(0.2), hidden(0.01)], "500mbit": [serial(0.47), hidden(0.12), by_nodes(0.05)],
            "250mbit": [serial(0.62), hidden(0.4), by_nodes(0.13)]}


def damaged_lines(rng, paths):
    """Damages one of these files: a value of one field replaced by another, bits flipped, or its end cut."""
    path = paths[int(rng.integers(len(paths)))]
    text = path.read_text()
    kind = int(rng.integers(3))
    if kind == 0:
        (damage.flip if rng.integers(2) else damage.cut)(rng, path)
        return
    values = ["null", "1e400", "-1", "NaN", "[]", "{}", '"x"', "true", "9" * 400, "0", "1e-300", "1e300", "[1, 2, 3, 4]"]
    starts = [i + 3 for i in range(len(text)) if text.startswith('": ', i)]
    at = starts[int(rng.integers(len(starts)))]
    end = min(i for i in range(at, len(text)) if text[i] in ",}")
    path.write_text(text[:at] + values[int(rng.integers(len(values)))] + text[end:])
