"""The verdicts on "communication", "grouped-experts" and "overlap", by the rules of verdicts/claims.py. Of several lines of a kind at one
rate the fastest is judged, which is what one would train with. Single measurements have no intervals."""
import pandas as pd

from ..verdicts import claims
from .communication_results import WAYS
from .communication_tables import fastest

EXPOSED, REMOVED = 0.15, 0.35       # share of the step at most; of the bytes across nodes at least
AT_WORK = 0.95                      # share of the step that is work, at least
HALF, MOSTLY, POINTS = 0.50, 0.60, 0.05  # f0 of the two ways of the rule, and how near to it counts as there
CUT, LOW, HIGH = 0.40, 0.20, 0.80   # of the exposed time at least, at f0 between
WITHIN, SAVED = 0.01, 0.60          # relative distance from the closed forms; of the rows across nodes
NEEDED = [(2, 0), (4, 3), (4, 2)]   # nodes and limit with which the arithmetic saves 60 %


def _name(nodes, limit):
    return f"{nodes} nodes" + f", limit {limit}" * bool(limit)


def _percent(value):
    return f"{100 * value:.1f} %"


def _by_rate(rows, column):
    return {rate: None if pd.isna(row[column]) else round(float(row[column]), 4) for rate, row in rows.items()}


def _shares(rows, name):
    """Busy, exposed, hidden and utilisation by rate, as the rule asks, of the lines that are judged."""
    return {f"{column}_{name}": _by_rate(rows, column)
            for column in ("exposed_share", "utilisation", "busy_share", "hidden_share", "bytes_removed", "bound_reached")}


def _alone(f0, rows):
    """What the way by overlap alone does not meet, in sentences: at every f0 up to 50 % exposed at most 15 %, and that shown near 50 %."""
    lacking = [f"{rate}: not measured" for rate in f0 if EXPOSED < f0[rate] <= HALF and rate not in rows]
    above = [f"{rate}: exposed {_percent(row['exposed_share'])} from f0 {_percent(f0[rate])}" for rate, row in rows.items()
             if f0[rate] <= HALF and row["exposed_share"] > EXPOSED]
    near = any(f0[rate] >= HALF - POINTS and row["exposed_share"] <= EXPOSED for rate, row in rows.items())
    return lacking + above + [f"no rate with f0 from {_percent(HALF - POINTS)} on comes to {_percent(EXPOSED)}"] * (not near)


def _with_fewer_bytes(f0, rows):
    """What the way by fewer bytes does not meet: at the rates within 5 points of 60 %, or the lowest beyond."""
    beyond = {rate: row for rate, row in rows.items() if f0[rate] >= MOSTLY - POINTS}
    if not beyond:
        return [f"no rate with f0 from {_percent(MOSTLY - POINTS)} on was measured with exchange node, interleaved"]
    least = min(f0[rate] for rate in beyond)
    judged = [rate for rate in beyond if f0[rate] <= max(MOSTLY + POINTS, least)]
    return [f"{rate}: exposed {_percent(row['exposed_share'])}, bytes removed {_percent(row['bytes_removed'])} from f0 {_percent(f0[rate])}"
            for rate, row in beyond.items() if rate in judged and (row["exposed_share"] > EXPOSED or row["bytes_removed"] < REMOVED)]


def _at_work(f0, rows):
    """Whether 95 % of a step by fewer bytes is work where f0 is near 60 %, in a sentence; no part of the rule, but of the claim."""
    shares = {rate: float(row["utilisation"]) for rate, row in rows.items() if abs(f0[rate] - MOSTLY) <= POINTS}
    if not shares or any(share != share for share in shares.values()):
        return f"not measured at f0 of {_percent(MOSTLY - POINTS)} to {_percent(MOSTLY + POINTS)}"
    said = ", ".join(f"{rate}: {_percent(share)} from f0 {_percent(f0[rate])}" for rate, share in shares.items())
    return f"{'met' if min(shares.values()) >= AT_WORK else 'not met'}, {said}"


def communication(table):
    """Verdict on "communication 60 % → < 15 %"."""
    f0 = {rate: float(rows["f0"].iloc[0]) for rate, rows in table.groupby("rate", sort=False)}
    alone, node = fastest(table, "pairwise"), fastest(table, "node", ("interleaved",))
    first, second = _alone(f0, alone), _with_fewer_bytes(f0, node)
    measured = dict(f0={rate: round(share, 4) for rate, share in f0.items()}, by_overlap_alone="met" if not first else "; ".join(first),
                    with_fewer_bytes="met" if not second else "; ".join(second), at_work_95_percent=_at_work(f0, node),
                    **_shares(alone, "alone"), **_shares(node, "node"))
    judged = [rate for rate in f0 if f0[rate] > EXPOSED and (rate in alone or rate in node)]
    if not judged:
        return claims.untested(f"no rate has f0 above {_percent(EXPOSED)} and a line with overlap", **measured)
    if not first or not second:
        return "reproduced", measured
    reduced = all(min(of[rate]["exposed_share"] for of in (alone, node) if rate in of) < f0[rate] for rate in judged)
    return "direction only" if reduced else "not reproduced", measured


def overlap(table):
    """Verdict on "overlap: −40 %", of the same exchange with and without overlap; that losses are the same, reading has seen."""
    f0 = {rate: float(rows["f0"].iloc[0]) for rate, rows in table.groupby("rate", sort=False)}
    rows, judged = fastest(table, "pairwise"), [rate for rate in f0 if LOW <= f0[rate] <= HIGH]
    measured = dict(f0={rate: round(share, 4) for rate, share in f0.items()}, exposed_cut=_by_rate(rows, "exposed_cut"),
                    hidden_share=_by_rate(rows, "hidden_share"), bound_reached=_by_rate(rows, "bound_reached"),
                    same_loss=" and ".join(table["last_loss"].drop_duplicates()))
    if not judged:
        return claims.untested(f"no rate has f0 from {_percent(LOW)} to {_percent(HIGH)}", **measured)
    missing = [rate for rate in judged if rate not in rows]
    if missing:
        return claims.untested(f"no line of exchange pairwise with overlap at {', '.join(missing)}", **measured)
    cuts = [rows[rate]["exposed_cut"] for rate in judged]
    measured["least_cut"] = round(float(min(cuts)), 4)
    if min(cuts) >= CUT:
        return "reproduced", measured
    return "direction only" if min(cuts) > 0 else "not reproduced", measured


def _of_trained(trained):
    """(sentence for a trained router, whether each count there saves anything)"""
    if trained is None:
        return "not measured on trained routing: there is no trained.json", False
    said = "; ".join(f"{t.router}, E = {t.experts}, k = {t.top_k}, {_name(t.nodes, t.limit)}: {t.straight:.4g} rows, by nodes "
                     f"{t.by_nodes:.4g}, saved {_percent(t.saved)}" for t in trained.itertuples())
    return said, bool((trained["saved"] > 0).all())


def _saves_what_it_can(row):
    """Whether 60 % fewer rows cross where the closed forms say that they do: at dispatch, and on all journeys."""
    return all(row[part] >= SAVED for part in ("saved_dispatch", "saved") if row[f"{part}_form"] >= SAVED)


def grouped_experts(table, trained):
    """Verdict on "grouped EP: −60 % across nodes"."""
    grouped = table[table["way"] != WAYS[0]]
    best = {_name(n, limit): rows for (n, limit), rows in grouped.groupby(["nodes", "limit"])}
    saved = {name: round(float(rows["saved_dispatch"].min()), 4) for name, rows in best.items()}
    everywhere = {name: round(float(rows["saved"].max()), 4) for name, rows in best.items()}
    far = table[table["off"] > WITHIN]
    short = grouped[[not _saves_what_it_can(row) for _, row in grouped.iterrows()]]
    said, saves = _of_trained(trained)
    not_met = [f"{_name(r.nodes, r.limit)}, {r.way}: {_percent(r.off)} from the closed form" for r in far.itertuples()]
    not_met += [f"{_name(r.nodes, r.limit)}, {r.way}: saves {_percent(r.saved_dispatch)} at dispatch, {_percent(r.saved)} on all journeys"
                for r in short.itertuples()]
    measured = dict(largest_distance=round(float(table["off"].max()), 5), tokens=int(table["tokens"].min()),
                    saved_where_60_possible={_name(*at): saved[_name(*at)] for at in NEEDED if _name(*at) in saved},
                    trained=said, saved_at_dispatch=saved, saved_on_all_journeys=everywhere,
                    not_met="; ".join(not_met) or None)
    missing = [_name(*at) for at in NEEDED if _name(*at) not in best]
    if missing:
        return claims.untested(f"no exchange by nodes was counted at {' and at '.join(missing)}", **measured)
    if not not_met and saves:
        return "reproduced", measured
    right = all(saved[_name(*at)] > 0 for at in NEEDED)
    return "direction only" if right else "not reproduced", measured
