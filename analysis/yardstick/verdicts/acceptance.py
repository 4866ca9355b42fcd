"""acceptance.json: what became of each claim, by rules fixed before the runs. Commands write it, nobody by hand."""
import json
import math
import pathlib
import subprocess

from ..base import writing

STATUSES = ["reproduced", "direction only", "not reproduced", "not testable here"]
UNDERPOWERED, UNRESOLVED, UNTRAINED = FURTHER = ["underpowered", "not resolved", "router not trained: not testable"]  # of corrected rules
PACKAGE = pathlib.Path(__file__).resolve().parents[1]  # the whole of yardstick


def _git(*arguments):
    return subprocess.run(["git", "-C", str(PACKAGE), *arguments], capture_output=True, text=True, check=False)


def commit():
    """Commit of this code, with "-dirty" where tracked files of this package differ from it; "unknown" outside a repository."""
    try:
        head, changed = _git("rev-parse", "HEAD"), _git("diff", "--quiet", "HEAD", "--", ".")
    except OSError:
        return "unknown"
    return head.stdout.strip() + "-dirty" * (changed.returncode == 1) if head.returncode == 0 else "unknown"


def plain(value):
    """A value as JSON can hold it: numbers that are not finite as text."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


def entry(claim, published, rule, verdict, interval, files):
    """One claim; verdict: (status, measured)."""
    status, measured = verdict
    if status not in STATUSES:
        raise ValueError(f"'{status}' is none of {', '.join(STATUSES)}")
    return plain(dict(claim=claim, published=published, rule=rule, status=status, measured=measured, interval=interval, files=files))


def corrected(date, rule, verdict, interval):
    """What stands beside a registered verdict: the rule that corrects its rule, the day on which it was written down, and the verdict by
    it, (status, measured)."""
    status, measured = verdict
    if status not in STATUSES + FURTHER:
        raise ValueError(f"'{status}' is none of {', '.join(STATUSES + FURTHER)}")
    return plain(dict(date=date, rule=rule, status=status, measured=measured, interval=interval))


def of_runs(entries, runs):
    """The entries with the commits of the runs (`drawing.figure_file.Run`s) that they were judged by."""
    return [e | dict(runs_commits=sorted({run.commit for run in runs})) for e in entries]


def text(entries):
    """Entries as JSON."""
    return json.dumps(entries, indent=1, ensure_ascii=False, allow_nan=False)


def write(path, entries, command, made_by):
    """Writes the entries with the command and the commit of yardstick that made them."""
    made = [e | dict(command=command, commit=made_by) for e in signed(entries, command, made_by)]
    writing.write_text(path, text(made) + "\n")


def signed(entries, command, made_by):
    """Entries whose corrected parts say, as they do, by which command and commit they were made."""
    return [e | (dict(corrected=e["corrected"] | dict(command=command, commit=made_by)) if "corrected" in e else {}) for e in entries]


def rewrite(path, entries, found, command, made_by):
    """Writes entries of an earlier command as they are, with `found` ((key of a claim, label) -> `corrected` part) beside them."""
    beside = [dict(corrected=found[e["key"], e["label"]]) if (e["key"], e["label"]) in found else {} for e in entries]
    made = [{n: v for n, v in e.items() if n != "corrected"} | part for e, part in zip(entries, signed(beside, command, made_by))]
    writing.write_text(path, text(made) + "\n")


def add(path, entries, more, command):
    """Writes entries of an earlier command as they are, and `more` behind them."""
    writing.write_text(path, text([*entries, *(e | dict(command=command, commit=commit()) for e in more)]) + "\n")
