"""`yardstick top-k SWEEP`: choices a token at equal work. The experts of a run with k choices are 1/k as wide (docs/sweeps.md), so that a
token meets as many weights; losses are compared under common seeds and text. In a sweep over top_k a model with more choices then has
fewer parameters, in one over granularity as many: the table and the sentences say which."""
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ..verdicts import claims
from ..verdicts.rule import Part, verdict
from ..drawing import figure_file
from ..drawing.figures import PALETTE
from . import arms as arms_of, arms_corrected
from .arms_report import caption, interval_text, origin, verdict_lines, write


def table_of(arms, found):
    """A row for each k: loss, and how much lower it is than that of the smallest k."""
    rows = []
    for i, k in enumerate(arms.names):
        gain = found.difference(arms.names[0], k)
        by_seed = {f"loss_seed_{s}": arms.losses[j, i].mean() for j, s in enumerate(arms.seeds)}
        rows.append(dict(k=int(k), parameters=arms.parameters[i], loss=found.of(k).value, gain=gain.value,
                         gain_low=gain.low, gain_high=gain.high,
                         gain_seed_sd=arms_of.seed_sd(arms, arms.names[0], k), **by_seed))
    return pd.DataFrame(rows)


def comparable(arms):
    """Whether the runs of one and of two choices have as many experts."""
    return {"1", "2"} <= set(arms.names) and len({arms.experts[arms.names.index(k)] for k in "12"}) == 1


def two_over_one(arms, found):
    """Verdict and interval of "top-2 over top-1"."""
    missing = [k for k in "12" if k not in arms.names]
    if missing:
        return claims.untested(f"the sweep has no finished runs of k = {', '.join(missing)}"), None
    gain = found.difference("1", "2")
    measured = dict(gain=gain.value, seed_sd=arms_of.seed_sd(arms, "1", "2"))
    if not comparable(arms):
        return claims.untested("the numbers of experts differ: this compares granularity", **measured), arms_of.limits(gain)
    return verdict([Part(gain.low > 0, gain.high < 0, gain.value > 0)], measured, len(arms.seeds)), arms_of.limits(gain)


def sentences(arms, found):
    """What the numbers say of every larger k against the one before."""
    said = []
    for (a, before), (b, after) in pairwise(zip(arms.names, arms.parameters)):
        gain = found.difference(a, b)
        word = "a gain" if gain.low > 0 else "a loss" if gain.high < 0 else "unresolved"
        said.append(f"k = {b} over k = {a} at equal work, with {after / before:.2g} times the parameters: {interval_text(gain)} nat, "
                    f"{word} (deviation over seeds {arms_of.seed_sd(arms, a, b):.4f}).")
    return said


def draw(arms, rows):
    """Gain over the smallest k: seeds as dots, the mean with its interval."""
    figure, axis = plt.subplots(figsize=(7, 4.3))
    at, count = np.arange(len(rows)), len(arms.seeds)
    by_seed = np.array([arms.losses[:, 0].mean(1) - arms.losses[:, i].mean(1) for i in at])
    axis.plot(at, by_seed, "o", ms=4, color=PALETTE[0], alpha=0.6)
    error = np.abs(rows[["gain_low", "gain_high"]].values.T - rows["gain"].values)
    axis.errorbar(at + 0.1, rows["gain"], None if np.isnan(error).any() else error, fmt="s", ms=5, capsize=3, color=PALETTE[1])
    axis.plot([], [], "o", color=PALETTE[0], label="seeds")
    axis.plot([], [], "s", color=PALETTE[1], label=f"mean, 95 % interval over {count} seed{'s' * (count > 1)}")
    axis.axhline(0, lw=0.8, color="0.3")
    axis.set(xlabel="choices a token, k (experts 1/k as wide)", ylabel=f"loss of k = {arms.names[0]} less that, nat",
             xticks=at, xticklabels=arms.names)
    axis.legend(fontsize="small", frameon=False)
    figure_file.note(figure, caption(arms))
    return figure


def make(folder, out=None, command=""):
    """Returns the text to print; with `out` writes OUT/top-k.{csv,svg,png}, top-k-losses.csv and acceptance.json."""
    arms = arms_of.read(folder, by="k")
    found = arms_of.sample(arms.names, arms.losses)
    rows, said = table_of(arms, found), sentences(arms, found)
    entries = [claims.entry("top-2", *two_over_one(arms, found), ["top-k.csv", "top-k.svg"])]
    entries = arms_corrected.beside(entries, arms_corrected.top_2(arms.names, arms.losses) if comparable(arms) else {})
    if out is not None:
        made = origin(command, folder, arms)._replace(caption=" ".join([caption(arms) + ".", *said]))
        write(out, {"top-k": rows, "top-k-losses": arms_of.losses_of(arms, "k")}, {"top-k": draw(arms, rows)}, made, entries)
    return "\n".join([rows.to_string(index=False, float_format=lambda v: f"{v:.4f}", na_rep=""), "",
                      *said, "", *verdict_lines(entries), *arms_corrected.lines(entries), *arms.lacks])
