"""Gaussian process over pairs with a product kernel of targets, sources and settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import pandas as pd

from transfer_meta.predictors.base import id_column
from transfer_meta.predictors.feature_groups import column_group
from transfer_meta.predictors.group_ridge import LEADING_GROUP
from transfer_meta.predictors.outcome_prior import (
    FEATURE_VARIANCE,
    Axes,
    OutcomePrior,
    PairKernel,
    score_variance,
)
from transfer_meta.predictors.outcome_tensor import PRIOR_SETTING_SIMILARITY, OutcomeTensor, index_in
from transfer_meta.predictors.state_kinds import Kind, Names, Numbers, scales
from transfer_meta.predictors.task_kernel import STORED_KERNEL, TaskKernel, kernel_columns
from transfer_meta.predictors.within_target import (
    WithinTarget,
    WithinTargetPredictor,
    setting_column,
    target_folds,
)
from transfer_meta.records import FloatArray

MAX_LEFT_OUT_CELLS = 4_000_000
"""Largest number of cells (targets × size of the tensor) at which each training target is a fold of its own."""


class GaussianProcessPredictor(WithinTargetPredictor):
    """Posterior mean of the standardised gain of (source s, target t, setting k).

    The covariance of two outcomes is κ(k, k') · q((s, t), (s', t')) with

        q = a·δ(s, s') + b·K(s, s') + c·δ(s, s')·K(t, t') + d·K(s, s')·K(t, t')
            + e·(δ(s, s')·δ(t, t') + δ(s, t')·δ(t, s')) + f·⟨x, x'⟩ / p + g·⟨u, u'⟩ / r

    where K is `TaskKernel.kernel`, u the r transferability scores of the pair and x its other features, p in number
    with the scores, both relative to the target's other sources, and κ is `OutcomeTensor.setting_similarity`.  The
    terms stand for: the source helps all targets; so do similar sources; the source helps similar targets; similar
    sources do; transfer is mutual; the pair's features; and its scores.  What scores tell depends on the encoder
    they are from: g is the variance under which the training outcomes are likeliest (`score_variance`).

    On a tensor of settings × targets × sources q is a few products of small matrices (`PairKernel`), so that
    conjugate gradients find the posterior without a matrix of outcomes × outcomes; the systems of all left-out
    targets are solved together.

    Attributes
    ----------
    settings_, targets_, sources_ : arrays of str
        Axes of the tensor.
    alpha_ : array of shape (settings, targets, sources)
        Weight of each training outcome, 0 where there is none.
    coef_ : array of shape (settings, p)
        Weights of the pair's features.
    share_ : array of shape (p,)
        Scale of the pair's features: √(g·p / (f·r)) for scores, 1 for the others.

    References
    ----------
    Bonilla, Chai & Williams 2007, "Multi-task Gaussian process prediction".
    Rasmussen & Williams 2006, "Gaussian Processes for Machine Learning", sections 2.2 and 8.3.6.
    """

    stored: ClassVar[Mapping[str, Kind]] = {
        **WithinTargetPredictor.stored,
        "space_": STORED_KERNEL,
        "settings_": Names("settings", ordered=True),
        "targets_": Names("targets", ordered=True, within="tasks"),
        "sources_": Names("sources", ordered=True, within="tasks"),
        "kappa_": Numbers("settings", "settings", low=-1, high=1),
        "centre_": Numbers("pairs"),
        "scale_": scales("pairs"),
        "share_": Numbers("pairs", low=0),
        "alpha_": Numbers("settings", "targets", "sources"),
        "coef_": Numbers("settings", "pairs"),
    }

    def fit_ranking(self, X: pd.DataFrame, z: FloatArray, weight: FloatArray) -> None:
        outcomes = OutcomeTensor.from_pairs(X, z, weight)
        self.settings_, self.targets_ = outcomes.settings, outcomes.targets
        self.sources_ = outcomes.sources
        self.space_ = dict(vars(TaskKernel.fit(X, list(self.feature_names_in_), outcomes, z)))
        self.kappa_ = outcomes.setting_similarity()
        within = WithinTarget.fit(self._pair_values(X))
        self.centre_, self.scale_ = within.centre, within.scale
        precision = pooled_precision(outcomes)
        self.share_ = self._shares(X, outcomes.z, precision)
        prior = self._prior(X)
        alpha = prior.weights(outcomes.z, precision[None])
        self.alpha_, self.coef_ = alpha[0], self.share_ * prior.features_of(alpha)[0]

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

    def stored_names(self, features: Sequence[str]) -> dict[str, Sequence[str]]:
        return super().stored_names(features) | kernel_columns(features)

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

    def _shares(self, X: pd.DataFrame, z: FloatArray, precision: FloatArray) -> FloatArray:
        """Return `share_`, with g chosen."""
        scores = np.array([column_group(c) == LEADING_GROUP for c in self._pair_columns()], dtype=bool)
        n_scores = int((self.scale_[scores] > 0).sum())
        if not n_scores:
            return np.ones(len(scores))
        per_score = len(scores) / n_scores
        cells = self._cells(X)
        without = OutcomePrior(self.kappa_, self._kernel(TaskKernel(**self.space_)), cells[:, ~scores])
        chosen = score_variance(without, cells[:, scores] * np.sqrt(per_score), z, precision)
        return np.where(scores, np.sqrt(chosen / FEATURE_VARIANCE * per_score), 1.0)

    def _prior(self, X: pd.DataFrame) -> OutcomePrior:
        cells = self._cells(X) * self.share_
        return OutcomePrior(self.kappa_, self._kernel(TaskKernel(**self.space_)), cells)

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

    def _pair_columns(self) -> list[str]:
        return [c for c in self.feature_names_in_ if c.startswith("pair.")]

    def _pair_values(self, X: pd.DataFrame) -> FloatArray:
        return X[self._pair_columns()].to_numpy(dtype=float)

    def _relative(self, X: pd.DataFrame) -> FloatArray:
        """Return the features x / √p of each pair, shape (n, p)."""
        targets = np.unique(id_column(X, "target"), return_inverse=True)[1]
        relative = WithinTarget(self.centre_, self.scale_).transform(self._pair_values(X), targets)
        return relative / np.sqrt(max(1, relative.shape[1]))


def pooled_precision(outcomes: OutcomeTensor) -> FloatArray:
    """Return the precision of each outcome, shape (settings, targets, sources); 0 where there is none.

    The spread over a few seeds is itself noisy: the noise of a pair is averaged over settings.
    """
    known = outcomes.weight > 0
    noise = np.divide(1.0, outcomes.weight, out=np.zeros_like(outcomes.weight), where=known)
    mean = noise.sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return np.where(known, 1.0 / np.where(mean > 0, mean, 1.0), 0.0)
