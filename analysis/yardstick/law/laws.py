"""Laws of the loss against the number of experts, and their fits.

Clark et al. 2022 (arXiv 2202.01169, eq. 4 and 7): log10 L = a log10 N + b log10 Ehat + c log10 N log10 Ehat + d with
1/Ehat = 1/(E - 1 + 1/(1/E_start - 1/E_max)) + 1/E_max, so Ehat(1) = E_start and Ehat(infinity) = E_max. For fixed
(E_start, E_max) it is linear, so `projection` fits it without an optimiser. Beside it stand the power law (E_max = infinity) and
an offset law L = L_inf + A (E + E0)^-beta. L: loss in nat per token; N: parameters that are active for a token, embeddings left
out; E: experts of a layer; n points. All fits weigh relative errors of L alike, so their AICc can be compared."""
from typing import NamedTuple

import numpy as np

from . import projection

LOG_E_START = (0.0, 2.5)                 # ln E_start searched
LEAST_RATIO, MOST_EXPERTS = 0.3, 1e5     # ln(E_max / E_start) at least this; E_max at most this
NODES_START, NODES_MAX = 26, 48          # nodes of the grid: 0.1 apart in ln E_start, at most 0.24 in ln E_max
EVIDENCE, FARTHEST = 6.0, 4.0            # a finite E_max needs this AICc gain and an upper limit below FARTHEST x the largest E
LOG_OFFSET, LOG_BETA = (0.0, 5.0), (np.log(0.02), np.log(4.0))  # ln(1 + E0) and ln beta searched by the offset law


class Fit(NamedTuple):
    """A fitted law. `values`: its parameters by name; sse: of log10 L; residual: its standard deviation over the degrees of
    freedom, in log10; edge: parameters that stand on the edge of their range, so are not determined; aicc: see
    `aicc`; fitted and residuals: (n,), log10 of the law and of L less that."""
    law: str
    values: dict
    sse: float
    residual: float
    aicc: float
    edge: list
    fitted: np.ndarray
    residuals: np.ndarray


def log10_effective(experts, e_start, e_max):
    """log10 Ehat (broadcast over the arguments); e_max may be infinite."""
    experts, e_start, e_max = (np.asarray(v, float) for v in (experts, e_start, e_max))
    inner = experts - 1 + 1 / (1 / e_start - 1 / e_max)
    return -np.log10(1 / inner + 1 / e_max)


def aicc(sse, points, parameters):
    """Akaike's criterion for Gaussian errors with the correction for few points (Hurvich and Tsai 1989); `parameters` counts the
    noise level too. Infinite where the points are too few to say."""
    if points - parameters - 1 <= 0:
        return np.inf
    return points * np.log(np.maximum(sse, 1e-300) / points) + 2 * parameters * points / (points - parameters - 1)


def _grid():
    """(G, 2) nodes (ln E_start, ln E_max): the second axis runs from LEAST_RATIO above the first to ln MOST_EXPERTS."""
    start = np.linspace(*LOG_E_START, NODES_START)
    share = np.linspace(0, 1, NODES_MAX)
    lowest = start[:, None] + LEAST_RATIO
    return np.stack([np.broadcast_to(start[:, None], (NODES_START, NODES_MAX)), lowest + share * (np.log(MOST_EXPERTS) - lowest)],
                    -1).reshape(-1, 2)


def _shape_columns(experts, slopes):
    """theta (M, 1 or 2) = (ln E_start[, ln E_max]) -> (M, J, n): log10 Ehat times each of `slopes` (J, n)."""
    def columns(theta):
        e_max = np.exp(theta[:, 1:2]) if theta.shape[1] > 1 else np.inf
        return log10_effective(experts, np.exp(theta[:, :1]), e_max)[:, None] * slopes
    return columns


def clark_model(experts, active=None, finite=True):
    """Model of log10 L for `projection`: joint over the active parameters N (n,), or at one N without them. finite=False: the
    power law."""
    experts = np.asarray(experts, float)
    ones = np.ones(len(experts))
    slopes = ones[None] if active is None else np.stack([ones, np.log10(active)])
    columns = _shape_columns(experts, slopes)
    if not finite:
        low, high = (np.array([[v]]) for v in LOG_E_START)
        grid = np.linspace(*LOG_E_START, NODES_START)[:, None]
        return projection.Model(slopes.T, columns, grid, lambda t: np.broadcast_to(low, t.shape), lambda t: np.broadcast_to(high, t.shape),
                                np.array([0.1]))
    top = np.log(MOST_EXPERTS)
    return projection.Model(slopes.T, columns, _grid(), lambda t: np.stack([np.full(len(t), LOG_E_START[0]), t[:, 0] + LEAST_RATIO], 1),
                            lambda t: np.broadcast_to([LOG_E_START[1], top], t.shape), np.array([0.1, 0.24]))


def offset_model(experts, weights):
    """Model of weights · L with L = L_inf + A (E + E0)^-beta; theta = (ln(1 + E0), ln beta). With weights 1/L its residuals are
    relative errors, as those of log10 L are."""
    experts, weights = np.asarray(experts, float), np.asarray(weights, float)

    def columns(theta):
        return (weights * (experts + np.exp(theta[:, :1]) - 1) ** -np.exp(theta[:, 1:]))[:, None]

    axes = np.linspace(*LOG_OFFSET, 41), np.linspace(*LOG_BETA, 45)
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)
    low, high = np.array([LOG_OFFSET, LOG_BETA]).T
    return projection.Model(weights[:, None], columns, grid, lambda t: np.broadcast_to(low, t.shape),
                            lambda t: np.broadcast_to(high, t.shape),
                            np.array([a[1] - a[0] for a in axes]))


def _edges(model, theta, names):
    """Names of the shape parameters that stand on a bound."""
    low, high = model.lower(theta)[0], model.upper(theta)[0]
    return [f"{name} {side}" for i, name in enumerate(names) for side, bound in (("lowest", low), ("highest", high))
            if abs(theta[0, i] - bound[i]) < 1e-9]


def _finish(law, values, losses, fitted, edge):
    residuals = np.log10(losses) - fitted
    sse, count = float(residuals @ residuals), sum(np.isfinite(v) for v in values.values())
    residual = float(np.sqrt(sse / (len(losses) - count))) if len(losses) > count else float("nan")
    return Fit(law, values, sse, residual, float(aicc(sse, len(losses), count + 1)), edge, fitted, residuals)


def fit_draws(losses, experts, active=None, finite=True, smallest=0.05):
    """Clark's law fitted to each row of losses (D, n): name -> (D,). For bootstraps; `smallest` as in `projection.solve`."""
    model = clark_model(experts, active, finite)
    found = projection.solve(model, np.log10(losses), smallest)
    names = ["d", "b"] if active is None else ["d", "a", "b", "c"]
    shape = np.exp(found.theta).T
    return dict(zip(names, found.coefficients.T)) | dict(zip(["e_start", "e_max"], shape)) | dict(sse=found.sse)


def fit_clark(losses, experts, active=None, finite=True):
    """Clark's law, joint in N and E, or at one N (a and c absent); finite=False: the power law. losses, experts, active: (n,)."""
    losses = np.asarray(losses, float)
    model = clark_model(experts, active, finite)
    found = projection.solve(model, np.log10(losses))
    names = ["d", "b"] if active is None else ["d", "a", "b", "c"]
    values = dict(zip(names, map(float, found.coefficients[0])))
    values |= dict(zip(["e_start", "e_max"], np.exp(found.theta[0]).tolist()))
    values.setdefault("e_max", np.inf)
    fitted = projection.fitted(model, found.theta, found.coefficients)[0]
    return _finish("Clark" if finite else "power", values, losses, fitted,
                   _edges(model, found.theta, ["e_start", "e_max"][:found.theta.shape[1]]))


def fit_offset(losses, experts):
    """L = L_inf + A (E + E0)^-beta at one N."""
    losses = np.asarray(losses, float)
    model = offset_model(experts, 1 / losses)
    found = projection.solve(model, np.ones(len(losses)))
    values = dict(zip(["l_inf", "amplitude"], map(float, found.coefficients[0])))
    values |= dict(e0=float(np.exp(found.theta[0, 0]) - 1), beta=float(np.exp(found.theta[0, 1])))
    fitted = np.log10(np.maximum(projection.fitted(model, found.theta, found.coefficients)[0] * losses, 1e-300))
    return _finish("offset", values, losses, fitted, _edges(model, found.theta, ["e0", "beta"]))


def residual_draws(fit, draws, rng, gaussian=False):
    """(draws, n) losses: the fitted law with its residuals drawn anew, from those found (centred, and widened for the fitted
    parameters) or, gaussian=True, from a normal distribution as wide."""
    count = len(fit.fitted)
    if gaussian:
        noise = rng.normal(0, fit.residual, (draws, count))
    else:
        noise = rng.choice((fit.residuals - fit.residuals.mean()) * fit.residual / np.sqrt(fit.sse / count), (draws, count))
    return 10 ** (fit.fitted + noise)


def interval(values, level=0.95):
    """Percentile interval of draws; infinite values count as larger than all others, nan as no draws at all."""
    values = np.asarray(values, float)
    if not values.size or np.isnan(values).any():
        return np.nan, np.nan
    return tuple(float(v) for v in np.quantile(values, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf"))


class Comparison(NamedTuple):
    """Clark, power and offset law at one N. gain: AICc of the power law less that of Clark's; e_max: 95 % interval; stated: whether
    a finite E_max may be stated."""
    clark: Fit
    power: Fit
    offset: Fit
    gain: float
    e_max: tuple
    stated: bool


def needed_ratio(points):
    """How many times the squared residual of Clark's law that of the power law has to be, at one N, for EVIDENCE in AICc."""
    more = aicc(1, points, 5) - aicc(1, points, 4)  # d, b, E_start, the noise; and E_max
    return float(np.exp((EVIDENCE + more) / points))


def may_state(gain, upper, largest):
    """A finite E_max may be stated only if Clark's law beats the power law by EVIDENCE in AICc and the upper limit of E_max is
    below FARTHEST times the largest E measured."""
    return bool(gain > EVIDENCE and upper < FARTHEST * largest)


def compare(losses, experts, drawn=None, draws=10000, seed=1):
    """The three laws at one N. The interval of E_max is that of a parametric bootstrap of Clark's law and, where `drawn` (D, n) has
    losses of a bootstrap over seeds and blocks, the hull of both: the first misses what seeds share, the second what the law misses."""
    clark, power, offset = fit_clark(losses, experts), fit_clark(losses, experts, finite=False), fit_offset(losses, experts)
    simulated = residual_draws(clark, draws, np.random.default_rng(seed), gaussian=True)
    limits = [interval(fit_draws(d, experts)["e_max"]) for d in (simulated, drawn) if d is not None]
    e_max = min(low for low, _ in limits), max(high for _, high in limits)
    gain = power.aicc - clark.aicc if np.isfinite(clark.aicc) else -np.inf
    return Comparison(clark, power, offset, float(gain), e_max, may_state(gain, e_max[1], max(experts)))
