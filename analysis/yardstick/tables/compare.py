"""`yardstick compare A B …`: what differs between the configurations of runs, how they end, and their curves over each other."""
import pathlib
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr

from ..base import writing
from ..base.faults import SchemaError
from ..base.text import plain
from ..drawing import binned, figure_file
from ..drawing.figures import PALETTE, WIDTH, smooth
from ..records import run_folder
from .sweep import differing, options

LAST = 20   # steps behind the training loss that is printed
SHOWN = 32  # letters of a value that is printed
RESULTS = dict(steps="steps", tokens="tokens", loss_train="training loss (nat)", loss_validation="held-out loss (nat)",
               bits_per_byte="held-out bits per byte", max_vio="MaxVio, last tenth", tokens_per_second="tokens per second (median)",
               ranks="ranks", commit="commit")


class Compared(NamedTuple):
    """A run: its name, records, and options by name."""
    name: str
    data: xr.Dataset
    options: dict


def names(runs):
    """Of each run the end of its path that no other has."""
    paths = [pathlib.Path(run).resolve() for run in runs]
    depth = next(d for d in range(1, max(len(p.parts) for p in paths) + 1) if len({p.parts[-d:] for p in paths}) == len(paths))
    return ["/".join(p.parts[-depth:]) for p in paths]


def opened(runs):
    """The runs with their records and options."""
    data = [run_folder.open_run(run) for run in runs]
    return [Compared(name, d, options(d.attrs.get("config", ""))) for name, d in zip(names(runs), data)]


def imbalance(data):
    """(rows,) MaxVio, mean over layers; of a dense model NaN."""
    if "max_vio" not in data or int(data["experts"].max()) == 1:
        return np.full(data.sizes["row"], np.nan)
    return data["max_vio"].mean("layer").values


def result(data):
    """The values of RESULTS of one run."""
    held_out = {n: float(data[f"evaluation_{of}"][-1]) if data.sizes.get("evaluation", 0) and f"evaluation_{of}" in data else np.nan
                for n, of in dict(loss_validation="loss", bits_per_byte="bits_per_byte").items()}
    return dict(steps=int(data["step"][-1]), tokens=int(data["tokens"][-1]), loss_train=float(data["loss_cross_entropy"][-LAST:].mean()),
                **held_out, max_vio=float(imbalance(data)[-max(1, data.sizes["row"] // 10):].mean()),
                tokens_per_second=float(data["tokens_per_second"].median()), ranks=int(data["ranks"][-1]),
                commit=data.attrs.get("commit", "unknown"))


def table(compared):
    """A row for each option that differs and each result, a column for each run; `kind` says which of the two a row is."""
    differ = differing([run.options for run in compared])
    rows = [dict(kind="option", name=name) | {run.name: run.options.get(name, "") for run in compared} for name in differ]
    results = {run.name: result(run.data) for run in compared}
    rows += [dict(kind="result", name=key) | {name: found[key] for name, found in results.items()} for key in RESULTS]
    return pd.DataFrame(rows, dtype=object)


def shown(value):
    """A value of the table as text."""
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:.5g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 99_999 else plain(str(value), SHOWN)


def formatted(frame):
    """The table as text: options that differ, then results."""
    names, said = list(frame.columns[2:]), []
    for kind, title in (("option", "options that differ"), ("result", "results")):
        rows = [[RESULTS.get(row["name"], row["name"]), *(shown(row[n]) for n in names)]
                for _, row in frame[frame["kind"] == kind].iterrows()]
        if not rows:
            said += ["The configurations are the same.", ""]
            continue
        lines = [[title, *(plain(n, SHOWN) for n in names)], *rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        said += ["  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:]))]).rstrip() for line in lines]
        said.append("")
    return "\n".join(said).rstrip()


def _curve(axis, at, values, colour, label):
    """A line of one run: a running mean, of a long run the medians of its bins."""
    width = max(1, len(values) // 50)
    if binned.width(len(values)) > 1:
        at, values = binned.middle(at), binned.medians(values)
    elif width > 1:
        at, values = at[width - 1:], smooth(values, width)
    axis.plot(at, values, lw=1.2, color=colour, label=label)


def draw(compared):
    """Losses, MaxVio and learning rates of all runs over the tokens that they were trained on."""
    routed = any(np.isfinite(imbalance(run.data)).any() for run in compared)
    rated = all("learning_rate" in run.data for run in compared)
    figure, axes = plt.subplots(1 + routed + rated, 1, figsize=(WIDTH + 1, 3.4 + 2.2 * (routed + rated)), squeeze=False, sharex=True,
                                height_ratios=[2] + [1] * (routed + rated))
    axes = list(axes[:, 0])
    colours = PALETTE if len(compared) <= len(PALETTE) else plt.get_cmap("viridis")(np.linspace(0, 0.9, len(compared)))
    for run, colour in zip(compared, colours):
        data, at = run.data, run.data["tokens"].values / 1e6
        _curve(axes[0], at, data["loss_cross_entropy"].values, colour, plain(run.name, SHOWN))
        if data.sizes.get("evaluation", 0) and "evaluation_loss" in data:
            axes[0].plot(np.interp(data["evaluation_step"], data["step"], at), data["evaluation_loss"], "o", ms=4, color=colour)
        if routed and np.isfinite(imbalance(data)).any():
            _curve(axes[1], at, imbalance(data), colour, None)
        if rated:
            axes[-1].plot(binned.middle(at), binned.medians(data["learning_rate"].values), lw=1.2, color=colour)
    axes[0].set_ylabel("cross-entropy (nat per token)\nline: training, dots: held out")
    axes[0].legend(fontsize="small")
    if routed:
        axes[1].set(ylabel="MaxVio, mean\nover layers", ylim=(0, None))
    if rated:
        axes[-1].set(ylabel="learning rate", ylim=(0, None))
    axes[-1].set_xlabel("tokens trained on (millions)")
    return figure


def make(runs, out=None, command=""):
    """Returns the text to print; with `out` the table and the figure are written there."""
    if len(runs) < 2:
        raise SchemaError(f"{runs[0]}: nothing to compare it with; give two runs or more")
    compared = opened(runs)
    frame = table(compared)
    if out is not None:
        origins = [figure_file.origin_of_run(command, run, ["run.h5"]) for run in runs]
        origin = origins[0]._replace(inputs={p: s for o in origins for p, s in o.inputs.items()}, runs=[r for o in origins for r in o.runs],
                                     caption="Loss, MaxVio and learning rate of the runs over the tokens trained on.")
        writing.write_table(pathlib.Path(out) / "compare.csv", frame)
        figure_file.save(draw(compared), out, "compare", origin)
    return formatted(frame)
