"""`yardstick journeys`: the rows that crossed between nodes while runs were trained, on each of the four journeys, by the program's own
count of what it sent, beside the closed forms for random routing (docs/science.md, "Rows across nodes")."""
import pathlib

import numpy as np
import pandas as pd

from ..base import writing
from ..base.faults import SchemaError
from ..records.run_folder import number, open_run, option
from .communication_results import node_rows, straight_rows
from .communication_tables import shown

JOURNEYS = dict(dispatch="dispatch", combine="combine", combine_backward="combine_back",
                dispatch_backward="dispatch_back")  # and what a record calls them
ABOUT = """Rows of a token that crossed between nodes, a mixture, on each journey: what the program counted where it sent them, mean
over the steps of the last segment. straight, by nodes: what random routing would send, k (M − 1) / M and one row a node. saved: against
the run whose rows go straight, all four journeys."""


def rows_of(run, folder):
    """A row for a run of `open_run`, of one segment: nodes, steps, and rows of a token of each journey."""
    if "across_bytes" not in run or "purpose" not in run.coords:
        raise SchemaError(f"{folder}: does not say what its ranks sent to other nodes (schema version 5); train it with this program")
    whole = {name: number(run, f"{name}", folder, whole=True) for name in
             ("model.width", "model.context", "train.batch", "moe.top_k", "moe.experts", "layout.ranks_per_node")}
    ranks = int(run["ranks"].values[-1])
    nodes, left = divmod(ranks, whole["layout.ranks_per_node"])
    if nodes < 2 or left:
        raise SchemaError(f"{folder}: {ranks} rank(s), {whole['layout.ranks_per_node']} a node, are no two nodes; resume it with "
                          "layout.ranks_per_node=1 on several ranks")
    if option(run, "layout.expert_parallel") not in ("0", str(ranks)):
        raise SchemaError(f"{folder}: its {ranks} ranks are several expert-parallel groups, for which there are no closed forms here; "
                          "resume it with layout.expert_parallel=0")
    if option(run, "train.precision") != "fp32":
        raise SchemaError(f"{folder}: its rows are not all of 4 bytes a number; give runs of train.precision fp32")
    rows = whole["train.batch"] * whole["model.context"] * run.sizes["layer"] * 4 * whole["model.width"]
    sent = run["across_bytes"].mean("row")
    names = [str(name) for name in np.asarray(run["purpose"].values)]
    return dict(run=pathlib.Path(folder).name, exchange=option(run, "layout.exchange"), nodes=nodes, experts=whole["moe.experts"],
                top_k=whole["moe.top_k"], steps=run.sizes["row"],
                **{name: float(sent[names.index(purpose)]) / rows for name, purpose in JOURNEYS.items()})


def table(rows):
    """All runs, with closed forms and what is saved against the straight run of as many nodes; empty where there is none."""
    frame = pd.DataFrame(rows)
    both = [(straight_rows(r.nodes, r.top_k), node_rows(r.nodes, r.experts, r.top_k)) for r in frame.itertuples()]
    frame["straight"], frame["by_nodes"] = zip(*both)
    whole = frame[list(JOURNEYS)].sum(axis=1)
    straight = whole[frame["exchange"].isin(("pairwise", "alltoallv"))].groupby(frame["nodes"]).first()
    return frame.assign(saved=1 - whole / frame["nodes"].map(straight))


def make(runs, out=None, _command=""):
    """Returns the text to print; with `out` the table is written there."""
    made = table([rows_of(open_run(run, "last"), run) for run in runs])
    if out is not None:
        writing.write_table(out, made, float_format="%.6g")
    return "\n".join([ABOUT, "", shown(made, list(made))])
