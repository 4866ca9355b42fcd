"""Figures of how a run was trained: learning rate, gradient norm, and the parts of its loss beside the cross-entropy."""
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import MaxNLocator

from . import binned
from .figures import HEIGHT, PALETTE, WIDTH, Absent, need, setting

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
