"""Figures of how a run was trained: learning rate, gradient norm, memory, the parts of its loss beside the cross-entropy, and its held-out
loss by domain."""
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import MaxNLocator

from ..records import special
from . import binned
from .figures import HEIGHT, MOST_ROWS, PALETTE, WIDTH, Absent, need, setting

PARTS = dict(loss_head_z="z-loss of the head", loss_aux="balancing loss", loss_importance="importance loss",
             loss_router_z="z-loss of the routers")


def _over_steps(run, name, label, **axis_options):
    need(run, name)
    figure, axis = plt.subplots(figsize=(WIDTH, HEIGHT))
    binned.line(axis, run["step"].values, run[name].values, label=binned.told(run.sizes["row"]))
    axis.set(xlabel="step", ylabel=label, **axis_options)
    axis.xaxis.set_major_locator(MaxNLocator(9, integer=True))
    return figure, axis


def learning_rate(run):
    """The learning rate of each step."""
    return _over_steps(run, "learning_rate", "learning rate", ylim=(0, None))[0]


def gradient_norm(run):
    """The global gradient norm before clipping."""
    figure, axis = _over_steps(run, "gradient_norm", f"gradient norm{setting(run, 'train.clip')}")
    axis.set_yscale("log")
    if binned.width(run.sizes["row"]) > 1:
        axis.legend()
    return figure


def loss_parts(run):
    """What is added to the cross-entropy, coefficients included; parts that are 0 at every step are left out."""
    need(run, "loss_cross_entropy")
    parts = {name: run[name].values for name in PARTS if name in run and np.any(run[name].values)}
    if not parts:
        raise Absent("the loss is the cross-entropy alone")
    figure, axis = plt.subplots(figsize=(WIDTH, HEIGHT))
    for colour, (name, values) in zip(PALETTE, parts.items()):
        binned.line(axis, run["step"].values, np.where(values > 0, values, np.nan), color=colour, label=PARTS[name])
    axis.set(xlabel="step", ylabel="part of the loss", yscale="log")
    axis.xaxis.set_major_locator(MaxNLocator(9, integer=True))
    axis.legend()
    return figure


def memory(run):
    """The largest resident memory of the processes so far, on the host."""
    need(run, "peak_bytes")
    figure, axis = plt.subplots(figsize=(WIDTH, HEIGHT))
    axis.plot(binned.middle(run["step"].values), binned.medians(run["peak_bytes"].values / 2**30), lw=1.2)
    axis.set(xlabel="step", ylabel="GiB, all ranks together", ylim=(0, None))
    axis.xaxis.set_major_locator(MaxNLocator(9, integer=True))
    return figure


def domain_losses(evaluation):
    """(steps,) and {domain: (steps,)}: the mean loss of a domain's tokens in the held-out sample, at each evaluation."""
    need(evaluation, "loss", "domain")
    labels, names = evaluation["domain"].values, special.domain_names(evaluation)
    known = [i for i in range(len(names)) if (labels == i).any()]
    if len(known) < 2:
        raise Absent("the corpus does not tell domains apart")
    losses = evaluation["loss"].values
    return evaluation["step"].values, {names[i]: losses[:, labels == i].mean(1) for i in known}


def loss_by_domain(evaluation):
    """The held-out loss of each domain at each evaluation."""
    steps, found = domain_losses(evaluation)
    if len(found) > MOST_ROWS:
        raise Absent(f"{len(found):,} domains are more than the {MOST_ROWS} that a figure holds")
    figure, axis = plt.subplots(figsize=(WIDTH, HEIGHT))
    colours = PALETTE if len(found) <= len(PALETTE) else plt.get_cmap("viridis")(np.linspace(0, 1, len(found)))
    for colour, (name, values) in zip(colours, found.items()):
        axis.plot(steps, values, "o-", ms=4, lw=1.2, color=colour, label=name)
    axis.set(xlabel="step", ylabel="cross-entropy (nat per token)")
    axis.xaxis.set_major_locator(MaxNLocator(9, integer=True))
    axis.legend(fontsize="small" if len(found) > 5 else None, ncols=1 + len(found) // 12)
    return figure
