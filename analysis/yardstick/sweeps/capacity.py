"""Drops and padding at an expert capacity, against the null model that needs no training (docs/science.md, "Capacity").

An expert has C = ceil(cf·m) rows of a group, m = T_grain·k/E choices at even loads (docs/conventions.md). If its load, by the mean, is
normal with deviation sigma, then drop(cf) = sigma [phi(z) − z (1 − Phi(z))] with z = (cf − 1)/sigma, a share of all choices, and the
share of rows that stay empty is 1 − (1 − drop)/cf. cf is C/m here: what the rounding up gives.

sigma is measured twice. Of groups: the root mean square of load/m − 1 over the experts and grains of sampled training steps, which has all
that there is, sampling, popularity and the text that the tokens of a grain share. Of counts: sigma² = 1/m + s², where s², the squared
variation of popularity, is that of the batch's recorded loads less their own sampling 1/(G·m), at least 0 (G grains of a batch)."""
import numpy as np
import pandas as pd
from scipy.stats import norm

from ..base.faults import SchemaError
from ..records.run_folder import number, open_tokens, option
from ..verdicts import claims
from ..verdicts.rule import Part, verdict
from . import arms as arms_of

# of the rules: drop(1.5)/drop(1), drop(1.5) − drop(2), waste(2.5), distance from the closed form in every arm and layer, share of
# the gain by 1.25
SHARP, FLAT, WASTE, CURVE, EARLY = 0.25, 0.01, 0.55, 0.01, 0.40


def drop(cf, sigma):
    """Share of the choices dropped, by the null model."""
    cf, sigma = np.broadcast_arrays(np.asarray(cf, float), np.asarray(sigma, float))
    z = (cf - 1) / np.maximum(sigma, 1e-12)
    return np.where(sigma > 0, sigma * (norm.pdf(z) - z * norm.sf(z)), np.maximum(1 - cf, 0))


def waste(cf, dropped):
    """Share of the rows of all experts that stay empty."""
    return 1 - (1 - dropped) / cf


def null_model_limit():
    """Largest sigma, to 0.001, up to which the null model itself is sharp, flat and wasteful by the rules (docs/science.md, "Capacity")."""
    sigma = np.arange(1, 1000) / 1000
    one, sharp, flat, rest = (drop(cf, sigma) for cf in (1.0, 1.5, 2.0, 2.5))
    holds = (sharp <= SHARP * one) & (sharp - flat <= FLAT) & (waste(2.5, rest) >= WASTE)
    return float(sigma[holds][-1] if holds.all() else sigma[holds.argmin() - 1])


def rows_of(cf, m):
    """C, as the program rounds it."""
    return np.ceil(cf * m * (1 - 1e-12))


def sigma_of_counts(assigned, grains):
    """sigma from loads (steps, E) of whole batches."""
    mean = assigned.mean(1)
    s2 = np.maximum((assigned.var(1) / mean**2 - 1 / mean).mean(), 0)
    return float(np.sqrt((grains / mean).mean() + s2))


def sigma_of_groups(chosen, group, experts):
    """sigma from the choices (tokens, k) of whole groups, numbered in `group` (tokens,)."""
    number = np.unique(group, return_inverse=True)[1]
    loads = np.zeros((number.max() + 1, experts))
    for c in range(chosen.shape[1]):
        np.add.at(loads, (number, chosen[:, c]), 1)
    return float(np.sqrt(((loads / loads.mean(1, keepdims=True) - 1) ** 2).mean()))


def _groups(run, folder, steps):
    """The sampled training tokens of these steps and the number of each one's group, or None. A grain is a contiguous part of the batch."""
    tokens = open_tokens(folder)
    if tokens is None or "expert" not in tokens:
        return None
    tokens = tokens.isel(sample=np.isin(tokens["step"].values, steps))
    if not tokens.sizes["sample"]:
        return None
    batch, grains = (number(run, name, folder, whole=True) for name in ("train.batch", "train.grains"))
    sequences = max(1, batch // grains)
    return tokens["expert"].values, tokens["step"].values * (1 << 32) + tokens["sequence"].values // sequences


def _factor(run, folder):
    values = [option(run, name) for name in ("moe.capacity_factor", "train.grains", "train.batch")]
    if None in values:
        raise SchemaError(f"{folder}: its configuration does not say moe.capacity_factor, train.grains and train.batch")
    return number(run, "moe.capacity_factor", folder), number(run, "train.grains", folder, whole=True)


def layers(folder):
    """A row for each layer of a run, over the last tenth of its steps: m, cf asked for, cf of the rows, drop, waste, sigma (of groups where
    steps were sampled, else of counts), sigma_counts, and what the null model says at sigma. Without a capacity only the sigmas."""
    run = arms_of.routed(folder)
    cf, grains = _factor(run, folder)
    part = arms_of.tenth(run, last=True)
    groups = _groups(run, folder, part["step"].values)
    rows = []
    for i, experts in enumerate(part["experts"].values.astype(int)):
        assigned, kept = (part[name].values[:, i, :experts].astype(float) for name in ("assigned", "kept"))
        m, counts = assigned.mean() / grains, sigma_of_counts(assigned, grains)
        sigma = counts if groups is None else sigma_of_groups(groups[0][:, i, :int(run.attrs["top_k"])], groups[1], experts)
        row = dict(block=int(run["layer"].values[i]), m=m, factor=cf or np.inf, sigma=sigma, sigma_counts=counts,
                   sigma_from="counts" if groups is None else "groups")
        if cf:
            real, dropped = rows_of(cf, m) / m, 1 - kept.sum() / assigned.sum()
            theory = float(drop(real, sigma))
            row |= dict(factor_of_rows=real, drop=dropped, waste=waste(real, dropped), theory_drop=theory, theory_waste=waste(real, theory),
                        theory_drop_counts=float(drop(real, counts)))
        rows.append(row)
    return rows


def measure(arms):
    """A row for each arm, seed and layer."""
    return pd.DataFrame([dict(arm=name, seed=seed, **row) for name in arms.names for seed in arms.seeds
                         for row in layers(arms.folders[name, seed])])


def by_factor(arms, table):
    """{capacity factor: arm}, ascending; inf is dropless."""
    found = table.groupby("arm")["factor"].unique()
    mixed = [name for name, factors in found.items() if len(factors) > 1]
    factors = [float(factors[0]) for factors in found]
    if mixed or len(set(factors)) < len(factors):
        each = ", ".join(f"{n}: {f.tolist()}" for n, f in found.items())
        raise SchemaError(f"arms and capacity factors do not go together: {each}; give a sweep whose arms differ in moe.capacity_factor")
    return dict(sorted(zip(factors, found.index)))


def samples(arms, table):
    """{quantity: Sample}: the loss in two levels, drop and waste (means over layers) over seeds; off: measured less the null
    model's drop by (arm, block), over seeds."""
    found = dict(loss=arms_of.sample(arms.names, arms.losses))
    for part in ("drop", "waste"):
        values = table.pivot_table(index="seed", columns="arm", values=part, dropna=False).reindex(index=arms.seeds, columns=arms.names)
        found[part] = arms_of.sample(arms.names, values.fillna(0).values)
    off = table.assign(off=table["drop"] - table["theory_drop"]).pivot(index="seed", columns=["arm", "block"], values="off").dropna(axis=1)
    return found | dict(off=arms_of.sample(off.columns, off.loc[arms.seeds].values))


def deviations(table, theory="theory_drop"):
    """Measured less the null model's drop by (arm, block), mean over seeds."""
    limited = table[np.isfinite(table["factor"])]
    return (limited["drop"] - limited[theory]).groupby([limited["arm"], limited["block"]], sort=False).mean()


def _untestable(factors, *wanted):
    missing = [f"{f:g}" for f in wanted if f not in factors]
    return (claims.untested(f"the sweep has no finished arm of capacity factor {', '.join(missing)}"), None) if missing else None


def sharp_flat_waste(arms, factors, found, table):
    """Verdict and intervals of "CF 1.0→1.5 sharp, →2 flat, >2 waste"."""
    why = _untestable(factors, 1.0, 1.5, 2.0, 2.5)
    if why:
        return why
    a, b, c, d = (factors[f] for f in (1.0, 1.5, 2.0, 2.5))
    drops, rest = found["drop"], found["waste"].of(d)
    falls, sharp, flat = drops.difference(a, b), drops.sum_of({b: 1.0, a: -SHARP}), drops.difference(b, c)
    off = {cell: found["off"].of(cell) for cell in found["off"].names}
    worst = max(abs(d.value) for d in off.values())
    holds = falls.low > 0 and sharp.value <= 0 and flat.value <= FLAT and rest.value >= WASTE and worst <= CURVE
    excluded = falls.high < 0 or sharp.low > 0 or flat.low > FLAT or rest.high < WASTE or \
        any(d.low > CURVE or d.high < -CURVE for d in off.values())
    sigma = table[table["arm"].isin(factors.values()) & np.isfinite(table["factor"])]["sigma"]
    measured = dict(drop={f"{f:g}": drops.of(n).value for f, n in factors.items() if np.isfinite(f)}, waste_at_2_5=rest.value,
                    sharp=drops.of(b).value / drops.of(a).value, flat=flat.value, furthest_from_theory=worst,
                    furthest_at_sigma_of_counts=float(deviations(table, "theory_drop_counts").abs().max()),
                    sigma=[float(sigma.min()), float(sigma.max())], null_model_limit=null_model_limit())
    limits = {"drop(1) − drop(1.5)": arms_of.limits(falls), "drop(1.5) − drop(1)/4": arms_of.limits(sharp),
              "drop(1.5) − drop(2)": arms_of.limits(flat),
              "waste(2.5)": arms_of.limits(rest),
              "drop less closed form": {f"{arm}, block {block}": arms_of.limits(d) for (arm, block), d in off.items()}}
    return verdict([Part(holds, excluded, falls.value > 0)], measured, len(arms.seeds)), limits


def quality(arms, factors, found, table):
    """Verdict and intervals of "CF quality": the loss does not rise with the factor, and 40 % of the gain from 1 to 2 is
    reached by 1.25."""
    why = _untestable(factors, 1.0, 1.25, 2.0)
    if why:
        return why
    loss, limited = found["loss"], [n for f, n in factors.items() if 1 <= f <= 2]
    steps = {f"{a} to {b}": loss.difference(b, a) for a, b in zip(limited, limited[1:])}
    one, early, two = (factors[f] for f in (1.0, 1.25, 2.0))
    gain, reached = loss.difference(one, two), loss.sum_of({one: 1 - EARLY, early: -1.0, two: EARLY})
    monotone = not any(d.low > 0 for d in steps.values())
    holds = monotone and gain.low > 0 and reached.low >= 0
    share = (loss.of(one).value - loss.of(early).value) / gain.value if gain.value > 0 else float("nan")
    measured = dict(gain_1_to_2=gain.value, share_by_1_25=share, monotone=monotone, steps={n: d.value for n, d in steps.items()})
    limits = {"gain 1 to 2": arms_of.limits(gain),
              "gain 1 to 1.25 less 40 % of it": arms_of.limits(reached)} | {n: arms_of.limits(d) for n, d in steps.items()}
    excluded = not monotone or gain.high < 0 or reached.high < 0
    return verdict([Part(holds, excluded, gain.value > 0)], measured, len(arms.seeds)), limits


VERDICTS = {"capacity-curve": sharp_flat_waste, "capacity-quality": quality}


def entries(arms, factors, found, table, files):
    """The entries of acceptance.json."""
    return [claims.entry(key, *judge(arms, factors, found, table), files) for key, judge in VERDICTS.items()]
