"""What a simple learner gets out of frozen features: nearest neighbours and a linear probe."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transfer_meta.errors import InputError
from transfer_meta.features.scores.score_checks import check_features, one_hot
from transfer_meta.records import FloatArray


def knn_score(
    features: ArrayLike, labels: ArrayLike, *, neighbours: int = 5, regression: bool = False
) -> float:
    """Leave-one-out score of k nearest neighbours by cosine; the higher, the better.

    Classes: accuracy of the majority among the neighbours (of equal counts the class of the nearer
    neighbours).  Regression: R² of their mean, which is below 0 where the mean of all would do better.

    Parameters
    ----------
    features : array of shape (n, d)
    labels : array of shape (n,)
    neighbours : int
        k; at most n - 1 are used.
    regression : bool

    Raises
    ------
    InputError
        Shapes that do not match, NaN, fewer than two classes, a constant regression target.
    """
    from sklearn.neighbors import NearestNeighbors

    features, labels = check_features(features, labels, regression=regression)
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    units = np.divide(features, lengths, out=np.zeros_like(features), where=lengths > 0)
    search = NearestNeighbors(n_neighbors=min(neighbours, len(units) - 1), algorithm="brute").fit(units)
    # Without an argument an example is not its own neighbour, even where it has duplicates.
    nearest = search.kneighbors(return_distance=False)
    if regression:
        return _r_squared(labels, labels[nearest].mean(axis=1))
    # The weights fall so little from near to far that they decide ties alone.
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
    """Cross-validated score of a linear model on the standardised features; the higher, the better.

    Classes: accuracy of logistic regression (L2, C = 1).  Regression: R² of ridge regression, its
    penalty chosen within each training fold among 10^-2 … 10^4.

    Parameters
    ----------
    features : array of shape (n, d)
    labels : array of shape (n,)
    folds : int
        Stratified; fewer where the second largest class has fewer examples.
    regression : bool
    seed : int
        Of the shuffle into folds.

    Raises
    ------
    InputError
        Shapes that do not match, NaN, fewer than two classes of two examples each, a constant target.
    """
    from sklearn.linear_model import LogisticRegression, RidgeCV
    from sklearn.model_selection import KFold, StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features, labels = check_features(features, labels, regression=regression)
    if regression:
        splitter = KFold(min(folds, len(labels)), shuffle=True, random_state=seed)
        model = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 4, 7)))
        return _r_squared(labels, cross_val_predict(model, features, labels, cv=splitter))
    second_largest = int(np.sort(np.bincount(labels))[-2])
    if second_largest < 2:
        raise InputError("a linear probe needs two classes of at least two examples each")
    splitter = StratifiedKFold(min(folds, second_largest), shuffle=True, random_state=seed)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    with warnings.catch_warnings():
        # Classes rarer than the folds are expected; the two largest are in every training fold.
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        predicted = cross_val_predict(model, features, labels, cv=splitter)
    return float(np.mean(predicted == labels))


def _r_squared(truth: FloatArray, predicted: NDArray) -> float:
    """1 - squared error / squared deviation from the mean."""
    return 1 - float(np.sum((truth - predicted) ** 2) / np.sum((truth - truth.mean()) ** 2))
