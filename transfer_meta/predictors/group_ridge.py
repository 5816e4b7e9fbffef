"""Ridge regression by groups of features, for pairs of which neither source nor target has outcomes.

What is known of such a pair are its features alone, and they are of unequal worth: how the source's own fine-tuned
encoder separates the target's classes carries over to new sources, while statistics of a few dozen sources fit the
training outcomes by chance.  One regression on all columns lets the many drown the few.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import pandas as pd
from scipy.optimize import nnls

from transfer_meta.predictors.base import Fold, id_column
from transfer_meta.predictors.feature_groups import GROUPS, column_group
from transfer_meta.predictors.new_sources import expected_weights
from transfer_meta.predictors.state_kinds import AsMade, Kind, Names, Numbers, scales
from transfer_meta.predictors.within_target import WithinTarget, WithinTargetPredictor, group_codes
from transfer_meta.records import FloatArray, signed_log

PENALTY = 10.0
"""Ridge penalty of each group, whose columns together have the variance of one standardised column."""
LEADING_GROUP = "transferability"
"""Group that the weights may be shrunk to, where a table has it (chosen on minilm-grid and TaskWeb)."""
AS_PUBLISHED = "published"
"""Name of the mean of `RISING_SCORES` among the groups."""
AS_EXPECTED = "expected"
"""Name of what `new_sources` expects among the groups."""
RISING_SCORES = (
    "logme",
    "h_score_shrunk",
    "transrate",
    "gbc",
    "knn",
    "linear_probe",
    "leep",
    "nce",
    "fewshot_neg_loss",
)
"""Scores of the source's fine-tuned encoder that were published as rising with the gain; not H-score, which is the
number of classes less one wherever there are fewer examples than dimensions."""
PRIOR_ROWS = 25.0
"""Strength of the shrinkage of weights learned from predictions of left-out targets, in training rows: members are
so similar that in a small table their least-squares weights are mostly noise."""
MAX_LEFT_OUT = 250
"""Largest number of pairs of tasks that are left out to learn the weights."""


class GroupRidgePredictor(WithinTargetPredictor):
    """Weighted sum of one ridge regression per group of features, and of what is promised without learning.

    The weights, at least 0, minimise the squared error on pairs of tasks that are left out of training together, as
    both tasks of a pair that nobody tried are.  They are shrunk, as strongly as these pairs count together, towards
    the scores as learned (`LEADING_GROUP`), the scores as published (the mean of `RISING_SCORES`) and what
    `new_sources` expects, in proportion to their correlations with the gains of the left-out pairs.  Where none of
    these is positive the scores have equal parts, and in a table without scores all groups.  The transfer history
    of a source plays no part.

    Parameters
    ----------
    expected : bool
        Whether what `new_sources` expects is among the groups and the parts go by correlations; otherwise the
        weights are shrunk, by `PRIOR_ROWS`, to equal parts of the scores as learned and as published.

    Attributes
    ----------
    columns_ : array of str
        Features used: those of the source, the pair and the ratio.
    groups_ : array of str
        Groups (`feature_groups`) with a varying feature, and `AS_PUBLISHED` and `AS_EXPECTED` if there are such
        features.
    weights_ : array of shape (groups,)
    coef_ : array of shape (columns,)
    """

    stored: ClassVar[Mapping[str, Kind]] = {
        "expected": AsMade("expected"),
        **WithinTargetPredictor.stored,
        "columns_": Names("columns", same_as="not_of_target"),
        "centre_": Numbers("columns"),
        "scale_": scales("columns"),
        "groups_": Names("members", choices=(*GROUPS, AS_PUBLISHED, AS_EXPECTED)),
        "weights_": Numbers("members", low=0),
        "coef_": Numbers("columns"),
    }

    def __init__(self, expected: bool = True) -> None:
        self.expected = expected

    def fit_ranking(self, X: pd.DataFrame, z: FloatArray, weight: FloatArray) -> None:
        names = [c for c in self.feature_names_in_ if not c.startswith("target.")]
        self.columns_ = np.array(names, dtype=object)
        raw = self._raw(X)
        within = WithinTarget.fit(raw)
        self.centre_, self.scale_ = within.centre, within.scale
        matrix = within.transform(raw, group_codes(X))
        root = np.sqrt(weight)
        group = np.array([column_group(c) for c in names], dtype=object)
        varied = self.scale_ > 0
        promising = varied & np.isin(self.columns_, [f"pair.{name}" for name in RISING_SCORES])
        folds = left_out_tasks(X)
        members, coefficients, left_out = [], [], []
        for name in sorted(set(group[varied])):
            used = np.flatnonzero((group == name) & varied)
            rows = matrix[:, used] * root[:, None] / np.sqrt(len(used))
            predicted, found = _left_out_ridge(rows, z * root, folds)
            coefficient = np.zeros(len(names))
            coefficient[used] = found / np.sqrt(len(used))
            members.append(name)
            coefficients.append(coefficient)
            left_out.append(predicted)
        fixed = {AS_PUBLISHED: promising / max(1, promising.sum())}
        if self.expected:
            fixed[AS_EXPECTED] = expected_weights(
                [c if v else "" for c, v in zip(names, varied, strict=True)]
            )
        for name, coefficient in fixed.items():
            if coefficient.any():
                members.append(name)
                coefficients.append(coefficient)
                left_out.append(matrix @ coefficient * root)
        self.groups_ = np.array(members, dtype=object)
        tested = np.unique(np.concatenate([np.arange(0), *(test for _, test in folds)]))
        inner = np.array(left_out).reshape(len(members), len(z)).T
        self.weights_ = self._weights(inner[tested], (z * root)[tested])
        self.coef_ = self.weights_ @ np.array(coefficients).reshape(len(members), len(names))
        self._inner = np.full(len(z), np.nan)
        self._inner[tested] = inner[tested] @ self.weights_ / root[tested]
        if not len(tested):
            self._inner[:] = 0.0

    def ranking(self, X: pd.DataFrame) -> FloatArray:
        within = WithinTarget(self.centre_, self.scale_)
        return np.asarray(within.transform(self._raw(X), group_codes(X)) @ self.coef_)

    def inner_ranking(self, X: pd.DataFrame, z: FloatArray, weight: FloatArray) -> FloatArray:
        return self._inner

    def _weights(self, rankings: FloatArray, z: FloatArray) -> FloatArray:
        """Return weights ≥ 0 of the groups from left-out rankings of shape (n, groups) and gains of shape (n,)."""
        scores = np.isin(self.groups_, [LEADING_GROUP, AS_PUBLISHED])
        parts = scores.astype(float) if scores.any() else np.ones(len(scores))
        if not self.expected:
            return _shrunk_weights(rankings, z, parts, PRIOR_ROWS)
        size = np.sqrt((rankings**2).sum(axis=0) * (z @ z))
        correlation = (z @ rankings) / np.where(size > 0, size, np.inf)
        backed = np.maximum(correlation, 0.0) * (scores | (self.groups_ == AS_EXPECTED))
        return _shrunk_weights(rankings, z, backed if backed.any() else parts, len(z))

    def _raw(self, X: pd.DataFrame) -> FloatArray:
        return signed_log(X[list(self.columns_)].to_numpy(dtype=float))


def left_out_tasks(X: pd.DataFrame) -> list[Fold]:
    """Return, for pairs of tasks, the rows with either of them in any role, and among these the rows of both.

    A random `MAX_LEFT_OUT` of the pairs of tasks if there are more, always the same.
    """
    ends = np.concatenate([id_column(X, "source"), id_column(X, "target")])
    source, target = np.unique(ends, return_inverse=True)[1].reshape(2, -1)
    low, high = np.minimum(source, target), np.maximum(source, target)
    pairs = np.unique(np.stack([low, high]), axis=1).T
    if len(pairs) > MAX_LEFT_OUT:
        pairs = np.random.default_rng(0).permutation(pairs)[:MAX_LEFT_OUT]
    folds = []
    for a, b in pairs:
        either = (source == a) | (source == b) | (target == a) | (target == b)
        if not either.all():
            folds.append((np.flatnonzero(either), np.flatnonzero((low == a) & (high == b))))
    return folds


def _left_out_ridge(
    rows: FloatArray, z: FloatArray, folds: list[Fold]
) -> tuple[FloatArray, FloatArray]:
    """Return left-out predictions of the tested rows, shape (n,), 0 elsewhere, and the coefficients on all rows.

    A fold is the rows removed and those tested.
    """
    gram = rows.T @ rows + PENALTY * np.eye(rows.shape[1])
    moment = rows.T @ z
    predicted = np.zeros(len(z))
    for removed, tested in folds:
        out = rows[removed]
        found = np.linalg.solve(gram - out.T @ out, moment - out.T @ z[removed])
        predicted[tested] = rows[tested] @ found
    return predicted, np.asarray(np.linalg.solve(gram, moment))


def _shrunk_weights(
    rankings: FloatArray, z: FloatArray, parts: FloatArray, prior_rows: float
) -> FloatArray:
    """Return weights ≥ 0 of the columns of `rankings` (n, m), shape (m,).

    They minimise Σ (z − R a)² + `prior_rows` · ‖a − c‖² for columns of unit size, c being the best weights in
    proportion to `parts`.
    """
    size = np.sqrt((rankings**2).mean(axis=0)) if len(rankings) else np.zeros(rankings.shape[1])
    columns = rankings / np.where(size > 0, size, np.inf)
    together = columns @ parts
    power = float(together @ together)
    if power <= 0:
        return parts / max(1.0, parts.sum())
    centre = max(float(together @ z) / power, 0.0) * parts
    pull = np.sqrt(prior_rows)
    design = np.vstack([columns, pull * np.eye(len(size))])
    found = nnls(design, np.concatenate([z, pull * centre]))[0]
    return np.asarray(found / np.where(size > 0, size, np.inf))
