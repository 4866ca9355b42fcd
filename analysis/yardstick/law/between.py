"""How far Clark's joint law is known: intervals of its parameters between model sizes, and the verdict against the paper's own Table 3.

What the joint law leaves goes together within a size: it is the form across sizes that is weak. So residuals that are shuffled over all
points, as in the bootstrap of `law_report`, say little of it; here whole sizes are left out (a jackknife: Student's t with one degree of
freedom less than there are sizes). E_start and E_max are taken by their logarithms."""
import numpy as np
from scipy import stats

from ..verdicts import claims, rule
from . import curves, laws
from .intervals import LEVEL

ROW = ["a", "b", "c", "d", "e_start", "e_max"]
LOGARITHMS = ("e_start", "e_max")
SIMULATED = 200


def _scaled(name, value):
    return np.log(value) if name in LOGARITHMS else np.asarray(value, float)


def _plain(name, value):
    return np.exp(value) if name in LOGARITHMS else value


def limits_of(whole, without):
    """{parameter: (low, high)} of values {parameter: (…)} of the whole fit and {parameter: (sizes, …)} of those without one size each."""
    found = {}
    for name in ROW:
        value, left = _scaled(name, whole[name]), _scaled(name, without[name])
        count = len(left)
        error = np.sqrt((count - 1) / count * ((left - left.mean(0)) ** 2).sum(0))
        half = stats.t.ppf((1 + LEVEL) / 2, count - 1) * error
        found[name] = _plain(name, value - half), _plain(name, value + half)
    return found


def jackknife(rows, fit):
    """Interval of each parameter of a joint fit to `rows` (`curves.routed`)."""
    sizes = rows["model_size_label"].unique()
    parts = [rows[rows["model_size_label"] != size] for size in sizes]
    fits = [laws.fit_clark(*(p[name].values for name in ("loss_validation", "num_experts", "dense_parameter_count"))).values for p in parts]
    return {name: tuple(map(float, ends)) for name, ends in
            limits_of(fit.values, {name: np.array([f[name] for f in fits]) for name in ROW}).items()}


def _simulated(rows, fit, rng, count):
    """(D, n) losses of the fitted law with what sizes do drawn anew: a level and a slope in log10 Ehat of each size, normal, as wide as
    those found in the residuals, and what these leave."""
    labels, experts = (rows[name].values for name in ("model_size_label", "num_experts"))
    x = laws.log10_effective(experts, fit.values["e_start"], fit.values["e_max"])
    x = x - x.mean()
    sizes, left, found = list(dict.fromkeys(labels)), fit.residuals.copy(), []
    for size in sizes:
        own = labels == size
        line = np.polyfit(x[own], left[own], 1)
        found.append(line)
        left[own] -= np.polyval(line, x[own])
    tilt, level = np.sqrt((np.array(found) ** 2).mean(0))
    at = np.array([sizes.index(label) for label in labels])
    levels, tilts = level * rng.normal(size=(count, len(sizes))), tilt * rng.normal(size=(count, len(sizes)))
    own = np.sqrt((left @ left) / max(len(left) - 2 * len(sizes), 1)) * rng.normal(size=(count, len(left)))
    return 10 ** (fit.fitted + levels[:, at] + tilts[:, at] * x + own)


def coverage(rows, fit, count=None, seed=1):
    """{parameter: share of simulated tables in which its interval holds the truth, the law that was fitted}."""
    losses = _simulated(rows, fit, np.random.default_rng(seed), count or SIMULATED)
    experts, active, labels = (rows[name].values for name in ("num_experts", "dense_parameter_count", "model_size_label"))
    kept = [np.ones(len(labels), bool), *(labels != size for size in dict.fromkeys(labels))]
    fits = [laws.fit_draws(losses[:, keep], experts[keep], active[keep]) for keep in kept]
    found = limits_of(fits[0], {name: np.array([f[name] for f in fits[1:]]) for name in ROW})
    return {name: float(((low <= fit.values[name]) & (fit.values[name] <= high)).mean()) for name, (low, high) in found.items()}


def parts(fit, limits, router):
    """{parameter: rule.Part}: within the tolerance of the paper's row, or its whole interval outside."""
    found = {}
    for name, tolerance in curves.TOLERANCE.items():
        paper = curves.PAPER[router][name]
        size = tolerance * paper if name == "e_max" else tolerance
        low, high = limits[name]
        found[name] = rule.Part(abs(fit.values[name] - paper) <= size, high < paper - size or low > paper + size, True)
    return found


def verdict(found):
    """The corrected part of "fit code correct", of {router: (fit, limits)}."""
    judged = {router: parts(fit, limits, router) for router, (fit, limits) in found.items()}
    outside = {router: [name for name, part in by_name.items() if not part.holds] for router, by_name in judged.items()}
    measured = {router: rule.status(by_name.values()) + f", outside the tolerances in {', '.join(outside[router])}" * bool(outside[router])
                for router, by_name in judged.items()}
    interval = {f"{router} {name}": list(limits[name]) for router, (_, limits) in found.items() for name in curves.TOLERANCE}
    status = rule.status([part for by_name in judged.values() for part in by_name.values()])
    return claims.corrected("fit-code", (status, measured), interval)
