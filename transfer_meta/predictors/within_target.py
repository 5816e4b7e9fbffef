"""Within a target: truth and features relative to the target's other pairs, and predictors that learn so.

Which source is best for a target has little to do with how large gains are there: a target at chance and a
target at its ceiling gain little from any source.  What is learned is therefore the standardised gain, and what
comes out is translated back to gains and probabilities at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import rankdata
from sklearn.base import clone
from sklearn.model_selection import GroupKFold
from sklearn.utils.validation import check_is_fitted

from transfer_meta.errors import InputError
from transfer_meta.predictors.base import Fold, Prediction, TransferPredictor, names
from transfer_meta.predictors.calibrators import calibrated, choose_calibrator, fit_calibrator
from transfer_meta.predictors.platt import fit_line
from transfer_meta.records import ID_COLUMNS, FloatArray

Codes = NDArray[np.intp]

STANDARDISED_LIMIT = 3.0
"""Standardised gains are cut off here: one run that collapsed must not outweigh twenty that did not."""


def group_codes(X: pd.DataFrame) -> Codes:
    """Number of the (target, setting) that each row belongs to, shape (n,)."""
    target, setting = (
        np.unique(x, return_inverse=True)[1] for x in (names(X, "target"), setting_column(X))
    )
    both = target * (int(setting.max(initial=0)) + 1) + setting
    return np.unique(both, return_inverse=True)[1]


def setting_column(X: pd.DataFrame) -> NDArray[np.object_]:
    """Setting of each row; a table without that column has one setting."""
    return names(X, "setting") if "setting" in X else np.full(len(X), "", dtype=object)


def group_means(
    values: FloatArray, groups: Codes, *, prior: float = 0.0
) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation (population) of each column in each row's group.

    Parameters
    ----------
    values : array of shape (n, p)
        NaN is left out.
    groups : array of shape (n,)
        Codes from 0.
    prior : float
        So many rows of mean 0 and standard deviation 1 are counted in.

    Returns
    -------
    mean, deviation : arrays of shape (n, p)
        0 where a group knows nothing.
    """
    known = ~np.isnan(values)
    filled = np.where(known, values, 0.0)
    n_groups = int(groups.max(initial=-1)) + 1
    sums = np.zeros((3, n_groups, values.shape[1]))
    for total, part in zip(sums, (known.astype(float), filled, filled**2), strict=True):
        np.add.at(total, groups, part)
    count = np.maximum(sums[0] + prior, 1e-12)
    mean = sums[1] / count
    deviation = np.sqrt(np.maximum((sums[2] + prior) / count - mean**2, 0.0))
    return mean[groups], deviation[groups]


def relative_value(y: FloatArray, groups: Codes) -> FloatArray:
    """Gains relative to their group: the mean of the standardised gain and the normal score of its rank.

    The standardised gain, cut off at ±`STANDARDISED_LIMIT`, keeps how far ahead a source is; the normal score
    Φ⁻¹((rank − ½) / n), standardised too, keeps one collapsed run from making all others alike.  0
    where a group's gains are all equal.

    Examples
    --------
    >>> relative_value(np.array([0.1, 0.3, 5.0]), np.array([0, 0, 1])).round(6).tolist()
    [-1.0, 1.0, 0.0]
    """
    score = np.zeros(len(y))
    for rows in group_rows(groups):
        score[rows] = ndtri((rankdata(y[rows]) - 0.5) / len(rows))
    parts = (standardise(y, groups), standardise(score, groups))
    return (parts[0] + parts[1]) / 2


def standardise(y: FloatArray, groups: Codes) -> FloatArray:
    """Values standardised within their group, cut off at ±`STANDARDISED_LIMIT`; 0 where all are equal."""
    mean, deviation = (array[:, 0] for array in group_means(y[:, None], groups))
    flat = deviation <= 1e-12 * np.maximum(1.0, np.abs(mean))
    z = np.clip((y - mean) / np.where(flat, 1.0, deviation), -STANDARDISED_LIMIT, STANDARDISED_LIMIT)
    return np.where(flat, 0.0, z)


def group_rows(groups: Codes) -> list[Codes]:
    """Rows of each group."""
    order = np.argsort(groups, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(groups[order])) + 1) if len(order) else []


class WithinTarget:
    """Features relative to the other pairs of the target in the same call.

    First every column is standardised by the training rows, then within the target, where two rows of
    the training's mean and spread are counted in: a single pair stands mostly for itself, twenty for
    their own target.

    Parameters
    ----------
    centre, scale : array of shape (p,)
        Mean and standard deviation of the training rows.
    """

    PRIOR = 2.0

    def __init__(self, centre: FloatArray, scale: FloatArray) -> None:
        self.centre = centre
        self.scale = scale

    @classmethod
    def fitted(cls, values: FloatArray) -> WithinTarget:
        """The scale of training rows; an unknown or constant column gets scale 0 and stays 0."""
        mean, deviation = group_means(values, np.zeros(len(values), dtype=np.intp))
        tiny = deviation[0] <= 1e-10 * np.maximum(1.0, np.abs(mean[0]))
        return cls(mean[0], np.where(tiny, 0.0, deviation[0]))

    def transform(self, values: FloatArray, groups: Codes) -> FloatArray:
        """Relative features, shape (n, p), within ±5; an unknown value is 0."""
        scaled = (values - self.centre) / np.where(self.scale > 0, self.scale, np.inf)
        mean, deviation = group_means(scaled, groups, prior=self.PRIOR)
        return np.clip(np.nan_to_num((scaled - mean) / np.maximum(deviation, 1e-6)), -5.0, 5.0)


class RelativePredictor(TransferPredictor):
    """Base of the predictors that learn the standardised gain.

    A subclass implements `fit_ranking`, which learns from standardised gains, and `ranking`.  Here the ranking is
    translated: the probability of gain by the calibrator that holds best on left-out training targets
    (`calibrators.choose_calibrator`) and the expected gain by a line, both fitted to out-of-fold rankings of the
    *training* targets, so that they hold for a target that is not among them.

    Such predictors need to know which task is which; they take tables of pairs, not plain arrays.  Without
    features they go by the outcomes alone.

    Attributes
    ----------
    levels_known_ : bool
        False where the training gains are centred within each target, as scores without baselines are.
    calibrator_ : str
        Kind of the map from rankings to probabilities, one of `calibrators.CALIBRATORS`.
    calibration_ : array
        Its parameters.
    line_ : array of shape (2,)
        Slope and intercept of the line from rankings to gains.
    """

    uses_names: ClassVar[bool] = True
    needs_features: ClassVar[bool] = False
    n_splits = 3
    """Inner folds over targets for `inner_ranking`."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn from pairs, their gains and, optionally, how far each gain is to be trusted (0-1], shape (n,)."""
        y = np.asarray(y, dtype=float)
        z, weight = self._fit_uncalibrated(X, y, sample_weight)
        if not self.levels_known_:
            self.line_ = np.array([float(y.std()), 0.0])
            self.calibrator_, self.calibration_ = "platt", np.array([1.0, 0.0])
            return self
        inner = self.inner_ranking(X, z, weight)
        targets = np.unique(names(X, "target"), return_inverse=True)[1]
        self.calibrator_ = choose_calibrator(inner, y > 0, targets)
        self.calibration_ = fit_calibrator(self.calibrator_, inner, y > 0)
        self.line_ = fit_line(inner, y)
        return self

    def fit_weighted(self, X: Any, y: Any, sample_weight: FloatArray | None) -> Self:
        return self.fit(X, y, sample_weight)

    def _fit_uncalibrated(
        self, X: Any, y: FloatArray, sample_weight: Any
    ) -> tuple[FloatArray, FloatArray]:
        """Learn the ranking alone; returns the standardised gains and the weights, both of shape (n,)."""
        X = _table(X)
        if len(X) != len(y) or not len(y) or not np.isfinite(y).all():
            raise InputError(f"expected as many finite gains as pairs, got {len(y)} for {len(X)} pairs")
        self.feature_names_in_ = np.array([c for c in X if c not in ID_COLUMNS], dtype=object)
        z = relative_value(y, group_codes(X))
        weight = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight, dtype=float)
        # Gains that are centred within every target have no level to learn: scores without baselines.
        self.levels_known_ = levels_known(y, group_codes(X))
        self.fit_ranking(X, z, weight)
        return z, weight

    def predict_pairs(self, X: Any) -> Prediction:
        check_is_fitted(self)
        ranking = self.ranking(self.checked(X))
        probability = calibrated(self.calibrator_, ranking, self.calibration_)
        return Prediction(probability, self.line_[0] * ranking + self.line_[1], ranking)

    def rank_folds(
        self,
        X: pd.DataFrame,
        y: FloatArray,
        folds: Sequence[Fold],
        sample_weight: FloatArray | None = None,
    ) -> list[FloatArray]:
        """The rankings of `predict_folds`, without the inner folds that gains and probabilities take."""

        def ranked(train: Codes, test: Codes) -> FloatArray:
            fitted = clone(self)
            fitted._fit_uncalibrated(
                X.iloc[train], y[train], None if sample_weight is None else sample_weight[train]
            )
            return fitted.ranking(X.iloc[test])

        return [ranked(train, test) for train, test in folds]

    def fit_ranking(self, X: pd.DataFrame, z: FloatArray, weight: FloatArray) -> None:
        """Learn from pairs, their standardised gains and weights, both of shape (n,)."""
        raise NotImplementedError

    def ranking(self, X: pd.DataFrame) -> FloatArray:
        """Expected standardised gain of each pair, shape (n,)."""
        raise NotImplementedError

    def inner_ranking(self, X: pd.DataFrame, z: FloatArray, weight: FloatArray) -> FloatArray:
        """Rankings of the training rows by fits that did not see their target, shape (n,)."""
        result = np.zeros(len(z))
        for train, test in target_folds(X, self.n_splits):
            inner = clone(self)
            inner.feature_names_in_ = self.feature_names_in_
            inner.fit_ranking(X.iloc[train], z[train], weight[train])
            result[test] = inner.ranking(X.iloc[test])
        return result

    def checked(self, X: Any) -> pd.DataFrame:
        """A table that has the columns seen in `fit`."""
        X = _table(X)
        lacking = [c for c in self.feature_names_in_ if c not in X]
        if lacking:
            raise InputError(
                f"the pairs lack the feature '{lacking[0]}' that the predictor was fitted with"
            )
        return X

    def values(self, X: pd.DataFrame) -> FloatArray:
        """The feature columns seen in `fit`, shape (n, p), NaN where unknown."""
        return X[list(self.feature_names_in_)].to_numpy(dtype=float)


def levels_known(y: FloatArray, groups: Codes) -> bool:
    """Whether gains have a level, that is, are not centred within every group."""
    mean = group_means(y[:, None], groups)[0][:, 0]
    return bool((np.abs(mean) > 1e-9 * max(1e-12, float(np.abs(y).max()))).any())


def target_folds(X: pd.DataFrame, n_splits: int) -> Sequence[tuple[Codes, Codes]]:
    """Folds over whole targets; with a single target no fold."""
    targets = names(X, "target")
    n = len(np.unique(targets))
    if n < 2:
        return []
    splitter = GroupKFold(min(n_splits, n), shuffle=True, random_state=0)
    return list(splitter.split(X, groups=targets))


def _table(X: Any) -> pd.DataFrame:
    names(X, "source")
    names(X, "target")
    return X
