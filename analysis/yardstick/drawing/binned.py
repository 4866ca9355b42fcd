"""Lines over the steps of a run: short runs step by step, long ones in bins, each with its median and the middle 90 % of its steps, so that
100,000 steps can be read and drawn."""
import numpy as np

BINS = 500
SHARES = (5, 50, 95)  # percent


def _pieces(count):
    """(first, last + 1) of each bin of `count` steps, as even as can be."""
    edges = np.linspace(0, count, min(count, BINS) + 1).astype(int)
    return list(zip(edges, edges[1:]))


def width(count):
    """How many steps a bin has at most; 1 where each is drawn."""
    return max((b - a for a, b in _pieces(count)), default=1)


def middle(at):
    """The step in the middle of each bin."""
    return np.array([at[(a + b - 1) // 2] for a, b in _pieces(len(at))], at.dtype)


def percentiles(values, shares=SHARES):
    """(shares, bins, ...) percentiles of each bin of values (steps, ...); nan where a bin has no number."""
    found = np.full((len(shares), len(_pieces(len(values))), *values.shape[1:]), np.nan)
    for i, (a, b) in enumerate(_pieces(len(values))):
        piece = values[a:b]
        whole = np.isfinite(piece).all()
        if whole:
            found[:, i] = np.percentile(piece, shares, axis=0)
        elif piece.ndim == 1 and np.isfinite(piece).any():
            found[:, i] = np.percentile(piece[np.isfinite(piece)], shares)
    return found


def medians(values):
    """(bins, ...) medians; the values themselves of a short run."""
    return values if width(len(values)) == 1 else percentiles(values, (50,))[0]


def line(axis, at, values, **style):
    """Draws values (steps,) over `at`; of a long run the medians and a band from 5 to 95 %."""
    at, values = np.asarray(at), np.asarray(values)
    style = dict(lw=0.9) | style
    if width(len(values)) == 1:
        return axis.plot(at, values, **style)[0]
    low, median, high = percentiles(values)
    drawn, = axis.plot(middle(at), median, **style)
    axis.fill_between(middle(at), low, high, color=drawn.get_color(), alpha=0.2, lw=0)
    return drawn


def told(count, what="each step"):
    """What a line shows, for its label."""
    return what if width(count) == 1 else f"median and 5 to 95 % of {width(count)} steps"
