"""The timeline of a step as a figure: a row for each rank and queue, a bar for each task. Warm colours are communication, cool ones
computation; under simulated protanopia and deuteranopia all of them, lighter and bluer too, stay apart (tests/test_timeline_figure.py)."""
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.legend_handler import HandlerTuple
from matplotlib.patches import Patch

from ..records.timeline import by_rank
from .figures import WIDTH, Absent

COLOURS = dict(data="#666666", embedding="#8C564B", attention="#0072B2", feed_forward="#56B4E9", router="#CC79A7", plan="#F0E442",
               dispatch="#D55E00", dispatch_finish="#E7BD89", experts="#009E73", combine="#E69F00", combine_finish="#946F39",
               head="#332288", reduce="#800000", optimizer="#000000", gather="#BF0000", balance="#593359")
OTHERS = ["#999933", "#44AA99", "#AA4499", "#7F7F7F", "#DDCC77"]  # of stages that have no colour of their own, in turn
LIGHTER = 0.4          # way to white of what runs backward
BLUER = 0.45           # way to blue of what is made again for it
IDLE = "#E0E0E0"       # of a step where no task runs
MOST_ROWS = 128        # that are drawn; of more ranks some, evenly spread
MOST_BARS = 20_000     # beyond which an SVG holds their picture: it would have megabytes of paths
ROW, GAP = 0.36, 0.5   # height of a row, inches; distance between ranks of several queues, rows
LABEL = 0.2            # inches that the label of a row needs


def colours_of(stages):
    """Colour of each stage by name, the same in every figure for those that have one."""
    others = [s for s in dict.fromkeys(stages) if s not in COLOURS]
    return {s: COLOURS[s] if s in COLOURS else OTHERS[others.index(s) % len(OTHERS)] for s in dict.fromkeys(stages)}


def lighter(colour):
    """RGB of a colour for what runs backward."""
    return tuple(c + (1 - c) * LIGHTER for c in to_rgb(colour))


def bluer(colour):
    """RGB of a colour for what is made again."""
    return tuple(c + (blue - c) * BLUER for c, blue in zip(to_rgb(colour), (0, 0, 1)))


SHADES = dict(recompute=bluer, backward=lighter)  # by direction; of others the colour itself


def shown_ranks(ranks, queues):
    """Ranks that are drawn: all, or as many as rows allow, the first and the last among them."""
    most = max(1, MOST_ROWS // queues)
    return np.arange(ranks) if ranks <= most else np.unique(np.linspace(0, ranks - 1, most).round().astype(int))


def _rectangles(left, right, centre, height):
    """(n, 4, 2) corners of bars."""
    low, high = centre - height / 2, centre + height / 2
    return np.stack([np.stack([x, y], -1) for x, y in ((left, low), (right, low), (right, high), (left, high))], -2)


class _Rows:
    """Places of the rows of a timeline, from the top: ranks, queues, and (ranks, queues) centres; `tallest` inches of all of them."""

    def __init__(self, timeline, tallest):
        self.queues = np.unique(timeline["task_queue"].values)
        self.ranks = shown_ranks(timeline.sizes["timeline_rank"], len(self.queues))
        pitch = len(self.queues) + (GAP if len(self.queues) > 1 else 0)
        self.centres = np.arange(len(self.ranks))[:, None] * pitch + np.arange(len(self.queues))
        self.inches = min(tallest, ROW * (self.centres[-1, -1] + 1))
        self.bar = 0.8 if self.inches < tallest else 1.0  # gaps of a pixel or two would come out unlike

    def label(self, axis, shares):
        """Ranks (and queues) on the left, on the right the share of a rank's step in tasks; of many rows some."""
        many = len(self.queues) > 1
        every = int(np.ceil(LABEL / (self.inches / len(self.ranks))))
        whole = many and LABEL <= self.inches / self.centres.size
        places = self.centres[::every].ravel() if whole else self.centres[::every].mean(1)
        names = [f"{r}.{q}" for r in self.ranks[::every] for q in self.queues] if whole else [str(r) for r in self.ranks[::every]]
        axis.set(yticks=places, yticklabels=names, ylabel="rank.queue" if whole else "rank",
                 ylim=(self.centres[-1, -1] + 0.7, -0.7))
        right = axis.secondary_yaxis("right")
        right.set_yticks(self.centres[::every].mean(1), [f"{s * 100:.1f}" for s in shares[self.ranks[::every]]], fontsize="small")
        right.tick_params(length=0)
        right.spines["right"].set_visible(False)
        right.set_ylabel("% in tasks", fontsize="small")


def _bars(timeline, rows):
    """Corners (n, 4, 2), ms and rows, and RGB (n, 3) of the tasks that took any time, a rank after another."""
    stages, queue = timeline["task_stage"].values, np.searchsorted(rows.queues, timeline["task_queue"].values)
    table = colours_of(stages)
    colour = np.array([SHADES.get(d, to_rgb)(table[s]) for s, d in zip(stages, timeline["task_direction"].values)])
    left, right = (timeline[name].values[rows.ranks] * 1e3 for name in ("timeline_start", "timeline_end"))
    centre = rows.centres[:, queue]
    took = right > left
    return _rectangles(left[took], right[took], centre[took], rows.bar), np.broadcast_to(colour, (*took.shape, 3))[took]


def _step(axis, timeline, rows):
    """The step of each row as a grey bar, with its begin and end."""
    begin, end = (np.repeat(timeline[f"timeline_step_{name}"].values[rows.ranks] * 1e3, len(rows.queues)) for name in ("start", "end"))
    centre = rows.centres.ravel()
    axis.add_collection(PolyCollection(_rectangles(begin, end, centre, rows.bar), facecolors=IDLE, linewidths=0, zorder=1))
    half = np.full(len(centre), 0.5)
    marks = [np.stack([np.stack([x, centre - half], -1), np.stack([x, centre + half], -1)], 1) for x in (begin, end)]
    axis.add_collection(LineCollection(np.concatenate(marks), colors="black", linewidths=1, zorder=3))
    return begin.min(), end.max()


def _legend(figure, timeline, columns):
    """Each stage with its colour forward (or in no direction) and, where it runs so, again and backward."""
    stages, directions = timeline["task_stage"].values, timeline["task_direction"].values
    handles, names = [], []
    for stage, colour in colours_of(stages).items():
        found = set(directions[stages == stage])
        shades = ((colour, found - set(SHADES)), *((shade(colour), d in found) for d, shade in SHADES.items()))
        handles.append(tuple(Patch(color=shade) for shade, there in shades if there))
        names.append(stage.replace("_", " "))
    handles.append((Patch(color=IDLE),))
    names.append("no task")
    words = dict(backward="lighter: backward", recompute="bluer: made again")
    title = ", ".join(text for direction, text in words.items() if direction in directions) or None
    figure.legend(handles, names, handler_map={tuple: HandlerTuple(ndivide=None, pad=0)}, ncols=columns, loc="outside lower center",
                  frameon=False, fontsize="small", handlelength=2.4, title=title, title_fontsize="small")


def draw(timeline, width=2 * WIDTH):
    """The figure of a timeline as `open_timeline` gives it, `width` inches wide; raises Absent where it has none."""
    if timeline.attrs["absent"]:
        raise Absent(timeline.attrs["absent"])
    rows = _Rows(timeline, 3 + width / 2)
    columns = max(2, int(width / 1.8))
    lines = -(-(len(set(timeline["task_stage"].values)) + 1) // columns)
    figure, axis = plt.subplots(figsize=(width, max(rows.inches, 0.9) + 1.5 + 0.25 * lines))
    low, high = _step(axis, timeline, rows)
    corners, colour = _bars(timeline, rows)
    if len(corners):
        low, high = min(low, corners[..., 0].min()), max(high, corners[..., 0].max())
        points = 72 * width * np.median(np.ptp(corners[..., 0], axis=1)) / ((high - low) or 1.0)
        # a thin edge closes the seams that antialiasing leaves between bars, without hiding narrow ones
        axis.add_collection(PolyCollection(corners, facecolors=colour, edgecolors=colour, linewidths=min(0.3, points / 10), zorder=2,
                                           gid="tasks", rasterized=len(corners) > MOST_BARS))
    pad = 0.01 * (high - low) or 1.0
    axis.set(xlim=(low - pad, high + pad), xlabel="ms since rank 0 began the step")
    axis.grid(False, axis="y")
    axis.spines["left"].set_visible(False)
    axis.tick_params(axis="y", length=0)
    rows.label(axis, by_rank(timeline)["share"].values)
    _legend(figure, timeline, columns)
    return figure


def caption(timeline):
    """What the figure shows, in words: step, segment, ranks, tasks, the longest time and the least share in tasks."""
    ranks, table = timeline.sizes["timeline_rank"], by_rank(timeline)
    drawn = len(shown_ranks(ranks, len(np.unique(timeline["task_queue"].values))))
    least = table.loc[table["share"].idxmin()]
    some = f", {drawn} of them drawn" if drawn < ranks else ""
    return (f"Step {int(timeline['timeline_step'])} of segment {timeline.attrs['segment']:03d}: {ranks} rank{'s' * (ranks != 1)}{some}, "
            f"{timeline.sizes['task']} tasks each; {table['step_ms'].max():.4g} ms on the slowest. "
            f"Tasks explain at least {least['share'] * 100:.1f} % of the step (rank {int(least['rank'])}). Lighter colours run backward; "
            + ("bluer ones are made again; " if "recompute" in timeline["task_direction"].values else "")
            + "grey: no task; black marks: begin and end of the step on a rank.")
