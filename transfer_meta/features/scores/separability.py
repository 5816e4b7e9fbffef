"""Class separability of frozen features: H-score, TransRate, GBC."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from transfer_meta.errors import InputError, unknown
from transfer_meta.features.scores.score_checks import centre, check_features, one_hot
from transfer_meta.records import FloatArray

# Features are usually float32: smaller singular values, relative to the largest, are rounding.
_PRECISION = float(np.finfo(np.float32).eps)
_LEAST_SHRINKAGE = 1e-10
"""Shrinkage, or share of the largest variance, that leaves a covariance of lower rank singular."""
_COVARIANCES = ("spherical", "diagonal")


def h_score(features: ArrayLike, labels: ArrayLike) -> float:
    """Return the H-score, trace of cov(features)⁺ · cov(class means); 0 to C - 1, higher is better.

    The pseudo-inverse ignores directions without variance.  With n ≤ d every labelling scores C - 1: use
    `h_score_shrunk` there.

    Parameters
    ----------
    features : array of shape (n, d)
    labels : array of shape (n,)

    Raises
    ------
    InputError
        Shapes do not match, values are NaN, or there are fewer than two classes.

    Notes
    -----
    With the centred features X = U S Vᵀ the score is Σ_c ‖Uᵀ 1_c‖² / n_c.

    References
    ----------
    Bao et al. 2019, "An information-theoretic approach to transferability in task transfer learning".
    """
    features, labels = check_features(features, labels)
    left, singular, _ = np.linalg.svd(centre(features), full_matrices=False)
    kept = left[:, singular > max(features.shape) * _PRECISION * singular[0]]
    members = one_hot(labels)
    return float((np.square(kept.T @ members) / members.sum(axis=0)).sum())


def h_score_shrunk(features: ArrayLike, labels: ArrayLike) -> float:
    """Return the H-score with a Ledoit-Wolf covariance: trace of Σ_α⁻¹ · (1 - α) · cov(class means).

    Σ_α = (1 - α) Σ + α (tr Σ / d) I, where α is Ledoit and Wolf's optimal shrinkage.

    Parameters
    ----------
    features : array of shape (n, d)
    labels : array of shape (n,)

    Raises
    ------
    InputError
        Shapes do not match, values are NaN, there are fewer than two classes, or the covariance is singular: two
        examples have no shrinkage.

    References
    ----------
    Ibrahim, Ponomareva & Mazumder 2022, "Newer is not always better: rethinking transferability
    metrics, their peculiarities, stability and performance"; Ledoit & Wolf 2004.
    """
    from sklearn.covariance import ledoit_wolf

    features, labels = check_features(features, labels)
    centred = centre(features)
    if not centred.any():
        return 0.0
    covariance, shrinkage = ledoit_wolf(centred, assume_centered=True)
    if shrinkage < _LEAST_SHRINKAGE:
        variances = np.linalg.eigvalsh(covariance)
        if variances[0] <= _LEAST_SHRINKAGE * variances[-1]:
            raise InputError(
                f"the covariance of {len(labels)} examples is singular, and no shrinkage is estimated"
            )
    members = one_hot(labels)
    counts = members.sum(axis=0)
    means = centred.T @ (members / counts)
    within = (means * np.linalg.solve(covariance, means)).sum(axis=0)
    return float((1 - shrinkage) * (within @ counts) / len(labels))


def transrate(features: ArrayLike, labels: ArrayLike, *, epsilon: float = 1e-4) -> float:
    """Return TransRate, R(Z) - R(Z | Y), an estimate of the mutual information of features and labels.

    R(Z) = ½ ln det(I + ZᵀZ / (n ε)) is the rate of the centred features at distortion ε;
    R(Z | Y) = Σ_c (n_c / n) · ½ ln det(I + Z_cᵀZ_c / (n_c ε)), Z_c the rows of class c.

    Parameters
    ----------
    features : array of shape (n, d)
        Scaled to a mean squared length of 1 after centring, so that encoders of different scale compare.
    labels : array of shape (n,)
    epsilon : float
        Distortion ε.

    Raises
    ------
    InputError
        Shapes do not match, values are NaN, or there are fewer than two classes.

    References
    ----------
    Huang et al. 2022, "Frustratingly easy transferability estimation".  Their listing weights classes by 1 / C,
    their formula by n_c / n; this is the formula.
    """
    features, labels = check_features(features, labels)
    centred = centre(features)
    size = np.sqrt(np.mean(np.sum(centred**2, axis=1)))
    if size == 0:
        return 0.0
    centred /= size
    conditional = sum(
        np.mean(labels == c) * _rate(centred[labels == c], epsilon) for c in range(labels.max() + 1)
    )
    return float(_rate(centred, epsilon) - conditional)


def gbc(
    features: ArrayLike,
    labels: ArrayLike,
    *,
    covariance: str = "spherical",
    dimensions: int = 64,
) -> float:
    """Return the Gaussian Bhattacharyya coefficient, -Σ exp(-D) over pairs of classes; higher is better.

    Each class is a Gaussian; D = ⅛ (μ₁ - μ₂)ᵀ Σ⁻¹ (μ₁ - μ₂) + ½ ln(|Σ| / √(|Σ₁| |Σ₂|)), Σ = (Σ₁ + Σ₂) / 2.

    Parameters
    ----------
    features : array of shape (n, d)
    labels : array of shape (n,)
    covariance : str
        ``spherical`` (one variance per class) or ``diagonal`` (one per dimension and class).
    dimensions : int
        Number of principal components that the features are reduced to, 64 in the paper.

    Raises
    ------
    InputError
        Shapes do not match, values are NaN, fewer than two classes, or an unknown covariance.

    Notes
    -----
    Variances are at least 1e-6 of the mean variance of the reduced features, so that a class of one example or
    of equal ones is a narrow Gaussian.  The sum grows with the number of classes: compare sources on one
    target, not targets.

    References
    ----------
    Pándy et al. 2022, "Transferability estimation using Bhattacharyya class separability".
    """
    if covariance not in _COVARIANCES:
        raise unknown("covariance", covariance, _COVARIANCES)
    features, labels = check_features(features, labels)
    centred = centre(features)
    if not centred.any():
        # The classes coincide: every pair has a coefficient of 1.
        classes = labels.max() + 1
        return -classes * (classes - 1) / 2.0
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    reduced = left[:, :dimensions] * singular[:dimensions]
    groups = [reduced[labels == c] for c in range(labels.max() + 1)]
    means = np.stack([group.mean(axis=0) for group in groups])
    variances = np.stack([group.var(axis=0) for group in groups])
    if covariance == "spherical":
        variances = np.repeat(variances.mean(axis=1, keepdims=True), reduced.shape[1], axis=1)
    variances = np.maximum(variances, 1e-6 * reduced.var(axis=0).mean())
    first, second = np.triu_indices(len(groups), k=1)
    pooled = (variances[first] + variances[second]) / 2
    distance = ((means[first] - means[second]) ** 2 / pooled).sum(axis=1) / 8 + 0.5 * (
        np.log(pooled) - 0.5 * (np.log(variances[first]) + np.log(variances[second]))
    ).sum(axis=1)
    return -float(np.exp(-distance).sum())


def _rate(rows: FloatArray, epsilon: float) -> float:
    """Return ½ ln det(I + ZᵀZ / (n ε)) from the singular values of Z (n, d)."""
    singular = np.linalg.svd(rows, compute_uv=False)
    return 0.5 * float(np.log1p(singular**2 / (len(rows) * epsilon)).sum())
