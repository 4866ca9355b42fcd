"""`yardstick saturation RESULTS`: for every curve over E the table, the sentences that its numbers allow, a figure and acceptance.json."""
import json
import pathlib

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from . import acceptance, figure_file, laws, results, saturation, sentences
from .figures import PALETTE
from .records import SchemaError

CLAIMS = [  # claim, published, rule, verdict, the part of a summary that is its interval
    ("more experts help (sample efficiency)", "7.5× steps at E = 64 (Switch); 2.8–17× (Clark, by N)",
     "Δ > 0 with its interval for each doubling to 64; step speed-up at E = 64 at least 1.5", sentences.helps, "gains"),
    ("gains diminish", "ST-MoE: beyond 256; Clark", "slope of Δ against log2 E over E ≥ 8 negative with its interval; E_half within a factor 2 of the prediction "
     "from tokens per parameter", sentences.gains_diminish, "slope"),
    ("gains stop at 256 or 512", "a blog post only", "upper 95 % limit of every Δ from E = 256 on below 0.005 nat", sentences.saturates_at_256, "gains")]


def table_of(s):
    """A row for each E: its loss, and the gain of the next doubling with its interval."""
    gains = [*s.gains, saturation.Interval(*[np.nan] * 3)]
    return pd.DataFrame([dict(num_experts=int(e), loss_validation=loss, gain_per_doubling=g.value, low=g.low, high=g.high)
                         for e, loss, g in zip(s.experts, s.losses, gains)])


def numbers_of(s):
    """The single numbers of a curve, by name."""
    found = {name: getattr(s, name)._asdict() for name in ("e_half", "e_90", "slope")}
    found |= dict(flat_from=s.flat_from, predicted=list(s.predicted), speed_up=s.speed_up, seeds=s.seeds, blocks=s.blocks, n=s.n, tokens=s.tokens,
                  tokens_per_parameter=s.tokens / s.n, parameters=s.parameters)
    if s.comparison is not None:
        found["e_max"] = dict(value=s.comparison.clark.values["e_max"], low=s.comparison.e_max[0], high=s.comparison.e_max[1],
                              power_less_clark_aicc=s.comparison.gain, stated=s.comparison.stated)
    return found


def entries(label, s, files):
    """The claims of acceptance.json that one curve can decide."""
    def limits(part):
        if part == "slope":
            return [s.slope.low, s.slope.high]
        return {f"{e:.0f}": [g.low, g.high] for e, g in zip(s.left, s.gains)}

    return [acceptance.entry(f"{claim} ({label})", published, rule, verdict(s), limits(part), files) for claim, published, rule, verdict, part in CLAIMS]


def _curve(axis, table, s):
    """Loss of every seed as dots, and the laws fitted to the mean."""
    for i, seed in enumerate(table.seeds):
        axis.plot(table.experts, table.losses[i].mean(1), "o", color=PALETTE[0], ms=4, alpha=0.7, label="seeds" if i == 0 else None)
    if s.comparison is not None:
        x = 2 ** np.linspace(*np.log2(table.experts[[0, -1]]), 80)
        for fit, style, colour in ((s.comparison.clark, "-", PALETTE[1]), (s.comparison.power, "--", PALETTE[2])):
            v = fit.values
            axis.plot(x, 10 ** (v["d"] + v["b"] * laws.log10_effective(x, v["e_start"], v["e_max"])), style, color=colour, label=f"{fit.law} law")
    axis.set(xlabel="experts E", ylabel="held-out loss, nat per token")
    axis.set_xscale("log", base=2)
    axis.legend(fontsize="small")


def _gains(axis, s):
    """Gain per doubling with its interval, and the level that counts as none."""
    value = np.array([g.value for g in s.gains])
    errors = np.abs(np.array([[g.low, g.high] for g in s.gains]).T - value)
    axis.errorbar(s.left, value, None if np.isnan(errors).any() else errors, fmt="o", ms=4, capsize=3, color=PALETTE[0])
    axis.axhline(saturation.DELTA, ls=":", color="0.3", label=f"counts as no gain: {saturation.DELTA} nat")
    axis.axvspan(s.predicted[0] * 0.99, s.predicted[1] * 1.01, color=PALETTE[4], alpha=0.25, lw=0, label="predicted $E_{half}$")
    if np.isfinite(s.e_half.value):
        axis.axvline(s.e_half.value, color=PALETTE[1], label="$E_{half}$")
    axis.set(xlabel="experts E, before the doubling", ylabel="gain per doubling, nat")
    axis.set_xscale("log", base=2)
    axis.legend(fontsize="small")


def draw(table, s, out, name, origin):
    """Writes NAME.svg and NAME.png."""
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.3))
    _curve(axes[0], table, s)
    _gains(axes[1], s)
    figure.suptitle(f"N = {s.n:,.0f}, D = {s.tokens:,.0f} tokens, D/N = {s.tokens / s.n:.0f}, {s.tokens * table.k / s.experts[-1]:,.0f} tokens an expert at E = {s.experts[-1]:.0f}, "
                    f"{s.seeds} seed{'s' * (s.seeds > 1)}", fontsize="medium")
    figure_file.save(figure, out, name, origin)


def _text(label, table, s):
    rows = table_of(s).to_string(index=False, float_format=lambda v: f"{v:.4f}", na_rep="")
    return "\n".join([label, rows, "", *sentences.sentences(s), *table.lacks])


def make(path, out=None, command="", draws=None):
    """Returns the text to print; with `out` writes OUT/curve-NN.{csv,svg,png}, saturation.json and acceptance.json."""
    tables = results.tables(results.read(path))
    if not tables:
        raise SchemaError(f"{path}: no curve over the number of experts: none of its settings has runs of three numbers of experts")
    origin = figure_file.origin_of(command, [path], results.runs(path))
    texts, records, claims = [], [], []
    for i, table in enumerate(tables):
        s, name = saturation.summarise(table, draws=draws or saturation.DRAWS), f"curve-{i:02d}"
        texts.append(_text(table.label, table, s))
        records.append(dict(name=name, label=table.label, sentences=sentences.sentences(s), lacks=table.lacks) | numbers_of(s))
        claims += entries(table.label, s, [f"{name}.csv", f"{name}.svg"])
        if out is not None:
            folder = pathlib.Path(out)
            folder.mkdir(parents=True, exist_ok=True)
            table_of(s).to_csv(folder / f"{name}.csv", index=False, float_format="%.6g")
            draw(table, s, folder, name, origin)
    if out is not None:
        content = acceptance.plain(dict(command=command, commit=origin.commit, curves=records))
        (folder / "saturation.json").write_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
        acceptance.write(folder / "acceptance.json", claims, command, origin.commit)
    return "\n\n".join(texts)
