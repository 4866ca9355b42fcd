"""The published curves of Clark et al. 2022: which rows the fits use, the refits, and how E_max follows tokens per parameter.

Data: google-deepmind/scaling_laws_for_routing, data/curves.csv.gz, 223 runs with a row every 10,000 steps, CC-BY 4.0; Clark et al.,
"Unified Scaling Laws for Routed Language Models", arXiv 2202.01169. It is not part of this repository.

The selection behind every number here, found by trying it against the refits (the other losses, e.g. loss_c4, miss them):
routing_frequency 0.5, k 1, a finite loss_validation, all six sizes; N = dense_parameter_count; the final checkpoint is the last row of
a run (step 249,000, in two runs 248,000 and 250,000). Joint fits use routed runs only (S-BASE 53, RL-R 54, HASH 51 points); fits at
one size add the dense run as E = 1 (the mean of three seeds at 130M)."""
import itertools
import pathlib
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..base import reading
from ..base.faults import SchemaError
from . import laws

SOURCE = "https://github.com/google-deepmind/scaling_laws_for_routing"
CITATION = "Clark et al. 2022, arXiv 2202.01169; data CC-BY 4.0, google-deepmind/scaling_laws_for_routing, data/curves.csv.gz"
ROUTERS = {"S-BASE": "S-Base", "RL-R": "RL-R", "HASH": "Hash"}  # names in the paper -> router_type in the file
SIZES = ["15M", "25M", "55M", "130M", "370M", "1.3B"]
NEEDED = ["hyper_id", "step", "loss_validation", "num_experts", "k", "router_type", "seed", "routing_frequency", "dense_parameter_count",
          "model_size_label"]
TOKENS_PER_STEP = 130e9 / 250e3  # "130 B tokens" in 250,000 steps
FINAL, ENDS = 249000, 1000  # step of the final checkpoint, and how far a run's last may be from it
CHECKPOINTS = [10000, 20000, 30000, 50000, 70000, 100000, 150000, 200000, FINAL]
GAINS = "gains.csv"
TEXTS = ["hyper_id", "router_type", "model_size_label"]
LEAST_ROUTED, MOST = 4, 1e15  # numbers of experts that a fit of one size needs; of any number in the file
PUBLISHED = "give the folder that `yardstick law CURVES --out` wrote"
LEAST_E_MAX = 10  # below, the Clark form stands on its edge and E_max says nothing: 2 of 162 fits, both 1.3B at step 10,000
RATIOS = [20, 60, 64, 200, 1000]  # D/N of the registered predictions; 64 is our own saturation protocol

PAPER = {  # Clark et al., Table 3 (docs/science.md, "The law of the number of experts")
    "S-BASE": dict(a=-0.082, b=-0.108, c=0.009, d=1.104, e_start=1.847, e_max=314.478),
    "RL-R": dict(a=-0.083, b=-0.126, c=0.012, d=1.111, e_start=1.880, e_max=469.982),
    "HASH": dict(a=-0.087, b=-0.136, c=0.012, d=1.157, e_start=4.175, e_max=477.741)}
EXPECTED = {  # the same fit made before, by another program, from the same file
    "S-BASE": dict(a=-0.0835, b=-0.1190, c=0.0102, d=1.1160, e_start=1.875, e_max=255.0),
    "RL-R": dict(a=-0.0829, b=-0.1221, c=0.0112, d=1.1060, e_start=1.360, e_max=562.0),
    "HASH": dict(a=-0.0874, b=-0.1376, c=0.0126, d=1.1588, e_start=3.984, e_max=458.0)}
TOLERANCE = dict(a=0.002, b=0.002, c=0.002, d=0.01, e_max=0.15)  # e_max: relative
REGISTERED = {"S-BASE": (17.8, 0.354), "RL-R": (22.4, 0.379), "HASH": (40.4, 0.311)}  # (C, p) of E_max = C (D/N)^p, fixed beforehand


class Ratio(NamedTuple):
    """E_max = constant * (D/N)^power of one router over sizes and checkpoints. points: frame of size, step, n, ratio, e_max;
    factor: exp of the residual standard deviation of ln E_max; powers: with one size left out each; free: exponents of D and N where
    both are free."""
    constant: float
    power: float
    r_squared: float
    factor: float
    powers: list
    free: tuple
    points: pd.DataFrame


def read(path):
    """The rows that fits may use: R = 0.5, K = 1, a finite validation loss; with `tokens`, and `final` where a run ends."""
    frame = reading.read_csv(path, NEEDED, f"the published curves are data/curves.csv.gz of {SOURCE} (CC-BY 4.0): download it and give its "
                             "path", TEXTS)
    frame = frame[(frame["routing_frequency"] == 0.5) & (frame["k"] == 1) & np.isfinite(frame["loss_validation"])].copy()
    frame["tokens"] = frame["step"] * TOKENS_PER_STEP
    frame["final"] = frame["step"] == frame.groupby("hyper_id")["step"].transform("max")
    return frame


def refuse_others(frame, path):
    """SchemaError unless the rows are what all fits rely on: each size has a dense run and routed ones at each checkpoint, and each run
    its end."""
    for name, least in dict(loss_validation=1e-9, num_experts=1, dense_parameter_count=1, step=0).items():
        if not frame[name].between(least, MOST).all():
            raise SchemaError(f"{path}: {name} is not within {least:g} to {MOST:g} in every row; give data/curves.csv.gz of {SOURCE}")
    for size, step in itertools.product(SIZES, CHECKPOINTS):
        rows = at_step(frame, step)
        rows = rows[rows["model_size_label"] == size]
        counts = rows.groupby("router_type")["num_experts"].nunique()
        lacks = [router for router in ("Dense", *ROUTERS.values()) if counts.get(router, 0) < (1 if router == "Dense" else LEAST_ROUTED)]
        if lacks:
            raise SchemaError(f"{path}: has too few runs of {lacks[0]}, {size}, at step {step}; give data/curves.csv.gz of {SOURCE}")
    ends = frame["step"][frame["final"]]
    if not ends.between(FINAL - ENDS, FINAL + ENDS).all():
        raise SchemaError(f"{path}: a run ends at step {ends[~ends.between(FINAL - ENDS, FINAL + ENDS)].iloc[0]}, not at {FINAL}; "
                          f"give data/curves.csv.gz of {SOURCE}")


def at_step(frame, step):
    """Rows of a checkpoint; FINAL: the last of each run."""
    return frame[frame["final"] if step == FINAL else frame["step"] == step]


def routed(frame, router, step=FINAL, size=None):
    """The routed runs of a router at a checkpoint, of all sizes or one, by N and E."""
    rows = at_step(frame, step)
    rows = rows[(rows["router_type"] == ROUTERS[router]) & (size is None or rows["model_size_label"] == size)]
    return rows.sort_values(["dense_parameter_count", "num_experts"])


def with_dense(frame, router, size, step=FINAL):
    """(E, L) of one size, the dense run first: its loss is the mean over its seeds."""
    rows = routed(frame, router, step, size)
    dense = at_step(frame, step)
    dense = dense[(dense["router_type"] == "Dense") & (dense["model_size_label"] == size)]
    return np.r_[1, rows["num_experts"]], np.r_[dense["loss_validation"].mean(), rows["loss_validation"]]


def joint_fit(frame, router):
    """Clark's law over all sizes at the final checkpoint, as in the paper's main fit."""
    rows = routed(frame, router)
    return laws.fit_clark(rows["loss_validation"].values, rows["num_experts"].values, rows["dense_parameter_count"].values)


def deviations(fit, router):
    """What is outside the tolerance of the expected row: name -> (found, expected)."""
    expected = EXPECTED[router]
    out = {n for n, t in TOLERANCE.items() if abs(fit.values[n] - expected[n]) > (t * expected[n] if n == "e_max" else t)}
    return {n: (fit.values[n], expected[n]) for n in TOLERANCE if n in out}


def dense_fit(frame):
    """(slope, intercept) of log10 L against log10 N of the dense runs at the end."""
    rows = at_step(frame, FINAL)
    rows = rows[rows["router_type"] == "Dense"]
    return tuple(map(float, np.polyfit(np.log10(rows["dense_parameter_count"]), np.log10(rows["loss_validation"]), 1)))


def gains(frame, router, size, step=FINAL):
    """Gain of each doubling at a checkpoint, nat per token: (E before, gain), for neighbours that both exist."""
    experts, losses = with_dense(frame, router, size, step)
    doubled = experts[1:] == 2 * experts[:-1]
    return experts[:-1][doubled], (losses[:-1] - losses[1:])[doubled]


def gain_table(frame):
    """`gains` of every router, size and checkpoint: frame of router, size, step, tokens_per_parameter, num_experts, gain."""
    rows = []
    for router, size, step in itertools.product(ROUTERS, SIZES, CHECKPOINTS):
        one = routed(frame, router, step, size).iloc[0]
        rows += [dict(router=router, size=size, step=step, tokens_per_parameter=one["tokens"] / one["dense_parameter_count"],
                      num_experts=e, gain=gain)
                 for e, gain in zip(*gains(frame, router, size, step))]
    return pd.DataFrame(rows)


def nearest_gains(folder, ratio):
    """[(label, E before, gain)] of each router at the checkpoint whose D/N is nearest to `ratio`, from gains.csv of `yardstick law`."""
    path = pathlib.Path(folder) / GAINS
    try:
        table = reading.read_csv(path, ["tokens_per_parameter", "num_experts", "gain", "router", "size"], PUBLISHED, ["router", "size"])
        away = np.abs(np.log(table["tokens_per_parameter"] / ratio))
        found = [rows[away[rows.index] == away[rows.index].min()] for _, rows in table.groupby("router", sort=False)]
        return [(f"{r['router'].iloc[0]} {r['size'].iloc[0]}, D/N = {r['tokens_per_parameter'].iloc[0]:.2g}",
                 r["num_experts"].values, r["gain"].values) for r in found]
    except (KeyError, IndexError, TypeError) as error:
        raise SchemaError(f"{path}: cannot be read as gains of the published curves ({error}); {PUBLISHED}") from error


def size_points(frame, router, dense=True):
    """E_max of every size at every checkpoint: frame of size, step, n, ratio (D/N), e_max, residual (root mean square, in log10).
    dense: with E = 1. The checkpoints of a size have the same E, so they are fitted at once."""
    points = []
    for size in SIZES:
        curves = [with_dense(frame, router, size, step) for step in CHECKPOINTS]
        experts, losses = curves[0][0][1 - dense:], np.array([c[1][1 - dense:] for c in curves])
        found = laws.fit_draws(losses, experts, smallest=1e-3)
        rows = [routed(frame, router, step, size).iloc[0] for step in CHECKPOINTS]
        points += [dict(size=size, step=step, n=row["dense_parameter_count"], ratio=row["tokens"] / row["dense_parameter_count"],
                        e_max=e_max, residual=np.sqrt(sse / len(experts)))
                   for step, row, e_max, sse in zip(CHECKPOINTS, rows, found["e_max"], found["sse"])]
    return pd.DataFrame(points)


def _line(points):
    """(power, ln constant) of ln E_max against ln (D/N)."""
    return np.polyfit(np.log(points["ratio"]), np.log(points["e_max"]), 1)


def ratio_law(points, least=LEAST_E_MAX):
    """Fits E_max = C (D/N)^p to the points of `size_points` with E_max >= `least`."""
    points = points[points["e_max"] >= least]
    power, constant = _line(points)
    y = np.log(points["e_max"].values)
    left = y - constant - power * np.log(points["ratio"].values)
    design = np.stack([np.ones(len(y)), np.log(points["ratio"] * points["n"]), np.log(points["n"])], 1)
    free = np.linalg.lstsq(design, y, rcond=None)[0]
    powers = [float(_line(points[points["size"] != size])[0]) for size in SIZES]
    return Ratio(float(np.exp(constant)), float(power), float(1 - left.var() / y.var()), float(np.exp(left.std(ddof=2))), powers,
                 (float(free[1]), float(free[2])), points)


def predict(constant, power, ratio):
    """E_max at `ratio` tokens per parameter."""
    return constant * ratio**power


def prediction_interval(law, ratio, level=0.95, draws=10000, seed=1):
    """Interval of E_max predicted at D/N: whole sizes are drawn, since a size's checkpoints are one run, and each draw is widened by
    the residual factor."""
    rng = np.random.default_rng(seed)
    x, y, labels = np.log(law.points["ratio"].values), np.log(law.points["e_max"].values), law.points["size"].values
    moments = np.array([[(labels == s).sum(), x[labels == s].sum(), y[labels == s].sum(), (x * x)[labels == s].sum(),
                         (x * y)[labels == s].sum()] for s in SIZES])
    n, sx, sy, sxx, sxy = (rng.multinomial(len(SIZES), np.full(len(SIZES), 1 / len(SIZES)), draws) @ moments).T
    power = (n * sxy - sx * sy) / (n * sxx - sx * sx)
    at = sy / n + power * (np.log(ratio) - sx / n) + rng.normal(0, np.log(law.factor), draws)
    return tuple(float(v) for v in np.exp(np.quantile(at, [(1 - level) / 2, (1 + level) / 2])))
