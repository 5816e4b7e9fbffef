"""What every predictor is: a regressor of the gain that also gives a probability and a ranking."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.utils.validation import check_is_fitted, validate_data

from transfer_meta.errors import InputError
from transfer_meta.records import ID_COLUMNS, FloatArray

CHECKS: dict[str, Any] = {"dtype": np.float64, "ensure_all_finite": "allow-nan"}
Fold = tuple[NDArray[np.intp], NDArray[np.intp]]


class Prediction(NamedTuple):
    """Predictions for n pairs; each array has shape (n,).

    Parameters
    ----------
    probability
        Probability that the source helps (gain > 0).
    gain
        Expected gain, a fraction.
    ranking
        What sources are ranked by, higher is better; comparable within a target only.
    """

    probability: FloatArray
    gain: FloatArray
    ranking: FloatArray


class TransferPredictor(RegressorMixin, BaseEstimator):
    """Base of all predictors.

    `fit` takes a table of pairs and their gains (fractions); `predict` gives the expected gain,
    `predict_proba` the probabilities of (no gain, gain), `decision_function` the ranking.  The table holds the
    identifying columns ``setting``, ``source``, ``target`` and float columns of features with NaN where one is
    unknown; predictors that use features alone take plain arrays as well.

    A subclass implements `fit` and `predict_pairs`.  State that `fit` leaves ends in an underscore and consists of
    numbers, strings, arrays, lists, dicts and LightGBM boosters, so that it can be saved as JSON and text.
    """

    uses_features: ClassVar[bool] = True
    """Whether the choice of features makes a difference."""
    stochastic: ClassVar[bool] = False
    """Whether it is a random control, whose figures are means over draws of `random_state`."""
    needs_features: ClassVar[bool] = True
    """Whether it is of no use without any, where it uses them."""
    uses_names: ClassVar[bool] = False
    """Whether it has to know which task is which: it takes tables of pairs alone, no plain arrays."""
    optimistic: ClassVar[bool] = False
    """Whether something is fitted on the test folds as well."""

    def fit(self, X: Any, y: Any) -> Self:
        """Learn from pairs `X` (n rows) and their gains `y`, shape (n,)."""
        raise NotImplementedError

    def fit_weighted(self, X: Any, y: Any, sample_weight: FloatArray | None) -> Self:
        """As `fit`, with how far each gain is to be trusted, (0, 1], shape (n,); None: all alike.

        Every predictor takes weights here, and most ignore them, as this one does.  Those that use them have a
        third argument `sample_weight` of `fit` as well: by that scikit-learn tells the two kinds apart.
        """
        return self.fit(X, y)

    def predict_pairs(self, X: Any) -> Prediction:
        """All three predictions for the pairs `X`."""
        raise NotImplementedError

    def predict(self, X: Any) -> FloatArray:
        """Expected gain, a fraction, shape (n,)."""
        return self.predict_pairs(X).gain

    def predict_proba(self, X: Any) -> FloatArray:
        """Probability of no gain and of gain, shape (n, 2)."""
        probability = self.predict_pairs(X).probability
        return np.column_stack([1 - probability, probability])

    def decision_function(self, X: Any) -> FloatArray:
        """Ranking of the pairs, higher is better, shape (n,)."""
        return self.predict_pairs(X).ranking

    def predict_folds(
        self,
        X: pd.DataFrame,
        y: FloatArray,
        folds: Sequence[Fold],
        sample_weight: FloatArray | None = None,
    ) -> list[Prediction]:
        """Out-of-fold predictions: for each (train, test) a fit on the one and predictions for the other.

        Weights are those of `fit_weighted`, one for each row of `X`.  Predictors with a closed form or a batched
        solver override this; results are the same.
        """

        def fitted(train: NDArray[np.intp]) -> TransferPredictor:
            weight = None if sample_weight is None else sample_weight[train]
            return clone(self).fit_weighted(X.iloc[train], y[train], weight)

        return [fitted(train).predict_pairs(X.iloc[test]) for train, test in folds]

    def check(self, X: pd.DataFrame) -> None:
        """Raise InputError if a table of pairs lacks what this predictor needs."""
        if self.uses_features and self.needs_features and not set(X) - set(ID_COLUMNS):
            raise InputError(f"{type(self).__name__} needs features, and the table has none")

    def matrix(self, X: Any, *, reset: bool) -> FloatArray:
        """The feature columns as an array of shape (n, p), checked against those seen in fit."""
        if not reset:
            check_is_fitted(self)
        return np.asarray(validate_data(self, self._features(X), reset=reset, **CHECKS))

    def matrix_and_gain(self, X: Any, y: Any) -> tuple[FloatArray, FloatArray]:
        """As `matrix` for a fit, with the gains."""
        matrix, y = validate_data(self, self._features(X), y, y_numeric=True, **CHECKS)
        return np.asarray(matrix), np.asarray(y, dtype=np.float64)

    def _features(self, X: Any) -> Any:
        if not isinstance(X, pd.DataFrame):
            return X
        self.check(X)
        return X.drop(columns=[c for c in ID_COLUMNS if c in X])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        # The expected gain of a classifier is a mixture of two means: no good fit is promised.
        tags.regressor_tags.poor_score = True
        return tags


def names(X: Any, column: str) -> NDArray[np.object_]:
    """An identifying column of a table of pairs."""
    if not isinstance(X, pd.DataFrame) or column not in X:
        raise InputError(f"this predictor needs a table with the column '{column}'")
    return X[column].to_numpy(dtype=object)


def class_means(y: FloatArray) -> FloatArray:
    """Mean gain of the pairs without and with gain, shape (2,); where a class is empty, 0."""
    return np.array(
        [y[y <= 0].mean() if (y <= 0).any() else 0.0, y[y > 0].mean() if (y > 0).any() else 0.0]
    )


def expected_gain(probability: FloatArray, means: FloatArray) -> FloatArray:
    """Gain expected from a probability: p · mean of the gains + (1 - p) · mean of the losses."""
    return probability * means[1] + (1 - probability) * means[0]
