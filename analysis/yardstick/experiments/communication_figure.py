"""The figure of `yardstick communication`: step time over the share of communication, and rows across nodes over the number of nodes."""
import matplotlib.pyplot as plt
import numpy as np

from ..drawing.figures import PALETTE, experts_axis
from .communication_results import SUMS, WAYS, node_rows, straight_rows
from .communication_tables import fastest

ROOM = 1.45  # of the height: above the curves is room for the legend
JOURNEYS = ["dispatch", "combine", "combine_backward", "dispatch_backward"]


def _steps(axis, table):
    """Step times as marks, what cannot be undercut as lines: compute alone, and the longer of compute and communication."""
    serial = table[(table["exchange"] == "pairwise") & (table["schedule"] == "serial") & (table["lanes"] == 1)]
    kinds = [("serial", {r["rate"]: r for _, r in serial.iterrows()}, "o", PALETTE[1]),
             ("overlap", fastest(table, "pairwise"), "s", PALETTE[0]),
             ("by nodes, overlap", fastest(table, "node", ("interleaved",)), "^", PALETTE[2])]
    f0 = lambda rows: np.array([100 * r["f0"] for r in rows])  # noqa: E731
    serial = serial.sort_values("f0")
    axis.plot(100 * serial["f0"], serial["serial_compute_ms"], ":", color="0.3", marker="_" if len(serial) == 1 else None,
              label="compute alone")
    for name, rows, mark, colour in kinds:
        ordered = sorted(rows.values(), key=lambda r: r["f0"])
        axis.plot(f0(ordered), [r["step_ms"] for r in ordered], mark, color=colour, mfc="none", ms=7, mew=1.6, label=name)
        if ordered and name != "serial":
            axis.plot(f0(ordered), [r["bound_ms"] for r in ordered], "--", color=colour, lw=1.2, marker="_" if len(ordered) == 1 else None,
                      label=f"bound, {name.removesuffix(', overlap').replace('overlap', 'all bytes')}")
    axis.set(xlabel="f0: exposed share of the serial step (%)", ylabel="step (ms)", title="steps at each rate of the network",
             xlim=(0, 100), ylim=(0, ROOM * table["step_ms"].max()))
    axis.legend(fontsize="small", ncols=2, loc="upper left")


def _curves(counted):
    """(label, rows that were counted, their journeys, closed form by nodes): straight, by nodes, and by nodes with each limit."""
    top_k, experts = counted["top_k"].iloc[0], counted["experts"].iloc[0]
    yield "straight", counted[(counted["way"] == WAYS[0]) & (counted["limit"] == 0)], lambda m: straight_rows(m, top_k)
    for limit in sorted(counted["limit"].unique(), key=lambda at: (at > 0, -at)):
        rows = counted[(counted["way"] != WAYS[0]) & (counted["limit"] == limit)]
        label = f"by nodes, at most {limit}" if limit else "by nodes"
        yield label, rows, lambda m, limit=limit: node_rows(m, experts, top_k, limit)


def _counted(axis, counted):
    """Counts as dots, on all journeys that follow the closed form, which is the line."""
    for i, (label, rows, form) in enumerate(_curves(counted)):
        if rows.empty:
            continue
        nodes = 2 ** np.linspace(*np.log2([rows["nodes"].min(), rows["nodes"].max()]), 60)
        colour = PALETTE[i % len(PALETTE)]
        axis.plot(nodes, [form(m) for m in nodes], color=colour, lw=1.2, label=label, marker="_" if len(set(rows["nodes"])) == 1 else None)
        for journey in JOURNEYS:
            home = journey in ("combine", "dispatch_backward")
            one_by_one = ~rows["way"].str.endswith(SUMS) & (rows["way"] != WAYS[0])
            of = rows[~one_by_one] if home else rows  # without sums home all rows of a token come back
            axis.plot(of["nodes"], of[journey], "o", color=colour, ms=5, mfc="none")
    axis.plot([], [], "o", color="0.3", ms=5, mfc="none", label="counted")
    experts_axis(axis, "nodes M")
    axis.set_xticks(sorted(counted["nodes"].unique()))
    axis.minorticks_off()
    axis.set(ylabel="rows across nodes of a token", ylim=(0, ROOM * counted[JOURNEYS].max().max()),
             title=f"each journey, E = {counted['experts'].iloc[0]}, k = {counted['top_k'].iloc[0]}, random routing")
    axis.legend(fontsize="small", ncols=2, loc="upper left")


def draw(overlap, exchange):
    """Figure of the tables of communication_tables.py."""
    figure, axes = plt.subplots(1, 2, figsize=(13, 5.2))
    _steps(axes[0], overlap)
    _counted(axes[1], exchange)
    return figure


def caption(overlap, exchange):
    rates = ", ".join(f"{rate} (f0 {100 * rows['f0'].iloc[0]:.0f} %)" for rate, rows in overlap.groupby("rate", sort=False))
    return (f"Communication, on a virtual network of {rates}; all steps have the same loss to the last digit. Left: step time (slowest "
            "rank, median) of the serial schedule and the fastest with overlap; dashed: the bound, the longer of compute and "
            "communication, for all bytes and for those that exchange node leaves; dotted: compute alone. Right: rows of a token "
            f"that cross between nodes, counted over at least {exchange['tokens'].min():,} tokens on the journeys out, and home where sums "
            "go home (dots), and the closed forms (lines).")
