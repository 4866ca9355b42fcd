"""The figure of `yardstick law`: losses of the published curves with both fits, and E_max against tokens per parameter."""
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator, ScalarFormatter

from ..drawing import figure_file
from ..drawing.figures import PALETTE
from . import curves, laws

MARKERS = ["o", "s", "^", "D", "v", "P"]  # beside the colours, for who cannot tell those apart
OWN_RATIO = 64  # D/N of our own saturation protocol


def _ticks(axis, values):
    axis.set_major_locator(FixedLocator(values))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(ScalarFormatter())
    axis.set_minor_formatter(NullFormatter())


def _losses(axis, frame, router, fit):
    """Final losses of every size over E: dots; its own fit: line; the joint fit: dashes."""
    curve = 2 ** np.linspace(0, 9, 60)
    v = fit.values
    for i, size in enumerate(curves.SIZES):
        experts, losses = curves.with_dense(frame, router, size)
        own = laws.fit_clark(losses, experts).values
        y = laws.log10_effective(curve, v["e_start"], v["e_max"])
        n = np.log10(curves.routed(frame, router, size=size)["dense_parameter_count"].iloc[0])
        axis.plot(experts, losses, MARKERS[i], color=PALETTE[i], ms=4.5, label=size)
        axis.plot(curve, 10 ** (own["d"] + own["b"] * laws.log10_effective(curve, own["e_start"], own["e_max"])), color=PALETTE[i], lw=1.1)
        axis.plot(curve, 10 ** (v["a"] * n + v["b"] * y + v["c"] * n * y + v["d"]), "--", color=PALETTE[i], lw=0.8)
    axis.set(xscale="log", yscale="log", xlabel="experts E",
             title=f"{router}: {len(fit.fitted)} routed points, joint E_max = {v['e_max']:.0f}")
    _ticks(axis.xaxis, [1, 4, 16, 64, 256])
    _ticks(axis.yaxis, [2.0, 2.5, 3.0, 3.5])


def _ratios(axis, scaling):
    """E_max of every size and checkpoint against D/N, with its power law."""
    x = np.geomspace(3, 9000, 50)
    for i, (router, law) in enumerate(scaling.items()):
        axis.plot(law.points["ratio"], law.points["e_max"], MARKERS[i], color=PALETTE[i], ms=4, alpha=0.6)
        axis.plot(x, curves.predict(law.constant, law.power, x), color=PALETTE[i],
                  label=f"{router}: {law.constant:.1f} (D/N)^{law.power:.2f}")
        axis.fill_between(x, *[curves.predict(law.constant, law.power, x) * law.factor**s for s in (-1, 1)],
                          color=PALETTE[i], alpha=0.12, lw=0)
    axis.axvline(OWN_RATIO, color="0.3", ls=":", lw=1.2)
    axis.text(OWN_RATIO * 1.1, 8.5, "our protocol", color="0.3", fontsize="small")
    axis.set(xscale="log", yscale="log", ylim=(7, 1500), xlabel="training tokens per active parameter, D/N", ylabel="E_max of one size",
             title="E_max follows tokens per parameter")
    _ticks(axis.yaxis, [10, 30, 100, 300, 1000])
    axis.legend(fontsize="small", loc="upper left")


def setting(frame, scaling):
    """N, D, D/N, tokens an expert and seeds of the lines: of the sizes over E at the end of training, and of all checkpoints."""
    ends = frame[frame["final"] & frame["router_type"].isin(curves.ROUTERS.values())]
    n, tokens, most = ends["dense_parameter_count"], curves.FINAL * curves.TOKENS_PER_STEP, ends["num_experts"].max()
    points = next(iter(scaling.values())).points
    early = (points["ratio"] * points["n"]).min()
    return (f"First three panels: N = {n.min() / 1e6:.0f} M to {n.max() / 1e9:.1f} B active parameters, D = {tokens / 1e9:.0f} B tokens, "
            f"D/N = {tokens / n.max():.0f} to {tokens / n.min():,.0f}, k = 1, {tokens / most / 1e9:.2f} B tokens an expert "
            f"at E = {most:.0f}, one seed (dense 130M: mean of three). Last panel: E_max of every size at checkpoints of "
            f"D = {early / 1e9:.0f} to {tokens / 1e9:.0f} B tokens, D/N = {points['ratio'].min():.1f} to {points['ratio'].max():,.0f}.")


def draw(frame, found, scaling, out, origin):
    """Writes law.svg and law.png."""
    figure, axes = plt.subplots(2, 2, figsize=(11, 8.8))
    for axis, (router, (fit, *_)) in zip(axes.flat, found.items()):
        _losses(axis, frame, router, fit)
    axes[0, 0].set_ylabel("held-out loss, nat per token")
    axes[1, 0].set_ylabel("held-out loss, nat per token")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), ncols=6, loc="outside lower center", frameon=False,
                  title="model size (first three panels)")
    _ratios(axes[1, 1], scaling)
    caption = "Published curves of Clark et al. 2022 (CC-BY 4.0): line, each size fitted alone; dashes, the joint law"
    figure.suptitle(caption, fontsize="medium")
    figure_file.save(figure, out, "law", origin._replace(caption=f"{caption}. {setting(frame, scaling)}"))
