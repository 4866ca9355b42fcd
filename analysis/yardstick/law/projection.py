"""Least squares by variable projection: models that are linear in most coefficients and need a search over one or two only.

For fixed shape parameters theta a model is y = F·f + C(theta)·g with known columns F and C: the best (f, g) are in closed form,
so only theta is searched, first on a grid and then by a pattern search (Golub and Pereyra 1973; the plan of Clark's fit without an
optimiser). Many data vectors with the same design, such as the draws of a bootstrap, are fitted at once. n points, D data vectors,
G grid nodes, J variable columns (1 or 2), P shape parameters."""
from typing import Callable, NamedTuple

import numpy as np

CHUNK = 1 << 22  # numbers in one block of (data vectors x nodes): 32 MiB
TINY = 1e-24     # a column whose square is below this share of what it was lies in the span of the others


class Model(NamedTuple):
    """fixed: (n, F) columns; columns: theta (M, P) -> (M, J, n); grid: (G, P) nodes; lower, upper: bounds, theta (M, P) -> (M, P);
    step: (P,) spacing of the grid, where the pattern search starts."""
    fixed: np.ndarray
    columns: Callable
    grid: np.ndarray
    lower: Callable
    upper: Callable
    step: np.ndarray


class Solution(NamedTuple):
    """theta (D, P), coefficients (D, F + J) of the fixed and then the variable columns, sse (D,) in squared units of y."""
    theta: np.ndarray
    coefficients: np.ndarray
    sse: np.ndarray


def _basis(model, theta):
    """(M, J, n): orthonormal, spanning the variable columns at each theta less what the fixed ones explain. A column that the
    others explain becomes 0."""
    q, _ = np.linalg.qr(model.fixed)
    columns = model.columns(theta)
    vectors = []
    for j in range(columns.shape[1]):
        v = columns[:, j]
        before = (v * v).sum(-1, keepdims=True)
        for _ in range(2):  # twice: once leaves rounding errors that grow with the condition number
            v = v - (v @ q) @ q.T
            for u in vectors:
                v = v - (v * u).sum(-1, keepdims=True) * u
        square = (v * v).sum(-1, keepdims=True)
        vectors.append(np.where(square > TINY * before, v / np.sqrt(np.maximum(square, 1e-300)), 0))
    return np.stack(vectors, 1)


def _on_grid(model, left):
    """Best node of each data vector; `left` (D, n) is what the fixed columns leave of y."""
    basis = _basis(model, model.grid)
    best = np.empty(len(left), int)
    rows = max(1, CHUNK // len(model.grid))
    for start in range(0, len(left), rows):
        part = left[start:start + rows]
        explained = sum((part @ basis[:, j].T) ** 2 for j in range(basis.shape[1]))
        best[start:start + rows] = explained.argmax(1)
    return model.grid[best]


def _sse(model, left, theta):
    """Sum of squares (D,) that remains of each data vector at its own theta (D, P)."""
    basis = _basis(model, theta)
    for j in range(basis.shape[1]):
        left = left - (left * basis[:, j]).sum(-1, keepdims=True) * basis[:, j]
    return (left * left).sum(-1)


def _directions(count):
    """All 3^P - 1 neighbours: on a ridge where two parameters trade, the axes alone get stuck."""
    all_of_them = np.array(np.meshgrid(*[[-1.0, 0.0, 1.0]] * count, indexing="ij")).reshape(count, -1).T
    return all_of_them[np.any(all_of_them != 0, axis=1)]


def _refine(model, left, theta, smallest, moves=400):
    """Pattern search from theta (D, P): the first better neighbour is taken, otherwise the step is halved, until the step is
    `smallest` of the grid's."""
    sse = _sse(model, left, theta)
    scale = np.ones(len(left))
    directions = _directions(theta.shape[1])
    for _ in range(moves):
        active = np.flatnonzero(scale > smallest)
        if not active.size:
            break
        start = theta[active].copy()
        for direction in directions:
            trial = np.clip(start + direction * model.step * scale[active, None], model.lower(start), model.upper(start))
            trial = np.clip(trial, model.lower(trial), model.upper(trial))  # one bound may depend on another parameter
            value = _sse(model, left[active], trial)
            better = value < sse[active]
            theta[active[better]], sse[active[better]] = trial[better], value[better]
        scale[active[(theta[active] == start).all(1)]] /= 2
    return theta, sse


def solve(model, y, smallest=1e-3):
    """Least-squares fit of each row of y (D, n), or of one y (n,). `smallest`: where the pattern search ends, in grid steps."""
    y = np.atleast_2d(np.asarray(y, float))
    q, _ = np.linalg.qr(model.fixed)
    left = y - (y @ q) @ q.T
    theta, sse = _refine(model, left, _on_grid(model, left).copy(), smallest)
    columns = model.columns(theta)
    design = np.concatenate([np.broadcast_to(model.fixed.T, (len(y), *model.fixed.T.shape)), columns], 1)
    coefficients = np.einsum("dn,dnk->dk", y, np.linalg.pinv(design))
    return Solution(theta, coefficients, sse)


def fitted(model, theta, coefficients):
    """Values (D, n) of the model, for theta and coefficients as `solve` gives them."""
    fixed = model.fixed.shape[1]
    return coefficients[:, :fixed] @ model.fixed.T + np.einsum("dj,djn->dn", coefficients[:, fixed:], model.columns(theta))
