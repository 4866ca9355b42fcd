"""`yardstick saturation RESULTS`: for every curve over E the tables, the sentences that its numbers allow, figures and
acceptance.json."""
import json
import pathlib

import numpy as np
import pandas as pd

from ..base import writing
from ..base.faults import SchemaError
from ..verdicts import acceptance, claims
from ..drawing import figure_file
from ..law import contrasts, curves, intervals, saturation
from .arms_report import EXACT
from . import companions, corrected, costs, results, saturation_figure, sentences, trained

HELPS = "more-experts-help"
# key of the claim: its verdict, the parts of a summary whose intervals decide it
VERDICTS = {HELPS: (sentences.helps, ["gains", "speed_up"]),
            "gains-diminish": (sentences.gains_diminish, ["slope", "e_half"]), "gains-stop": (sentences.saturates_at_256, ["gains"])}


def histories(table):
    """(S, E_n, T, B) held-out losses of a curve's runs at the evaluations that all of them have; B is 1 where one lacks blocks."""
    parts = []
    for step in table.steps:  # the table as it would be if the runs had ended there
        parts += [cut.losses for cut in results.tables(table.frame[table.frame["step"] <= step])]
    if len({part.shape[2] for part in parts}) > 1:
        parts = [part.mean(2, keepdims=True) for part in parts]
    return np.stack(parts, 2)


def evaluations(rows):
    """What is written of every evaluation, a row each: a results table as `results.read` takes it, with the loss of every block, so that
    whatever is said of a curve can be recomputed from it."""
    blocks = [name for name in rows if name.startswith(f"{results.BLOCK}_")]
    known = [name for name in dict.fromkeys((*results.GROUPS, *results.NEEDED)) if name in rows and (rows[name] != "").any()]
    columns = ["num_experts", "seed", "step", "tokens", "loss_validation",
               *[name for name in (*results.OPTIONAL, *results.EXTRA) if name in rows]]
    columns += [name for name in known if name not in columns] + blocks
    found = rows[columns].sort_values(columns[:3])
    return found.assign(**{name: found[name].astype("int64") for name in ("dense_parameter_count", "total_parameter_count")
                           if name in columns and (found[name] % 1 == 0).all()})


def table_of(table, s, cost):
    """A row for each E: its losses, the gain of the next doubling with its interval, speed-ups, seconds a step, parameters, bytes."""
    gains = [*s.gains, saturation.Interval(*[np.nan] * 3)]
    last = table.frame.sort_values("step").groupby(["num_experts", "seed"]).last().groupby("num_experts").mean(numeric_only=True)
    return pd.DataFrame(dict(num_experts=s.experts.astype(int), loss_validation=s.losses, loss_train=table.extra["loss_train"].mean(0),
                             gain_per_doubling=[g.value for g in gains], low=[g.low for g in gains],
                             high=[g.high for g in gains], step_speed_up=cost.steps,
                             wall_speed_up=cost.wall, seconds_per_step=cost.seconds, parameters=cost.parameters, peak_bytes=cost.peak)
                        | {name: last[name].values for name in results.EXTRA if name in last})


def points_of(s):
    """E_half, E_90 and E_max with intervals, empty where there is none, and whether these resolve them, beside what the registered law
    predicts at this D/N."""
    rows = [dict(name="E_half", predicted_low=s.predicted[0], predicted_high=s.predicted[1]) | s.e_half._asdict(),
            dict(name="E_90") | s.e_90._asdict()]
    if s.comparison is not None:
        rows.append(dict(name="E_max", predicted_low=s.predicted[0], predicted_high=s.predicted[1],
                         value=s.comparison.clark.values["e_max"],
                         low=s.comparison.e_max[0], high=s.comparison.e_max[1]))
    found = pd.DataFrame(rows, columns=["name", "value", "low", "high", "predicted_low", "predicted_high"])
    limits = found[["value", "low", "high"]].itertuples(index=False)
    return found.assign(resolved=[intervals.resolved(one) for one in limits])


def numbers_of(s):
    """The single numbers of a curve, by name."""
    found = {name: getattr(s, name)._asdict() for name in ("e_half", "e_90", "slope", "speed_up")}
    found |= dict(flat_from=s.flat_from, predicted=list(s.predicted), seeds=s.seeds, seed_sd=list(s.seed_sd),
                  seed_error_by_loss=sentences.seed_noise(s), blocks=s.blocks, n=s.n, tokens=s.tokens,
                  tokens_per_parameter=s.tokens / s.n, parameters=s.parameters)
    if s.comparison is not None:
        found["e_max"] = dict(value=s.comparison.clark.values["e_max"], low=s.comparison.e_max[0], high=s.comparison.e_max[1],
                              power_less_clark_aicc=s.comparison.gain, stated=s.comparison.stated)
    return found


def write_contrasts(out, name, c):
    """Writes OUT/NAME-contrasts.csv and OUT/NAME-power.csv."""
    writing.write_table(out / f"{name}-contrasts.csv", corrected.table_of(c), "%.6g")
    writing.write_table(out / f"{name}-power.csv", corrected.power_table(c), "%.6g")


def entries(curve):
    """The claims of acceptance.json that one curve can decide, each with the runs that decide it."""
    s, cost, files = curve.summary, curve.cost, [f"{curve.name}.csv", f"{curve.name}.svg"]

    def limits(part):
        if part == "gains":
            return {f"{e:.0f}": [g.low, g.high] for e, g in zip(s.left, s.gains)}
        return {part: list(getattr(s, part)[1:])}

    def made(key, judged, interval, runs=curve.runs):
        return acceptance.of_runs([claims.entry(key, judged, interval, files, curve.table.label)], runs)[0]

    found = {key: made(key, judge(s), dict(kv for part in parts for kv in limits(part).items()),
                       curve.runs + (curve.cooled.runs if key == HELPS else [])) for key, (judge, parts) in VERDICTS.items()}
    found[HELPS]["measured"]["shorter"] = curve.shorter
    beside = corrected.verdicts(curve.contrasts, curve.table, curve.cooled.found or [], curve.beside_hash)
    found = {key: e | (dict(corrected=beside[key]) if key in beside else {}) for key, e in found.items()}
    memory = cost.memory and [cost.memory.low, cost.memory.high]
    return [*found.values(), made("memory-linear", costs.memory_linear(cost, {run.backend for run in curve.runs}), memory),
            made("speed-holds", costs.speed_holds(cost), [cost.speed.low, cost.speed.high], curve.times.runs or curve.runs)]


class Curve:
    """A curve over E with all that is said of it. runs: of the results; name: of its files; beside: `companions.Beside`; tables: all curves
    of the results."""

    def __init__(self, table, runs, name, beside, tables=()):
        self.table, self.name, self.runs = table, name, results.behind(table.frame, runs)
        self.contrasts, self.beside_hash = contrasts.measure(table), trained.curve(table, tables)
        self.times = companions.durations(beside.times, table) if beside.times else companions.Other()
        self.cooled = companions.shorter(beside.cooled, table) if beside.cooled else companions.Other()
        self.summary = saturation.summarise(table, histories(table), draws=saturation.DRAWS)
        self.cost = costs.measure(table, self.times.found)
        self.published = curves.nearest_gains(beside.published, table.tokens / table.n) if beside.published else []
        self.shorter = [companions.plain(run) for run in self.cooled.found or []]
        self.lacks = [*table.lacks, *self.times.lacks, *self.cooled.lacks]
        self.beyond = [*corrected.sentences(self.contrasts, contrasts.upto(table.experts)),
                       *([trained.sentence(self.beside_hash)] if self.beside_hash else [])]
        self.said = [*sentences.sentences(self.summary),
                     *sentences.gap_sentences(table.experts, table.losses.mean(2) - table.extra["loss_train"]),
                     *[companions.sentence(run, self.summary.losses[0]) for run in self.cooled.found or []]]
        self.rows, self.points = table_of(table, self.summary, self.cost), points_of(self.summary)

    def text(self):
        shown = self.rows.dropna(axis=1, how="all").to_string(index=False,
                                                              float_format=lambda v: f"{v:.4f}" if abs(v) < 1000 else f"{v:.4g}", na_rep="")
        points = self.points.to_string(index=False, float_format=lambda v: f"{v:.0f}", na_rep="")
        return "\n".join([self.table.label, shown, "", points, "", *self.said, "", *self.beyond, *self.lacks])

    def record(self):
        return dict(name=self.name, label=self.table.label, sentences=self.said, corrected=self.beyond, lacks=self.lacks,
                    shorter=self.shorter) | numbers_of(self.summary)

    def write(self, out, origin):
        """Writes OUT/NAME.csv, NAME-points.csv, every evaluation in NAME-runs.csv, -times.csv and -cooled.csv, and what `draw` says."""
        writing.write_table(out / f"{self.name}.csv", self.rows, "%.6g")
        writing.write_table(out / f"{self.name}-points.csv", self.points, "%.6g")
        write_contrasts(out, self.name, self.contrasts)
        for kind, rows in (("runs", self.table.frame), ("times", self.times.rows), ("cooled", self.cooled.rows)):
            if rows is not None:
                writing.write_table(out / f"{self.name}-{kind}.csv", evaluations(rows), EXACT)
        self.draw(out, origin)

    def draw(self, out, origin):
        """Writes the figures OUT/NAME and, where training losses are known, NAME-gap."""
        losses, experts = self.table.losses, self.table.experts
        gains = [intervals.stated(losses, row).interval for row in contrasts.doubling_weights(experts, experts[-1])]
        stated = saturation_figure.Stated(gains, self.contrasts.half.stated)
        figure = saturation_figure.four_panels(self.table, self.summary, self.cost, self.published, stated)
        caption = saturation_figure.caption(self.table, self.summary, self.published, self.times.found is not None)
        figure_file.save(figure, out, self.name, origin._replace(runs=self.runs + self.times.runs, caption=caption))
        if np.isfinite(self.table.extra["loss_train"]).all():
            figure = saturation_figure.gap(self.table, self.summary)
            figure_file.save(figure, out, f"{self.name}-gap",
                             origin._replace(runs=self.runs, caption=saturation_figure.gap_caption(self.table, self.summary)))


def make(path, out=None, command="", **beside):
    """Returns the text to print; with `out` writes what `Curve.write` says of every curve, saturation.json and acceptance.json; beside: the
    paths of `companions.Beside`."""
    beside = companions.Beside(**beside)
    tables = results.tables(results.read(path))
    if not tables:
        raise SchemaError(f"{path}: no curve over the number of experts: none of its settings has runs of three numbers of experts")
    inputs = [path, *([pathlib.Path(beside.published) / curves.GAINS] if beside.published else []), *beside.sweeps()]
    runs = results.runs(path)
    made = [Curve(table, runs, f"curve-{i:02d}", beside, tables) for i, table in enumerate(tables)]
    if out is not None:
        folder, origin = pathlib.Path(out), figure_file.origin_of(command, inputs)
        for curve in made:
            curve.write(folder, origin)
        content = acceptance.plain(dict(command=command, commit=origin.commit, curves=[c.record() for c in made]))
        writing.write_text(folder / "saturation.json", json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
        acceptance.write(folder / "acceptance.json", [e for c in made for e in entries(c)], command, origin.commit)
    return "\n\n".join(c.text() for c in made)
