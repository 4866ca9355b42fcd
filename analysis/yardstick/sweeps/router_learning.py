"""`yardstick router-learning SWEEP`: does any learned router beat a hash of the token id at equal work? Every arm beside the hash arm,
under common seeds and the same held-out text, with what its router did: how far scores lie apart, what weight a choice has, and how many
of the held-out tokens keep their experts from one evaluation to the next. The claim rests on one arm that was registered before the runs;
the others are what was tried beside it."""
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ..base.faults import SchemaError
from ..drawing import figure_file
from ..drawing.figures import PALETTE
from ..law import intervals
from ..records.run_folder import open_evaluation
from ..records.sample import common, layer_of, layers_of
from ..verdicts import claims
from ..verdicts.rule import Part, verdict
from . import arms as arms_of, overtaking
from .arms_report import caption, origin, verdict_lines, write
from .trained import HASH

REGISTERED = "registered"  # the arm that the claim rests on
FROZEN = "unlearned"  # the same router that never learns, where that is a hash already
SEEN = ("score_spread", "mean_weight", "entropy")


def less_than(names, losses, name, other=HASH):
    """Stated interval of the loss (S, A, B) of an arm less that of another, nat: by Student's t over seeds, since arms differ in kind."""
    own = losses[:, [names.index(name), names.index(other)]]
    return intervals.stated(own, np.array([1.0, -1.0]), pool=False)


def persistence(folder):
    """Share of choices of held-out tokens that their token also made at the evaluation before the last; nan where two are not there."""
    opened = open_evaluation(folder)
    if opened is None:
        return np.nan
    with opened as run:
        if "expert" not in run or run.sizes.get("evaluation", 0) < 2:
            return np.nan
        pairs = [(layer.chosen, layer_of(run, i, run.sizes["evaluation"] - 2).chosen) for i, layer in enumerate(layers_of(run))]
    kept = sum(int(common(now, before).sum(dtype=np.int64)) for now, before in pairs)
    return kept / sum(now.size for now, _ in pairs)


def seen(arms, name):
    """Means over seeds and layers of what the routers of an arm did in the last tenth of their steps; nan where it was not recorded."""
    rows = []
    for seed in arms.seeds:
        folder = arms.folders[name, seed]
        run = arms_of.tenth(arms_of.routed(folder), last=True)
        row = {quantity: float(run[quantity].mean()) if quantity in run else np.nan for quantity in SEEN}
        excess = (run["max_vio"] - run["max_vio_floor"]).mean()
        rows.append(row | dict(excess_max_vio=float(excess), persistence=persistence(folder)))
    return pd.DataFrame(rows).mean().to_dict()


def table_of(arms):
    """A row for each arm: loss, what it is above the hash arm, and what its routers did."""
    rows = []
    for i, name in enumerate(arms.names):
        row = dict(arm=name, loss=arms.losses[:, i].mean())
        if name != HASH:
            less = less_than(arms.names, arms.losses, name)
            row |= dict(above_hash=less.value, above_hash_low=less.low, above_hash_high=less.high)
        rows.append(row | seen(arms, name))
    return pd.DataFrame(rows)


def learned(names, losses):
    """Verdict and interval of the registered arm's loss less that of the hash; of one that begins as a hash also less that of the same
    router that never learns, if the sweep has it. names: of A arms; losses: (S, A, B)."""
    missing = [name for name in (REGISTERED, HASH) if name not in names]
    if missing:
        return claims.untested(f"the sweep has no finished arm {', '.join(missing)}"), None
    less = {other: less_than(names, losses, REGISTERED, other) for other in (HASH, FROZEN) if other in names}
    parts = [Part(one.high < 0, one.low > 0, one.value < 0) for one in less.values()]
    measured = {f"loss less that of {other}": one.value for other, one in less.items()} | dict(method=less[HASH].method)
    return verdict(parts, measured, len(losses)), {f"difference to {other}": list(one[1:3]) for other, one in less.items()}


def sentence(rows):
    """What the table says of all arms together."""
    others = rows[rows["arm"] != HASH]
    best = others.loc[others["above_hash"].idxmin()]
    said = f"Of {len(others)} arms beside the hash {best['arm']} has the lowest loss, {best['above_hash']:+.4f} nat from it"
    below = others[others["above_hash_high"] < 0]["arm"].tolist()
    if below:
        return f"{said}; below it with their whole interval: {', '.join(below)} (of so many arms one may be by chance)."
    above = int((others["above_hash_low"] > 0).sum())
    return f"{said}; none is below it with its whole interval, and {above} of them are above it with theirs."


def draw(arms, rows):
    """Loss less that of the hash, by arm: seeds as dots, the mean with its interval."""
    others = rows[rows["arm"] != HASH].reset_index(drop=True)
    figure, axis = plt.subplots(figsize=(7, 1.4 + 0.42 * len(others)))
    hashed = arms.losses[:, arms.names.index(HASH)].mean(1)
    for i, row in others.iterrows():
        by_seed = arms.losses[:, arms.names.index(row["arm"])].mean(1) - hashed
        axis.plot(by_seed, np.full(len(by_seed), i), "o", ms=4, color=PALETTE[0], alpha=0.6)
        if np.isfinite(row["above_hash_low"]):
            axis.plot([row["above_hash_low"], row["above_hash_high"]], [i + 0.2] * 2, "-", lw=1.5, color=PALETTE[1])
        axis.plot(row["above_hash"], i + 0.2, "s", ms=5, color=PALETTE[1])
    axis.plot([], [], "o", color=PALETTE[0], label="seeds")
    axis.plot([], [], "s-", color=PALETTE[1], label="mean, 95 % interval over seeds")
    axis.axvline(0, lw=0.8, color="0.3")
    axis.set(xlabel="loss less that of the hash arm, nat (left of 0: better than the hash)", yticks=range(len(others)),
             yticklabels=others["arm"], ylim=(len(others) - 0.4, -0.4))
    axis.legend(fontsize="small", frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    figure_file.note(figure, caption(arms))
    return figure


def make(folder, out=None, command=""):
    """Returns the text to print; with `out` writes OUT/router-learning.{csv,svg,png}, router-learning-curves.csv and
    -losses.csv, and acceptance.json."""
    arms = arms_of.read(folder)
    if HASH not in arms.hashed:
        raise SchemaError(f"{folder}: has no finished arm {HASH} (moe.router=hash), which all others are compared with")
    rows, curves = table_of(arms), overtaking.over_tokens(folder, arms)
    way = overtaking.overtaken(curves, REGISTERED)
    entries = [claims.entry("router-learns", *learned(arms.names, arms.losses), ["router-learning.csv", "router-learning.svg"])]
    if out is not None:
        made = origin(command, folder, arms)._replace(caption=f"{caption(arms)}. {sentence(rows)}")
        tables = {"router-learning": rows, "router-learning-curves": curves, "router-learning-losses": arms_of.losses_of(arms)}
        write(out, tables, {"router-learning": draw(arms, rows)}, made, entries)
    said = [sentence(rows), *([way] if way else [])]
    return "\n".join([rows.to_string(index=False, float_format=lambda v: f"{v:.4f}", na_rep=""), "", *said, "", *verdict_lines(entries),
                      *arms.lacks])
