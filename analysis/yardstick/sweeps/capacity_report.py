"""`yardstick capacity SWEEP`: drops, padding and loss by capacity factor beside the null model, a figure and acceptance.json."""
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ..drawing import figure_file
from ..drawing.figures import PALETTE
from . import arms as arms_of, arms_corrected, capacity, trained
from .arms_report import caption, interval_text, origin, verdict_lines, write

SIGMAS = [0.1, 0.2, 0.3, 0.5, 0.8]  # of the null model's curves
SHADES = plt.get_cmap("cividis")(np.linspace(0, 0.9, len(SIGMAS)))


def table_of(arms, factors, found, table):
    """A row for each capacity factor: drop, waste and loss with intervals, the null model's drop and waste, sigma; means over layers."""
    base, rows = arms.names.index(factors[max(factors)]), []
    for factor, name in factors.items():
        mean = table[table["arm"] == name].mean(numeric_only=True)
        row = dict(arm=name, factor=factor, sigma=mean["sigma"], sigma_counts=mean["sigma_counts"], m=mean["m"])
        if np.isfinite(factor):
            for part in ("drop", "waste"):
                row[part], row[f"{part}_low"], row[f"{part}_high"] = found[part].of(name)
                row[f"theory_{part}"] = mean[f"theory_{part}"]
        row["loss"] = found["loss"].of(name).value
        row["loss_less_widest"], row["loss_low"], row["loss_high"] = found["loss"].difference(name, arms.names[base])
        rows.append(row)
    return pd.DataFrame(rows)


def sentences(arms, factors, found, table):
    """What the numbers say."""
    limited = table[np.isfinite(table["factor"])]
    sigma, off, limit = limited["sigma"], capacity.deviations(table), capacity.null_model_limit()
    arm, block = off.abs().idxmax()
    kind = "of groups of sampled steps" if (limited["sigma_from"] == "groups").all() else \
        "from the loads of whole batches, since not every run sampled steps in its last tenth"
    said = [f"sigma {sigma.min():.3f} to {sigma.max():.3f} over arms, layers and seeds, measured {kind}; by 1/m + s² it is "
            f"{limited['sigma_counts'].min():.3f} to {limited['sigma_counts'].max():.3f}.",
            f"The measured drop is furthest from the closed form in {arm}, block {block}: {100 * off[arm, block]:+.2f} points; "
            f"at 1/m + s² it would be off by up to {100 * capacity.deviations(table, 'theory_drop_counts').abs().max():.2f}.",
            f"Sharp, flat, wasteful is what the null model itself says for sigma up to {limit:.3f}; " +
            ("all that was measured lies there." if sigma.max() <= limit else "not all that was measured lies there.")]
    pairs = [(a, b) for a, b in zip(factors, list(factors)[1:])]
    steps = [f"{a:g} to {b:g} {interval_text(found['loss'].difference(factors[b], factors[a]))}" for a, b in pairs]
    return [*said, "Held-out loss, which drops nothing, by capacity factor in training, nat: "
                   f"{'; '.join(steps).replace('inf', 'dropless')}."]


def _against_theory(axis, table, part, means):
    """The null model's curves over the whole axis, each arm and layer (mean of seeds) with what the model says at its own sigma, and the
    mean of an arm's layers with its interval; means: what `table_of` makes."""
    x, theory = np.linspace(0.95, 2.6, 166), getattr(capacity, part)
    for sigma, shade in zip(SIGMAS, SHADES):
        dropped = capacity.drop(x, sigma)
        axis.plot(x, 100 * (dropped if part == "drop" else theory(x, dropped)), color=shade, lw=1, label=f"null model, σ = {sigma:g}")
    rows = table[np.isfinite(table["factor"])].groupby(["arm", "block"], sort=False)[["factor_of_rows", part, f"theory_{part}"]].mean()
    axis.plot(rows["factor_of_rows"], 100 * rows[f"theory_{part}"], "s", mfc="none", ms=8, color="black",
              label="null model at the measured σ")
    axis.plot(rows["factor_of_rows"], 100 * rows[part], "o", ms=4, color=PALETTE[1], label="measured, each layer")
    means = means[np.isfinite(means["factor"])]
    error = np.abs(means[[f"{part}_low", f"{part}_high"]].values.T - means[part].values) * 100
    axis.errorbar(means["factor"] + 0.03, 100 * means[part], None if np.isnan(error).any() else error, fmt="D", ms=4, capsize=3,
                  color=PALETTE[0], label="mean of layers, bootstrap of seeds")
    axis.set(xlabel="capacity factor", xlim=(x[0], x[-1]), ylabel="choices dropped (%)" if part == "drop" else "rows left empty (%)")


def _quality(axis, factors, rows):
    """Loss by capacity factor less that of the widest arm."""
    at = np.arange(len(rows))
    error = np.abs(rows[["loss_low", "loss_high"]].values.T - rows["loss_less_widest"].values)
    axis.errorbar(at, rows["loss_less_widest"], None if np.isnan(error).any() else error, fmt="o", ms=5, capsize=3, color=PALETTE[0])
    axis.axhline(0, lw=0.8, color="0.3")
    labels = [f"{f:g}" if np.isfinite(f) else "dropless" for f in factors]
    axis.set(xlabel="capacity factor in training", ylabel=f"held-out loss less that at {labels[-1]}, nat", xticks=at, xticklabels=labels)


def draw(arms, factors, table, rows):
    """Three panels: drop and waste against theory, and the loss."""
    figure, axes = plt.subplots(1, 3, figsize=(15, 4.8))
    _against_theory(axes[0], table, "drop", rows)
    _against_theory(axes[1], table, "waste", rows)
    axes[0].legend(fontsize="small", frameon=False)
    _quality(axes[2], factors, rows)
    figure_file.note(figure, caption(arms))
    return figure


def make(folder, out=None, command=""):
    """Returns the text to print; with `out` writes OUT/capacity.{csv,svg,png}, capacity-layers.csv and -losses.csv, and
    acceptance.json."""
    arms = arms_of.read(folder)
    table = capacity.measure(arms)
    factors, found = capacity.by_factor(arms, table), capacity.samples(arms, table)
    rows = table_of(arms, factors, found, table)
    entries = capacity.entries(arms, factors, found, table, ["capacity.csv", "capacity-layers.csv", "capacity.svg"])
    said, hashed = sentences(arms, factors, found, table), trained.arms(arms.names, arms.losses, arms.hashed, arms.still)
    entries = trained.judged(entries, hashed, arms_corrected.TEXT)
    if out is not None:
        made = origin(command, folder, arms)._replace(caption=" ".join([caption(arms) + ".", *said]))
        tables = {"capacity": rows, "capacity-layers": table, "capacity-losses": arms_of.losses_of(arms)}
        write(out, tables, dict(capacity=draw(arms, factors, table, rows)), made, entries)
    short = rows[["factor", "sigma", "drop", "theory_drop", "waste", "theory_waste", "loss", "loss_less_widest", "loss_low", "loss_high"]]
    return "\n".join([short.to_string(index=False, float_format=lambda v: f"{v:.4f}", na_rep=""), "",
                      *said, *([trained.sentence(hashed)] if hashed else []), "",
                      *verdict_lines(entries), *arms_corrected.lines(entries), *arms.lacks])
