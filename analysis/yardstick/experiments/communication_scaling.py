"""Weak scaling of experiments/communication: weak-N.jsonl of `switchyard bench step --json` on N nodes of one network, the same tokens a
node each."""
import re

import pandas as pd

from .communication_results import PROTOCOL, fault, is_serial, refuse_other_bits, refuse_other_protocol, steps_of
from .communication_tables import serial_compute, shown

WITH_THE_NODES = ("ranks", "nodes", "step_tokens", "grains", "expert_parallel")  # what grows with them
DEFINITIONS = """Weak scaling: as many tokens on each of N nodes, beside the fastest step of one node.
efficiency = its step / the step of N nodes; bound = max(compute of the serial step with the same exchange, else of the straight one;
busy of the serial step of N nodes by the bytes that are left); bound efficiency = that step of one node / bound; bound reached = bound /
step."""


def _nodes_of(path):
    found = re.fullmatch(r"weak-([1-9][0-9]?)", path.stem)
    if not found:
        raise fault(path, "its name has no number of nodes as weak-2.jsonl has")
    return int(found[1])


def _lines(path):
    """Of one number of nodes, which its lines must agree with."""
    nodes, rows = _nodes_of(path), steps_of(path)
    for row in rows:
        if row["record"]["nodes"] != nodes:
            raise fault(row["place"], f"is of {row['record']['nodes']} node(s), not {nodes}")
    refuse_other_bits(rows)
    return [dict(nodes=nodes) | row for row in rows]


def read_scaling(folder):
    """(rows of all numbers of nodes, that of one node first; files); (None, []) where the folder has none."""
    paths = sorted(folder.glob("weak-*.jsonl"), key=_nodes_of)
    if not paths:
        return None, []
    rows = [row for path in paths for row in _lines(path)]
    if rows[0]["nodes"] != 1:
        raise fault(folder, "has weak-N.jsonl, but not weak-1.jsonl, with which the others are compared")
    refuse_other_protocol(rows, [name for name in PROTOCOL if name not in WITH_THE_NODES])
    for row in rows:
        for name in ("ranks", "step_tokens"):
            if row["record"][name] != row["nodes"] * rows[0]["record"][name]:
                raise fault(row["place"], f"{name} is not {row['nodes']} times that of one node ({row['record'][name]})")
    return pd.DataFrame(rows).drop(columns=["record", "place"]), paths


def scaling_table(rows):
    """A row for each line, with what the definitions say."""
    alone, parts = rows["step_ms"][rows["nodes"] == 1].min(), []
    for _, of in rows.groupby("nodes", sort=False):
        serial = of.iloc[0]
        share = of["row_bytes_across"] / serial["row_bytes_across"] if serial["row_bytes_across"] else 0 * of["row_bytes_across"]
        bound = (serial["communication_ms"] * share).clip(lower=serial_compute(of))
        parts.append(of.assign(efficiency=alone / of["step_ms"], bound_ms=bound, bound_efficiency=alone / bound,
                               bound_reached=bound / of["step_ms"], exposed_share=of["exposed_ms"] / of["step_ms"]))
    return pd.concat(parts, ignore_index=True)


def scaling_text(table):
    columns = ["nodes", "exchange", "schedule", "lanes", "step_ms", "exposed_share", "efficiency", "bound_ms", "bound_efficiency",
               "bound_reached"]
    return "\n".join([DEFINITIONS, "", shown(table, columns)])


def summary(table):
    """{nodes: efficiency without overlap, the best with it, and the bound of that}, for acceptance.json."""
    made = {}
    for nodes, rows in table.groupby("nodes", sort=False):
        serial, best = rows[rows.apply(is_serial, axis=1)].iloc[0], rows.loc[rows["step_ms"].idxmin()]
        made[str(nodes)] = dict(serial=round(float(serial["efficiency"]), 4), best=round(float(best["efficiency"]), 4),
                                bound_of_best=round(float(best["bound_efficiency"]), 4),
                                by=f"{best['exchange']} {best['schedule']} {best['lanes']}")
    return made
