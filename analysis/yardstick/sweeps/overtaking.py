"""When learned routing overtakes a hash of the token id: the loss of every arm less the hash arm's over the tokens trained on."""
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ..base import reading
from ..drawing import figure_file
from ..drawing.figures import PALETTE
from ..law import intervals
from . import results
from .trained import HASH

COLUMNS = ["arm", "step", "tokens", "above_hash", "above_hash_low", "above_hash_high"]


def over_tokens(folder, arms):
    """A row for each arm and each evaluation that all runs have: its loss less the hash arm's, nat, with its interval over seeds, and where
    they are known over blocks of text, as verdicts are judged."""
    frame = results.read(results.of_sweep(folder))
    frame, rows = frame[frame["arm"].isin(arms.names) & frame["seed"].isin(arms.seeds)], []
    blocks = [name for name in frame if name.startswith(f"{results.BLOCK}_")] or ["loss_validation"]
    for (step, tokens), part in frame.groupby(["step", "tokens"]):
        if len(part) < len(arms.seeds) * len(arms.names):
            continue
        losses = {name: of.sort_values("seed")[blocks].values for name, of in part.groupby("arm")}
        for name in (n for n in arms.names if n != HASH):
            less = intervals.stated(np.stack([losses[name], losses[HASH]], 1), np.array([1.0, -1.0]), pool=False)
            rows.append(dict(arm=name, step=step, tokens=tokens, above_hash=less.value, above_hash_low=less.low, above_hash_high=less.high))
    return pd.DataFrame(rows, columns=COLUMNS)


def overtaken(curves, name):
    """Where on its way the loss of an arm is below the hash arm's with its whole interval; None where it is nowhere."""
    own = curves[(curves["arm"] == name) & (curves["above_hash_high"] < 0)]
    if own.empty:
        return None
    tokens = " and ".join(f"{row['tokens'] / 1e6:.1f} ({row['above_hash']:+.4f})" for _, row in own.iterrows())
    return f"On its way {name} is below the hash with its whole interval at {tokens} million tokens; read-outs, which decide nothing."


def read(path):
    """The rows that `over_tokens` made, from their csv."""
    return reading.read_csv(path, COLUMNS, "give what yardstick wrote", ["arm"])


def draw(curves, seeds):
    """Each arm's loss less that of the hash arm over millions of tokens, with its interval over so many seeds."""
    figure, axis = plt.subplots(figsize=(7, 4.4))
    for i, (name, rows) in enumerate(curves.groupby("arm", sort=False)):
        color = PALETTE[i % len(PALETTE)]
        axis.plot(rows["tokens"] / 1e6, rows["above_hash"], "o-", ms=3.5, lw=1.3, color=color, label=name)
        axis.fill_between(rows["tokens"] / 1e6, rows["above_hash_low"], rows["above_hash_high"], color=color, alpha=0.2, lw=0)
    axis.axhline(0, lw=0.8, color="0.3")
    axis.set(xlabel="tokens trained on, millions", ylabel="loss less that of the hash arm, nat")
    axis.legend(fontsize="small", frameon=False)
    figure_file.note(figure, f"{seeds} seeds, bands: 95 % intervals over seeds; below the line: better than a hash of the token id")
    return figure
