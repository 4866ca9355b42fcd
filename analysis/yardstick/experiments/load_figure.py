"""`yardstick load RUN`: the share of every expert over the steps, and MaxVio above its sampling floor, of each layer, as a figure."""
import pathlib

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from ..base import writing
from ..records.run_folder import option
from ..drawing import figure_file
from ..drawing.figures import MOST_ROWS, Absent, draw_load, draw_max_vio, load_shares
from ..sweeps import arms


def caption(run, folder):
    """What one run is, for below a figure: N and D/N (of a run in a sweep), D, E, k, tokens an expert, steps, seed, run id."""
    tokens, k, experts = int(run["tokens"][-1]), int(run.attrs["top_k"]), sorted({int(e) for e in run["experts"].values})
    seed, n = option(run, "train.seed"), arms.active_parameters(folder)
    parts = [f"N = {n:,.0f} active parameters", f"D/N = {tokens / n:.3g}"] if n else []
    parts += [f"D = {tokens:,} tokens", f"E = {', '.join(map(str, experts))}", f"k = {k}",
              f"{tokens * k / experts[-1]:,.0f} tokens an expert",
              f"{int(run['step'][-1]):,} steps", *([f"seed {seed}"] if seed else []),
              f"run {run.attrs.get('config_sha256', 'unknown')[:12]}"]
    return ", ".join(parts)


def table_of(run):
    """A row for each layer and tenth of the steps: MaxVio, its floor, and the largest and smallest load of
    the tenth by the even one."""
    rows = []
    for part in np.array_split(np.arange(run.sizes["row"]), min(10, run.sizes["row"])):
        for i, experts in enumerate(run["experts"].values):
            piece = run.isel(row=part, layer=i)
            share = piece["assigned"].values[:, :int(experts)].mean(0)
            rows.append(dict(block=int(run["layer"].values[i]), first_step=int(piece["step"][0]), last_step=int(piece["step"][-1]),
                             max_vio=float(piece["max_vio"].mean()),
                             max_vio_floor=float(piece["max_vio_floor"].mean()), largest=share.max() / share.mean(),
                             smallest=share.min() / share.mean()))
    return pd.DataFrame(rows)


def draw(run, text):
    """Of each layer the heat map of loads and MaxVio below it."""
    at, table, highest = load_shares(run)
    if len(table) > MOST_ROWS:
        raise Absent(f"{len(table):,} layers are more than the {MOST_ROWS} that a figure holds")
    figure, axes = plt.subplots(2 * len(table), 1, figsize=(8, 0.8 + 3.6 * len(table)), sharex=True,
                                squeeze=False, height_ratios=[2, 1] * len(table))
    for i, share in enumerate(table):
        above, below = axes[2 * i, 0], axes[2 * i + 1, 0]
        mesh = draw_load(above, at, share, highest)
        above.set_title(f"block {int(run['layer'].values[i])}", loc="left", fontsize="medium")
        above.yaxis.set_major_locator(MaxNLocator(6, integer=True))
        draw_max_vio(below, run, i)
        figure.colorbar(mesh, ax=above, label="load / even load", extend="max")
    axes[1, 0].legend(fontsize="small", ncols=2, frameon=False, loc="upper right")
    axes[-1, 0].set_xlabel("step")
    figure_file.note(figure, text)
    return figure


def make(folder, out, command=""):
    """Writes OUT/load.{csv,svg,png}; returns the text to print."""
    run, out = arms.routed(folder), pathlib.Path(out)
    rows, text = table_of(run), caption(run, folder)
    writing.write_table(out / "load.csv", rows, "%.6g")
    figure_file.save(draw(run, text), out, "load", figure_file.origin_of_run(command, folder, ["run.h5"])._replace(caption=text))
    return "\n".join([rows.to_string(index=False, float_format=lambda v: f"{v:.3f}"), "", text])
