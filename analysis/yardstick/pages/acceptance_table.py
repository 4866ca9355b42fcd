"""`yardstick acceptance`: the table of all claims as one page, filled from the acceptance.json of every experiment."""
import json
import os
import pathlib
import re

from ..base import reading, text
from ..base.faults import SchemaError
from ..verdicts import acceptance
from ..verdicts.claims import CLAIMS, LATER

NEEDED = ["key", "label", "status", "measured", "interval", "files", "command", "commit"]
ADVICE = "make it anew with the command of its experiment"
FEW = 8  # numbers of a table that a cell still shows
PARTS = dict(date=str, rule=str, status=str, command=str, commit=str)  # of a corrected verdict, beside measured and interval
HEAD = """# Acceptance

Made by `yardstick acceptance {folder} --out {out}`; do not edit. Rules were fixed before the runs, but for what a row \
dates later ({later}). *Reproduced*: direction and magnitude as the
rule says, the interval excluding the null. *Direction only*: the sign is right, magnitude or interval is not. *Not reproduced*: \
the interval excludes the
rule. *Not testable here*: as printed. An interval over three seeds is narrow: with no true difference it excludes 0 about one time in \
four (docs/sweeps.md). Where *published* is from: docs/science.md, "Published figures behind the claims".

Where a rule turned out to be out of reach for reasons apart from the claim, its verdict stays, and the corrected rule stands beside it \
with its date. Its intervals are by Student's t, and where text decides, the wider of t and a bootstrap; how often they hold the truth is
simulated (docs/coverage.csv). By corrected rules a claim may also be *underpowered*: a true law would meet the rule less than every other \
time at the noise measured; *not resolved*: the ends of the interval of a number of experts differ by more than a factor 4; *router not \
trained: not testable*: the learned router loses to a hash of the token id.
"""


def _entries(path):
    """The entries of one acceptance.json."""
    try:
        found = reading.parse_json(reading.read_text(path, ADVICE), path, ADVICE)
        for e in found:
            missing = [n for n in NEEDED if n not in e]
            if missing or e["key"] not in CLAIMS or e["status"] not in acceptance.STATUSES:
                raise ValueError(f"the entry '{e.get('claim')}' has "
                                 + (f"no {', '.join(missing)}" if missing else f"key '{e['key']}' and status '{e['status']}'"))
            texts = [e["label"], e["command"], e["commit"], *e["files"], *e.get("runs_commits", [])]
            beside = e.get("corrected")
            if beside is not None and (not all(isinstance(beside[n], kind) for n, kind in PARTS.items()) or
                                       beside["status"] not in acceptance.STATUSES + acceptance.FURTHER):
                raise ValueError(f"the corrected verdict of the entry '{e['key']}' has something else where it belongs")
            if not isinstance(e["files"], list) or not all(isinstance(part, str) for part in texts):
                raise ValueError(f"the entry '{e['key']}' has something else where texts belong")
        return found
    except SchemaError:
        raise
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise SchemaError(f"{path}: is not what yardstick writes ({error}); {ADVICE}") from error


def read(folder):
    """Key of a claim -> [(folder of the experiment, entry)], in the order of folders and files; SchemaError where there is no entry, since
    a page made from nothing would replace one that says something."""
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise SchemaError(f"{folder}: no such folder; give the one that holds the experiments")
    found = {key: [] for key in CLAIMS}
    for path in sorted(folder.glob("*/acceptance.json")):
        for e in _entries(path):
            found[e["key"]].append((path.parent, e))
    if not any(found.values()):
        raise SchemaError(f"{folder}: no experiment in it has results, EXPERIMENT/acceptance.json; give the folder that holds them")
    return found


def _number(value):
    return f"{value:.4g}" if isinstance(value, float) else text.markdown(value)


def _short(value):
    """A measured value in a cell: numbers and texts, short lists and tables of them; None where it takes more room."""
    if isinstance(value, dict) and 0 < len(value) <= FEW and not any(isinstance(v, (list, dict)) for v in value.values()):
        return f"({', '.join(f'{text.markdown(k)}: {_number(v)}' for k, v in value.items())})"
    if isinstance(value, list) and len(value) <= 3 and not any(isinstance(v, (list, dict)) for v in value):
        return (" to " if len(value) == 2 else ", ").join(map(_number, value))
    return None if isinstance(value, (list, dict)) else _number(value)


def _cell(entry):
    """What the table shows of an entry's numbers."""
    parts = entry["measured"].items() if isinstance(entry["measured"], dict) else [("", entry["measured"])]
    shown = [short if name == "why" else f"{text.markdown(name)} {short}".strip() for name, value in parts if value is not None
             and (short := _short(value)) is not None]
    limits = entry["interval"] if isinstance(entry["interval"], dict) else {"": entry["interval"]}
    pairs = {f"of {text.markdown(name)} " * bool(name): pair
             for name, pair in limits.items() if isinstance(pair, list) and None not in pair}
    if len(pairs) <= FEW:
        shown += [f"interval {name}{_short(pair)}" for name, pair in pairs.items()]
    return ", ".join(shown)


def _cells(cells):
    """A row of a table; in cells of ours, which hold no markup but their own, a bar ends none."""
    return "| " + " | ".join(re.sub(r"(?<!\\)[|]", r"\\|", cell).replace("\n", " ") for cell in cells) + " |"


def _beside(entry):
    """The verdict by the corrected rule, where there is one."""
    return f"<br>*corrected:* **{entry['corrected']['status']}**" if "corrected" in entry else ""


def _row(key, found):
    claim = CLAIMS[key]
    status = [f"**{e['status']}**" + f" ({text.markdown(e['label'])})" * bool(e["label"]) + _beside(e) for _, e in found] or \
        ["**not testable here**"]
    measured = [f"{_cell(e)} [→](#{key})" + (f"<br>*corrected:* {_cell(e['corrected'])}" if "corrected" in e else "")
                for _, e in found] or [claim.absent]
    rules = list(dict.fromkeys(f"*corrected on {text.markdown(e['corrected']['date'])}:* {text.markdown(e['corrected']['rule'])}"
                               for _, e in found if "corrected" in e))
    cells = [claim.claim, claim.published, "<br>".join([claim.rule, *rules]), "<br>".join(status), "<br>".join(measured)]
    return _cells(cells)


def _rounded(value):
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_rounded(v) for v in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def _link(folder, name, base):
    inside = not os.path.isabs(name) and ".." not in pathlib.PurePath(name).parts
    return text.link(name, os.path.relpath(folder / name, base)) if inside and reading.is_file(folder / name) else text.code(name)


def _numbers(entry):
    """Lines of what was measured and of its intervals."""
    lines = []
    for name in ("measured", "interval"):
        content = entry[name].items() if isinstance(entry[name], dict) else [(name, entry[name])]
        lines += [f"{'interval of ' * (name == 'interval' and key != name)}{key}: {json.dumps(_rounded(value), ensure_ascii=False)}"
                  for key, value in content if value is not None]
    return lines


def _details(folder, entry, base):
    """Everything of an entry: measured values, intervals, files, command, commits of the runs and of yardstick."""
    experiment = text.link(folder.name, os.path.relpath(folder, base))
    head = (f"**{entry['status']}**" + f", {text.markdown(entry['label'])}" * bool(entry["label"]) + f"; experiment {experiment}; files: " +
            (", ".join(_link(folder, name, base) for name in entry["files"]) or "none"))
    runs, beside = entry.get("runs_commits"), entry.get("corrected")
    commits = f"runs at {', '.join(runs)}, evaluated at {entry['commit']}" if runs else f"commit: {entry['commit']}"
    said = [head, "", *text.block([*_numbers(entry), f"command: {entry['command']}", commits])]
    if beside is not None:
        rule = text.markdown(beside["rule"])
        said += ["", f"By the rule corrected on {text.markdown(beside['date'])}: **{beside['status']}** ({rule})", "",
                 *text.block([*_numbers(beside), f"command: {beside['command']}", f"commit: {beside['commit']}"])]
    return "\n".join(said)


def _corrected_counts(found):
    """A sentence on the verdicts by corrected rules, where there are any."""
    said = [e["corrected"]["status"] for entries in found.values() for _, e in entries if "corrected" in e]
    counts = ", ".join(f"{said.count(status)} {status}" for status in acceptance.STATUSES + acceptance.FURTHER if status in said)
    return f" By corrected rules, {len(said)} of them: {counts}." if said else ""


def page(folder, out):
    """The page as it stands in `out`, to which its links are relative."""
    found, base = read(folder), pathlib.Path(out).parent
    counts = {status: sum(e["status"] == status for entries in found.values() for _, e in entries) for status in acceptance.STATUSES}
    later = ", ".join(claim.claim for claim in CLAIMS.values() if LATER in claim.rule)
    lines = [HEAD.format(folder=folder, out=out, later=later),
             f"{sum(bool(e) for e in found.values())} of {len(CLAIMS)} claims have measurements: " +
             ", ".join(f"{count} {status}" for status, count in counts.items()) + "." + _corrected_counts(found), "",
             "| claim | published | reproduced if | status | measured |", "|---|---|---|---|---|"]
    lines += [_row(key, entries) for key, entries in found.items()]
    lines += ["", "## What was measured"]
    for key, entries in found.items():
        if entries:
            lines += ["", f"### <a id=\"{key}\"></a>{CLAIMS[key].claim}"] + [f"\n{_details(path, e, base)}" for path, e in entries]
    return "\n".join(lines) + "\n"
