"""`yardstick known-answer RESULTS`: does the laboratory find what its generators hide? Judges what experiments/known-answer/run.sh
wrote: T1, hierarchical maps of which the loss of every assignment is known exactly, and T2, facts that fill an expert's capacity.

All losses are exact over tasks, keys and levels, nat a sample, so there are no intervals; spreads stand in their place."""
import pathlib

import numpy as np

from ..drawing import figure_file
from ..verdicts import acceptance, claims
from . import known_answer_figure
from .known_answer_results import KNOWN, read
from .known_answer_samples import balance_tax, fewer_samples

WITHIN, NO_GAIN, SAMPLES = 0.02, 0.003, 3_000_000  # nat: trained less assignment, L(L) less L(2L); least samples
COLLAPSE, CURVES = 0.05, 3              # nat between curves over rho, and how many of them at least
LEARNED_AT = 0.1                        # nat: E* of facts is the smallest E whose loss is below it
RATIO, RATIO_WITHIN = 2.0, 0.25         # of E* when the hidden width or the facts double
DIGITS = 6                              # of the losses in the tables
COLLAPSE_NOTE = ("settings were chosen so that both widths agree; E* is interpolated on E that doubles, so the ratio says little beyond "
                 "the collapse")


def answer(table):
    """E*: where the last doubling that gains NO_GAIN or more ends."""
    gains = -np.diff(table["trained"])
    gaining = np.nonzero(gains >= NO_GAIN)[0]
    return int(table["experts"].iloc[gaining[-1] + 1]) if len(gaining) else int(table["experts"].iloc[0])


def _exact(table, tasks):
    """What the rule asks of a router of known loss: less than its assignment costs is as wrong as more."""
    loss = table.set_index("experts")["trained"]
    return dict(samples=int(table["samples"].min()),
                largest_difference=round(float((table["trained"] - table["assignment"]).abs().max()), DIGITS),
                gain_beyond=round(float(loss[tasks] - loss[2 * tasks]), DIGITS), answer=answer(table))


def _learned(table, hash_loss):
    """Where a router that learns is between ideal and hash; the rule does not ask it."""
    return dict(largest_above_hash=float((table["trained"] - table["experts"].map(hash_loss)).max().round(DIGITS)),
                largest_above_ideal=float((table["trained"] - table["ideal"]).max().round(DIGITS)), answer=answer(table))


def known_answer(found):
    """Verdict on "known answer T1": of every shape and L."""
    exact = {f"{shape} {tasks}": {router: _exact(tables[router], tasks) for router in KNOWN}
             for (shape, tasks), tables in found.trained.items()}
    learned = {f"{shape} {tasks} {name}": _learned(table, found.ideal[shape, tasks].set_index("experts")["hash"])
               for (shape, tasks), tables in found.trained.items() for name, table in tables.items() if name not in KNOWN}
    every = [(int(curve.split()[1]), one) for curve, by_router in exact.items() for one in by_router.values()]
    measured = dict(largest_difference=max(one["largest_difference"] for _, one in every),
                    largest_gain_beyond=max(one["gain_beyond"] for _, one in every),
                    answers={curve: one["oracle"]["answer"] for curve, one in exact.items()}, exact=exact, learned=learned,
                    fewer_samples=fewer_samples(found.fewer), balance_tax=balance_tax(found))
    if any(one["samples"] < SAMPLES for _, one in every):
        return claims.untested(f"a curve has fewer than {SAMPLES:,} samples", **measured)
    if any(one["answer"] != tasks for tasks, one in every):
        return "not reproduced", measured
    within = all(one["largest_difference"] <= WITHIN for _, one in every)  # that nothing is gained beyond L, `answer` has said
    return ("reproduced" if within else "direction only"), measured


def _spread(curves):
    """Largest difference between curves {key: (rho, loss)} at any rho that one of them has and another reaches, linear in log rho."""
    largest = 0.0
    for rho in np.unique(np.concatenate([c[0] for c in curves.values()])):
        at = [np.interp(np.log(rho), np.log(x), y) for x, y in curves.values() if x[0] <= rho <= x[-1]]
        largest = max(largest, max(at) - min(at))
    return float(largest)


def facts_answer(rows):
    """E* of facts: smallest E whose loss is below LEARNED_AT, log-linear between E; nan where none is, or the smallest E is already."""
    rows = rows.sort_values("experts")
    experts, losses = rows["experts"].values, rows["loss"].values
    below = losses < LEARNED_AT
    if not below.any() or below[0]:
        return float("nan")
    i = below.argmax()
    share = (losses[i - 1] - LEARNED_AT) / (losses[i - 1] - losses[i])
    return float(2 ** (np.log2(experts[i - 1]) + share * np.log2(experts[i] / experts[i - 1])))


def _ratios(answers):
    """E* of twice the facts by that of the facts, and E* of a hidden width by that of twice the width: {name: ratio}."""
    found = {}
    for (facts, hidden), value in answers.items():
        for other, name, upside in (((2 * facts, hidden), "facts", True), ((facts, 2 * hidden), "hidden", False)):
            if other in answers:
                found[f"{name} doubled from {facts} facts, hidden {hidden}"] = answers[other] / value if upside else value / answers[other]
    return found


def facts_collapse(facts):
    """(verdict on "T2 collapse", its spread), judged at the largest number of exposures that enough curves have."""
    if facts is None:
        return claims.untested("T2 was not run: there is no facts-*.csv"), None
    by_exposures = {n: dict(list(rows.groupby(["facts", "hidden"]))) for n, rows in facts.groupby("exposures")}
    enough = [n for n, curves in by_exposures.items() if len(curves) >= CURVES]
    if not enough:
        return claims.untested(f"fewer than {CURVES} pairs of facts and hidden width at one number of exposures"), None
    spreads = {str(n): _spread({k: (r.sort_values("rho")["rho"].values, r.sort_values("rho")["loss"].values)
                                for k, r in by_exposures[n].items()}) for n in enough}
    exposures, curves = max(enough), by_exposures[max(enough)]
    answers = {key: facts_answer(rows) for key, rows in curves.items()}
    ratios = _ratios(answers)
    measured = dict(exposures=int(exposures), spread=spreads, answers={f"{n} facts, hidden {h}": e for (n, h), e in answers.items()},
                    ratios=ratios, note=COLLAPSE_NOTE)
    if not ratios or not np.isfinite(list(ratios.values())).all():
        return claims.untested(f"no two curves that differ by a factor 2 both cross {LEARNED_AT} nat", **measured), None
    spread = spreads[str(exposures)]
    if spread <= COLLAPSE and all(abs(r - RATIO) <= RATIO_WITHIN for r in ratios.values()):
        return ("reproduced", measured), [0, spread]
    return ("direction only" if all(r > 1 for r in ratios.values()) else "not reproduced", measured), [0, spread]


def entries(found):
    """The two claims of acceptance.json. The interval of the second is that of the differences between curves."""
    verdict, spread = facts_collapse(found.facts)
    files = [f"results/{p.name}" for p in found.files]
    exact = [f for f in files if "facts" not in f]
    return [claims.entry("known-answer", known_answer(found), None, [*exact, "known-answer.svg"]),
            claims.entry("facts-collapse", verdict, spread, [*(f for f in files if "facts" in f), "known-answer.svg"])]


def make(folder, out=None, command=""):
    """Returns the text to print; with `out` writes OUT/known-answer.{svg,png} and acceptance.json."""
    found = read(folder)
    made = acceptance.of_runs(entries(found), found.runs)
    if out is not None:
        out, origin = pathlib.Path(out), figure_file.origin_of(command, found.files, found.runs)
        caption = known_answer_figure.caption(found, COLLAPSE_NOTE)
        figure_file.save(known_answer_figure.draw(found, balance_tax(found)), out, "known-answer", origin._replace(caption=caption))
        acceptance.write(out / "acceptance.json", made, command, origin.commit)
    return acceptance.text(made)
