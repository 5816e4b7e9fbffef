"""Gaussian process over pairs with a product kernel of targets, sources and settings."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from transfer_meta.predictors.base import id_column
from transfer_meta.predictors.outcome_tensor import PRIOR_SETTING_SIMILARITY, OutcomeTensor, index_in
from transfer_meta.predictors.task_kernel import TaskKernel
from transfer_meta.predictors.within_target import (
    WithinTarget,
    WithinTargetPredictor,
    setting_column,
    target_folds,
)
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

GRADIENT_TOLERANCE = 1e-5
"""Norm of the residual of conjugate gradients, relative to the right-hand side."""
MAX_GRADIENT_STEPS = 500
MAX_LEFT_OUT_CELLS = 4_000_000
"""Largest number of cells (targets × size of the tensor) at which each training target is a fold of its own."""

Axes = tuple[NameArray, NameArray]
"""Targets and sources, each sorted."""


class GaussianProcessPredictor(WithinTargetPredictor):
    """Posterior mean of the standardised gain of (source s, target t, setting k).

    The covariance of two outcomes is κ(k, k') · q((s, t), (s', t')) with

        q = a·δ(s, s') + b·K(s, s') + c·δ(s, s')·K(t, t') + d·K(s, s')·K(t, t')
            + e·(δ(s, s')·δ(t, t') + δ(s, t')·δ(t, s')) + f·⟨x, x'⟩ / p

    where K is `TaskKernel.kernel`, x the p features of the pair relative to the target's other sources, and κ is
    `OutcomeTensor.setting_similarity`.  The terms stand for: the source helps all targets; so do similar sources;
    the source helps similar targets; similar sources do; transfer is mutual; and the pair's features.

    On a tensor of settings × targets × sources q is a few products of small matrices (`PairKernel`), so that
    conjugate gradients find the posterior, to `GRADIENT_TOLERANCE`, without a matrix of outcomes × outcomes; the
    systems of all left-out targets are solved together.

    Attributes
    ----------
    settings_, targets_, sources_ : arrays of str
        Axes of the tensor.
    alpha_ : array of shape (settings, targets, sources)
        Weight of each training outcome, 0 where there is none.
    coef_ : array of shape (settings, p)
        Weights of the pair's features.

    References
    ----------
    Bonilla, Chai & Williams 2007, "Multi-task Gaussian process prediction".
    Rasmussen & Williams 2006, "Gaussian Processes for Machine Learning", sections 2.2 and 8.3.6.
    """

    def fit_ranking(self, X: pd.DataFrame, z: FloatArray, weight: FloatArray) -> None:
        outcomes = OutcomeTensor.from_pairs(X, z, weight)
        self.settings_, self.targets_ = outcomes.settings, outcomes.targets
        self.sources_ = outcomes.sources
        self.space_ = dict(vars(TaskKernel.fit(X, list(self.feature_names_in_), outcomes, z)))
        self.kappa_ = outcomes.setting_similarity()
        within = WithinTarget.fit(self._pair_values(X))
        self.centre_, self.scale_ = within.centre, within.scale
        prior = self._prior(X)
        alpha = prior.weights(outcomes.z, pooled_precision(outcomes)[None])
        self.alpha_, self.coef_ = alpha[0], prior.features_of(alpha)[0]

    def ranking(self, X: pd.DataFrame) -> FloatArray:
        targets, sources = id_column(X, "target"), id_column(X, "source")
        new = (np.unique(targets), np.unique(sources))
        kernel = self._kernel(TaskKernel(**self.space_).extended(X), new)
        # A new setting is equally similar to all training settings.
        kappa = np.vstack([self.kappa_, np.full(len(self.settings_), PRIOR_SETTING_SIMILARITY)])
        place = index_in(self.settings_, setting_column(X))
        by_setting = np.einsum("kl,lts->kts", kappa, kernel @ self.alpha_)
        linear = (self._relative(X) * (kappa @ self.coef_)[place]).sum(axis=1)
        cell = (place, index_in(new[0], targets), index_in(new[1], sources))
        return np.asarray(by_setting[cell] + FEATURE_VARIANCE * linear)

    def inner_ranking(self, X: pd.DataFrame, z: FloatArray, weight: FloatArray) -> FloatArray:
        outcomes = OutcomeTensor.from_pairs(X, z, weight)
        n_targets = len(outcomes.targets)
        alone = n_targets * outcomes.z.size <= MAX_LEFT_OUT_CELLS
        folds = target_folds(X, n_targets if alone else self.n_splits)
        if not folds:
            return np.zeros(len(z))
        axes = (self.settings_, self.targets_, self.sources_)
        columns = (setting_column(X), id_column(X, "target"), id_column(X, "source"))
        cell = tuple(index_in(axis, column) for axis, column in zip(axes, columns, strict=True))
        known = np.repeat(pooled_precision(outcomes)[None], len(folds), axis=0)
        fold_of = np.empty(len(z), dtype=np.intp)
        for number, (_, test) in enumerate(folds):
            fold_of[test] = number
            known[number][:, np.unique(cell[1][test])] = 0.0
        prior = self._prior(X)
        return np.asarray((prior @ prior.weights(outcomes.z, known))[fold_of, *cell])

    def _prior(self, X: pd.DataFrame) -> OutcomePrior:
        return OutcomePrior(self.kappa_, self._kernel(TaskKernel(**self.space_)), self._cells(X))

    def _kernel(self, space: TaskKernel, new: Axes | None = None) -> PairKernel:
        known = (self.targets_, self.sources_)
        return PairKernel(space, known=known, new=new or known)

    def _cells(self, X: pd.DataFrame) -> FloatArray:
        """Return the features x / √p of each cell, shape (targets · sources, p); 0 where there is no pair."""
        relative = self._relative(X)
        n_sources = len(self.sources_)
        cells = np.zeros((len(self.targets_) * n_sources, relative.shape[1]))
        place = index_in(self.targets_, id_column(X, "target")) * n_sources
        cells[place + index_in(self.sources_, id_column(X, "source"))] = relative
        return cells

    def _pair_values(self, X: pd.DataFrame) -> FloatArray:
        return X[[c for c in self.feature_names_in_ if c.startswith("pair.")]].to_numpy(dtype=float)

    def _relative(self, X: pd.DataFrame) -> FloatArray:
        """Return the features x / √p of each pair, shape (n, p)."""
        targets = np.unique(id_column(X, "target"), return_inverse=True)[1]
        relative = WithinTarget(self.centre_, self.scale_).transform(self._pair_values(X), targets)
        return relative / np.sqrt(max(1, relative.shape[1]))


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


def pooled_precision(outcomes: OutcomeTensor) -> FloatArray:
    """Return the precision of each outcome, shape (settings, targets, sources); 0 where there is none.

    The spread over a few seeds is itself noisy: the noise of a pair is averaged over settings.
    """
    known = outcomes.weight > 0
    noise = np.divide(1.0, outcomes.weight, out=np.zeros_like(outcomes.weight), where=known)
    mean = noise.sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return np.where(known, 1.0 / np.where(mean > 0, mean, 1.0), 0.0)


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
