from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from transfer_meta.errors import InputError
from transfer_meta.features.scores.logme import logme


def slow_evidence(features: np.ndarray, column: np.ndarray) -> float:
    """Max over α and β of the dense Gaussian marginal N(0, I/β + F Fᵀ/α), from several starts."""
    n = len(column)

    def negative(logs: np.ndarray) -> float:
        alpha, beta = np.exp(np.clip(logs, -30, 30))
        covariance = np.eye(n) / beta + features @ features.T / alpha
        return -multivariate_normal(np.zeros(n), covariance, allow_singular=True).logpdf(column)

    starts = [(0, 0), (3, 0), (-3, 3), (6, 2), (0, 6)]
    options = {"xatol": 1e-7, "fatol": 1e-10, "maxiter": 4000, "maxfev": 4000}
    return -min(
        minimize(negative, start, method="Nelder-Mead", options=options).fun for start in starts
    )


def paper_fixed_point(features: np.ndarray, column: np.ndarray) -> float:
    """Algorithm 1 of the paper, with plain matrix inverses, run to convergence."""
    n, d = features.shape
    gram = features.T @ features
    alpha = beta = 1.0
    eigenvalues = np.linalg.eigvalsh(gram)
    for _ in range(2000):
        mean = beta * np.linalg.inv(alpha * np.eye(d) + beta * gram) @ features.T @ column
        gamma = (beta * eigenvalues / (alpha + beta * eigenvalues)).sum()
        alpha = gamma / (mean @ mean)
        beta = (n - gamma) / np.square(features @ mean - column).sum()
    precision = alpha * np.eye(d) + beta * gram
    mean = beta * np.linalg.inv(precision) @ features.T @ column
    return (
        n / 2 * np.log(beta)
        + d / 2 * np.log(alpha)
        - n / 2 * np.log(2 * np.pi)
        - beta / 2 * np.square(features @ mean - column).sum()
        - alpha / 2 * (mean @ mean)
        - 0.5 * np.linalg.slogdet(precision)[1]
    )


@pytest.mark.parametrize(("n", "d"), [(25, 4), (40, 10), (12, 20)])
def test_regression_equals_the_dense_marginal(n: int, d: int) -> None:
    rng = np.random.default_rng(n)
    features = rng.normal(size=(n, d))
    target = features @ rng.normal(size=d) + rng.normal(size=n)
    assert logme(features, target, regression=True) == pytest.approx(
        slow_evidence(features, target) / n, abs=1e-5
    )


def test_regression_equals_the_papers_algorithm() -> None:
    rng = np.random.default_rng(1)
    features = rng.normal(size=(60, 6))
    target = features @ rng.normal(size=6) + 0.5 * rng.normal(size=60)
    assert logme(features, target, regression=True) == pytest.approx(
        paper_fixed_point(features, target) / 60, abs=1e-8
    )


def test_classes_are_averaged_one_against_the_rest() -> None:
    rng = np.random.default_rng(2)
    labels = np.repeat(["x", "y", "z"], 10)
    features = rng.normal(size=(30, 5)) + (labels == "y")[:, None]
    columns = [(labels == c).astype(float) for c in "xyz"]
    expected = np.mean([slow_evidence(features, c) for c in columns]) / 30
    assert logme(features, labels) == pytest.approx(expected, abs=1e-5)


def test_scale_and_rotation_of_the_features_do_not_matter() -> None:
    rng = np.random.default_rng(3)
    features, labels = rng.normal(size=(30, 5)), np.arange(30) % 3
    rotation = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    value = logme(features, labels)
    assert logme(1000 * features @ rotation, labels) == pytest.approx(value, abs=1e-9)
    assert logme(1e-4 * features, labels) == pytest.approx(value, abs=1e-9)


def test_useless_features_fall_back_to_the_noise_model() -> None:
    # One half of the examples mirrors the other, so no linear function of them fits the target.
    features = np.concatenate([np.eye(5), -np.eye(5)])
    target = np.tile([1.0, -1.0, 1.0, -1.0, 0.5], 2)
    noise_alone = -0.5 * (np.log(2 * np.pi * np.mean(target**2)) + 1)
    assert logme(features, target, regression=True) == pytest.approx(noise_alone, abs=1e-6)


def test_a_perfect_fit_is_large_and_finite() -> None:
    rng = np.random.default_rng(4)
    features = rng.normal(size=(30, 3))
    exact = logme(features, features[:, 0], regression=True)
    noisy = logme(features, features[:, 0] + 0.1 * rng.normal(size=30), regression=True)
    assert np.isfinite(exact)
    assert exact > noisy + 3


def test_constant_target() -> None:
    with pytest.raises(InputError, match=r"the regression target is constant \(2\)"):
        logme(np.ones((4, 2)), [2.0] * 4, regression=True)
