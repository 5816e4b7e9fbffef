"""Gaussian process over pairs: a product kernel target × source, and settings that resemble each other."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from transfer_meta.predictors.base import names
from transfer_meta.predictors.grid import TYPICAL_LIKENESS, OutcomeGrid, find
from transfer_meta.predictors.relative import RelativePredictor, WithinTarget, settings_of
from transfer_meta.predictors.task_space import TaskSpace, space_state
from transfer_meta.records import FloatArray

# Shares of the variance of a standardised gain.  Not tuned: a source's effect on everybody, on targets near to
# this one, and on this pair are of like size, and as much again is noise.
SOURCE, SOURCE_KIN, NEAR_TARGETS, NEAR_BOTH, MUTUAL, FEATURES = 0.2, 0.1, 0.2, 0.2, 0.15, 0.1
NOISE = 0.5
CHUNK = 4096

Names = NDArray[np.object_]
Pairs = dict[str, Any]
"""Columns ``source``, ``target`` and ``relative`` of different pairs."""


class GaussianProcessPredictor(RelativePredictor):
    """The posterior mean of the standardised gain of (source s, target t, setting k).

    The covariance of two outcomes is κ(k, k') · q((s, t), (s', t')) with

        q = a·δ(s, s') + b·K(s, s') + c·δ(s, s')·K(t, t') + d·K(s, s')·K(t, t')
            + e·(δ(s, s')·δ(t, t') + δ(s, t')·δ(t, s')) + f·⟨x, x'⟩ / p

    where K is `TaskSpace.kernel`, x the p features of the pair relative to the target's other sources, and κ is
    `OutcomeGrid.setting_likeness`.  The terms say: a source that helps everybody; tasks like
    it; a source that helps targets like this one; both; that helping is mutual; and what the pair's features say.

    Where every pair was run in every setting, the eigenvectors of κ turn the problem of n outcomes into one of
    n / (number of settings) pairs for each distinct eigenvalue.

    Parameters
    ----------
    max_rows : int
        With more outcomes (pairs, if all were run in all settings) than this, half as many pairs drawn
        at random carry the regression (subset of regressors), whose cost grows linearly in the others;
        unevenly measured settings are pooled then.
    random_state : int
        Seed of that draw.

    Attributes
    ----------
    carriers_ : dict
        Source, target and relative features of the m pairs that carry the regression.
    alpha_ : array of shape (m, settings)
        Their weights.

    Source: Bonilla, Chai & Williams 2007, "Multi-task Gaussian process prediction"; Rasmussen & Williams 2006,
    "Gaussian Processes for Machine Learning", sections 2.2 and 8.3.1.
    """

    uses_features: ClassVar[bool] = True

    def __init__(self, max_rows: int = 1200, random_state: int = 0) -> None:
        self.max_rows = max_rows
        self.random_state = random_state

    def fit_ranking(self, X: pd.DataFrame, z: FloatArray, weight: FloatArray) -> None:
        grid = OutcomeGrid.fitted(X, z, weight)
        self.space_ = space_state(TaskSpace.fitted(X, list(self.feature_names_in_), grid, z))
        first, pair, setting = self._grid(X)
        self.kappa_ = grid.setting_likeness()
        within = WithinTarget.fitted(self._pair_values(X.iloc[first]))
        self.centre_, self.scale_ = within.centre, within.scale
        pairs, n_settings = self._pairs(X.iloc[first]), len(self.settings_)
        complete = len(z) == len(first) * n_settings
        self._left_out = None
        if len(z if not complete else first) > self.max_rows:
            self._fit_carriers(pairs, _cells(z, pair, setting, (len(first), n_settings)))
            return
        noise = NOISE / weight
        space = TaskSpace(**self.space_)
        self.carriers_, q = pairs, self._covariance(pairs, pairs, space)
        kappa = self.kappa_
        if complete:
            cells = _cells(z, pair, setting, (len(first), n_settings))
            mean_noise = np.bincount(pair, noise) / n_settings
            self.alpha_, left_out = _solve_complete(q, kappa, cells, mean_noise, pairs["target"])
            self._left_out = left_out[pair, setting]
            return
        inverse = _inverse(q[np.ix_(pair, pair)] * kappa[np.ix_(setting, setting)], noise)
        self.alpha_ = _cells(inverse @ z, pair, setting, (len(first), n_settings), missing=0.0)
        self._left_out = leave_group_out(inverse, z, names(X, "target"))

    def _fit_carriers(self, pairs: Pairs, cells: FloatArray) -> None:
        """Subset of regressors; where cells are missing, on the mean over settings."""
        space, n = TaskSpace(**self.space_), len(cells)
        drawn = np.random.default_rng(self.random_state).permutation(n)
        self.carriers_ = _take(pairs, np.sort(drawn[: self.max_rows // 2]))
        if np.isnan(cells).any():
            known = (~np.isnan(cells)).sum(axis=1, keepdims=True)
            cells = np.repeat(np.nansum(cells, axis=1, keepdims=True) / known, cells.shape[1], axis=1)
        values, vectors = np.linalg.eigh(self.kappa_)
        turned = cells @ vectors
        inner = self._covariance(self.carriers_, self.carriers_, space)
        gram, moment = np.zeros(inner.shape), np.zeros((len(inner), len(values)))
        for part in _chunks(n):
            cross = self._covariance(_take(pairs, part), self.carriers_, space)
            gram += cross.T @ cross
            moment += cross.T @ turned[part]
        inner += 1e-6 * np.eye(len(inner))
        columns = [
            np.linalg.solve(gram + NOISE / value * inner, moment[:, j]) / value
            for j, value in enumerate(values)
        ]
        self.alpha_ = np.column_stack(columns) @ vectors.T

    def ranking(self, X: pd.DataFrame) -> FloatArray:
        space = TaskSpace(**self.space_).located(X)
        sources, targets = names(X, "source"), names(X, "target")
        first, pair = _distinct_pairs(sources, targets)
        pairs = self._pairs(X.iloc[first])
        by_setting = np.vstack(
            [
                self._covariance(_take(pairs, part), self.carriers_, space) @ self.alpha_
                for part in _chunks(len(first))
            ]
        )
        setting = find(self.settings_, settings_of(X))
        kappa = np.vstack([self.kappa_, np.full(len(self.settings_), TYPICAL_LIKENESS)])
        return (by_setting[pair] * kappa[setting]).sum(axis=1)

    def inner_ranking(self, X: pd.DataFrame, z: FloatArray, weight: FloatArray) -> FloatArray:
        return super().inner_ranking(X, z, weight) if self._left_out is None else self._left_out

    def _grid(self, X: pd.DataFrame) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
        """First row of every pair, and pair and setting of every row."""
        self.settings_, setting = np.unique(settings_of(X), return_inverse=True)
        return *_distinct_pairs(names(X, "source"), names(X, "target")), setting

    def _pair_values(self, X: pd.DataFrame) -> FloatArray:
        return X[[c for c in self.feature_names_in_ if c.startswith("pair.")]].to_numpy(dtype=float)

    def _pairs(self, X: pd.DataFrame) -> Pairs:
        targets = names(X, "target")
        groups = np.unique(targets, return_inverse=True)[1]
        relative = WithinTarget(self.centre_, self.scale_).transform(self._pair_values(X), groups)
        return {
            "source": names(X, "source"),
            "target": targets,
            "relative": relative / np.sqrt(max(1, relative.shape[1])),
        }

    def _covariance(self, a: Pairs, b: Pairs, space: TaskSpace) -> FloatArray:
        """Prior covariance q of each pair of `a` with each of `b`, shape (len(a), len(b))."""
        s, same_s = _between(space, a["source"], b["source"])
        t, same_t = _between(space, a["target"], b["target"])
        turned = (a["source"][:, None] == b["target"][None]) & (
            a["target"][:, None] == b["source"][None]
        )
        total = same_s * (SOURCE + NEAR_TARGETS * t + MUTUAL * same_t) + MUTUAL * turned
        total += s * (SOURCE_KIN + NEAR_BOTH * t)
        total += FEATURES * (a["relative"] @ b["relative"].T)
        return np.asarray(total)


def leave_group_out(inverse: FloatArray, z: FloatArray, groups: NDArray[Any]) -> FloatArray:
    """Posterior means of every group's rows given the other groups, from one inverse.

    With P = (K + σ²I)⁻¹ the mean of a left-out group g is z_g − (P_gg)⁻¹ (Pz)_g.

    Parameters
    ----------
    inverse : array of shape (n, n)
        P.
    z : array of shape (n,) or (n, columns)
    groups : array of shape (n,)

    Returns
    -------
    array of the shape of z

    Source: Rasmussen & Williams 2006, section 5.4.2, for one row at a time.
    """
    weighted = inverse @ z
    result = np.empty(z.shape)
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        result[rows] = z[rows] - np.linalg.solve(inverse[np.ix_(rows, rows)], weighted[rows])
    return result


def _solve_complete(
    q: FloatArray, kappa: FloatArray, cells: FloatArray, noise: FloatArray, groups: Names
) -> tuple[FloatArray, FloatArray]:
    """Weights and left-out means, both of shape (pairs, settings), for outcomes of all pairs in all settings."""
    values, vectors = np.linalg.eigh(kappa)
    turned = cells @ vectors
    alpha, left_out = np.empty(cells.shape), np.empty(cells.shape)
    for value in np.unique(values.round(9)):
        columns = np.isclose(values, value)
        inverse = _inverse(value * q, noise)
        alpha[:, columns] = inverse @ turned[:, columns]
        left_out[:, columns] = leave_group_out(inverse, turned[:, columns], groups)
    return alpha @ vectors.T, left_out @ vectors.T


def _inverse(covariance: FloatArray, noise: FloatArray) -> FloatArray:
    inverse = np.linalg.inv(covariance + np.diag(noise))
    return (inverse + inverse.T) / 2


def _distinct_pairs(sources: Names, targets: Names) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """First row of every distinct pair, in sorted order, and the pair of each row."""
    s, t = (np.unique(x, return_inverse=True)[1] for x in (sources, targets))
    _, first, pair = np.unique(
        s * (int(t.max(initial=0)) + 1) + t, return_index=True, return_inverse=True
    )
    return first, pair


def _cells(
    values: FloatArray,
    pair: NDArray[np.intp],
    setting: NDArray[np.intp],
    shape: tuple[int, int],
    missing: float = np.nan,
) -> FloatArray:
    """Values by pair and setting; repeated ones are summed (weights) or, as outcomes, averaged."""
    total, count = np.zeros(shape), np.zeros(shape)
    np.add.at(total, (pair, setting), values)
    np.add.at(count, (pair, setting), 1.0)
    if missing == 0.0:
        return total
    return np.where(count > 0, total / np.maximum(count, 1.0), np.nan)


def _between(space: TaskSpace, a: Names, b: Names) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Nearness and identity of each task of `a` to each of `b`."""
    (tasks_a, of_a), (tasks_b, of_b) = (np.unique(x, return_inverse=True) for x in (a, b))
    cells = np.ix_(of_a, of_b)
    return space.kernel(tasks_a, tasks_b)[cells], (tasks_a[:, None] == tasks_b[None, :])[cells]


def _take(pairs: Pairs, part: Any) -> Pairs:
    return {name: column[part] for name, column in pairs.items()}


def _chunks(n: int) -> list[slice]:
    return [slice(first, first + CHUNK) for first in range(0, n, CHUNK)]
