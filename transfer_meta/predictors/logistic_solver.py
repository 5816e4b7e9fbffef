"""L2-regularised logistic regression on many training sets, by Newton's method on stacked arrays.

The problems of a stack share the rows of one table and differ in training rows (folds) and columns (elimination).
The solution of a problem does not depend on the others in the stack.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from transfer_meta.records import FloatArray

BoolArray = NDArray[np.bool_]
SOLVER_TOLERANCE = 1e-8
MAX_ITERATIONS = 100
MAX_HALVINGS = 30


def scale_and_fill(
    X: FloatArray, train: BoolArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Scale to the training range and impute the training median, for each problem.

    Parameters
    ----------
    X : array of shape (n, p)
        Features; NaN where unknown.
    train : array of shape (b, n)
        Training rows of each of b problems.

    Returns
    -------
    scaled : array of shape (b, p, n)
        All rows on each problem's scale, training rows in 0-1; a feature unknown in all training rows is 0.
    low, width, fill : arrays of shape (b, p)
        Minimum, range (1 for a constant feature) and median of the training rows.
    """
    columns = X.T
    known = ~np.isnan(columns)
    rows = train[:, None, :]
    complete = bool(known.all())
    low = np.where(rows & known, columns, np.inf).min(axis=-1)
    high = np.where(rows & known, columns, -np.inf).max(axis=-1)
    empty = low > high
    low, high = np.where(empty, 0.0, low), np.where(empty, 0.0, high)
    fill = np.zeros_like(low)
    if not complete:
        for problem, mask in enumerate(train):
            seen = ~empty[problem]
            fill[problem, seen] = np.nanmedian(columns[seen][:, mask], axis=1)
    width = np.where(high > low, high - low, 1.0)
    filled = columns[None] if complete else np.where(known[None], columns[None], fill[..., None])
    scaled = (filled - low[..., None]) / width[..., None]
    if empty.any():
        scaled = np.where(empty[..., None], 0.0, scaled)
    return scaled, low, width, fill


def with_intercept(scaled: FloatArray) -> FloatArray:
    """Append the constant 1 as last feature, shape (b, p + 1, n)."""
    return np.concatenate([scaled, np.ones((scaled.shape[0], 1, scaled.shape[2]))], axis=1)


def solve(
    X: FloatArray, y: BoolArray, train: BoolArray, *, C: float = 1.0, start: FloatArray | None = None
) -> FloatArray:
    """Return the minimiser of ½‖w‖² + C Σ log(1 + exp(−yᵢ w·xᵢ)) over the training rows of each problem.

    The intercept is penalised like the other coefficients, as in LIBLINEAR.

    Parameters
    ----------
    X : array of shape (b, p, n)
        Features of all rows, scaled for each problem.
    y : array of shape (n,)
        Class of each row, True for a gain.
    train : array of shape (b, n)
        Training rows of each problem.
    C : float
        Inverse strength of the penalty.
    start : array of shape (b, p), optional
        Initial coefficients; zeros by default.

    Returns
    -------
    array of shape (b, p)
    """
    weight: FloatArray = C * train.astype(np.float64)
    w = np.zeros(X.shape[:2]) if start is None else start.copy()
    active = np.arange(len(X))
    identity = np.eye(X.shape[1])
    value = _objective(X, y, weight, w)
    for _ in range(MAX_ITERATIONS):
        A, u, v = X[active], weight[active], w[active]
        p = expit(np.matmul(v[:, None, :], A)[:, 0])
        gradient = v + np.matmul(A, (u * (p - y))[..., None])[..., 0]
        hessian = np.matmul(A * (u * p * (1 - p))[:, None, :], A.transpose(0, 2, 1)) + identity
        step = np.linalg.solve(hessian, gradient[..., None])[..., 0]
        # A full Newton step may overshoot far from the optimum: halve it until the objective falls.
        size = np.ones(len(active))
        for _ in range(MAX_HALVINGS):
            new = v - size[:, None] * step
            new_value = _objective(A, y, u, new)
            worse = new_value > value[active] + 1e-10 * np.abs(value[active])
            if not worse.any():
                break
            size = np.where(worse, size / 2, size)
        w[active], value[active] = new, new_value
        active = active[np.abs(size[:, None] * step).max(axis=1) > SOLVER_TOLERANCE]
        if not len(active):
            break
    return w


def _objective(X: FloatArray, y: BoolArray, weight: FloatArray, w: FloatArray) -> FloatArray:
    margin = np.matmul(w[:, None, :], X)[:, 0] * np.where(y, 1.0, -1.0)
    return 0.5 * (w**2).sum(axis=1) + (weight * np.logaddexp(0.0, -margin)).sum(axis=1)


def eliminate(
    X: FloatArray, y: BoolArray, train: BoolArray, *, C: float = 1.0
) -> tuple[NDArray[np.intp], FloatArray]:
    """Recursively eliminate the feature with the smallest |coefficient|.

    Parameters
    ----------
    X : array of shape (b, p, n)
        Scaled features without intercept.
    y, train, C
        As in `solve`.

    Returns
    -------
    order : array of shape (b, p)
        Features in the order of their elimination; the last k are kept at size k.
    margin : array of shape (p, b, n)
        ``margin[k - 1]`` is the decision value of every row with k features.

    References
    ----------
    Guyon et al. 2002, "Gene selection for cancer classification using support vector machines".
    """
    b, p, n = X.shape
    X = with_intercept(X)
    remaining = np.tile(np.arange(p), (b, 1))
    order = np.empty((b, p), dtype=np.intp)
    margin = np.empty((p, b, n))
    w = None
    for size in range(p, 0, -1):
        w = solve(X, y, train, C=C, start=w)
        margin[size - 1] = np.matmul(w[:, None, :], X)[:, 0]
        drop = np.abs(w[:, :-1]).argmin(axis=1)
        order[:, p - size] = remaining[np.arange(b), drop]
        keep = np.ones((b, size + 1), dtype=bool)
        keep[np.arange(b), drop] = False
        X, w = X[keep].reshape(b, size, n), w[keep].reshape(b, size)
        remaining = remaining[keep[:, :-1]].reshape(b, size - 1)
    return order, margin
