"""The figure of `yardstick known-answer`: exact curves with trained points, fewer samples, the balance tax, and facts over rho."""
import matplotlib.pyplot as plt
import numpy as np

from ..drawing.figures import PALETTE, experts_axis
from .known_answer_samples import SHOWN

MARKS = ["o", "s", "^", "D", "v", "P", "X"]
SHAPES = dict(bend="bend (B)", knee="knee (K)", clark="Clark's (C)")


def _curve(axis, curve, ideal, trained):
    """Exact curves as lines, trained losses as marks; learned routers belong between the lines."""
    shape, tasks = curve
    axis.plot(ideal["experts"], ideal["ideal"], color=PALETTE[0], label="ideal, exact")
    axis.plot(ideal["experts"], ideal["hash"], "--", color=PALETTE[1], label="hash, exact")
    for i, (router, table) in enumerate(trained.items()):
        axis.plot(table["experts"], table["trained"], MARKS[i % len(MARKS)], color=PALETTE[i % len(PALETTE)],
                  mfc="none", ms=6, label=f"{router}, trained")
    axis.axvline(tasks, ls=":", color="0.3")
    experts_axis(axis)
    axis.set(ylabel="loss (nat per sample)", title=f"{SHAPES[shape]}, L = {tasks}")
    axis.legend(fontsize="x-small")


def _fewer(axis, fewer):
    for i, (samples, table) in enumerate(fewer.items()):
        axis.plot(table["experts"], table["trained"], "-" + MARKS[i % len(MARKS)], color=PALETTE[i % len(PALETTE)],
                  ms=5, label=f"{samples:,} samples")
    if fewer:
        axis.plot(table["experts"], table["ideal"], ":", color="0.3", label="ideal, exact")
    experts_axis(axis)
    axis.set(ylabel="loss (nat per sample)", title="fewer samples, L = 64, oracle")
    axis.legend(fontsize="x-small")


def _tax(axis, zipf):
    """Excess over the floor of the even and the exactly balanced assignment, from 4 experts on."""
    rows = zipf[zipf["experts"] >= 4]
    for column, style, label in (("ideal", "o-", "best assignment"), ("balanced", "s--", "every expert exactly 1/E")):
        axis.plot(rows["experts"], rows[column] - rows["floor"], style, ms=5, label=label)
    experts_axis(axis)
    axis.set(ylabel="excess (nat per sample)", title="balance tax: 64 tasks of share ∝ 1/rank")
    axis.legend(fontsize="x-small")


def _tax_of_routers(axis, tax):
    """Excess over MaxVio: a colour for each E, a mark for each router; the line goes from exact balance to the best assignment."""
    for colour, experts in zip(PALETTE, map(str, SHOWN)):
        ends = [tax[name][experts] for name in ("balanced", "oracle") if experts in tax[name]]
        axis.plot([v for _, v in ends], [loss for loss, _ in ends], "-", color=colour, lw=1, label=f"E = {experts}")
        for mark, table in zip(MARKS, tax.values()):
            if experts in table:
                axis.plot(table[experts][1], table[experts][0], mark, color=colour, mfc="none", ms=7)
    names = dict(oracle="best assignment", balanced="every expert exactly 1/E")
    for mark, name in zip(MARKS, tax):
        axis.plot([], [], mark, color="0.3", mfc="none", label=names.get(name, name))
    axis.set_xscale("symlog", linthresh=1)
    axis.set(xlabel="MaxVio of the assignment", ylabel="excess (nat per sample)", title="the same, of routers that learn")
    axis.set_ylim(top=1.5 * axis.get_ylim()[1])  # room for the legend
    axis.legend(fontsize="x-small", ncols=3, loc="upper center")


def _facts(axis, facts):
    """T2: loss over rho, facts by parameters of all experts; curves that collapse lie on one another."""
    axis.set(xlabel="ρ (facts by parameters)", ylabel="loss (nat per fact)", title="facts: collapse in ρ")
    if facts is None:
        axis.text(0.5, 0.5, "T2 was not run", transform=axis.transAxes, ha="center", color="0.3")
        return
    for i, ((count, hidden, exposures), rows) in enumerate(facts.sort_values("rho").groupby(["facts", "hidden", "exposures"])):
        axis.plot(rows["rho"], rows["loss"], "-" + MARKS[i % len(MARKS)], ms=5, lw=0.8, color=PALETTE[i % len(PALETTE)],
                  label=f"{count} facts, h = {hidden}, {exposures} times")
    axis.set_xscale("log")
    axis.legend(fontsize="x-small")


def draw(found, tax):
    """Figure of `known_answer_results.Results`; tax: `known_answer_samples.balance_tax`."""
    figure, axes = plt.subplots(3, 3, figsize=(15, 13.5))
    axes = axes.flat
    for curve in found.ideal:
        _curve(next(axes), curve, found.ideal[curve], found.trained[curve])
    _fewer(next(axes), found.fewer)
    _tax(next(axes), found.zipf)
    _tax_of_routers(next(axes), tax)
    _facts(next(axes), found.facts)
    return figure


def caption(found, note):
    """note: what is said of facts where they were run."""
    samples = ", ".join(f"{int(np.max(t['oracle']['samples'])):,} for {shape} {tasks}"
                        for (shape, tasks), t in found.trained.items())
    seeds = ", ".join(sorted({run.id for run in found.runs}))
    return (f"Known answers, {seeds}. First five: exact loss of the ideal and of the drawn hash assignment (lines) "
            f"and trained losses (marks), samples {samples}; the dotted line is the answer, E = L. Then: with fewer samples the best E is "
            "smaller though the answer is the same; exact balance "
            "turns the knee into a tail; what learned routers pay, over how uneven they are (from every expert exactly 1/E to the best "
            "assignment goes the line; no router can cut a task, as exact balance does); "
            f"loss of stored facts over ρ ({note if found.facts is not None else 'not run'}).")
