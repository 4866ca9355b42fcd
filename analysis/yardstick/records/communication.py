"""How much of a run is communication, and how much of that is hidden: of a sampled step from its intervals, and of all recorded steps."""
import numpy as np
import pandas as pd

from .timeline import covered, lengths

NEEDED = ("task_meets", "hop_start", "hop_end", "hop_waited")  # hops are left out where the model is dense
ROWS = ("sent_bytes", "across_bytes", "sent_messages", "across_messages", "communication_busy", "communication_exposed", "exposed_share",
        "hop_p50", "hop_p99", "hop_max")
SECONDS = ("purpose_busy", "purpose_exposed")  # since version 6


def by_rank(timeline):
    """A row for each rank of a sampled step: `busy_ms`, the union of the intervals in which rows were on their way or ranks met;
    `exposed_ms`, of these those in which the rank did nothing else; `hidden_share` 1 - exposed / busy, 1 where it is not busy; and
    `exposed_share` of the step. None where the step was recorded before schema version 5."""
    if "task_meets" not in timeline:
        return None
    meets = timeline["task_meets"].values > 0
    start, end = timeline["timeline_start"].values[:, meets], timeline["timeline_end"].values[:, meets]
    exposed = (end - start).sum(1)
    if all(name in timeline for name in NEEDED):
        start = np.concatenate([start, timeline["hop_start"].values], 1)
        end = np.concatenate([end, timeline["hop_end"].values], 1)
        exposed = exposed + timeline["hop_waited"].values.sum(1)
    busy = covered(start, end) if start.shape[1] else np.zeros(len(start))
    return pd.DataFrame(dict(rank=np.arange(len(busy)), busy_ms=busy * 1e3, exposed_ms=exposed * 1e3, hidden_share=hidden(busy, exposed),
                             exposed_share=np.divide(exposed, lengths(timeline), out=np.zeros(len(busy)), where=lengths(timeline) > 0)))


def hidden(busy, exposed):
    """The share of communication that is hidden; 1 where there is none."""
    busy, exposed = np.asarray(busy, float), np.asarray(exposed, float)
    return 1 - np.divide(exposed, busy, out=np.zeros(busy.shape), where=busy > 0)


def of_timeline(timeline):
    """(busy, exposed, hidden share, exposed share) of a sampled step, s and shares of the means over ranks: those that run.h5 has of the
    same step as communication_busy, communication_exposed, hidden_share and exposed_share. None where it was recorded before version 5."""
    ranks = by_rank(timeline)
    if ranks is None:
        return None
    busy, exposed, length = ranks["busy_ms"].mean() / 1e3, ranks["exposed_ms"].mean() / 1e3, lengths(timeline).mean()
    return busy, exposed, float(hidden(busy, exposed)), exposed / length if length > 0 else 0.0


def _seconds_of_purposes(rows):
    """`busy_ms`, `exposed_ms` and `hidden_share` of each purpose, means over the steps that have them; NaN where none has (version 5)."""
    if any(name not in rows for name in SECONDS):
        busy = exposed = np.full(rows.sizes["purpose"], np.nan)
    else:
        known = rows.isel(row=np.flatnonzero(np.isfinite(rows["purpose_busy"].values).all(1)))
        busy, exposed = (known[name].values.sum(0) / (known.sizes["row"] or np.nan) for name in SECONDS)
    return dict(busy_ms=busy * 1e3, exposed_ms=exposed * 1e3, hidden_share=np.where(np.isnan(busy), np.nan, hidden(busy, exposed)))


def of_rows(run):
    """What the recorded steps of `open_run` have: a dict of `busy_ms`, `exposed_ms` (mean of a step), `hidden_share`, `exposed_share`,
    `p50_ms`, `p99_ms` (medians over steps), `max_ms` and `purposes`, a table of bytes and messages of a step by purpose, within and across
    nodes, and of its own busy and exposed time. None where no step had several ranks, or was recorded since schema version 5."""
    if any(name not in run for name in ROWS) or run["ranks"].max() < 2:
        return None
    counted = np.flatnonzero((run["ranks"].values > 1) & np.isfinite(run["communication_busy"].values))
    rows = run[[*ROWS, *(name for name in SECONDS if name in run)]].isel(row=counted)
    if not rows.sizes["row"]:
        return None
    mean = {name: rows[name].values.mean(0) for name in ROWS[:7]}
    purposes = pd.DataFrame(dict(purpose=[str(p) for p in rows["purpose"].values],
                                 within_bytes=mean["sent_bytes"] - mean["across_bytes"], across_bytes=mean["across_bytes"],
                                 within_messages=mean["sent_messages"] - mean["across_messages"], across_messages=mean["across_messages"],
                                 **_seconds_of_purposes(rows)))
    busy, exposed = mean["communication_busy"], mean["communication_exposed"]
    return dict(steps=rows.sizes["row"], busy_ms=busy * 1e3, exposed_ms=exposed * 1e3, hidden_share=float(hidden(busy, exposed)),
                exposed_share=float(mean["exposed_share"]), p50_ms=float(np.median(rows["hop_p50"])) * 1e3,
                p99_ms=float(np.median(rows["hop_p99"])) * 1e3, max_ms=float(rows["hop_max"].max()) * 1e3,
                purposes=purposes[(purposes["within_bytes"] > 0) | (purposes["across_bytes"] > 0)].reset_index(drop=True))
