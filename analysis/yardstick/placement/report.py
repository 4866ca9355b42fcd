"""`yardstick placement RUN`: for every layer a placement of its experts on nodes and ranks, as a file, with a table of
what it sends between nodes beside other placements, and a figure."""
import pathlib

import pandas as pd

from ..base import writing
from ..base.faults import SchemaError
from ..drawing import figure_file
from ..drawing.figures import Absent
from ..records.run_folder import open_run
from . import figure, placement_file, sampled, trained_counts
from .measured import RANDOM, measure
from .ranks import Ranks

TITLE = "Rows between nodes, by where experts live"
HEADS = dict(flat_rows="flat", node_rows="node", limited_rows="limited", moved_share="moved", change="change", change_error="±",
             largest_load="load")
PERCENT = ("moved_share", "change", "change_error")
BESIDE = ("node_rows", "largest_load")  # that are shown of the fitted and of all tokens too


def _cell(column, value):
    if pd.isna(value):
        return ""
    return f"{value:.1%}" if column in PERCENT else f"{value:.3f}"


def shown(table, limited):
    """The table as text: a line for each block and placement, held-out tokens in front."""
    columns = [c for c in HEADS if limited or c not in ("limited_rows", "moved_share")]
    head = ["block", "placement", *(HEADS[c] for c in columns), *(f"{HEADS[c]} ({part})" for part in ("fit", "all") for c in BESIDE)]
    lines = [head]
    for (block, name), rows in table.groupby(["block", "placement"], sort=False):
        part = rows.set_index("part")
        lines.append([str(block) if block >= 0 else "all", name, *(_cell(c, part.loc["held_out", c]) for c in columns),
                      *(_cell(c, part.loc[p, c]) for p in ("fit", "all") for c in BESIDE)])
    widths = [max(map(len, column)) for column in zip(*lines)]
    return ["  ".join(c.ljust(w) if i == 1 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths))).rstrip() for line in lines]


def _of(table, block, name, part="held_out"):
    return table[(table["block"] == block) & (table["placement"] == name) & (table["part"] == part)].iloc[0]


def notes(table, layers):
    """What is to be said of layers: of one choice a token, and of gains that are none."""
    said = []
    for layer in layers:
        found = _of(table, layer.block, "found")
        if layer.chosen.shape[1] == 1:
            said.append(f"block {layer.block}: every token is given to one expert: nothing is chosen together, so no placement sends "
                        "fewer rows; this one evens loads only")
        elif found["change"] >= -2 * found["change_error"]:
            said.append(f"block {layer.block}: no gain beyond noise on held-out tokens")
    return said


def _setting(taken, ranks):
    """What was measured, in words."""
    steps, fit = taken.steps, int((~taken.held_out).sum())
    return [f"{ranks.nodes} nodes of {ranks.per_node} rank{'s' * (ranks.per_node != 1)}, one expert-parallel group; "
            f"a row is {taken.row_bytes} bytes ({taken.row})",
            f"sampled steps {steps[0]} to {steps[-1]} ({len(steps)}): placed by {fit} tokens, held out {len(taken.held_out) - fit}; "
            "a token is on the rank that has its grain"]


def _totals(table):
    """The bytes of a token over all layers, in words."""
    rows = {name: _of(table, -1, name) for name in ("contiguous", "eplb", "found", RANDOM)}
    found = rows["found"]
    return (f"bytes between nodes a held-out token, all layers, one row a node: contiguous {rows['contiguous']['node_bytes']:.1f}, EPLB "
            f"{rows['eplb']['node_bytes']:.1f}, found {found['node_bytes']:.1f} ({found['change']:+.1%} ± {found['change_error']:.1%}), "
            f"random choices {rows[RANDOM]['node_bytes']:.1f}")


def write_placement(run, nodes, out=None, command="", *, ranks_per_node=1, group_limit=None, tolerance=5, from_step=None, seed=0,
                    compare=None, counts=None):
    """Writes OUT (default RUN/placement/placement.yaml), a table OUT.csv and a figure OUT.{svg,png} beside it; returns the text to print.
    tolerance: percent by which the largest load of a rank may be above that of the evenest packing. counts: a list to add to."""
    if group_limit is not None and group_limit > nodes:
        raise SchemaError(f"--group-limit {group_limit} is more than --nodes {nodes}; give at most as many")
    ranks, out = Ranks(nodes, ranks_per_node), pathlib.Path(out or pathlib.Path(run) / "placement" / "placement.yaml")
    if out.suffix in (".csv", ".svg", ".png"):
        raise SchemaError(f"{out}: a table and figures of this name are written beside the placement; give --out a name like "
                          "placement.yaml")
    taken = sampled.read(run, ranks, from_step)
    given = compare and placement_file.read(compare, {layer.block: layer.experts for layer in taken.layers})
    orders, table = measure(taken, ranks, tolerance / 100, group_limit, seed, given)
    setting, said = _setting(taken, ranks), [_totals(table), *notes(table, taken.layers)]
    head = [f"made by {command}", f"of run {run}, config_sha256 {taken.config}, commit {taken.commit}", *setting, *said,
            "BLOCK: experts in order of their places; place p is on the rank that has expert p without a placement"]
    placement_file.write(out, orders["found"], head)
    writing.write_table(out.with_suffix(".csv"), table, "%.6g")
    if counts:
        trained_counts.add(counts, table, taken, ranks, open_run(run))
    lines = [*setting, "", *shown(table, group_limit is not None), "", *said]
    try:
        drawn = figure.draw(table, "; ".join(setting))
        drawn.suptitle(TITLE, fontsize="large")
        origin = figure_file.origin_of_run(command, run, ("run.h5", "tokens.r*.h5"))
        figure_file.save(drawn, out.parent, out.stem, origin._replace(caption=TITLE))
    except Absent as reason:
        lines.append(f"not drawn: {reason}")
    return "\n".join([*lines, f"{out}: {len(orders['found'])} layers"])
