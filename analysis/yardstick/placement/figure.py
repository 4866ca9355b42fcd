"""The figure of `yardstick placement`: rows between nodes a token, of every placement and block."""
import textwrap

import matplotlib.pyplot as plt
import numpy as np

from ..drawing.figures import HEIGHT, MOST_ROWS, PALETTE, WIDTH, Absent
from .measured import RANDOM

LOOK = dict(contiguous=("contiguous", 0, "o"), eplb=("EPLB's packing", 4, "s"), found=("found", 2, "D"), given=("given", 3, "^"))


def draw(table, setting):
    """De-duplicated rows of the held-out tokens as marks, of the fitted ones hollow; dashed what uniformly random choices send. setting:
    what was measured, in words."""
    rows = table[table["block"] >= 0]
    blocks = rows["block"].unique()
    if len(blocks) > MOST_ROWS:
        raise Absent(f"{len(blocks):,} layers are more than the {MOST_ROWS} that a figure holds")
    figure, axis = plt.subplots(figsize=(WIDTH, HEIGHT + 0.6))
    names = [name for name in LOOK if (rows["placement"] == name).any()]
    for at, name in enumerate(names):
        label, colour, mark = LOOK[name]
        places = np.arange(len(blocks)) + 0.15 * (at - (len(names) - 1) / 2)
        for part, filled in (("fit", False), ("held_out", True)):
            values = rows[(rows["placement"] == name) & (rows["part"] == part)]["node_rows"]
            axis.plot(places, values, mark, color=PALETTE[colour], mfc=PALETTE[colour] if filled else "white",
                      ms=6 if filled else 9, label=label if filled else None)
    closed = rows[(rows["placement"] == RANDOM) & (rows["part"] == "held_out")]["node_rows"]
    axis.hlines(closed, np.arange(len(blocks)) - 0.35, np.arange(len(blocks)) + 0.35, ls="--", color="0.4", label="random choices")
    axis.plot([], [], "o", mfc="white", color="0.4", ms=9, label="fitted tokens")
    some = range(0, len(blocks), -(-len(blocks) // 16))
    axis.set(xticks=some, xticklabels=[str(blocks[i]) for i in some], xlabel="block", xlim=(-0.5, len(blocks) - 0.5),
             ylabel="rows to other nodes a token")
    axis.set_title(textwrap.fill(setting, 84), loc="left", fontsize="x-small")
    axis.set_ylim(0, axis.get_ylim()[1] * 1.05)
    figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    return figure
