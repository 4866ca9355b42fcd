"""What experiments/communication measured, read and checked: exchange.jsonl of `switchyard bench exchange --json`, steps-RATE.jsonl of
`switchyard bench step --json`, and trained.json, where it is."""
import math
import pathlib
import re
from typing import NamedTuple

import pandas as pd

from ..base import reading
from ..base.faults import DEFECT, SchemaError

MADE = "make it with experiments/communication/run.sh"
EXCHANGES, SCHEDULES = ("pairwise", "alltoallv", "node", "gather"), ("serial", "pipelined", "interleaved")
SUMS = ", sums home"
WAYS = ("straight", "by nodes", "by nodes" + SUMS, "gathered", "gathered" + SUMS)
PROTOCOL = ["ranks", "threads", "products", "width", "blocks", "context", "experts", "top_k", "expert_hidden", "step_tokens", "grains",
            "expert_parallel", "combine_groups", "determinism", "nodes"]  # what all steps have in common
TURNS = ["warmup", "repetitions"]   # and those of one file, whose last losses are of the same step
TIMES = ["step_ms", "communication_ms", "exposed_ms"]
UNITS = dict(k=1e-3, m=1.0, g=1e3)  # of a rate, in Mbit/s
MOST = 1 << 40                      # of any count
SAME_FORM = 1e-9                    # relative difference of a closed form from ours that rounding explains


class OtherBits(SchemaError):
    """Schedules or exchanges that changed the result: a defect of the program."""
    code = DEFECT


class Measured(NamedTuple):
    """steps: a row for each line of bench step, of rates that ascend, the serial pairwise one first; exchange: a row for each line of
    bench exchange; trained: counts on trained routing, or None; files: those that were read."""
    steps: pd.DataFrame
    exchange: pd.DataFrame
    trained: pd.DataFrame | None
    files: list


def straight_rows(nodes, top_k):
    """Rows of a token that cross between nodes at dispatch, one for each random choice (docs/science.md, "Rows across nodes")."""
    return top_k * (nodes - 1) / nodes


def node_rows(nodes, experts, top_k, limit=0):
    """The same, one for each node that is chosen; limit: nodes that a token may choose, 0 for any."""
    if limit:
        return limit * (nodes - 1) / nodes
    elsewhere = math.prod((experts - experts / nodes - i) / (experts - i) for i in range(int(top_k)))
    return (nodes - 1) * (1 - max(0.0, elsewhere))


def fault(place, what, advice=MADE):
    return SchemaError(f"{place}: {what}; {advice}")


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= MOST  # nan is not


def _need(record, names, place):
    """Refuses a record that is no object or lacks a field."""
    if not isinstance(record, dict):
        raise fault(place, "is no object")
    missing = [name for name in names if name not in record]
    if missing:
        raise fault(place, f"has no {', '.join(missing)}")


def _numbers(record, names, place, least=0.0):
    for name in names:
        if not _is_number(record[name]) or record[name] < least:
            raise fault(place, f"{name} is no number from {least:g} on ('{str(record[name])[:40]}')")


def _counts(record, names, place, least=1):
    _numbers(record, names, place, least)
    for name in names:
        if record[name] != int(record[name]):
            raise fault(place, f"{name} is no whole number ({record[name]})")


def _choice(record, name, known, place):
    if record[name] not in known:
        raise fault(place, f"{name} is '{str(record[name])[:40]}', none of {', '.join(known)}")


def lines_of(path):
    """[(place, record)] of a file of one JSON object a line."""
    found = [(f"{path}: line {i}", line) for i, line in enumerate(reading.read_text(path, MADE).split("\n"), 1) if line.strip()]
    if not found:
        raise fault(path, "holds no line")
    return [(place, reading.parse_json(line, place, MADE)) for place, line in found]


def refuse_alike(keys, places, what):
    """Refuses two lines of one key: files are appended to, and a line of an earlier measurement would stand for another."""
    seen = {}
    for key, place in zip(keys, places):
        if key in seen:
            raise fault(place, f"is of the same {what} as {seen[key]}", "keep one of them")
        seen[key] = place


def rate_of(path):
    """Mbit/s of steps-RATE.jsonl."""
    found = re.fullmatch(r"steps-([0-9]{1,9}(?:\.[0-9]{1,6})?)([kmg])bit", path.stem)
    if not found or float(found[1]) <= 0:
        raise fault(path, "its name has no rate as steps-700mbit.jsonl has")
    return float(found[1]) * UNITS[found[2]]


def step_of(place, record):
    """A checked line of bench step."""
    _need(record, [*PROTOCOL, *TURNS, "exchange", "schedule", "lanes", "poll_us", *TIMES, "row_bytes_across", "last_loss"], place)
    _choice(record, "exchange", EXCHANGES, place)
    _choice(record, "schedule", SCHEDULES, place)
    _counts(record, ["lanes", "nodes"], place)
    _numbers(record, [*TIMES, "poll_us", "row_bytes_across"], place)
    if not _is_number(record["last_loss"]):
        raise fault(place, f"last_loss is no number ('{str(record['last_loss'])[:40]}')")
    compute = record.get("compute_ms", math.nan)  # programs before 2026-11-30 did not write it
    if "compute_ms" in record:
        _numbers(record, ["compute_ms"], place)
    if compute > record["step_ms"]:
        raise fault(place, "times do not go together: compute_ms is more than step_ms")
    if not 0 < record["step_ms"] > record["exposed_ms"] or record["exposed_ms"] > record["communication_ms"]:
        raise fault(place, "times do not go together: exposed_ms is more than communication_ms, or not less than step_ms")
    names = ("exchange", "schedule", "lanes", "poll_us", *TIMES, "row_bytes_across", "last_loss")
    return dict(place=place, record=record, compute_ms=compute) | {name: record[name] for name in names}


def is_serial(row):
    return row["exchange"] == "pairwise" and row["schedule"] == "serial" and row["lanes"] == 1


def _is_another_layout(record, first):
    """Whether a line differs from the first in more than its exchange, schedule and lanes: `yardstick planning` takes those."""
    return any(record.get(name) != first.get(name) for name in ("zero", "recompute", "local_first", "expert_parallel"))


def steps_of(path):
    """Checked lines of one file of bench step, its reference first."""
    rows = [step_of(*line) for line in lines_of(path)]
    rows = [row for row in rows if not _is_another_layout(row["record"], rows[0]["record"])]
    refuse_alike([(r["exchange"], r["schedule"], r["lanes"], r["record"].get("waves", 1), r["poll_us"]) for r in rows],
                 [r["place"] for r in rows], "exchange, schedule, lanes, waves and poll_us")
    serial = [r for r in rows if is_serial(r)]
    if len(serial) != 1:
        raise fault(path, "needs one line of schedule serial, exchange pairwise, lanes 1, with which the others are compared, "
                          f"and has {len(serial) or 'none'}")
    rows = serial + [r for r in rows if not is_serial(r)]
    refuse_other_protocol(rows, TURNS)
    return rows


def _steps_at(path):
    """Those of one rate."""
    rows = steps_of(path)
    if not rows[0]["exposed_ms"] > 0 or not rows[0]["row_bytes_across"] > 0:
        raise fault(rows[0]["place"], "nothing crosses between nodes", "measure on the nodes of scripts/virtual-nodes.sh, one rank a node")
    return [dict(rate=path.stem.removeprefix("steps-"), mbit=rate_of(path)) | r for r in rows]


def refuse_other_protocol(rows, names):
    """All steps are of one model and protocol."""
    first = rows[0]
    for row in rows:
        unlike = [f"{n} ({first['record'][n]} and {row['record'][n]})" for n in names if first["record"][n] != row["record"][n]]
        if unlike:
            raise fault(row["place"], f"differs from {first['place']} in {', '.join(unlike)}", "measure all with one model and protocol")


def refuse_other_bits(rows):
    """All that made as many steps have one loss, to the last digit."""
    firsts = {}
    for row in rows:
        first = firsts.setdefault(tuple(row["record"][name] for name in TURNS), row)
        if row["last_loss"] != first["last_loss"]:
            raise OtherBits(f"{row['place']}: last_loss {row['last_loss']!r} is not the {first['last_loss']!r} of {first['place']}: an "
                            "exchange or a schedule changed bits, so no time of it counts; report it with both lines")


def _inside(record, nodes, experts, top_k):
    """Rows of a token that go to a rank of the node on which they are, on the way out; None where no simple form says it."""
    ranks, gathered = int(record["ranks"]), record["way"].startswith("gathered")
    handed_on = straight_rows(ranks // nodes, top_k)
    if not gathered:
        return handed_on / nodes if record["way"] == "straight" else handed_on
    if record["limit"] or experts % ranks:
        return None
    return (ranks - nodes) * node_rows(ranks, experts, top_k, 0) / (ranks - 1)


def _exchange_row(place, record):
    """A checked line of bench exchange."""
    _need(record, ["nodes", "ranks", "experts", "top_k", "tokens", "limit", "way", "rows", "closed_form", "other_bytes", "inside",
                   "closed_form_inside"], place)
    _choice(record, "way", WAYS, place)
    _counts(record, ["nodes"], place, 2)
    _counts(record, ["ranks", "experts", "top_k", "tokens"], place)
    _counts(record, ["limit"], place, 0)
    _numbers(record, ["other_bytes", "inside"], place)
    nodes, experts, top_k, limit = (int(record[n]) for n in ("nodes", "experts", "top_k", "limit"))
    ranks = int(record["ranks"])
    if experts % nodes or ranks % nodes or not top_k <= experts <= 1 << 20 or limit > min(top_k, nodes):
        raise fault(place, "nodes, ranks, experts, top_k and limit do not go together")
    for name in ("rows", "closed_form"):
        if not isinstance(record[name], list) or len(record[name]) != 4 or not all(_is_number(v) and v >= 0 for v in record[name]):
            raise fault(place, f"{name} are no four numbers, one a journey")
    straight = straight_rows(nodes, top_k)
    out = straight if record["way"] == "straight" else node_rows(nodes, experts, top_k, limit)
    home = out if record["way"].endswith(SUMS) else straight
    if any(abs(found - form) > SAME_FORM * form for found, form in zip(record["closed_form"], (out, home, out, home))):
        raise fault(place, f"closed_form is not that of its exchange ({out:.6g} out and {home:.6g} home)")
    inside = _inside(record, nodes, experts, top_k)
    form = record["closed_form_inside"]
    if not (form is None if inside is None else _is_number(form) and abs(form - inside) <= SAME_FORM * ranks):
        raise fault(place, f"closed_form_inside is not that of its exchange ({'null' if inside is None else format(inside, '.6g')})")
    journeys = dict(zip(("dispatch", "combine", "combine_backward", "dispatch_backward"), record["rows"]))
    return dict(nodes=nodes, experts=experts, top_k=top_k, ranks=ranks, limit=limit, way=record["way"],
                tokens=int(record["tokens"]), **journeys, form_out=out, form_home=home, other_bytes=record["other_bytes"],
                inside=record["inside"], form_inside=math.nan if inside is None else inside)


def _exchange(path):
    lines = lines_of(path)
    rows = [_exchange_row(*line) for line in lines]
    refuse_alike([(r["nodes"], r["limit"], r["way"]) for r in rows], [place for place, _ in lines], "nodes, limit and way")
    for name in ("ranks", "experts", "top_k"):
        if len({r[name] for r in rows}) > 1:
            raise fault(path, f"its lines differ in {name} ({', '.join(str(v) for v in sorted({r[name] for r in rows}))})")
    return pd.DataFrame(rows)


def _trained(path):
    """trained.json: a list of counts on trained routing, rows across nodes of a token at dispatch."""
    found = reading.parse_json(reading.read_text(path, MADE), path, MADE)
    if not isinstance(found, list) or not found:
        raise fault(path, "is no list of counts")
    rows = []
    for i, record in enumerate(found, 1):
        place = f"{path}: count {i}"
        _need(record, ["router", "nodes", "experts", "top_k", "limit", "straight", "by_nodes"], place)
        _counts(record, ["nodes", "experts", "top_k"], place)
        _counts(record, ["limit"], place, 0)
        _numbers(record, ["straight", "by_nodes"], place)
        if not isinstance(record["router"], str) or not record["straight"] > 0:
            raise fault(place, "router is no text, or straight is not above 0")
        rows.append({n: record[n] for n in ("router", "nodes", "experts", "top_k", "limit", "straight", "by_nodes")})
    return pd.DataFrame(rows).assign(saved=lambda t: 1 - t["by_nodes"] / t["straight"])


def read(folder):
    """Measured of a folder."""
    folder = pathlib.Path(folder)
    exchange = _exchange(folder / "exchange.jsonl")
    paths = sorted(folder.glob("steps-*.jsonl"), key=lambda path: (rate_of(path), path.name))
    if not paths:
        raise SchemaError(f"{folder}: has no steps-RATE.jsonl, the steps measured on a network of that rate; {MADE}")
    rows = [row for path in paths for row in _steps_at(path)]
    refuse_other_protocol(rows, PROTOCOL)
    refuse_other_bits(rows)
    trained = folder / "trained.json"
    there = trained.exists() or trained.is_symlink()
    return Measured(pd.DataFrame(rows).drop(columns=["record", "place"]), exchange, _trained(trained) if there else None,
                    [folder / "exchange.jsonl", *paths, *([trained] if there else [])])
