"""The figures of `yardstick saturation`: losses, gains, speed-ups and memory over E in four panels, and the gap of training and
held-out loss."""
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import EngFormatter

from ..drawing.figures import PALETTE, experts_axis
from ..law import laws, saturation
from . import costs, sentences



class Stated(NamedTuple):
    """Gains of the doublings and E_half with the intervals by which corrected rules judge: pooled Student's t, or the wider of it and drawn
    blocks; smoothed gains and the fitted law."""
    gains: list
    half: object


LEGEND = 0.3  # of the height of the gains, kept free above them


def _absent(axis, text):
    axis.text(0.5, 0.5, text, transform=axis.transAxes, ha="center", va="center", fontsize="small", color="0.3")


def _losses(axis, table, s):
    """(a) Loss of every seed as dots, the mean, and the laws fitted to it with the band of the bootstrap."""
    for i in range(len(table.seeds)):
        axis.plot(table.experts, table.losses[i].mean(1), "o", color=PALETTE[0], ms=4, alpha=0.6, label="seeds" if i == 0 else None)
    axis.plot(table.experts, s.losses, "_", color=PALETTE[6], ms=12, label="mean")
    if s.comparison is not None:
        x = 2 ** np.linspace(*np.log2(table.experts[[0, -1]]), 80)
        for fit, style, colour in ((s.comparison.clark, "-", PALETTE[1]), (s.comparison.power, "--", PALETTE[2])):
            v = fit.values
            axis.plot(x, 10 ** (v["d"] + v["b"] * laws.log10_effective(x, v["e_start"], v["e_max"])),
                      style, color=colour, label=f"{fit.law} law")
    if s.band is not None:
        axis.fill_between(*s.band, color=PALETTE[1], alpha=0.2, lw=0, label="Clark, 95 % of differences")
    experts_axis(axis)
    axis.set(ylabel="held-out loss (nat per token)", title="(a) loss")
    axis.legend(fontsize="small")


def _gains(axis, s, published, stated):
    """(b) Gain per doubling with its interval, the level that counts as none, and the published curves; stated: `Stated`."""
    value = np.array([g.value for g in stated.gains])
    errors = np.abs(np.array([[g.low, g.high] for g in stated.gains]).T - value)
    axis.errorbar(s.left, value, None if np.isnan(errors).any() else errors, fmt="o", ms=5, capsize=3,
                  color=PALETTE[0], zorder=3, label="measured")
    for i, (label, experts, gain) in enumerate(published):
        axis.plot(experts, gain, lw=0.8, color=PALETTE[2 + i], label=label)
    axis.axhline(saturation.DELTA, ls=":", color="0.3", label=f"no gain: {saturation.DELTA} nat")
    axis.axvspan(s.predicted[0] * 0.99, s.predicted[1] * 1.01, color=PALETTE[4], alpha=0.25, lw=0, label="predicted E_max")
    if np.isfinite(stated.half.value):
        axis.axvline(stated.half.value, color=PALETTE[1], label="E_half and its 95 %")
    experts_axis(axis, "experts E, before the doubling")
    _limits_of_half(axis, stated.half)
    low, high = axis.get_ylim()
    axis.set(ylabel="gain per doubling Δ (nat per token)", title="(b) gain of each doubling", ylim=(low, high + LEGEND * (high - low)))
    axis.legend(fontsize="x-small", ncols=2)


def _limits_of_half(axis, half):
    """The interval of E_half at the foot of the panel, up to its edges; an arrow where it goes on."""
    if not np.isfinite(half.low):
        return
    first, last = axis.get_xlim()
    high = min(half.high, last)
    axis.plot([max(half.low, first), high], [0.04, 0.04], color=PALETTE[1], lw=3, alpha=0.6, transform=axis.get_xaxis_transform())
    if half.high > last:
        axis.plot(high, 0.04, ">", color=PALETTE[1], ms=8, clip_on=False, transform=axis.get_xaxis_transform())
    axis.set_xlim(first, last)


def _speeds(axis, cost, speeds):
    """(c) Speed-ups to the dense model's last loss; speeds: those in steps, with their intervals."""
    for values, style, name, shift in ((cost.steps, "o-", "steps", 0.98), (cost.wall, "s--", "wall time", 1.02)):
        if np.isfinite(values).any():
            by_step = np.array([[one.value, one.low, one.high] for one in speeds])
            error = np.abs(by_step[:, 1:].T - by_step[:, 0]) * np.divide(values, cost.steps)
            known = np.isfinite(error).all(0) & (cost.experts > 1)  # the dense model's is 1 by definition
            axis.plot(cost.experts * shift, values, style, ms=5, lw=1, label=name)
            if known.any():
                axis.errorbar(cost.experts[known] * shift, values[known], error[:, known], fmt="none", capsize=3, lw=1,
                              ecolor=axis.lines[-1].get_color())
    axis.axhline(1, ls=":", color="0.3", label="dense")
    if np.isnan(cost.seconds).all():
        _absent(axis, "no wall time: seconds_per_step was not recorded")
    experts_axis(axis)
    axis.set(ylabel="speed-up (dense = 1)", title="(c) speed-up to the dense final loss")
    axis.legend(fontsize="small")


def _memory(axis, cost):
    """(d) Parameters and measured bytes over E on linear axes, where affine is a line; one parameter stands as high as its state."""
    axis.plot(cost.experts, cost.parameters * costs.STATE_BYTES, "s", color=PALETTE[2], ms=5, label="total parameters")
    if cost.memory is None:
        _absent(axis, "no memory: peak_bytes was not recorded")
    else:
        axis.plot(cost.experts, cost.peak, "o", color=PALETTE[0], ms=5, label="measured peak")
        fitted = cost.memory.offset + cost.memory.slope * cost.experts
        axis.plot(cost.experts, fitted, color=PALETTE[1], label=f"affine fit, R² = {cost.memory.r_squared:.5f}")
    right = axis.secondary_yaxis("right", functions=(lambda b: b / costs.STATE_BYTES, lambda p: p * costs.STATE_BYTES))
    right.set_ylabel("total parameters")
    right.yaxis.set_major_formatter(EngFormatter(sep=" "))
    axis.yaxis.set_major_formatter(EngFormatter(unit="B", sep=" "))
    axis.set(xlabel="experts E", ylabel="resident memory", title=f"(d) memory ({costs.STATE_BYTES} B a parameter)", ylim=(0, None))
    axis.legend(fontsize="small")


def setting(table, s):
    """N, D, D/N, tokens per expert and seeds, as every caption carries them."""
    each = s.tokens * table.k / s.experts[-1]
    return (f"N = {s.n:,.0f}, D = {s.tokens:,.0f} tokens, D/N = {sentences.ratio(s)}, {each:,.0f} tokens an expert at E = "
            f"{s.experts[-1]:.0f}, {s.seeds} seed{'s' * (s.seeds > 1)}")


def caption(table, s, published, timed=False):
    """The caption of the four panels; timed: durations are from a sweep made for them."""
    curves = f"thin lines: Clark et al. 2022 at the nearest D/N ({'; '.join(label for label, *_ in published)})" if published else \
        "the published curves are not drawn, since --published was not given"
    band = ", band: 95 % of the bootstrap, of differences from the mean over E" if s.band is not None else ""
    return (f"{setting(table, s)}. {table.label}. (a) Held-out loss: seeds, mean, laws fitted to it{band}. (b) Gain of each doubling, "
            f"{s.seeds} seeds, 95 % by pooled t; {curves}; band: E_max predicted at this D/N by the registered law, with which E_half is "
            "compared, here by smoothed gains and the fitted law; at the foot its 95 % interval. (c) Speed-up to the dense model's last "
            "loss, intervals by the bootstrap of seeds, of which those of three hold the truth three times in four; between evaluations "
            "linear and before the first one not counted; wall time from the smallest seconds per step of each E that "
            f"{'the sweep given by --times' if timed else 'the runs'} recorded. (d) Total parameters, measured peak of resident memory and "
            "its affine fit.")


def four_panels(table, s, cost, published, stated):
    """The saturation figure; stated: what (b) shows of the gains, `Stated`."""
    figure, axes = plt.subplots(2, 2, figsize=(12, 9))
    _losses(axes[0, 0], table, s)
    _gains(axes[0, 1], s, published, stated)
    _speeds(axes[1, 0], cost, s.speeds)
    _memory(axes[1, 1], cost)
    figure.suptitle(setting(table, s), fontsize="medium")
    return figure


def gap(table, s):
    """Training and held-out loss of every seed and their gap: one that widens with E means too little data, not too much capacity."""
    train, held_out = table.extra["loss_train"], table.losses.mean(2)
    figure, axes = plt.subplots(1, 2, figsize=(12, 4.5))
    for values, colour, mark, name in ((train, PALETTE[1], "s", "training"), (held_out, PALETTE[0], "o", "held out")):
        axes[0].plot(table.experts, values.T, mark, color=colour, ms=4, alpha=0.6)
        axes[0].plot(table.experts, values.mean(0), color=colour, marker=mark, ms=4, label=name)
    axes[1].plot(table.experts, (held_out - train).T, "o", color=PALETTE[0], ms=4, alpha=0.6)
    axes[1].plot(table.experts, (held_out - train).mean(0), color=PALETTE[0])
    for axis in axes:
        experts_axis(axis)
    axes[0].set_ylabel("loss (nat per token)")
    axes[0].legend(fontsize="small")
    axes[1].set_ylabel("held out − training (nat per token)")
    figure.suptitle(setting(table, s), fontsize="medium")
    return figure


def gap_caption(table, s):
    return (f"{setting(table, s)}. {table.label}. Training loss (mean of the steps since the evaluation before) and held-out loss of every "
            f"seed (dots) and their mean (line), and their gap. A gap that widens with E means too little data, not too much capacity.")
