"""The tables of experiments/known-answer/run.sh, read and checked, with what made each."""
import pathlib
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..drawing import figure_file
from ..base import reading
from ..base.faults import SchemaError

CURVES = [("bend", 16), ("bend", 64), ("bend", 256), ("knee", 64), ("clark", 256)]  # shapes and L, the known answers
KNOWN = dict(oracle="ideal", hash="hash")  # routers whose loss is known, and the column of the exact tables that holds it
ZIPF = "zipf-64"
SAME_LOSS = 1e-5                           # nat: within it two losses as the tables print them are the same
MADE = "make it with experiments/known-answer/run.sh"
MOST = 1 << 40                             # of any count
LABORATORY = ["experts", "router", "samples", "ideal", "assignment", "trained", "max_vio"]
IDEAL = ["experts", "floor", "ideal", "hash", "even", "balanced"]
FACTS = ["facts", "hidden", "experts", "exposures", "rho", "loss", "ideal"]


class Results(NamedTuple):
    """The tables of a folder. ideal, trained: by (shape, L), the exact curves and {router or name of a learned one: table}; fewer: by
    number of samples; zipf, zipf_trained: the exact tax of balance, and what routers pay; facts: T2, or None; runs: what made each."""
    ideal: dict
    trained: dict
    fewer: dict
    zipf: pd.DataFrame
    zipf_trained: dict
    facts: pd.DataFrame | None
    runs: list

    @property
    def files(self):
        return [pathlib.Path(run.run) for run in self.runs]


def _made_by(path):
    """The Run that a table's first line, a comment, tells of."""
    line = reading.read_text(path, MADE).split("\n", 1)[0]
    if not line.startswith("# {"):
        return figure_file.Run(str(path))
    made = reading.parse_json(line[1:], f"{path}: its first line", MADE)
    known = {name: str(made[name]) for name in ("commit", "command") if made.get(name) is not None}
    return figure_file.Run(str(path), f"seed {made.get('seed')}", **known)


def _table(path, columns):
    """(table, Run)"""
    table, run = reading.read_csv(path, columns, MADE, ["router"], comment="#"), _made_by(path)
    counts = table["experts"]
    if not ((counts >= 1) & (counts <= MOST) & (counts == np.floor(counts))).all():
        raise SchemaError(f"{path}: experts is not a whole number from 1 on in every row; {MADE}")
    table["experts"] = counts.astype(int)
    return table.sort_values(columns[0], kind="stable", ignore_index=True), run


def _refuse_other_curves(stem, tasks, ideal, trained):
    """A curve of a router of known loss has E = 1, 2, 4, ..., 2L once each, and its assignment costs what the exact table says."""
    needed = [2**i for i in range(tasks.bit_length() + 1)]
    for name, table, columns in (("ideal", ideal, ["ideal", "hash"]), *((r, t, ["assignment", "trained"]) for r, t in trained.items())):
        counts = table.dropna(subset=columns)["experts"].value_counts()
        wrong = [e for e in needed if counts.get(e, 0) != 1]
        if wrong:
            raise SchemaError(f"{stem}-{name}.csv: lacks a row of its own for E = {', '.join(map(str, wrong))}; "
                              f"the rule needs 1, 2, 4, ..., {needed[-1]}")
    for router, table in trained.items():
        apart = (table["assignment"] - table["experts"].map(ideal.set_index("experts")[KNOWN[router]])).abs()
        if not (apart <= SAME_LOSS).all():
            raise SchemaError(f"{stem}-{router}.csv: at E = {table['experts'][~(apart <= SAME_LOSS)].iloc[0]} its assignment does not "
                              f"cost what {stem.name}-ideal.csv says in column {KNOWN[router]}; both must be of one drawing of the maps")


def read(folder):
    """Results of a folder; learned routers and facts where they are."""
    folder, runs = pathlib.Path(folder), []

    def table(name, columns=LABORATORY):
        found, run = _table(folder / f"{name}.csv", columns)
        runs.append(run)
        return found

    def learned(stem):
        return {p.stem.removeprefix(f"{stem}-"): table(p.stem) for p in sorted(folder.glob(f"{stem}-learned*.csv"))}

    ideal = {(shape, tasks): table(f"{shape}-{tasks}-ideal", IDEAL) for shape, tasks in CURVES}
    trained = {}
    for shape, tasks in CURVES:
        stem = f"{shape}-{tasks}"
        known = {router: table(f"{stem}-{router}") for router in KNOWN}
        _refuse_other_curves(folder / stem, tasks, ideal[shape, tasks], known)
        trained[shape, tasks] = known | learned(stem)
    counts = sorted(int(p.stem.rsplit("-", 1)[1]) for p in folder.glob("fewer-tokens-*.csv"))
    fewer = {count: table(f"fewer-tokens-{count}") for count in counts}
    zipf = table(f"{ZIPF}-ideal", IDEAL)
    zipf_trained = dict(oracle=table(f"{ZIPF}-oracle")) | learned(ZIPF)
    facts = [table(p.stem, FACTS) for p in sorted(folder.glob("facts-*.csv"))]
    return Results(ideal, trained, fewer, zipf, zipf_trained, pd.concat(facts, ignore_index=True) if facts else None, runs)
