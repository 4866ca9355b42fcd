"""How the ways to balance loads compare: evenness over held-out text and in training, and what it costs in loss.

Excess MaxVio is MaxVio less its sampling floor, what uniform random choices of as many tokens show (`nulls.max_vio_floor`): mean over
layers. Global: loads of the whole recorded held-out sample at the last evaluation, as Wang et al. 2024 count the validation set, if
of fewer tokens. Early and late: loads of single training batches, mean over the first and over the last tenth of the steps."""
import numpy as np
import pandas as pd

from ..records import special
from ..base.faults import SchemaError
from ..records.run_folder import number, open_evaluation, option
from ..records.sample import layers_of, load
from ..verdicts import claims
from ..verdicts.rule import Part, verdict
from ..routing.balance import evenness
from ..routing.nulls import max_vio_floor
from . import arms as arms_of

AUX = ["aux-sequence", "aux-batch"]                  # what loss-free balancing is judged against; the less favourable decides
FREE = {"free-low": 1.5, "free-mid": 15.0, "free-high": 150.0}  # arms of u, and u times steps
MIDDLE, SOFTMAX = "free-mid", "softmax-free"         # the second: as the first, with another router
ALPHA = 1e-3                                         # coefficient of the aux arms
SHARE, MARGIN, SEED_SD = 1 / 5, 0.002, 0.002         # of the aux arm's excess; nat; nat
NEARLY = 0.2                                         # by which u times steps may differ
PARTS = ["excess_global", "excess_early", "excess_late"]
POINTS = 200                                         # of a drawn curve
# column: its words, what it is in the arms that claims are about, and the share by which it may differ
SETTINGS = dict(alpha=("moe.aux_loss", dict.fromkeys(AUX, ALPHA), 0.0),
                u_steps=("u times steps", FREE | {SOFTMAX: FREE[MIDDLE]}, NEARLY))


def held_out(run, folder):
    """Of the last evaluation, means over layers: MaxVio, its floor and effective experts; and the sample's tokens."""
    evaluation = open_evaluation(folder)
    why = special.without_routing(run, evaluation)
    if why:
        raise SchemaError(f"{folder}: {why}; give a sweep of runs with experts and evaluations")
    layers = layers_of(special.with_layers(evaluation, run))
    found = [evenness(load(layer)) for layer in layers]
    floor = np.mean([max_vio_floor(len(layer.chosen), layer.top_k, layer.experts) for layer in layers])
    vio = np.mean([f["max_vio"] for f in found])
    return dict(max_vio_global=vio, floor_global=floor, excess_global=vio - floor,
                effective_experts=np.mean([f["effective_experts"] for f in found]),
                tokens_global=len(layers[0].chosen))


def training(run):
    """MaxVio of a batch, early and late, its floor and the excess, means over layers and steps."""
    found = dict(floor_batch=float(run["max_vio_floor"].mean()))
    for name, last in (("early", False), ("late", True)):
        part = arms_of.tenth(run, last)
        found |= {f"max_vio_{name}": float(part["max_vio"].mean()),
                  f"excess_{name}": float((part["max_vio"] - part["max_vio_floor"]).mean())}
    return found


def travel(run, folder):
    """u times steps, the way that a selection bias can go; nan without a bias rule."""
    if option(run, "moe.bias_rule") in (None, "none"):
        return float("nan")
    return number(run, "moe.bias_rate", folder) * number(run, "train.steps", folder)


def curve(run):
    """(steps, MaxVio less its floor) of a run, means over layers and over equal pieces of the steps."""
    excess = (run["max_vio"] - run["max_vio_floor"]).mean("layer").values
    pieces = np.array_split(np.arange(len(excess)), min(POINTS, len(excess)))
    return np.array([run["step"].values[p].mean() for p in pieces]), np.array([excess[p].mean() for p in pieces])


def measure(arms):
    """A row for each arm and seed, and {arm: [curve of each seed]}."""
    losses, rows, curves = arms.losses.mean(2), [], {}
    for a, name in enumerate(arms.names):
        for s, seed in enumerate(arms.seeds):
            folder = arms.folders[name, seed]
            run = arms_of.routed(folder)
            rows.append(dict(arm=name, seed=seed, u_steps=travel(run, folder),
                             alpha=number(run, "moe.aux_loss", folder) if option(run, "moe.aux_loss") else 0.0,
                             **held_out(run, folder), **training(run),
                             loss=losses[s, a], perplexity=np.exp(losses[s, a])))
            curves.setdefault(name, []).append(curve(run))
    return pd.DataFrame(rows), curves


def samples(arms, table):
    """{quantity: Sample}: the loss in two levels, the evenness over seeds."""
    found = dict(loss=arms_of.sample(arms.names, arms.losses))
    for part in PARTS:
        found[part] = arms_of.sample(arms.names, table.pivot(index="seed", columns="arm", values=part).loc[arms.seeds, arms.names].values)
    return found


def unfit(arms, table, *names):
    """Why a claim on these arms cannot be tested, or None: one is not there, or has not the settings by which its name is known."""
    wrong = [f"{row['arm']} has {words} {row[column]:g}, not {asked[row['arm']]:g}"
             for _, row in table[table["arm"].isin(names)].iterrows() for column, (words, asked, nearly) in SETTINGS.items()
             if row["arm"] in asked and not abs(row[column] / asked[row["arm"]] - 1) <= nearly]
    return arms_of.lacking(arms, *names) or "; ".join(dict.fromkeys(wrong)) or None  # seeds of an arm say the same


def better_balanced(arms, found, table):
    """Verdict and interval of "loss-free balances better": excess of the loss-free arm at most a fifth of the aux arm's."""
    why = unfit(arms, table, MIDDLE, *AUX)
    excess, measured, limits, parts = found["excess_global"], {}, {}, []
    if why is None and not all(excess.of(aux).value > 0 for aux in AUX):
        why = "an aux arm balances as well as chance: there is no excess to divide"
    if why:
        return claims.untested(why), None
    for aux in AUX:
        less, fifth = excess.difference(MIDDLE, aux), excess.sum_of({MIDDLE: 1.0, aux: -SHARE})
        measured[aux] = dict(excess=excess.of(aux).value, ratio=excess.of(MIDDLE).value / excess.of(aux).value, difference=less.value)
        limits |= {f"difference to {aux}": arms_of.limits(less), f"excess − {aux}'s/{1 / SHARE:g}": arms_of.limits(fifth)}
        parts.append(Part(fifth.value <= 0 and less.high < 0, fifth.low > 0, less.value < 0))
    return verdict(parts, dict(excess=excess.of(MIDDLE).value, **measured), len(arms.seeds)), limits


def costs_nothing(arms, found, table):
    """Verdict and interval of "loss-free costs nothing / gains": not worse than an aux arm by 0.002 nat; a gain if below 0."""
    why = unfit(arms, table, MIDDLE, *AUX)
    if why:
        return claims.untested(why), None
    measured, limits, parts, noise = {}, {}, [], []
    for aux in AUX:
        d, sd = found["loss"].difference(MIDDLE, aux), arms_of.seed_sd(arms, MIDDLE, aux)
        measured[aux] = dict(difference=d.value, seed_sd=sd, non_inferior=d.high < MARGIN, gain=d.high < 0)
        limits[f"difference to {aux}"] = arms_of.limits(d)
        parts.append(Part(d.high < MARGIN and sd <= SEED_SD, d.low > MARGIN, d.value < MARGIN))
        noise.append(sd)
    status, measured = verdict(parts, measured, len(arms.seeds))
    if status != "not reproduced" and not max(noise) <= SEED_SD:
        status, measured["why"] = "not testable here", f"needs a deviation over seeds of at most {SEED_SD} nat, has {max(noise):.4f}"
    return (status, measured), limits


def middle_rate_best(arms, found, table):
    """Verdict and interval of "u optimum": the middle rate has the least excess early and late."""
    why = unfit(arms, table, *FREE)
    if why:
        return claims.untested(why), None
    measured, limits, parts = {}, {}, []
    for part in PARTS[1:]:
        measured[part] = {name: found[part].of(name).value for name in FREE}
        for other in (name for name in FREE if name != MIDDLE):
            d = found[part].difference(MIDDLE, other)
            limits[f"{part}, {MIDDLE} less {other}"] = arms_of.limits(d)
            parts.append(Part(d.high < 0, d.low > 0, d.value < 0))
    return verdict(parts, measured, len(arms.seeds)), limits


def sigmoid_better(arms, found, table):
    """Verdict and interval of "softmax vs sigmoid": the sign of the difference of losses under the same loss-free rule."""
    why = unfit(arms, table, MIDDLE, SOFTMAX)
    if why:
        return claims.untested(why), None
    d = found["loss"].difference(SOFTMAX, MIDDLE)
    measured, above = dict(difference=d.value), {}
    if "none" in arms.names:
        measured["less_none"] = above = {name: found["loss"].difference(name, "none").value for name in (MIDDLE, SOFTMAX)}
    broken = [f"{name} by {nat:.4f} nat" for name, nat in above.items() if nat > MARGIN]
    if broken:
        why = f"an arm has broken down: its loss is above that of none, {', '.join(broken)}"
        return claims.untested(why, **measured), arms_of.limits(d)
    return verdict([Part(d.low > 0, d.high < 0, d.value > 0)], measured, len(arms.seeds)), arms_of.limits(d)


VERDICTS = {"loss-free-balances": better_balanced, "loss-free-costs-nothing": costs_nothing, "bias-rate": middle_rate_best,
            "softmax-sigmoid": sigmoid_better}


def entries(arms, found, table, files):
    """The entries of acceptance.json."""
    return [claims.entry(key, *judge(arms, found, table), files) for key, judge in VERDICTS.items()]
