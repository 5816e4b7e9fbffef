"""LogME: evidence of a Bayesian linear model of the labels given frozen features."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transfer_meta.features.scores.score_checks import check_features, one_hot
from transfer_meta.records import FloatArray

# Grid of ln(α / β) relative to the mean squared singular value, from least squares to a constant zero.
_GRID = np.linspace(-25.0, 25.0, 101)
_MIN_RESIDUAL = 1e-10  # share of the column's sum of squares; less is rounding


def logme(features: ArrayLike, labels: ArrayLike, *, regression: bool = False) -> float:
    """Return the logarithm of the maximum evidence of the labels given the features; higher is better.

    For a label column y (one class against the rest, or the regression target) and the model y = F w + noise
    with w ~ N(0, 1/α), noise ~ N(0, 1/β), it is max over α, β of ln p(y | F, α, β) / n, averaged over columns.

    Parameters
    ----------
    features : array of shape (n, d)
    labels : array of shape (n,)
        Classes, or numbers with ``regression=True``.
    regression : bool

    Returns
    -------
    float
        Nats per example and label column.

    Raises
    ------
    InputError
        Shapes do not match, values are NaN, fewer than two classes, or a constant regression target.

    Notes
    -----
    The marginal distribution is y ~ N(0, (I + F Fᵀ / t) / β) with t = α / β.  Given t, the best β is n / yᵀ(I +
    F Fᵀ/t)⁻¹y, so a grid over ln t and a bounded refinement find the maximum, where the paper's fixed-point
    iteration may stop at another point or diverge.  Where the features fit a column exactly the evidence is
    unbounded; residuals are at least 1e-10 of the column's sum of squares.

    References
    ----------
    You et al. 2021, "LogME: practical assessment of pre-trained models for transfer learning".
    """
    features, labels = check_features(features, labels, regression=regression)
    columns = labels[:, None] if regression else one_hot(labels)
    left, singular, _ = np.linalg.svd(features, full_matrices=False)
    energies = singular**2
    return float(np.mean([_max_evidence(column, left, energies) for column in columns.T])) / len(labels)


def _max_evidence(column: FloatArray, left: FloatArray, energies: FloatArray) -> float:
    """Return the maximum of ln p(y | F) over α and β; `energies` are the squared singular values of F."""
    from scipy.optimize import minimize_scalar

    n = len(column)
    squares = (left.T @ column) ** 2
    total = float(column @ column)
    outside = max(total - float(squares.sum()), 0.0)
    scale = float(energies.mean()) or 1.0

    def evidence(log_t: float | NDArray[np.floating]) -> FloatArray:
        ratios = energies / (scale * np.exp(np.atleast_1d(log_t)))[:, None]
        residual = np.maximum(outside + (squares / (1 + ratios)).sum(axis=1), _MIN_RESIDUAL * total)
        return -0.5 * (n * (np.log(2 * np.pi * residual / n) + 1) + np.log1p(ratios).sum(axis=1))

    best = int(np.argmax(evidence(_GRID)))
    bounds = _GRID[max(best - 1, 0)], _GRID[min(best + 1, len(_GRID) - 1)]
    refined = minimize_scalar(
        lambda t: -evidence(t)[0], bounds=bounds, method="bounded", options={"xatol": 1e-8}
    )
    return max(-float(refined.fun), float(evidence(_GRID[best])[0]))
