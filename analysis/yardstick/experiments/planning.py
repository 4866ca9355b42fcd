"""`yardstick planning RESULTS`: what `switchyard plan` predicted beside what `switchyard bench step` measured, layout by layout."""
import pathlib
import statistics
from typing import NamedTuple

from ..base import reading, writing
from ..base.faults import SchemaError
from .communication_results import rate_of

MADE = "make it with experiments/planning/run.sh"
SINCE = [("zero", 0), ("waves", 1)]  # what steps of older programs did not say
KEY = ["exchange", "schedule", "lanes", "recompute", "expert_parallel"]  # what both say of a layout, beside zero
MEDIAN, WORST, CHOICE = 0.10, 0.25, 0.10                                 # of relative errors, and of the first choice's loss
WARNED = 0.25                                                            # tolerance of train/forecast.hpp
AS_GOOD = 1e-3                                                           # relative distance of predictions that are the same


class Pair(NamedTuple):
    """One layout at one rate; times in ms."""
    mbit: float
    key: tuple
    measured: dict
    predicted: dict

    @property
    def error(self):
        """Relative, of the step."""
        return self.predicted["step_ms"] / self.measured["step_ms"] - 1

    @property
    def hidden_less(self):
        """By how much the hidden share that was measured falls short of the predicted one; None where one of them is not known."""
        both = [of.get("hidden_share") for of in (self.predicted, self.measured)]
        return None if None in both or not self.measured.get("communication_ms") else both[0] - both[1]


class Read(NamedTuple):
    """pairs: what was measured and predicted; first: {rate: (step in ms, layout)} of the fastest layout of all that plan listed."""
    pairs: list
    first: dict


def _check_drift(record, place):
    for name in ("machines", "machine_drift"):
        value = record.get(name, 1)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e15:
            raise SchemaError(f"{place}: {name} is no number; {MADE}")
    if ("machines" in record) != ("machine_drift" in record):
        raise SchemaError(f"{place}: has machines or machine_drift without the other; {MADE}")


def _lines(path):
    """{layout: record} of a file of one JSON object a line; of layouts that differ in more than both files say, the fastest. What plan
    does not list (local_first) is passed over."""
    found = {}
    for i, line in enumerate(reading.read_text(path, MADE).split("\n"), 1):
        if not line.strip():
            continue
        place = f"{path}: line {i}"
        record = reading.parse_json(line, place, MADE)
        missing = [n for n in [*KEY, "step_ms", "row_bytes_across"] if not isinstance(record, dict) or n not in record]
        if missing:
            raise SchemaError(f"{place}: has no {', '.join(missing)}; {MADE}")
        for name in ("step_ms", "row_bytes_across"):
            value = record[name]
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e15 or name == "step_ms" and value == 0:
                raise SchemaError(f"{place}: {name} is no number above 0; {MADE}")
        _check_drift(record, place)
        if record.get("local_first", False) is True:
            continue
        key = tuple(str(record[n]) for n in KEY) + tuple(str(record.get(n, d)) for n, d in SINCE)
        if key not in found or record["step_ms"] < found[key]["step_ms"]:
            found[key] = record
    if not found:
        raise SchemaError(f"{path}: holds no line; {MADE}")
    return found


def read(folder):
    """Of steps-RATE.jsonl and plan-RATE.jsonl: every measured layout once, by rate and file order."""
    folder = pathlib.Path(folder)
    steps = sorted(folder.glob("steps-*.jsonl"), key=rate_of)
    if not steps:
        raise SchemaError(f"{folder}: has no steps-RATE.jsonl; {MADE}")
    pairs, first = [], {}
    for path in steps:
        plan = path.with_name(path.name.replace("steps-", "plan-"))
        predicted = _lines(plan)
        if rate_of(path) in first:
            raise SchemaError(f"{path}: is of the same rate as another file of the folder; keep one of them")
        best = min(predicted, key=lambda key: predicted[key]["step_ms"])
        first[rate_of(path)] = (predicted[best]["step_ms"], best)
        for key, record in _lines(path).items():
            if key not in predicted:
                raise SchemaError(f"{plan}: has no layout {' '.join(key)}, which was measured at that rate; list more with plan --show")
            pairs.append(Pair(rate_of(path), key, record, predicted[key]))
    return Read(pairs, first)


class Choice(NamedTuple):
    """At one rate: the layout that is predicted to be the fastest of those measured, how much longer than the best measured step its own
    takes, and the layout that plan puts above all of these, where there is one."""
    key: tuple
    loss: float
    above: tuple | None


def choices(found):
    """{rate: Choice}"""
    made = {}
    for mbit in sorted(found.first):
        of = [p for p in found.pairs if p.mbit == mbit]
        first = min(of, key=lambda p: p.predicted["step_ms"])
        step, best = found.first[mbit]
        above = best if first.predicted["step_ms"] > (1 + AS_GOOD) * step else None
        made[mbit] = Choice(first.key, first.measured["step_ms"] / min(p.measured["step_ms"] for p in of) - 1, above)
    return made


def _choice_text(mbit, choice):
    text = f"first choice at {mbit:g} Mbit/s: {' '.join(choice.key)}, {100 * choice.loss:.1f} % above the best measured step"
    return text + (f"; plan puts {' '.join(choice.above)} above it, which was not measured" if choice.above else "")


def _hidden_text(pairs):
    """The worst and how many fall short by more than a run warns of."""
    less = [p.hidden_less for p in pairs if p.hidden_less is not None]
    if not less:
        return []
    many = sum(value > WARNED for value in less)
    return [f"hidden share, measured less than predicted: by at most {max(less):.2f}; by more than {WARNED:g}, where a run "
            f"warns: {many} of {len(less)}"]


def drifts(pairs):
    """{rate: (descriptions of the machine, drift)}: by how much of a step predictions with them differ; nothing where plans say none."""
    return {p.mbit: (p.predicted["machines"], p.predicted["machine_drift"]) for p in pairs if "machine_drift" in p.predicted}


def _drift_text(mbit, found):
    times, drift = found.get(mbit, (1, 0.0))
    if times == 1:
        return f"machine at {mbit:g} Mbit/s: described once, so its drift is not known"
    return f"machine at {mbit:g} Mbit/s: described {times} times between the steps, drift {100 * drift:.1f} %"


def _bytes_error(pairs):
    both = [(p.measured["row_bytes_across"], p.predicted["row_bytes_across"]) for p in pairs]
    return max(abs(b / a - 1) if a else float(b > 0) for a, b in both)


def _row(pair):
    lacking = [f"EP {pair.key[4]}"] * (pair.key[4] != str(pair.measured.get("ranks", pair.key[4]))) + ["zero 1"] * (pair.key[5] == "1")
    name = " ".join(part for part in (*pair.key[:4], *lacking) if part != "none")
    nothing = float("nan")
    shares = [f"{r.get('communication_ms', nothing):9.1f} {r.get('exposed_ms', nothing):9.1f}" for r in (pair.measured, pair.predicted)]
    return (f"{pair.mbit:8g} {name:<36} {pair.measured['step_ms']:9.1f} {pair.predicted['step_ms']:9.1f} {100 * pair.error:+7.1f} % "
            f"{shares[0]} {shares[1]}")


def make(folder, out=None, _command=""):
    """Returns the text to print; with `out` it is written there too."""
    both = read(folder)
    pairs = both.pairs
    errors = [abs(p.error) for p in pairs]
    chosen = choices(both)
    median, worst, choice = statistics.median(errors), max(errors), max(choice.loss for choice in chosen.values())
    head = f"{'Mbit/s':>8} {'exchange schedule lanes':<36}" + "".join(f" {name:>9}" for name in ("measured", "plan", "error", "busy",
                                                                                               "exposed", "of plan"))
    lines = [head + "   (ms)", *map(_row, pairs), ""]
    found = drifts(pairs)
    lines += [_drift_text(mbit, found) for mbit in chosen]
    drifted = max((drift for times, drift in found.values() if times > 1), default=None)
    beside = "drift of the machine not known" if drifted is None else f"drift of the machine at most {100 * drifted:.1f} %"
    lines += [_choice_text(mbit, made) for mbit, made in chosen.items()]
    of = " of those measured" * any(made.above is not None for made in chosen.values())
    judged = (("median error", median, MEDIAN), ("worst error", worst, WORST), (f"first choice{of}, worst", choice, CHOICE))
    for what, value, bound in judged:
        lines.append(f"{what}: {100 * value:.1f} %, {'within' if value <= bound else 'NOT within'} {100 * bound:.0f} % ({beside})")
    lines.append(f"bytes across nodes, worst: {100 * _bytes_error(pairs):.2f} %")
    text = "\n".join(lines + _hidden_text(pairs))
    if out is not None:
        writing.write_text(out, text + "\n")
    return text
