"""Text in figures is shown as it is: none of it is a formula, and what came from data is cut to the room there is."""
from matplotlib import axis, legend, text, ticker
from matplotlib.category import StrCategoryFormatter

from ..base.text import lines, plain

TICK, ENTRY, ALL = 28, 60, 4000  # signs of a tick's label, of an entry of a legend, of any text
RULES = {"text.parse_math": False, "text.usetex": False}


class _Plain(ticker.Formatter):
    """Another formatter whose labels are plain text: numbers of logarithmic axes without formulas, names on one line and cut."""

    def __init__(self, inner):
        self.inner = inner

    def set_locs(self, locs):
        self.inner.set_locs(locs)

    def __call__(self, x, pos=None):
        label = self.inner(x, pos)
        if isinstance(self.inner, ticker.LogFormatterMathtext):
            return f"{x:g}" if label else ""
        return plain(label, TICK)


def make_plain(figure):
    """Of every text of a figure what its place can show."""
    for one in figure.findobj(axis.Axis):
        for get, put in ((one.get_major_formatter, one.set_major_formatter), (one.get_minor_formatter, one.set_minor_formatter)):
            if isinstance(get(), (ticker.FuncFormatter, ticker.FixedFormatter, ticker.LogFormatterMathtext, StrCategoryFormatter)):
                put(_Plain(get()))
    entries = {entry for one in figure.findobj(legend.Legend) for entry in one.get_texts()}
    for one in figure.findobj(text.Text):
        shown = plain(one.get_text(), ENTRY) if one in entries else lines(one.get_text())[:ALL]
        if shown != one.get_text():
            one.set_text(shown)
