"""Transferability from the predictions of a source model: LEEP and NCE."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from transfer_meta.errors import InputError
from transfer_meta.features.scores.score_checks import check_classes, one_hot
from transfer_meta.records import FloatArray


def leep(source_probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Return LEEP, the log-likelihood of target labels given source classes; at most 0, higher is better.

    With θ(x) the source model's class probabilities and P(y | z) from the empirical joint distribution
    P(y, z) = (1/n) Σ_{i: y_i = y} θ(x_i)_z, it is (1/n) Σ_i ln Σ_z P(y_i | z) θ(x_i)_z.

    Parameters
    ----------
    source_probabilities : array of shape (n, Z)
        Rows sum to 1.
    labels : array of shape (n,)
        Classes of the target examples.

    Raises
    ------
    InputError
        Rows are not probabilities, shapes do not match, or there are fewer than two classes.

    References
    ----------
    Nguyen et al. 2020, "LEEP: a new measure to evaluate transferability of learned representations".
    """
    probabilities = _check_probabilities(source_probabilities)
    members = one_hot(check_classes(labels, len(probabilities)))
    joint = members.T @ probabilities
    mass = probabilities.sum(axis=0)
    conditional = np.divide(joint, mass, out=np.zeros_like(joint), where=mass > 0)
    likelihood = ((members @ conditional) * probabilities).sum(axis=1)
    return float(np.mean(np.log(np.minimum(likelihood, 1.0))))


def nce(source_labels: ArrayLike, labels: ArrayLike) -> float:
    """Return NCE, the negative conditional entropy -H(Y | Z) in nats; at most 0, higher is better.

    Parameters
    ----------
    source_labels : array of shape (n,)
        Class Z predicted by the source model for each target example; a single class is allowed.
    labels : array of shape (n,)
        Classes Y of the target examples.

    Raises
    ------
    InputError
        Shapes do not match, or there are fewer than two target classes.

    References
    ----------
    Tran, Nguyen & Hassner 2019, "Transferability and hardness of supervised classification tasks".

    Examples
    --------
    >>> nce(["x", "x", "y", "y"], ["a", "a", "b", "b"])
    0.0
    """
    predicted = np.asarray(source_labels)
    if predicted.ndim != 1:
        raise InputError(f"source labels of shape {predicted.shape} (expected one per target example)")
    target = check_classes(labels, len(predicted))
    joint = one_hot(target).T @ one_hot(np.unique(predicted, return_inverse=True)[1]) / len(predicted)
    mass = np.broadcast_to(joint.sum(axis=0), joint.shape)
    seen = joint > 0
    return float((joint[seen] * np.log(joint[seen] / mass[seen])).sum()) + 0.0  # never -0.0


def _check_probabilities(values: ArrayLike) -> FloatArray:
    matrix = np.asarray(values, dtype=np.float64)
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise InputError(f"probabilities of shape {matrix.shape} (expected examples x source classes)")
    if not np.isfinite(matrix).all() or (matrix < 0).any():
        raise InputError("source probabilities hold NaN, infinite or negative values")
    sums = matrix.sum(axis=1)
    worst = float(sums[np.argmax(np.abs(sums - 1))])
    if abs(worst - 1) > 1e-3:
        raise InputError(f"a row of source probabilities sums to {worst:g} (expected 1)")
    return matrix / sums[:, None]
