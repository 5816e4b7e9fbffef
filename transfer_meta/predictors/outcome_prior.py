"""Prior covariance of the outcomes of a table, as operators on the tensor of settings × targets × sources."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from transfer_meta.predictors.outcome_tensor import index_in
from transfer_meta.predictors.task_kernel import TaskKernel
from transfer_meta.records import FloatArray, NameArray

# Shares of the variance of a standardised gain, not tuned: effects of the source on all targets, on similar targets
# and on the pair are of similar size, and noise takes as much as all of them.
SOURCE_VARIANCE = 0.2
SIMILAR_SOURCE_VARIANCE = 0.1
SIMILAR_TARGET_VARIANCE = 0.2
SIMILAR_BOTH_VARIANCE = 0.2
MUTUAL_VARIANCE = 0.15
FEATURE_VARIANCE = 0.1
NOISE_VARIANCE = 0.5
SCORE_VARIANCES = np.geomspace(0.01, 3.0, 50)
"""Candidate variances of the transferability scores, of which the likelihood of the outcomes chooses one."""

GRADIENT_TOLERANCE = 1e-5
"""Norm of the residual of conjugate gradients, relative to the right-hand side."""
MAX_GRADIENT_STEPS = 500

Axes = tuple[NameArray, NameArray]
"""Targets and sources, each sorted."""


class PairKernel:
    """Covariance q, without the pairs' features, of new with known pairs as an operator: ``kernel @ weights``.

    Maps weights of shape (…, known targets, known sources) to Σ q(new, known) · weight of shape (…, new targets,
    new sources), by products of task × task matrices.

    Parameters
    ----------
    space : TaskKernel
        Contains all the tasks.
    known, new : (targets, sources)
        Known tasks are training tasks.
    """

    def __init__(self, space: TaskKernel, *, known: Axes, new: Axes) -> None:
        self.near_targets = space.kernel(new[0], known[0])
        self.near_sources = space.kernel(new[1], known[1])
        self.target, self.source = index_in(known[0], new[0]), index_in(known[1], new[1])
        self.turned_target, self.turned_source = index_in(known[0], new[1]), index_in(known[1], new[0])

    def __matmul__(self, weights: FloatArray) -> FloatArray:
        total, near = weights.sum(axis=-2, keepdims=True), self.near_targets @ weights
        # Index -1 of an unknown task selects the padding of zeros.
        same_source = _padded(SOURCE_VARIANCE * total + SIMILAR_TARGET_VARIANCE * near, rows=0)
        similar = SIMILAR_SOURCE_VARIANCE * total + SIMILAR_BOTH_VARIANCE * near
        padded = _padded(weights, rows=1)
        same = padded[..., self.target[:, None], self.source]
        turned = padded[..., self.turned_target, self.turned_source[:, None]]
        return np.asarray(
            same_source[..., self.source]
            + similar @ self.near_sources.T
            + MUTUAL_VARIANCE * (same + turned)
        )


class OutcomePrior:
    """Prior covariance κ ⊗ q of all cells of a training tensor as an operator: ``prior @ weights``.

    Weights have the shape (b, settings, targets, sources) for b problems.

    Parameters
    ----------
    kappa : array of shape (settings, settings)
    kernel : PairKernel
        Of the training pairs with themselves.
    cells : array of shape (targets · sources, p)
        x / √p.
    """

    def __init__(self, kappa: FloatArray, kernel: PairKernel, cells: FloatArray) -> None:
        self.kappa, self.kernel, self.cells = kappa, kernel, cells

    def __matmul__(self, weights: FloatArray) -> FloatArray:
        mixed = np.einsum("kl,blts->bkts", self.kappa, weights)
        linear = (self.features_of(mixed) @ self.cells.T).reshape(mixed.shape)
        return np.asarray(self.kernel @ mixed + FEATURE_VARIANCE * linear)

    def features_of(self, weights: FloatArray) -> FloatArray:
        """Return Σ weight · x / √p, shape (b, settings, p)."""
        return np.asarray(weights.reshape(*weights.shape[:2], -1) @ self.cells)

    def weights(self, z: FloatArray, precision: FloatArray) -> FloatArray:
        """Return the weights α of the outcomes `z` (settings, targets, sources) in each of b problems.

        With R = √(precision / NOISE_VARIANCE) on the diagonal, α = R(I + RQR)⁻¹Rz; cells of precision 0 drop out.
        """
        root = np.sqrt(precision / NOISE_VARIANCE)
        return root * conjugate_gradients(lambda u: u + root * (self @ (root * u)), root * z)


def score_variance(
    prior: OutcomePrior, cells: FloatArray, z: FloatArray, precision: FloatArray
) -> float:
    """Return the variance of `SCORE_VARIANCES` under which the outcomes are likeliest.

    With A the covariance of the outcomes without the scores, FF' that of the scores, G = F'A⁻¹F and h = F'A⁻¹z, the
    log-likelihood of a variance v is (v h'(I + vG)⁻¹h − log det(I + vG)) / 2 and a constant.

    Parameters
    ----------
    prior : OutcomePrior
        Without the scores.
    cells : array of shape (targets · sources, r)
        Scores / √r.
    z, precision : arrays of shape (settings, targets, sources)

    References
    ----------
    Rasmussen & Williams 2006, "Gaussian Processes for Machine Learning", section 5.4.1.
    """
    values, vectors = np.linalg.eigh(prior.kappa)
    root = vectors * np.sqrt(np.maximum(values, 0.0))

    def solved(b: FloatArray) -> FloatArray:
        """Return F'A⁻¹b, one row for each of several b."""
        by_setting = prior.weights(b.reshape(-1, *z.shape), precision[None])
        found = by_setting.reshape(*by_setting.shape[:2], -1) @ cells
        return np.einsum("kj,bkq->bjq", root, found).reshape(len(found), -1)

    gram = np.vstack([solved(np.einsum("k,cq->qkc", column, cells)) for column in root.T])
    strength, directions = np.linalg.eigh((gram + gram.T) / 2)
    along = (solved(z)[0] @ directions) ** 2
    v = SCORE_VARIANCES[:, None]
    grown = 1.0 + v * np.maximum(strength, 0.0)
    likelihood = (v * along / grown - np.log(grown)).sum(axis=1)
    return float(SCORE_VARIANCES[np.argmax(likelihood)])


def conjugate_gradients(apply: Callable[[FloatArray], FloatArray], b: FloatArray) -> FloatArray:
    """Solve several symmetric positive definite systems together.

    Parameters
    ----------
    apply : callable
        Multiplies each system's matrix by its vector, shape of `b` to shape of `b`.
    b : array of shape (systems, …)
        Right-hand sides.

    Returns
    -------
    array of the shape of b
        Residuals are within `GRADIENT_TOLERANCE`, unless `MAX_GRADIENT_STEPS` were reached.

    References
    ----------
    Hestenes & Stiefel 1952, "Methods of conjugate gradients for solving linear systems".
    """

    def dot(u: FloatArray, v: FloatArray) -> FloatArray:
        return np.asarray((u * v).sum(axis=tuple(range(1, b.ndim)), keepdims=True))

    x, residual = np.zeros_like(b), b.copy()
    direction, square = residual, dot(b, b)
    goal = GRADIENT_TOLERANCE**2 * square
    for _ in range(MAX_GRADIENT_STEPS):
        if (square <= goal).all():
            break
        moved = apply(direction)
        step = _ratio(square, dot(direction, moved))
        x += step * direction
        residual = residual - step * moved
        before, square = square, dot(residual, residual)
        direction = residual + _ratio(square, before) * direction
    return x


def _ratio(a: FloatArray, b: FloatArray) -> FloatArray:
    return np.divide(a, b, out=np.zeros_like(a), where=b > 0)


def _padded(values: FloatArray, *, rows: int) -> FloatArray:
    return np.pad(values, [(0, 0)] * (values.ndim - 2) + [(0, rows), (0, 1)])
