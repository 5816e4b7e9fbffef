"""Accuracy of simple learners on frozen features: nearest neighbours and a linear probe."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transfer_meta.errors import InputError
from transfer_meta.features.scores.score_checks import check_features, one_hot
from transfer_meta.records import FloatArray

PROBE_TOLERANCE = 1e-3
"""Largest component of the gradient at which the linear probe stops."""


def knn_score(
    features: ArrayLike, labels: ArrayLike, *, neighbours: int = 5, regression: bool = False
) -> float:
    """Return the leave-one-out score of k nearest neighbours by cosine; higher is better.

    Classification: accuracy of the majority class of the neighbours, ties resolved by distance.  Regression: R²
    of their mean.

    Parameters
    ----------
    features : array of shape (n, d)
    labels : array of shape (n,)
    neighbours : int
        k, at most n - 1.
    regression : bool

    Raises
    ------
    InputError
        Shapes do not match, values are NaN, fewer than two classes, or a constant regression target.
    """
    from sklearn.neighbors import NearestNeighbors

    features, labels = check_features(features, labels, regression=regression)
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    units = np.divide(features, lengths, out=np.zeros_like(features), where=lengths > 0)
    search = NearestNeighbors(n_neighbors=min(neighbours, len(units) - 1), algorithm="brute").fit(units)
    # Without an argument no example is its own neighbour, even if it has duplicates.
    nearest = search.kneighbors(return_distance=False)
    if regression:
        return _r_squared(labels, labels[nearest].mean(axis=1))
    # Weights decrease so little with distance that they only break ties.
    weights = 1 + 1e-3 / np.arange(1, nearest.shape[1] + 1)
    votes = np.einsum("nkc,k->nc", one_hot(labels)[nearest], weights)
    return float(np.mean(votes.argmax(axis=1) == labels))


def linear_probe(
    features: ArrayLike,
    labels: ArrayLike,
    *,
    folds: int = 5,
    regression: bool = False,
    seed: int = 0,
) -> float:
    """Return the cross-validated score of a linear model on the standardised features; higher is better.

    Classification: accuracy of logistic regression (L2, C = 1).  Regression: R² of ridge regression with a
    penalty chosen within each training fold from 10^-2 … 10^4.

    Parameters
    ----------
    features : array of shape (n, d)
    labels : array of shape (n,)
    folds : int
        Number of stratified folds, at most the size of the second largest class.
    regression : bool
    seed : int
        Seed of the shuffle.

    Raises
    ------
    InputError
        Shapes do not match, values are NaN, fewer than two classes of two examples each, a constant target, or
        fewer than three numbers.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression, RidgeCV
    from sklearn.model_selection import KFold, StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features, labels = check_features(features, labels, regression=regression)
    if regression:
        if len(labels) < 3:
            raise InputError("a linear probe of a regression needs three examples")
        splitter = KFold(min(folds, len(labels)), shuffle=True, random_state=seed)
        model = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 4, 7)))
        # scikit-learn before 1.9 divides 0 by 0, with a warning, where a column does not vary.
        with np.errstate(invalid="ignore"):
            return _r_squared(labels, cross_val_predict(model, features, labels, cv=splitter))
    second_largest = int(np.sort(np.bincount(labels))[-2])
    if second_largest < 2:
        raise InputError("a linear probe needs two classes of at least two examples each")
    splitter = StratifiedKFold(min(folds, second_largest), shuffle=True, random_state=seed)
    # Of many classes the last digits of the loss take a thousand steps, and leave the accuracy as it is.
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, tol=PROBE_TOLERANCE))
    with warnings.catch_warnings():
        # Classes smaller than the number of folds are accepted: the two largest are in every fold.
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        # The accuracy of what was found is a score all the same.
        warnings.simplefilter("ignore", ConvergenceWarning)
        predicted = cross_val_predict(model, features.astype(np.float32), labels, cv=splitter)
    return float(np.mean(predicted == labels))


def _r_squared(truth: FloatArray, predicted: NDArray) -> float:
    """Return 1 - squared error / squared deviation from the mean."""
    return 1 - float(np.sum((truth - predicted) ** 2) / np.sum((truth - truth.mean()) ** 2))
