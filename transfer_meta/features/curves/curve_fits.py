"""Curves fitted to a training loss: the logarithm of Bingel & Søgaard 2017, an identifiable one, and a power law.

The last two are linear in all parameters but one, so they are solved by variable projection: for each value of
that parameter the other two have a closed form, and the remaining function of one variable is minimised on a grid
and then between the neighbours of the best grid point.

References
----------
Golub & Pereyra 1973, "The differentiation of pseudo-inverses and nonlinear least squares problems whose
variables separate".
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from transfer_meta.features.missing import MissingError
from transfer_meta.records import FloatArray

PAPER_RECORDS = 5000
PAPER_POINTS = 500
"""The paper fitted 500 points, every tenth of the first 5,000 records."""

_GRID_POINTS = 32
_LOG_EXPONENT_RANGE = (math.log(0.01), math.log(5.0))


class Fit(NamedTuple):
    """Parameters of A + B · g(x; θ) fitted by least squares; `rmse` in units of the loss."""

    a: float
    b: float
    theta: float
    rmse: float


class PaperFit(NamedTuple):
    """Parameters of a · ln(c · i + d) + b fitted by least squares; `rmse` in units of the loss."""

    a: float
    b: float
    c: float
    d: float
    rmse: float


def fit_paper(steps: FloatArray, losses: FloatArray) -> PaperFit:
    """Fit L(i) = a · ln(c · i + d) + b as Bingel & Søgaard 2017 did.

    Levenberg-Marquardt from a = b = c = d = 1 on every tenth of the first 5,000 records (on at most 500 evenly
    spread records of shorter logs).  The curve is over-parametrised (c · k and d · k with b - a ln k give the
    same one), so c and d depend on the path of the search and with it on SciPy, NumPy and the
    processor.  Prefer `fit_log`.

    Raises
    ------
    MissingError
        Fewer than 5 records, no convergence, or a result outside the logarithm's domain.
    """
    from scipy.optimize import OptimizeWarning, curve_fit

    finite = np.isfinite(steps) & np.isfinite(losses)
    x, y = steps[finite][:PAPER_RECORDS], losses[finite][:PAPER_RECORDS]
    stride = max(len(x) // PAPER_POINTS, 1)
    x, y = x[::stride], y[::stride]
    if len(x) < 5:
        raise MissingError("fewer than 5 records")

    # Intermediate steps of the search may leave the logarithm's domain.
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", OptimizeWarning)
        try:
            (a, b, c, d), _ = curve_fit(_paper_curve, x, y)
        except RuntimeError as error:
            raise MissingError("the paper's fit did not converge") from error
        rmse = float(np.sqrt(np.mean((_paper_curve(x, a, b, c, d) - y) ** 2)))
    if not np.isfinite(rmse):
        raise MissingError("the paper's fit left the logarithm's domain")
    return PaperFit(float(a), float(b), float(c), float(d), rmse)


def _paper_curve(x: FloatArray, a: float, b: float, c: float, d: float) -> FloatArray:
    return a * np.log(c * x + d) + b


def fit_log(steps: FloatArray, losses: FloatArray) -> Fit:
    """Fit L(i) = A + B · ln(i - i₀ + s), i₀ the first step and s > 0, by variable projection.

    s lies between a millionth of the median step and ten times the run.

    Raises
    ------
    MissingError
        Fewer than 5 records, a constant loss, or an optimal s at its bound.
    """
    x = steps - steps[0]
    span, step = x[-1], np.median(np.diff(steps)) if len(steps) > 1 else 0.0
    _check(losses)
    grid = np.linspace(np.log(1e-6 * step), np.log(10 * span), _GRID_POINTS)
    fit = _project(losses, lambda log_s: np.log(x + math.exp(log_s)), grid, "shift s")
    return fit._replace(theta=float(np.exp(fit.theta)))


def fit_power(steps: FloatArray, losses: FloatArray) -> Fit:
    """Fit L(i) = A + B · u^-p, A ≥ 0, u = (i - i₀ + δ) / (run + δ), by variable projection.

    δ is the median step, so that u is in (0, 1]: A is the loss in the limit and A + B the loss at the end.  p lies
    between 0.01 and 5.

    Raises
    ------
    MissingError
        Fewer than 5 records, a constant loss, or an optimal p at its bound.
    """
    _check(losses)
    x = steps - steps[0] + np.median(np.diff(steps))
    log_u = np.log(x / x[-1])
    grid = np.linspace(*_LOG_EXPONENT_RANGE, num=_GRID_POINTS)
    fit = _project(
        losses, lambda log_p: np.exp(-math.exp(log_p) * log_u), grid, "exponent p", positive=True
    )
    return fit._replace(theta=float(np.exp(fit.theta)))


def _check(losses: FloatArray) -> None:
    if len(losses) < 5:
        raise MissingError("fewer than 5 records")
    if np.ptp(losses) == 0:
        raise MissingError("the loss never changes")


def _project(
    y: FloatArray,
    basis: Callable[[float], FloatArray],
    grid: FloatArray,
    name: str,
    *,
    positive: bool = False,
) -> Fit:
    """Minimise the squared error of y = A + B · basis(θ) for θ between the ends of an ascending grid.

    With `positive`, A is at least 0.
    """
    from scipy.optimize import minimize_scalar

    mean = float(y.mean())

    @np.errstate(all="ignore")
    def solve(theta: float) -> tuple[float, float, float]:
        g = basis(theta)
        dot, square, total = np.float64(g @ y), np.float64(g @ g), np.float64(g.sum())
        b = (dot - mean * total) / (square - total**2 / len(y))
        a = mean - b * total / len(y)
        if positive and a < 0:
            a, b = np.float64(0.0), dot / square
        residuals = y - a - b * g
        return float(a), float(b), float(residuals @ residuals)

    errors = np.array([solve(theta)[2] for theta in grid])
    if not np.isfinite(errors).any():
        raise MissingError(
            "the fit cannot be computed: the losses are too large, or the steps too close"
        )
    best = int(np.nanargmin(errors))
    if best in (0, len(grid) - 1):
        raise MissingError(f"the fit did not converge: the best {name} lies at its bound")
    theta = minimize_scalar(
        lambda theta: solve(theta)[2],
        bounds=(grid[best - 1], grid[best + 1]),
        method="bounded",
        options={"xatol": 1e-7},
    ).x
    a, b, square_sum = solve(theta)
    return Fit(a, b, float(theta), math.sqrt(square_sum / len(y)))
