"""`yardstick balancing SWEEP`: the ways to balance loads, as a table, sentences, a figure and acceptance.json."""
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ..drawing import figure_file
from ..drawing.figures import PALETTE
from ..verdicts import claims
from . import arms as arms_of, arms_corrected, balancing, balancing_sizes, results, trained
from .arms_report import caption, interval_text, origin, verdict_lines, write

STYLES = ["-", "--"]


def table_of(arms, table, found):
    """A row for each arm: evenness with intervals over seeds, loss, and its difference to each aux arm with intervals."""
    rows = []
    for name in arms.names:
        mean = table[table["arm"] == name].mean(numeric_only=True)
        row = dict(arm=name, u_steps=mean["u_steps"])
        for part in balancing.PARTS:
            row[part], row[f"{part}_low"], row[f"{part}_high"] = found[part].of(name)
        row |= dict(effective_experts=mean["effective_experts"], loss=mean["loss"], perplexity=np.exp(mean["loss"]))
        for aux in (a for a in balancing.AUX if a in arms.names):
            label = f"loss_less_{aux.replace('-', '_')}"
            row[label], row[f"{label}_low"], row[f"{label}_high"] = found["loss"].difference(name, aux)
            row[f"{label}_seed_sd"] = arms_of.seed_sd(arms, name, aux)
        rows.append(row)
    return pd.DataFrame(rows)


def sentences(arms, table, found):
    """What the numbers say."""
    mean, way = table.mean(numeric_only=True), table.groupby("arm")["u_steps"].mean()
    said = [f"Excess is MaxVio less its sampling floor: {mean['floor_global']:.4f} for the {mean['tokens_global']:,.0f} held-out tokens, "
            f"{mean['floor_batch']:.4f} for a training batch. "
            f"Its intervals draw {len(arms.seeds)} seeds only; those of losses draw seeds and {arms.losses.shape[2]} blocks of text."]
    for aux in (a for a in balancing.AUX if {a, balancing.MIDDLE} <= set(arms.names)):
        d = found["loss"].difference(balancing.MIDDLE, aux)
        free, other = (found["excess_global"].of(name) for name in (balancing.MIDDLE, aux))
        cost = "a gain" if d.high < 0 else f"not worse by {balancing.MARGIN} nat" if d.high < balancing.MARGIN else \
            f"worse by more than {balancing.MARGIN} nat" if d.low > balancing.MARGIN else "unresolved"
        said.append(f"Loss-free (u·steps = {way[balancing.MIDDLE]:g}) against {aux}: excess MaxVio over held-out text {free.value:.3f} "
                    f"against {other.value:.3f}; loss {interval_text(d)} nat higher: {cost} "
                    f"(deviation over seeds {arms_of.seed_sd(arms, balancing.MIDDLE, aux):.4f}).")
    rates = [name for name in balancing.FREE if name in arms.names]
    for part, when in (("excess_early", "the first"), ("excess_late", "the last")):
        if len(rates) > 1:
            best = min(rates, key=lambda name: found[part].of(name).value)
            said.append(f"In {when} tenth of the steps {best} has the least excess: "
                        + ", ".join(f"{n} {found[part].of(n).value:.3f}" for n in rates) + ".")
    return said


def _colour(names, name):
    number = names.index(name)
    return dict(color=PALETTE[number % len(PALETTE)], ls=STYLES[number // len(PALETTE) % len(STYLES)])


def _logarithmic(axis, which, least):
    """A logarithmic axis; where values at or below 0 have to be shown, one that is linear about 0."""
    if least > 0:
        getattr(axis, f"set_{which}scale")("log")
        return
    getattr(axis, f"set_{which}scale")("symlog", linthresh=0.1)
    (axis.axhline if which == "y" else axis.axvline)(0, lw=0.8, color="0.3")


def _over_time(axis, arms, curves):
    """Excess MaxVio of a batch over the steps, mean of the seeds."""
    for name in arms.names:
        steps, excess = (np.mean([c[i] for c in curves[name]], 0) for i in (0, 1))
        axis.plot(steps, excess, lw=1.2, label=name, **_colour(arms.names, name))
    axis.set(xlabel="step", ylabel="MaxVio of a batch, less floor")
    _logarithmic(axis, "y", min(np.mean([c[1] for c in curves[name]], 0).min() for name in arms.names))


def _dots(axis, arms, table, found):
    """Excess MaxVio over held-out text: seeds as dots, their mean as a line, and beside it its interval."""
    for i, name in enumerate(arms.names):
        values = table.loc[table["arm"] == name, "excess_global"].values
        axis.plot(values, np.full(len(values), i), "o", ms=5, color=PALETTE[0], alpha=0.7)
        axis.plot([values.mean()] * 2, [i - 0.3, i + 0.3], color=PALETTE[1])
        axis.plot(found["excess_global"].of(name)[1:], [i + 0.3] * 2, color=PALETTE[1], lw=1)
    axis.set(xlabel="MaxVio of held-out text, less floor")
    _logarithmic(axis, "x", table["excess_global"].min())


def _losses(axis, arms, found, aux):
    """Difference of the loss to an aux arm, with its interval and the margin."""
    for i, name in enumerate(arms.names):
        d = found["loss"].difference(name, aux)
        error = None if np.isnan(d.low) else np.abs(np.array([[d.low], [d.high]]) - d.value)
        axis.errorbar([d.value], [i], xerr=error, fmt="o", ms=5, capsize=3, color=PALETTE[0])
    axis.axvline(0, lw=0.8, color="0.3")
    axis.axvline(balancing.MARGIN, ls=":", color=PALETTE[1], label=f"margin of the loss, {balancing.MARGIN} nat")
    axis.set(xlabel=f"loss less that of {aux}, nat")


def draw(arms, table, curves, found):
    """Three panels: MaxVio over the steps, over held-out text, and the loss."""
    figure, axes = plt.subplots(1, 3, figsize=(15, 4.8))
    _over_time(axes[0], arms, curves)
    _dots(axes[1], arms, table, found)
    aux = next((a for a in reversed(balancing.AUX) if a in arms.names), arms.names[0])
    _losses(axes[2], arms, found, aux)
    for axis in axes[1:]:
        axis.set(yticks=range(len(arms.names)), yticklabels=arms.names if axis is axes[1] else [], ylim=(len(arms.names) - 0.5, -0.5))
    figure.legend(loc="outside upper center", ncols=5, fontsize="small", frameon=False)
    figure_file.note(figure, caption(arms))
    return figure


def _sizes(arms, path):
    """The sizes of another sweep with that of these arms among them, what it lacks, and their tables by name."""
    found, lacks = balancing_sizes.read(path)
    found = sorted([*(size for size in found if size.experts != arms.num_experts), balancing_sizes.size_of(arms)], key=lambda s: s.experts)
    return found, lacks, {"balancing-sizes": balancing_sizes.table(found), "balancing-sizes-losses": balancing_sizes.runs_of(found)}


def _entries(arms, found, table, sizes):
    """The entries of acceptance.json, registered and corrected."""
    entries = balancing.entries(arms, found, table, ["balancing.csv", "balancing-runs.csv", "balancing.svg"])
    excess = table.pivot(index="seed", columns="arm", values="excess_global").loc[arms.seeds, arms.names].values
    fit = balancing.unfit(arms, table, *balancing.FREE, *balancing.AUX) is None
    entries = arms_corrected.beside(entries, arms_corrected.balancing(arms.names, arms.losses, excess, arms.hashed) if fit else {})
    entries = trained.judged(entries, trained.arms(arms.names, arms.losses, arms.hashed, arms.still), arms_corrected.TEXT)
    files = ["balancing-sizes.csv", "balancing-sizes-losses.csv", "balancing-sizes.svg"]
    return entries + ([claims.entry(balancing_sizes.KEY, *balancing_sizes.judge(sizes), files)] if sizes else [])


def make(folder, out=None, command="", sizes=None):
    """Returns the text to print; with `out` writes OUT/balancing.{csv,svg,png}, balancing-runs.csv and -losses.csv, and acceptance.json;
    with `sizes`, results.h5 of other numbers of experts, balancing-sizes.{csv,svg,png} and -losses.csv too."""
    arms = arms_of.read(folder)
    table, curves = balancing.measure(arms)
    found = balancing.samples(arms, table)
    rows = table_of(arms, table, found)
    of_sizes, lacks, tables = _sizes(arms, sizes) if sizes else ([], [], {})
    entries = _entries(arms, found, table, of_sizes)
    hashed = trained.arms(arms.names, arms.losses, arms.hashed, arms.still)
    said = sentences(arms, table, found)
    if out is not None:
        made = origin(command, folder, arms)._replace(caption=" ".join([caption(arms) + ".", *said]))
        figures = dict(balancing=draw(arms, table, curves, found))
        if sizes:
            figures["balancing-sizes"] = balancing_sizes.draw(of_sizes, caption(arms).split(", E = ")[0])
            made = made._replace(runs=[*made.runs, *results.runs(sizes)])
        tables |= {"balancing": rows, "balancing-runs": table, "balancing-losses": arms_of.losses_of(arms)}
        write(out, tables, figures, made, entries)
    short = rows[["arm", *balancing.PARTS, "effective_experts", "loss",
                  *[c for c in rows if c.startswith("loss_less") and not c.endswith("seed_sd")]]]
    said += [trained.sentence(hashed)] if hashed else []
    printed = [short, *([tables["balancing-sizes"]] if sizes else [])]
    return "\n".join([*(f"{t.to_string(index=False, float_format=lambda v: f'{v:.4f}')}\n" for t in printed), *said, "",
                      *verdict_lines(entries), *arms_corrected.lines(entries), *arms.lacks, *lacks])
