"""`yardstick law CURVES`: refits of the published curves beside the published rows, E_max against tokens per parameter, the figure and
acceptance.json."""
import json
import pathlib
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..base import writing
from ..verdicts import acceptance, claims
from ..drawing import figure_file
from . import between, curves, half, intervals, laws, saturation
from .law_figure import draw

ROW = between.ROW
RULE = claims.CLAIMS["fit-code"].rule
SPLIT = 300  # D/N that halves the points


class Refit(NamedTuple):
    """A joint fit; shuffled: 95 % interval of each parameter by a bootstrap of single residuals; sizes: the same by a jackknife over model
    sizes, and held: how often such an interval holds the truth."""
    fit: laws.Fit
    shuffled: dict
    sizes: dict
    held: dict


def refits(frame, draws):
    """router -> Refit."""
    found = {}
    for i, router in enumerate(curves.ROUTERS):
        fit, rows = curves.joint_fit(frame, router), curves.routed(frame, router)
        drawn = laws.residual_draws(fit, draws, np.random.default_rng(i + 1))
        many = laws.fit_draws(drawn, rows["num_experts"].values, rows["dense_parameter_count"].values)
        found[router] = Refit(fit, {name: laws.interval(many[name]) for name in ROW}, between.jackknife(rows, fit),
                              between.coverage(rows, fit))
    return found


def refit_table(found):
    """Rows of paper, earlier refit and this fit for each router; `within` and `within_paper`: of the tolerances about the earlier refit and
    about the paper's row."""
    rows = []
    for router, (fit, intervals, sizes, held) in found.items():
        rows.append(dict(router=router, source="paper, Table 3") | curves.PAPER[router])
        rows.append(dict(router=router, source="expected") | curves.EXPECTED[router])
        limits = {f"{n}_{side}": v for n in ROW for side, v in zip(("low", "high"), intervals[n])}
        limits |= {f"{n}_sizes_{side}": v for n in ROW for side, v in zip(("low", "high"), sizes[n])}
        limits |= {f"{n}_sizes_covers": held[n] for n in ROW}
        by_paper = all(part.holds for part in between.parts(fit, sizes, router).values())
        rows.append(dict(router=router, source="this fit") | {n: fit.values[n] for n in ROW} |
                    dict(points=len(fit.fitted), rms_log10=np.sqrt(fit.sse / len(fit.fitted)),
                         within=not curves.deviations(fit, router), within_paper=by_paper) | limits)
    return pd.DataFrame(rows)


def size_table(frame, draws):
    """Each router and size at the end: E_max, E_half without a model (inf: beyond the last doubling) and of the fitted law passed
    through the same function, both again from smoothed gains, the last gain per doubling, and AICc against the power law."""
    rows = []
    for router in curves.ROUTERS:
        for size in curves.SIZES:
            experts, losses = curves.with_dense(frame, router, size)
            compared = laws.compare(losses, experts, draws=draws)
            gains = saturation.gains_per_doubling(losses, experts)
            n = curves.routed(frame, router, size=size)["dense_parameter_count"].iloc[0]
            rows.append(dict(router=router, size=size, tokens_per_parameter=curves.FINAL * curves.TOKENS_PER_STEP / n,
                             e_max=compared.clark.values["e_max"],
                             e_max_low=compared.e_max[0], e_max_high=compared.e_max[1],
                             e_max_resolved=intervals.resolved((np.nan, *compared.e_max)), e_half=saturation.e_half(gains, experts[:-1])[0],
                             e_half_law=half.by_law(losses, experts, half.first)[0],
                             e_half_smoothed=half.e_half(losses, experts)[0], e_half_smoothed_law=half.by_law(losses, experts)[0],
                             last_gain=gains[-1],
                             rms_log10=np.sqrt(compared.clark.sse / len(experts)), power_less_clark_aicc=compared.gain,
                             offset_less_clark_aicc=compared.offset.aicc - compared.clark.aicc, finite_stated=compared.stated))
    return pd.DataFrame(rows)


def _variants(frame, router):
    """(name, points, least E_max) of the selection used and of others, which show what C and p rest on."""
    points, least = curves.size_points(frame, router), curves.LEAST_E_MAX
    few, many = points[points["ratio"] < SPLIT], points[points["ratio"] >= SPLIT]
    return [("used", points, least), ("all fits", points, 0), ("without E = 1", curves.size_points(frame, router, dense=False), least),
            (f"D/N < {SPLIT}", few, least), (f"D/N >= {SPLIT}", many, least)]


def ratio_tables(frame):
    """(laws by router, table of C and p for each variant of the selection, table of predictions)."""
    found, rows, predictions = {}, [], []
    for router in curves.ROUTERS:
        for name, points, least in _variants(frame, router):
            law = curves.ratio_law(points, least)
            if name == "used":
                found[router] = law
            rows.append(dict(router=router, variant=name, points=len(law.points), constant=law.constant,
                             power=law.power, r_squared=law.r_squared,
                             e_max_at_64=curves.predict(law.constant, law.power, 64), factor=law.factor,
                             power_without_one_size_low=min(law.powers), power_without_one_size_high=max(law.powers),
                             exponent_tokens=law.free[0], exponent_parameters=law.free[1],
                             registered_constant=curves.REGISTERED[router][0], registered_power=curves.REGISTERED[router][1]))
        for ratio in curves.RATIOS:
            low, high = curves.prediction_interval(found[router], ratio)
            predictions.append(dict(router=router, tokens_per_parameter=ratio,
                                    e_max=curves.predict(found[router].constant, found[router].power, ratio),
                                    low=low, high=high, registered=curves.predict(*curves.REGISTERED[router], ratio)))
    return found, pd.DataFrame(rows), pd.DataFrame(predictions)


def entries(found):
    """The claim "fit code correct" of acceptance.json."""
    within = all(not curves.deviations(r.fit, router) for router, r in found.items())
    measured = {router: {n: round(r.fit.values[n], 5 if n in "abcd" else 2) for n in ROW} for router, r in found.items()}
    interval = {router: dict(e_max=[round(v, 1) for v in r.shuffled["e_max"]]) for router, r in found.items()}
    made = claims.entry("fit-code", ("reproduced" if within else "not reproduced", measured), interval, ["table.csv", "law.svg"])
    return [made | dict(corrected=between.verdict({router: (r.fit, r.sizes) for router, r in found.items()}))]


def _against_paper(own):
    """Of each router: what is outside the tolerances about the paper's row, with intervals between sizes and how often these hold."""
    said = []
    for r in own.to_dict("records"):
        paper = curves.PAPER[r["router"]]
        limits = {n: (r[f"{n}_sizes_low"], r[f"{n}_sizes_high"]) for n in ROW}
        outside = [f"{n} {r[n]:.4g} [{limits[n][0]:.4g}, {limits[n][1]:.4g}] against {paper[n]}" for n, t in curves.TOLERANCE.items()
                   if abs(r[n] - paper[n]) > (t * paper[n] if n == "e_max" else t)]
        held = [r[f"{n}_sizes_covers"] for n in curves.TOLERANCE]
        said.append(f"{r['router']}: " + ("within in all" if not outside else f"outside in {'; '.join(outside)}") +
                    f" (such intervals hold the truth in {100 * min(held):.0f} to {100 * max(held):.0f} % of simulated tables)")
    return said


def _text(table):
    return table.to_string(index=False, float_format=lambda v: f"{v:.4f}" if abs(v) < 10 else f"{v:.1f}", na_rep="")


def printed(tables):
    """What the command prints: the rows beside the published ones with the tolerance, then E_max against D/N."""
    refit, sizes, ratio, predictions = tables
    own = refit[refit["source"] == "this fit"]
    lines = [curves.CITATION, "",
             "log10 L = a log10 N + b log10 Ê + c log10 N log10 Ê + d; N without embeddings, final checkpoint, R = 0.5, K = 1",
             _text(refit[["router", "source", *ROW, "points"]].astype({"points": "Int64"})), f"Tolerance ({RULE}): " +
             ", ".join(f"{r.router} {'within' if r.within else 'OUTSIDE'}" for r in own.itertuples()),
             "", "Against the paper's Table 3, intervals by a jackknife over the six sizes:", *_against_paper(own),
             "", "E_max of each size; E_half without a model and of the fitted law through the same function; both from smoothed gains",
             _text(sizes[["router", "size", "tokens_per_parameter", "e_max", "e_max_low", "e_max_high", "e_max_resolved",
                          "e_half", "e_half_law", "e_half_smoothed", "e_half_smoothed_law", "last_gain", "power_less_clark_aicc",
                          "finite_stated"]]),
             "", "E_max = C (D/N)^p over nine checkpoints of every size; variants of the selection",
             _text(ratio[["router", "variant", "points", "constant", "power", "r_squared", "factor", "e_max_at_64",
                          "registered_constant", "registered_power"]]),
             "", "E_max predicted at D/N tokens per parameter", _text(predictions)]
    return "\n".join(lines)


def make(path, out=None, command="", draws=None):
    """Fits, and with `out` writes OUT/{table,sizes,ratio,predictions,gains}.csv, table.json, law.{svg,png} and acceptance.json. Returns
    the text to print and whether the refit rows are within their tolerance."""
    frame = curves.read(path)
    curves.refuse_others(frame, path)
    origin = figure_file.origin_of(command, [path])
    draws = draws or saturation.DRAWS
    found = refits(frame, draws)
    scaling, ratio, predictions = ratio_tables(frame)
    tables = dict(table=refit_table(found), sizes=size_table(frame, draws), ratio=ratio, predictions=predictions)
    if out is not None:
        out = pathlib.Path(out)
        for name, table in tables.items():
            writing.write_table(out / f"{name}.csv", table, "%.6g")
        writing.write_table(out / curves.GAINS, curves.gain_table(frame), "%.5g")
        records = {name: table.to_dict("records") for name, table in tables.items()}
        content = dict(source=curves.CITATION, sha256=origin.inputs[str(path)], command=command, commit=origin.commit) | records
        writing.write_text(out / "table.json", json.dumps(acceptance.plain(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n")
        draw(frame, found, scaling, out, origin)
        acceptance.write(out / "acceptance.json", entries(found), command, origin.commit)
    return printed(tables.values()), all(not curves.deviations(r.fit, router) for router, r in found.items())
