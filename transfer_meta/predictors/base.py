"""Base class of the predictors of transfer gains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.utils.validation import check_is_fitted, validate_data

from transfer_meta.errors import InputError
from transfer_meta.predictors.state_kinds import Count, Kind, Names, Numbers
from transfer_meta.records import ID_COLUMNS, FloatArray

VALIDATION: dict[str, Any] = {"dtype": np.float64, "ensure_all_finite": "allow-nan"}
"""Arguments of scikit-learn's `validate_data`."""

IntArray = NDArray[np.intp]
"""Row numbers or group codes."""

Fold = tuple[IntArray, IntArray]
"""Row numbers of the training and of the test pairs."""


FEATURE_COLUMNS: Mapping[str, Kind] = {"feature_names_in_": Names("features")}
"""What is stored of the feature columns that were seen in `fit`."""
VALIDATED_COLUMNS: Mapping[str, Kind] = {**FEATURE_COLUMNS, "n_features_in_": Count("features")}
"""The same of predictors that scikit-learn's `validate_data` checks the columns of."""
CLASS_MEANS = Numbers(2)
"""What is stored of `class_means`."""


class Prediction(NamedTuple):
    """Predictions for n pairs; each array has shape (n,).

    Parameters
    ----------
    probability
        Probability that the source helps (gain > 0).
    gain
        Expected gain, a fraction.
    ranking
        Score by which sources are ranked, higher is better; comparable within a target only.
    """

    probability: FloatArray
    gain: FloatArray
    ranking: FloatArray


class TransferPredictor(RegressorMixin, BaseEstimator):
    """Base class of all predictors: a scikit-learn regressor of the gain.

    `predict` returns the expected gain, `predict_proba` the probabilities of (no gain, gain) and
    `decision_function` the ranking.  Input is a table of pairs with the identifying columns ``setting``,
    ``source``, ``target`` and float columns of features, NaN where unknown; predictors that use features alone
    accept plain arrays as well.

    A subclass implements `fit` and `predict_pairs`.  Attributes set by `fit` end in an underscore and consist of
    numbers, strings, arrays, lists, dicts and LightGBM boosters, so that `model.Model.save` can write them; all of
    them, and the constructor's parameters, are declared in `stored`.
    """

    stored: ClassVar[Mapping[str, Kind]] = {}
    """Kinds of the constructor's parameters and of the attributes set by `fit`, in the order in which they are read
    (`stored_state`); nothing else is read from a folder."""

    uses_features: ClassVar[bool] = True
    """Whether predictions depend on the feature columns."""
    stochastic: ClassVar[bool] = False
    """Whether this is a random control, whose figures are means over draws of `random_state`."""
    needs_features: ClassVar[bool] = True
    """Whether a table without feature columns is refused; ignored unless `uses_features`."""
    uses_names: ClassVar[bool] = False
    """Whether the identifying columns are needed, so that plain arrays are refused."""
    optimistic: ClassVar[bool] = False
    """Whether something is fitted on the test folds as well."""

    def fit(self, X: Any, y: Any) -> Self:
        """Fit to pairs `X` (n rows) and their gains `y`, shape (n,), fractions."""
        raise NotImplementedError

    def fit_weighted(self, X: Any, y: Any, sample_weight: FloatArray | None) -> Self:
        """Fit with weights in (0, 1] for the reliability of each gain, shape (n,); None: equal weights.

        Most predictors ignore the weights, as this default does.  Those that use them also have a parameter
        `sample_weight` of `fit`, by which scikit-learn tells the two kinds apart.
        """
        return self.fit(X, y)

    def predict_pairs(self, X: Any) -> Prediction:
        """Return probability, expected gain and ranking of the pairs `X`."""
        raise NotImplementedError

    def predict(self, X: Any) -> FloatArray:
        """Return the expected gain, a fraction, shape (n,)."""
        return self.predict_pairs(X).gain

    def predict_proba(self, X: Any) -> FloatArray:
        """Return the probabilities of no gain and of gain, shape (n, 2)."""
        probability = self.predict_pairs(X).probability
        return np.column_stack([1 - probability, probability])

    def decision_function(self, X: Any) -> FloatArray:
        """Return the ranking of the pairs, higher is better, shape (n,)."""
        return self.predict_pairs(X).ranking

    def predict_folds(
        self,
        X: pd.DataFrame,
        y: FloatArray,
        folds: Sequence[Fold],
        sample_weight: FloatArray | None = None,
    ) -> list[Prediction]:
        """Return out-of-fold predictions: one `Prediction` for the test rows of each fold.

        Weights are those of `fit_weighted`, shape (n,).  Predictors with a closed form or a batched solver override
        this method; results are the same.
        """

        def fitted(train: IntArray) -> TransferPredictor:
            weight = None if sample_weight is None else sample_weight[train]
            return clone(self).fit_weighted(X.iloc[train], y[train], weight)

        return [fitted(train).predict_pairs(X.iloc[test]) for train, test in folds]

    def check(self, X: pd.DataFrame) -> None:
        """Raise InputError if a table of pairs lacks what this predictor needs."""
        if self.uses_features and self.needs_features and not set(X) - set(ID_COLUMNS):
            raise InputError(f"{type(self).__name__} needs features, and the table has none")

    def matrix(self, X: Any, *, reset: bool) -> FloatArray:
        """Return the feature columns as an array of shape (n, p), checked against those seen in fit."""
        if not reset:
            check_is_fitted(self)
        return np.asarray(validate_data(self, self._features(X), reset=reset, **VALIDATION))

    def matrix_and_gain(self, X: Any, y: Any) -> tuple[FloatArray, FloatArray]:
        """Return the feature columns and the gains for a fit, shapes (n, p) and (n,)."""
        matrix, y = validate_data(self, self._features(X), y, y_numeric=True, **VALIDATION)
        return np.asarray(matrix), np.asarray(y, dtype=np.float64)

    def stored_names(self, features: Sequence[str]) -> dict[str, Sequence[str]]:
        """Return names that follow from the feature columns, by the axes of `stored` that they lie along."""
        return {}

    def stored_sizes(self, sizes: Mapping[str, int]) -> dict[str, int]:
        """Return sizes of axes of `stored` that follow from the parameters and from other sizes."""
        return {}

    def check_stored(self) -> None:
        """Raise ValueError if attributes read from a folder do not fit each other."""

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


def id_column(X: Any, column: str) -> NDArray[np.object_]:
    """Return an identifying column of a table of pairs, shape (n,)."""
    if not isinstance(X, pd.DataFrame) or column not in X:
        raise InputError(f"this predictor needs a table with the column '{column}'")
    return X[column].to_numpy(dtype=object)


def class_means(y: FloatArray) -> FloatArray:
    """Return the mean gain of the pairs without and with gain, shape (2,); 0 for an empty class."""
    return np.array(
        [y[y <= 0].mean() if (y <= 0).any() else 0.0, y[y > 0].mean() if (y > 0).any() else 0.0]
    )


def expected_gain(probability: FloatArray, means: FloatArray) -> FloatArray:
    """Return p · mean of the gains + (1 − p) · mean of the losses; `means` as from `class_means`."""
    return probability * means[1] + (1 - probability) * means[0]
