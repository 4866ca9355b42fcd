"""What follows from the measured steps and counts of experiments/communication, and what each column means."""
import pandas as pd

from .communication_results import WAYS, straight_rows

DEFINITIONS = """All from the intervals of the timeline: medians over steps of means over ranks, the step of the slowest rank.
busy = when rows travelled or ranks met, exposed = when a rank did nothing else then, compute = when it did: ms a step.
hidden share (eta) = 1 − exposed / busy; hidden ms = busy − exposed; exposed share = exposed / step; utilisation = compute / step (empty
where the program did not write it: before 2026-11-30).
Of a rate, with the serial step (pairwise, one lane) as reference: f0 = exposed / step of it; bytes removed = 1 − bytes across nodes / its;
bound = max(compute of the serial step of the same exchange, busy of the reference · bytes / its bytes); bound reached = bound / step.
exposed cut = 1 − exposed / exposed of the reference. Bytes removed and time hidden are apart: both shorten the step."""
COUNTED = """Rows of a token that cross between nodes, counted on four journeys of random routing (out: dispatch and backward combine; home:
combine and backward dispatch), beside the closed forms; saved: against k (M − 1) / M rows;
off = largest relative distance from these. inside: that go to another rank of the node where they are, on the way out, beside its form
(there is no simple one where gathered with a limit), off by off inside; judged is what crosses."""


def serial_compute(rows):
    """Of each row the compute of the serial row with its exchange, else of the first; where that was not written, step − exposed."""
    alone = rows[(rows["schedule"] == "serial") & (rows["lanes"] == 1)].drop_duplicates("exchange").set_index("exchange")
    compute = alone["compute_ms"].fillna(alone["step_ms"] - alone["exposed_ms"])
    return rows["exchange"].map(compute).fillna(compute[rows["exchange"].iloc[0]])


def overlap_table(steps):
    """A row for each line of bench step, with what the definitions say."""
    parts = []
    for _, rows in steps.groupby("rate", sort=False):
        serial = rows.iloc[0]
        alone, share = serial_compute(rows), rows["row_bytes_across"] / serial["row_bytes_across"]
        bound = (serial["communication_ms"] * share).clip(lower=alone)
        busy = rows["communication_ms"]
        parts.append(rows.assign(
            f0=serial["exposed_ms"] / serial["step_ms"], serial_compute_ms=alone, busy_share=busy / rows["step_ms"],
            exposed_share=rows["exposed_ms"] / rows["step_ms"], hidden_ms=busy - rows["exposed_ms"],
            hidden_share=1 - (rows["exposed_ms"] / busy.where(busy > 0)).fillna(0.0), bytes_removed=1 - share, bound_ms=bound,
            bound_reached=bound / rows["step_ms"], utilisation=rows["compute_ms"] / rows["step_ms"],
            exposed_cut=1 - rows["exposed_ms"] / serial["exposed_ms"], last_loss=rows["last_loss"].map(repr)))
    return pd.concat(parts, ignore_index=True).rename(columns=dict(communication_ms="busy_ms"))


def exchange_table(counted):
    """A row for each line of bench exchange, with its distance from the closed forms and what is saved."""
    out, home = ["dispatch", "combine_backward"], ["combine", "dispatch_backward"]
    straight = straight_rows(counted["nodes"], counted["top_k"])
    parts = [counted[journeys].div(counted[form], axis=0) - 1 for journeys, form in ((out, "form_out"), (home, "form_home"))]
    inside = counted["inside"].div(counted["form_inside"].where(counted["form_inside"] > 0)) - 1
    off = pd.concat(parts, axis=1).abs()
    return counted.assign(off=off.max(axis=1), off_inside=inside.abs(), saved_dispatch=1 - counted["dispatch"] / straight,
                          saved_dispatch_form=1 - counted["form_out"] / straight,
                          saved=1 - counted[out + home].sum(axis=1) / (4 * straight),
                          saved_form=1 - (counted["form_out"] + counted["form_home"]) / (2 * straight))


def fastest(table, exchange, schedules=("pipelined", "interleaved")):
    """{rate: row} of the fastest line of an exchange with overlap, where there is one."""
    rows = table[(table["exchange"] == exchange) & table["schedule"].isin(schedules)]
    return {rate: of.loc[of["step_ms"].idxmin()] for rate, of in rows.groupby("rate", sort=False)}


def shown(table, columns):
    """Columns of a table as text: milliseconds and rows with digits, shares in percent."""
    ends = ("share", "removed", "reached", "cut", "efficiency")
    shares = {c for c in columns if c.endswith(ends) or "saved" in c or c in ("f0", "utilisation", "off", "off_inside")}
    percent = {c: ["" if v != v else f"{round(100 * v, 1) + 0.0:.1f}%" for v in table[c]] for c in shares}  # + 0.0: no minus before a zero
    frame = pd.DataFrame({c.replace("_", " "): percent.get(c, table[c]) for c in columns})
    return frame.to_string(index=False, float_format=lambda v: f"{v:.4f}" if v < 10 else f"{v:.1f}")


def text(overlap, exchange):
    """Both tables with their definitions."""
    steps = shown(overlap, ["rate", "f0", "exchange", "schedule", "lanes", "step_ms", "busy_ms", "exposed_ms", "exposed_share",
                            "hidden_share", "hidden_ms", "bytes_removed", "exposed_cut", "bound_ms", "bound_reached", "utilisation"])
    counted = shown(exchange.sort_values("way", key=lambda ways: ways.map(WAYS.index), kind="stable"),
                    ["way", "nodes", "limit", "tokens", "dispatch", "combine", "combine_backward", "dispatch_backward", "form_out",
                     "form_home", "off", "inside", "form_inside", "off_inside", "saved_dispatch", "saved"])
    losses = " and ".join(overlap["last_loss"].drop_duplicates())
    same = f"All {len(overlap)} lines that made as many steps have the same last loss, {losses}."
    return "\n".join([DEFINITIONS, "", steps, "", same, "",
                      COUNTED, "", counted])
