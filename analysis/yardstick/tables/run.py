"""`yardstick.open(run)`: the records of a run as an xarray Dataset that also gives tidy tables."""
import math

import xarray as xr

from ..base.faults import SchemaError
from ..records import run_folder
from . import frames, held_out, names, parquet, rank


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

    def to_parquet(self, folder, kinds=None, columns=None, steps=None, layers=None, experts=None):
        """Writes FOLDER/KIND.parquet of all kinds of `table`, or of those given, in parts; returns their paths. Needs pyarrow."""
        return parquet.write(self, folder, kinds, frames.Asked(columns, steps, layers, experts))

    def tokens_of(self, expert, layer, step=None, least=held_out.LEAST):
        """The tokens that an expert is given, of the held-out text at the last evaluation or that of a step: `given` of `occurrences`
        (of any choice), their `share`, its `lift` over the expert's share of all tokens, and `share_low`, the lower end of the share's
        95 % interval (Wilson), by which they are ordered: five of five say less than 500 of 520. Tokens with fewer than `least`
        occurrences are left out."""
        return held_out.tokens_of(self, expert, layer, step, least)

    def trace_token(self, text, layer=None):
        """One token through training: at each evaluation and in each layer (or one) the `share` of its occurrences in the held-out text
        that each expert was given, by any choice. Tokens that begin a word are found without the sign of that."""
        return held_out.trace_token(self, text, layer)

    def saturation(self, a=None, b=None):
        """How far the routing at step `a` is that at step `b` (the last evaluation unless given): the mean share of a token's experts
        that are the same, by layer; at every evaluation where `a` is left out. `chance`: k of E at random; `null_mean`, `null_sd`:
        the same loads, tokens permuted; `n`: tokens."""
        return held_out.saturation(self, a, b)

    def domains(self, layer=None, step=None):
        """From which domains the tokens of each expert come, of the held-out text: `share` of the expert's choices, `chance`, the
        domain's share of all tokens, and the `lift` of one over the other."""
        return held_out.domains(self, layer, step)

    def coactivation(self, layer=None, step=None):
        """Which experts are chosen together: of the tokens that `expert` is given, the share (`value`) that `other` is given too.
        `chance`: (k - 1) / (E - 1); `null_mean`, `null_sd`: choices as random as the loads allow; `n`: tokens of the expert."""
        return held_out.coactivation(self, layer, step)

    def effective_rank(self, layer=None, step=None):
        """How many directions each expert's up-projection uses, at every kept checkpoint or that of a step: the participation ratio
        (Σ σ²)² / Σ σ⁴ of its singular values, from 1 to the smaller side of the matrix. Experts that collapse fall towards 1."""
        return rank.effective_rank(self, layer, step)


def open_run(run, segment=None):
    """All rows of a run as a `Run`: an xarray Dataset with the dimensions row, layer, expert, phase, rank_from, rank_to, margin_bin and
    evaluation, across all segments. Tables of more than 32 MiB stay in their files until they are asked for, and then only what is asked
    of them is read: run["assigned"].sel(layer=3), or run.table("expert", layers=3), a tidy pandas table. A row goes by its `step` (or
    `row`, the same), a layer by its transformer block, an evaluation by the steps done. `segment` and `ranks` say of each row where it
    was written; segment=N gives the rows of one segment, segment="last" those of the last that has rows.

    What is not whole, or in which segments differ, is left out with a RecordWarning; the attribute `warnings` lists them. Raises
    SchemaError where there is no run or no row yet, RecordError where no segment can be read, and where a table that was left in its file
    turns out to be damaged."""
    data = names.of_run(run_folder.open_run(run, segment)).assign_attrs(run_folder=str(run))
    return Run(data_vars=data.data_vars, coords=data.coords, attrs=data.attrs)


def open_evaluation(run):
    """The routing of the same held-out tokens at each evaluation, an xarray Dataset with the dimensions evaluation, sample, layer and
    choice; None where the run made none. Names are those of `open_run`, so that xr.merge joins the two: `evaluation` holds the steps done,
    `layer` the transformer block; `chosen` are the experts of a token, best first (-1 beyond the choices of the layer), `token_loss` is its
    loss. In the file these two are `expert` and `loss`."""
    data = run_folder.open_evaluation(run)
    return None if data is None else names.of_routing(data)


def open_tokens(run):
    """The sampled training tokens of all ranks and segments, ordered by step, sequence and position, by the same names as
    `open_evaluation`; None where there are none."""
    data = run_folder.open_tokens(run)
    return None if data is None else names.of_routing(data)
