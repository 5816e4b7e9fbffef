"""Gaussian process over pairs: a product kernel target × source, and settings that resemble each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np
import pandas as pd

from transfer_meta.predictors.base import names
from transfer_meta.predictors.outcome_tensor import TYPICAL_LIKENESS, OutcomeTensor, find
from transfer_meta.predictors.task_kernel import TaskKernel, space_state
from transfer_meta.predictors.within_target import (
    RelativePredictor,
    WithinTarget,
    setting_column,
    target_folds,
)
from transfer_meta.records import FloatArray, NameArray

# Shares of the variance of a standardised gain.  Not tuned: a source's effect on everybody, on targets near to
# this one, and on this pair are of like size, and as much again is noise.
SOURCE, SOURCE_KIN, NEAR_TARGETS, NEAR_BOTH, MUTUAL, FEATURES = 0.2, 0.1, 0.2, 0.2, 0.15, 0.1
NOISE = 0.5

GRADIENT_TOLERANCE = 1e-5
MAX_STEPS = 500
LEFT_OUT_CELLS = 4_000_000
"""Up to so many numbers every training target is left out on its own, all at once; beyond, a third of them."""

Axes = tuple[NameArray, NameArray]
"""Targets and sources, each sorted."""


class GaussianProcessPredictor(RelativePredictor):
    """The posterior mean of the standardised gain of (source s, target t, setting k).

    The covariance of two outcomes is κ(k, k') · q((s, t), (s', t')) with

        q = a·δ(s, s') + b·K(s, s') + c·δ(s, s')·K(t, t') + d·K(s, s')·K(t, t')
            + e·(δ(s, s')·δ(t, t') + δ(s, t')·δ(t, s')) + f·⟨x, x'⟩ / p

    where K is `TaskKernel.kernel`, x the p features of the pair relative to the target's other sources, and κ is
    `OutcomeTensor.setting_likeness`.  The terms say: a source that helps everybody; tasks like
    it; a source that helps targets like this one; both; that helping is mutual; and what the pair's features say.

    Outcomes lie on a grid settings × targets × sources, on which q is a few products of small matrices
    (`PairKernel`).  The posterior is therefore found by conjugate gradients, exact to `GRADIENT_TOLERANCE`, and no
    matrix of outcomes × outcomes is ever made; the weights of all left-out targets are found together.

    Attributes
    ----------
    settings_, targets_, sources_ : arrays of str
        Axes of the grid.
    alpha_ : array of shape (settings, targets, sources)
        Weight of each training outcome; 0 where there is none.
    coef_ : array of shape (settings, p)
        Weights of the pair's features.

    Source: Bonilla, Chai & Williams 2007, "Multi-task Gaussian process prediction"; Rasmussen & Williams 2006,
    "Gaussian Processes for Machine Learning", sections 2.2 and 8.3.6.
    """

    uses_features: ClassVar[bool] = True

    def fit_ranking(self, X: pd.DataFrame, z: FloatArray, weight: FloatArray) -> None:
        grid = OutcomeTensor.fitted(X, z, weight)
        self.settings_, self.targets_, self.sources_ = grid.settings, grid.targets, grid.sources
        self.space_ = space_state(TaskKernel.fitted(X, list(self.feature_names_in_), grid, z))
        self.kappa_ = grid.setting_likeness()
        within = WithinTarget.fitted(self._pair_values(X))
        self.centre_, self.scale_ = within.centre, within.scale
        prior = GridPrior(self.kappa_, self._kernel(TaskKernel(**self.space_)), self._cells(X))
        alpha = prior.weights(grid.z, pooled_trust(grid)[None])
        self.alpha_, self.coef_ = alpha[0], prior.features_of(alpha)[0]

    def ranking(self, X: pd.DataFrame) -> FloatArray:
        setting, targets, sources = setting_column(X), names(X, "target"), names(X, "source")
        asked = (np.unique(targets), np.unique(sources))
        kernel = self._kernel(TaskKernel(**self.space_).located(X), asked)
        # A new setting is as like every one of the training's.
        kappa = np.vstack([self.kappa_, np.full(len(self.settings_), TYPICAL_LIKENESS)])
        place = find(self.settings_, setting)
        by_setting = np.einsum("kl,lts->kts", kappa, kernel @ self.alpha_)
        linear = (self._relative(X) * (kappa @ self.coef_)[place]).sum(axis=1)
        cell = (place, find(asked[0], targets), find(asked[1], sources))
        return np.asarray(by_setting[cell] + FEATURES * linear)

    def inner_ranking(self, X: pd.DataFrame, z: FloatArray, weight: FloatArray) -> FloatArray:
        grid = OutcomeTensor.fitted(X, z, weight)
        n_targets = len(grid.targets)
        alone = n_targets * grid.z.size <= LEFT_OUT_CELLS
        folds = target_folds(X, n_targets if alone else self.n_splits)
        if not folds:
            return np.zeros(len(z))
        axes = (self.settings_, self.targets_, self.sources_)
        columns = (setting_column(X), names(X, "target"), names(X, "source"))
        cell = tuple(find(axis, column) for axis, column in zip(axes, columns, strict=True))
        known = np.repeat(pooled_trust(grid)[None], len(folds), axis=0)
        fold_of = np.empty(len(z), dtype=np.intp)
        for number, (_, test) in enumerate(folds):
            fold_of[test] = number
            known[number][:, np.unique(cell[1][test])] = 0.0
        prior = GridPrior(self.kappa_, self._kernel(TaskKernel(**self.space_)), self._cells(X))
        return np.asarray((prior @ prior.weights(grid.z, known))[fold_of, *cell])

    def _kernel(self, space: TaskKernel, asked: Axes | None = None) -> PairKernel:
        known = (self.targets_, self.sources_)
        return PairKernel(space, known=known, asked=asked or known)

    def _cells(self, X: pd.DataFrame) -> FloatArray:
        """The features x / √p of each cell of the grid, shape (targets · sources, p); 0 where there is no pair."""
        relative = self._relative(X)
        n_sources = len(self.sources_)
        cells = np.zeros((len(self.targets_) * n_sources, relative.shape[1]))
        place = find(self.targets_, names(X, "target")) * n_sources
        cells[place + find(self.sources_, names(X, "source"))] = relative
        return cells

    def _pair_values(self, X: pd.DataFrame) -> FloatArray:
        return X[[c for c in self.feature_names_in_ if c.startswith("pair.")]].to_numpy(dtype=float)

    def _relative(self, X: pd.DataFrame) -> FloatArray:
        """The features x / √p of each pair, shape (n, p)."""
        targets = np.unique(names(X, "target"), return_inverse=True)[1]
        relative = WithinTarget(self.centre_, self.scale_).transform(self._pair_values(X), targets)
        return relative / np.sqrt(max(1, relative.shape[1]))


class PairKernel:
    """The covariance q of all asked pairs with all known ones, but for their features: ``kernel @ weights``.

    Both are grids of targets × sources.  Applied to weights of shape (…, known targets, known sources) it gives
    Σ q(asked, known) · weight, of shape (…, asked targets, asked sources), in products of task × task matrices.

    Parameters
    ----------
    space : TaskSpace
        Holds all the tasks.
    known, asked : (targets, sources)
        Known tasks are training tasks.
    """

    def __init__(self, space: TaskKernel, *, known: Axes, asked: Axes) -> None:
        self.near_targets = space.kernel(asked[0], known[0])
        self.near_sources = space.kernel(asked[1], known[1])
        self.target, self.source = find(known[0], asked[0]), find(known[1], asked[1])
        self.turned_target, self.turned_source = find(known[0], asked[1]), find(known[1], asked[0])

    def __matmul__(self, weights: FloatArray) -> FloatArray:
        total, near = weights.sum(axis=-2, keepdims=True), self.near_targets @ weights
        # What is not known stands at -1: in a last row and column of zeros.
        same_source = _padded(SOURCE * total + NEAR_TARGETS * near, rows=0)[..., self.source]
        kin = (SOURCE_KIN * total + NEAR_BOTH * near) @ self.near_sources.T
        padded = _padded(weights, rows=1)
        same = padded[..., self.target[:, None], self.source]
        turned = padded[..., self.turned_target, self.turned_source[:, None]]
        return np.asarray(same_source + kin + MUTUAL * (same + turned))


class GridPrior:
    """The prior covariance κ ⊗ q of all outcomes of a training grid: ``prior @ weights``.

    Weights have the shape (b, settings, targets, sources), for b problems at once.

    Parameters
    ----------
    kappa : array of shape (settings, settings)
    kernel : PairKernel
        Of the grid with itself.
    cells : array of shape (targets · sources, p)
        x / √p.
    """

    def __init__(self, kappa: FloatArray, kernel: PairKernel, cells: FloatArray) -> None:
        self.kappa, self.kernel, self.cells = kappa, kernel, cells

    def __matmul__(self, weights: FloatArray) -> FloatArray:
        mixed = np.einsum("kl,blts->bkts", self.kappa, weights)
        linear = (self.features_of(mixed) @ self.cells.T).reshape(mixed.shape)
        return np.asarray(self.kernel @ mixed + FEATURES * linear)

    def features_of(self, weights: FloatArray) -> FloatArray:
        """Σ weight · x / √p, shape (b, settings, p)."""
        return np.asarray(weights.reshape(*weights.shape[:2], -1) @ self.cells)

    def weights(self, z: FloatArray, trust: FloatArray) -> FloatArray:
        """Weights α of the outcomes `z` (settings, targets, sources) for each of b ways to trust them.

        With R = √(trust / NOISE) on the diagonal, α = R(I + RQR)⁻¹Rz: what has no trust is as if it were not there.
        """
        root = np.sqrt(trust / NOISE)
        return root * conjugate_gradients(lambda u: u + root * (self @ (root * u)), root * z)


def pooled_trust(grid: OutcomeTensor) -> FloatArray:
    """How far each outcome is to be trusted, shape (settings, targets, sources); 0 where there is none.

    The spread over a few seeds is a noisy figure itself: a pair's noise is its mean over the settings.
    """
    known = grid.weight > 0
    noise = np.divide(1.0, grid.weight, out=np.zeros_like(grid.weight), where=known)
    mean = noise.sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return np.where(known, 1.0 / np.where(mean > 0, mean, 1.0), 0.0)


def conjugate_gradients(apply: Callable[[FloatArray], FloatArray], b: FloatArray) -> FloatArray:
    """Solutions of several symmetric positive definite systems at once.

    Parameters
    ----------
    apply
        The matrices times their vectors, all of them at once.
    b : array of shape (systems, …)
        Right-hand sides.

    Returns
    -------
    array of the shape of b
        With residuals within `GRADIENT_TOLERANCE` of the right-hand side's norm, or after `MAX_STEPS` steps.

    Source: Hestenes & Stiefel 1952, "Methods of conjugate gradients for solving linear systems".
    """

    def dot(u: FloatArray, v: FloatArray) -> FloatArray:
        return np.asarray((u * v).sum(axis=tuple(range(1, b.ndim)), keepdims=True))

    x, residual = np.zeros_like(b), b.copy()
    direction, square = residual, dot(b, b)
    goal = GRADIENT_TOLERANCE**2 * square
    for _ in range(MAX_STEPS):
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
