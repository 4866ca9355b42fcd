"""The figure of `yardstick known-answer`: exact curves with trained points, fewer samples, the balance tax, and facts over rho."""
import matplotlib.pyplot as plt
import numpy as np

from ..drawing.figures import PALETTE, experts_axis

MARKS = ["o", "s", "^", "D", "v", "P", "X"]


def _bend(axis, tasks, ideal, trained):
    """Exact curves as lines, trained losses as marks; learned routers belong between the lines."""
    axis.plot(ideal["experts"], ideal["ideal"], color=PALETTE[0], label="ideal, exact")
    axis.plot(ideal["experts"], ideal["hash"], "--", color=PALETTE[1], label="hash, exact")
    for i, (router, table) in enumerate(trained.items()):
        axis.plot(table["experts"], table["trained"], MARKS[i % len(MARKS)], color=PALETTE[i % len(PALETTE)],
                  mfc="none", ms=6, label=f"{router}, trained")
    axis.axvline(tasks, ls=":", color="0.3")
    experts_axis(axis)
    axis.set(ylabel="loss (nat per sample)", title=f"L = {tasks}")
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


def draw(found):
    """Figure of `known_answer.Results`."""
    figure, axes = plt.subplots(2, 3, figsize=(15, 9))
    for axis, tasks in zip(axes[0], found.ideal):
        _bend(axis, tasks, found.ideal[tasks], found.trained[tasks])
    _fewer(axes[1, 0], found.fewer)
    _tax(axes[1, 1], found.zipf)
    _facts(axes[1, 2], found.facts)
    return figure


def caption(found, note):
    """note: what is said of facts where they were run."""
    samples = ", ".join(f"{int(np.max(t['oracle']['samples'])):,} for L = {tasks}" for tasks, t in found.trained.items())
    return ("Known answers. Above: exact loss of the ideal and of the drawn hash assignment (lines) and trained losses (marks), one seed, "
            f"samples {samples}; the dotted "
            "line is the answer, E = L. Below: with fewer samples the best E is smaller though the answer is the same; exact balance "
            f"turns the knee into a tail; loss of stored facts over ρ ({note if found.facts is not None else 'not run'}).")
