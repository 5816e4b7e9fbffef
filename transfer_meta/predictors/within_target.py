"""Gains and features standardised within a target, and the base class of predictors that learn from them.

How large gains are on a target says little about which source is best for it: a target at chance and one at its
ceiling gain little from any source.  These predictors learn the standardised gain and calibrate their rankings to
gains and probabilities afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from transfer_meta.predictors.base import (
    FEATURE_COLUMNS,
    Fold,
    IntArray,
    Prediction,
    TransferPredictor,
    id_column,
)
from transfer_meta.predictors.calibrators import (
    CALIBRATORS,
    calibrated,
    choose_calibrator,
    fit_calibrator,
)
from transfer_meta.predictors.platt import fit_line
from transfer_meta.predictors.state_kinds import Flag, Kind, Numbers, OneOf, Text
from transfer_meta.records import ID_COLUMNS, FloatArray

MAX_STANDARDISED_GAIN = 3.0
"""Standardised gains are clipped at ± this value, so that one collapsed run does not outweigh twenty others."""
MAX_RELATIVE_FEATURE = 5.0
"""Relative features are clipped at ± this value."""
STORED_CALIBRATION: Mapping[str, Kind] = {
    # A member of `DefaultPredictor` ranks only, and has none of these.
    "levels_known_": Flag(optional=True),
    "calibrator_": Text(CALIBRATORS, optional=True),
    "calibration_": OneOf((Numbers(2), Numbers(5), Numbers(2, "steps")), optional=True),
    "line_": OneOf((Numbers(2),), optional=True),
}


def group_codes(X: pd.DataFrame) -> IntArray:
    """Return the number of each row's (target, setting), shape (n,)."""
    target, setting = (
        np.unique(x, return_inverse=True)[1] for x in (id_column(X, "target"), setting_column(X))
    )
    both = target * (int(setting.max(initial=0)) + 1) + setting
    return np.unique(both, return_inverse=True)[1]


def setting_column(X: pd.DataFrame) -> NDArray[np.object_]:
    """Return the setting of each row; a table without that column has one setting."""
    return id_column(X, "setting") if "setting" in X else np.full(len(X), "", dtype=object)


def group_moments(
    values: FloatArray, groups: IntArray, *, prior: float = 0.0
) -> tuple[FloatArray, FloatArray]:
    """Return the mean and the population standard deviation of each column in each row's group.

    Parameters
    ----------
    values : array of shape (n, p)
        NaN is ignored.
    groups : array of shape (n,)
        Codes from 0.
    prior : float
        Number of rows of mean 0 and standard deviation 1 that are added to each group.

    Returns
    -------
    mean, deviation : arrays of shape (n, p)
        0 for a group without known values.
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


def standardised_gains(y: FloatArray, groups: IntArray) -> FloatArray:
    """Return the mean of the gain's z-score within its group and the standardised normal score of its rank.

    The clipped z-score preserves how far ahead a source is; the normal score Φ⁻¹((rank − ½) / n) keeps the others
    apart if one run collapsed.  0 if all gains of a group are equal.

    Examples
    --------
    >>> standardised_gains(np.array([0.1, 0.3, 5.0]), np.array([0, 0, 1])).round(6).tolist()
    [-1.0, 1.0, 0.0]
    """
    score = np.zeros(len(y))
    for rows in group_rows(groups):
        score[rows] = ndtri((rankdata(y[rows]) - 0.5) / len(rows))
    parts = (clipped_z_scores(y, groups), clipped_z_scores(score, groups))
    return (parts[0] + parts[1]) / 2


def clipped_z_scores(y: FloatArray, groups: IntArray) -> FloatArray:
    """Return values standardised within their group, clipped at ±`MAX_STANDARDISED_GAIN`; 0 if all are equal."""
    mean, deviation = (array[:, 0] for array in group_moments(y[:, None], groups))
    flat = deviation <= 1e-12 * np.maximum(1.0, np.abs(mean))
    z = np.clip(
        (y - mean) / np.where(flat, 1.0, deviation), -MAX_STANDARDISED_GAIN, MAX_STANDARDISED_GAIN
    )
    return np.where(flat, 0.0, z)


def group_rows(groups: IntArray) -> list[IntArray]:
    """Return the row numbers of each group."""
    order = np.argsort(groups, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(groups[order])) + 1) if len(order) else []


class WithinTarget:
    """Standardisation of features by the training rows, then within the target among the rows of the same call.

    Parameters
    ----------
    centre, scale : array of shape (p,)
        Mean and standard deviation of the training rows.
    """

    PRIOR = 2.0
    """Rows with the mean and standard deviation of the training that are added to each target."""

    def __init__(self, centre: FloatArray, scale: FloatArray) -> None:
        self.centre = centre
        self.scale = scale

    @classmethod
    def fit(cls, values: FloatArray) -> WithinTarget:
        """Fit to training rows, shape (n, p); an unknown or constant column has scale 0 and becomes 0."""
        mean, deviation = group_moments(values, np.zeros(len(values), dtype=np.intp))
        tiny = deviation[0] <= 1e-10 * np.maximum(1.0, np.abs(mean[0]))
        return cls(mean[0], np.where(tiny, 0.0, deviation[0]))

    def transform(self, values: FloatArray, groups: IntArray) -> FloatArray:
        """Return relative features, shape (n, p); an unknown value is 0."""
        scaled = (values - self.centre) / np.where(self.scale > 0, self.scale, np.inf)
        mean, deviation = group_moments(scaled, groups, prior=self.PRIOR)
        relative = np.nan_to_num((scaled - mean) / np.maximum(deviation, 1e-6))
        return np.clip(relative, -MAX_RELATIVE_FEATURE, MAX_RELATIVE_FEATURE)


class WithinTargetPredictor(TransferPredictor):
    """Base class of the predictors that learn the standardised gain.

    A subclass implements `fit_ranking` and `ranking`.  This class maps rankings to probabilities
    (`calibrators.choose_calibrator`) and, by a line, to expected gains.  Both maps are fitted to out-of-fold
    rankings of the training targets, so that they hold for new targets.

    Input is a table of pairs, not a plain array.  Without feature columns only outcomes are used.

    Attributes
    ----------
    levels_known_ : bool
        False if the training gains are centred within each target, as for scores without baselines.
    calibrator_ : str
        One of `calibrators.CALIBRATORS`.
    calibration_ : array
        Parameters of the calibrator.
    line_ : array of shape (2,)
        Slope and intercept of the line from rankings to gains.
    """

    uses_names: ClassVar[bool] = True
    needs_features: ClassVar[bool] = False
    stored: ClassVar[Mapping[str, Kind]] = {**FEATURE_COLUMNS, **STORED_CALIBRATION}
    n_splits = 3
    """Number of folds over targets in `inner_ranking`."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit to pairs, their gains and, optionally, weights in (0, 1] for their reliability, shape (n,)."""
        y = np.asarray(y, dtype=float)
        z, weight = self._fit_uncalibrated(X, y, sample_weight)
        self.calibrate(X, y, z, weight)
        return self

    def calibrate(self, X: pd.DataFrame, y: FloatArray, z: FloatArray, weight: FloatArray) -> None:
        """Fit the maps from rankings to gains and probabilities; all arrays of shape (n,), `z` standardised."""
        if not self.levels_known_:
            self.line_ = np.array([float(y.std()), 0.0])
            self.calibrator_, self.calibration_ = "platt", np.array([1.0, 0.0])
            return
        inner = self.inner_ranking(X, z, weight)
        known = np.isfinite(inner)
        targets = np.unique(id_column(X, "target")[known], return_inverse=True)[1]
        self.calibrator_ = choose_calibrator(inner[known], y[known] > 0, targets)
        self.calibration_ = fit_calibrator(self.calibrator_, inner[known], y[known] > 0)
        self.line_ = fit_line(inner[known], y[known])

    def fit_weighted(self, X: Any, y: Any, sample_weight: FloatArray | None) -> Self:
        return self.fit(X, y, sample_weight)

    def _fit_uncalibrated(
        self, X: Any, y: FloatArray, sample_weight: Any
    ) -> tuple[FloatArray, FloatArray]:
        """Fit the ranking alone; return the standardised gains and the weights, both of shape (n,)."""
        X = _table(X)
        if len(X) != len(y) or not len(y) or not np.isfinite(y).all():
            raise InputError(f"expected as many finite gains as pairs, got {len(y)} for {len(X)} pairs")
        self.feature_names_in_ = np.array([c for c in X if c not in ID_COLUMNS], dtype=object)
        z = standardised_gains(y, group_codes(X))
        weight = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight, dtype=float)
        self.levels_known_ = levels_known(y, group_codes(X))
        self.fit_ranking(X, z, weight)
        return z, weight

    def predict_pairs(self, X: Any) -> Prediction:
        check_is_fitted(self)
        ranking = self.ranking(self.checked(X))
        probability = calibrated(self.calibrator_, ranking, self.calibration_)
        return Prediction(probability, self.line_[0] * ranking + self.line_[1], ranking)

    def predict_folds(
        self,
        X: pd.DataFrame,
        y: FloatArray,
        folds: Sequence[Fold],
        sample_weight: FloatArray | None = None,
    ) -> list[Prediction]:
        """Return out-of-fold predictions, the features relative to all sources of a target in `X`.

        A fold that tests some sources of a target only (two tasks left out) would otherwise compare them with
        nothing; features need no outcome, so that all sources of a target are at hand when one is ranked.
        """

        def predicted(train: IntArray, test: IntArray) -> Prediction:
            weight = None if sample_weight is None else sample_weight[train]
            fitted = clone(self).fit(X.iloc[train], y[train], weight)
            rows, place = rows_of_targets(X, test)
            found = fitted.predict_pairs(X.iloc[rows])
            return Prediction(*(values[place] for values in found))

        return [predicted(train, test) for train, test in folds]

    def rank_folds(
        self,
        X: pd.DataFrame,
        y: FloatArray,
        folds: Sequence[Fold],
        sample_weight: FloatArray | None = None,
    ) -> list[FloatArray]:
        """Return the rankings of `predict_folds` without fitting gains and probabilities."""

        def ranked(train: IntArray, test: IntArray) -> FloatArray:
            fitted = clone(self)
            fitted._fit_uncalibrated(
                X.iloc[train], y[train], None if sample_weight is None else sample_weight[train]
            )
            rows, place = rows_of_targets(X, test)
            return fitted.ranking(X.iloc[rows])[place]

        return [ranked(train, test) for train, test in folds]

    def fit_ranking(self, X: pd.DataFrame, z: FloatArray, weight: FloatArray) -> None:
        """Fit to pairs, their standardised gains and weights, both of shape (n,)."""
        raise NotImplementedError

    def ranking(self, X: pd.DataFrame) -> FloatArray:
        """Return the expected standardised gain of each pair, shape (n,)."""
        raise NotImplementedError

    def inner_ranking(self, X: pd.DataFrame, z: FloatArray, weight: FloatArray) -> FloatArray:
        """Return out-of-fold rankings of the training rows, each target held out, shape (n,); NaN: not ranked."""
        result = np.zeros(len(z))
        for train, test in target_folds(X, self.n_splits):
            inner = clone(self)
            inner.feature_names_in_ = self.feature_names_in_
            inner.fit_ranking(X.iloc[train], z[train], weight[train])
            result[test] = inner.ranking(X.iloc[test])
        return result

    def stored_names(self, features: Sequence[str]) -> dict[str, Sequence[str]]:
        pairs = [c for c in features if c.startswith("pair.")]
        return {"pairs": pairs, "not_of_target": [c for c in features if not c.startswith("target.")]}

    def check_stored(self) -> None:
        if not hasattr(self, "calibration_"):
            return
        shape = self.calibration_.shape
        # With one class in the training rows there is a sigmoid, whatever the calibrator.
        kind = "platt" if shape == (2,) else "beta" if shape == (5,) else "isotonic"
        if kind not in ("platt", getattr(self, "calibrator_", "")):
            raise ValueError("has a calibration that is not of its calibrator")
        if kind == "isotonic" and (
            not shape[1]
            or not (np.diff(self.calibration_) >= 0).all()
            or not ((self.calibration_[1] >= 0) & (self.calibration_[1] <= 1)).all()
        ):
            raise ValueError("has a calibration that is no rising sequence of probabilities")

    def checked(self, X: Any) -> pd.DataFrame:
        """Return the table after checking that it has the columns seen in `fit`."""
        X = _table(X)
        lacking = [c for c in self.feature_names_in_ if c not in X]
        if lacking:
            raise InputError(
                f"the pairs lack the feature '{lacking[0]}' that the predictor was fitted with"
            )
        return X

    def values(self, X: pd.DataFrame) -> FloatArray:
        """Return the feature columns seen in `fit`, shape (n, p), NaN where unknown."""
        return X[list(self.feature_names_in_)].to_numpy(dtype=float)


def rows_of_targets(X: pd.DataFrame, rows: IntArray) -> tuple[IntArray, IntArray]:
    """Return all rows of the targets (in their settings) of some rows, and the places of these among them."""
    groups = group_codes(X)
    every = np.flatnonzero(np.isin(groups, groups[rows]))
    return every, np.searchsorted(every, rows)


def levels_known(y: FloatArray, groups: IntArray) -> bool:
    """Return whether gains are not centred within every group, as scores without baselines are."""
    mean = group_moments(y[:, None], groups)[0][:, 0]
    return bool((np.abs(mean) > 1e-9 * max(1e-12, float(np.abs(y).max()))).any())


def target_folds(X: pd.DataFrame, n_splits: int) -> Sequence[tuple[IntArray, IntArray]]:
    """Return folds over whole targets; none for a single target."""
    targets = id_column(X, "target")
    n = len(np.unique(targets))
    if n < 2:
        return []
    splitter = GroupKFold(min(n_splits, n), shuffle=True, random_state=0)
    return list(splitter.split(X, groups=targets))


def _table(X: Any) -> pd.DataFrame:
    id_column(X, "source")
    id_column(X, "target")
    return X
