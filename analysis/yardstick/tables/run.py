"""`yardstick.open(run)`: the records of a run as an xarray Dataset that also gives tidy tables."""
import math

import xarray as xr

from ..base.faults import SchemaError
from ..records import run_folder
from . import frames


class Run(xr.Dataset):
    """The xarray Dataset of a run, whose large tables are read when they are asked for.

    `table` gives what is wanted of it as a pandas table. What is selected or computed of a Run is a Run again; whatever joins several
    (`xr.merge`, `xr.concat`) is a plain Dataset."""
    __slots__ = ()

    def table(self, kind, columns=None, steps=None, layers=None, experts=None, most=frames.MOST):
        """A tidy pandas table: kind "step" has a row a step, "layer" one a step and layer, "expert" one a step, layer and expert,
        "evaluation" one an evaluation and block of the held-out text. Layers go by their transformer block, from 0.

        columns: which variables (all of that kind unless given; those of fewer dimensions are repeated); steps, layers, experts: one,
        several, or a slice whose ends are both included, as slice(1000, 2000) or, every hundredth, slice(None, None, 100). Only these
        are read. A table of more than `most` bytes is refused: ask for less, or take it in `parts`."""
        return frames.table(self, kind, frames.Asked(columns, steps, layers, experts), most)

    def parts(self, kind, columns=None, steps=None, layers=None, experts=None):
        """The same table as an iterator of tables of consecutive steps, about 128 MiB each: for what is larger than memory."""
        return frames.parts(self, kind, frames.Asked(columns, steps, layers, experts))

    def to_dataframe(self, *arguments, **options):
        """As xarray's: a row for every combination of all dimensions. Of a whole run that is more than a machine holds, and refused:
        `table` has what belongs together."""
        rows = math.prod(self.sizes.values())
        size = rows * 8 * max(1, len(self.data_vars))
        if size > frames.MOST:
            raise SchemaError(f"all combinations of {', '.join(self.sizes)} are {rows:,} rows, about {size / 1e9:,.0f} GB; "
                              "run.table(\"step\"), \"layer\", \"expert\" or \"evaluation\" has what belongs together")
        return super().to_dataframe(*arguments, **options)


def open_run(run, segment=None):
    """All rows of a run as a `Run`: an xarray Dataset with the dimensions row, layer, expert, phase, rank_from, rank_to, margin_bin and
    evaluation, across all segments. Tables of more than 32 MiB stay in their files until they are asked for, and then only what is asked
    of them is read: run["assigned"].sel(layer=3), or run.table("expert", layers=3), a tidy pandas table. `segment` and `ranks` say of each
    row where it was written; segment=N gives the rows of one segment, segment="last" those of the last that has rows.

    What is not whole, or in which segments differ, is left out with a RecordWarning; the attribute `warnings` lists them. Raises
    SchemaError where there is no run or no row yet, RecordError where no segment can be read, and where a table that was left in its file
    turns out to be damaged."""
    data = run_folder.open_run(run, segment)
    return Run(data_vars=data.data_vars, coords=data.coords, attrs=data.attrs)
