from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from transfer_meta.errors import InputError
from transfer_meta.features.scores.separability import gbc, h_score, h_score_shrunk, transrate

RNG = np.random.default_rng(0)
LABELS = np.repeat([0, 1, 2], [10, 20, 30])
FEATURES = RNG.normal(size=(60, 6)) + 0.8 * np.eye(6)[LABELS]


def slow_covariances(features: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Covariance of the features, and of each example's class mean, summed example by example."""
    n, d = features.shape
    mean = sum(features) / n
    total, between = np.zeros((d, d)), np.zeros((d, d))
    for row, label in zip(features, labels, strict=True):
        members = [r for r, other in zip(features, labels, strict=True) if other == label]
        class_mean = sum(members) / len(members)
        total += np.outer(row - mean, row - mean) / n
        between += np.outer(class_mean - mean, class_mean - mean) / n
    return total, between


def test_h_score_is_the_trace() -> None:
    total, between = slow_covariances(FEATURES, LABELS)
    assert h_score(FEATURES, LABELS) == pytest.approx(np.trace(np.linalg.inv(total) @ between))


def test_h_score_with_a_covariance_of_lower_rank() -> None:
    # A copied, a constant and a summed column add no information, whatever rounding makes of them.
    extra = [FEATURES[:, :1], np.ones((60, 1)), FEATURES.sum(axis=1, keepdims=True)]
    wide = np.hstack([FEATURES, *extra]).astype(np.float32)
    assert h_score(wide, LABELS) == pytest.approx(h_score(FEATURES, LABELS), rel=1e-4)
    total, between = slow_covariances(wide.astype(float), LABELS)
    reference = np.trace(np.linalg.pinv(total, rcond=1e-6) @ between)
    assert h_score(wide, LABELS) == pytest.approx(reference, rel=1e-4)


def test_h_score_cannot_judge_fewer_examples_than_dimensions_and_the_shrunk_one_can() -> None:
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(30, 50))
    signal = noise + 3 * np.eye(50)[np.arange(30) % 3]
    labels = np.arange(30) % 3
    assert h_score(noise, labels) == pytest.approx(2)
    assert h_score(signal, labels) == pytest.approx(2)
    assert h_score_shrunk(signal, labels) > 2 * h_score_shrunk(noise, labels)


def test_h_score_does_not_depend_on_scale_or_basis() -> None:
    mixed = FEATURES @ RNG.normal(size=(6, 6)) * 100 + 7
    assert h_score(mixed, LABELS) == pytest.approx(h_score(FEATURES, LABELS))
    assert 0 <= h_score(FEATURES, LABELS) <= 2


def test_h_score_shrunk_is_the_formula() -> None:
    n, d = FEATURES.shape
    total, between = slow_covariances(FEATURES, LABELS)
    # Ledoit & Wolf 2004: α = min(b², δ²) / δ², example by example.
    centred = FEATURES - FEATURES.mean(axis=0)
    target = np.trace(total) / d * np.eye(d)
    delta = np.sum((total - target) ** 2)
    beta = sum(np.sum((np.outer(row, row) - total) ** 2) for row in centred) / n**2
    alpha = min(beta, delta) / delta
    shrunk = (1 - alpha) * total + alpha * target
    expected = np.trace(np.linalg.inv(shrunk) @ ((1 - alpha) * between))
    assert h_score_shrunk(FEATURES, LABELS) == pytest.approx(expected)


def test_transrate_is_the_formula() -> None:
    centred = FEATURES - FEATURES.mean(axis=0)
    centred /= np.sqrt(np.mean([row @ row for row in centred]))

    def rate(rows: np.ndarray) -> float:
        inner = np.eye(6) + rows.T @ rows / (len(rows) * 1e-4)
        return 0.5 * np.linalg.slogdet(inner)[1]

    conditional = sum(np.sum(c == LABELS) / len(LABELS) * rate(centred[c == LABELS]) for c in range(3))
    assert transrate(FEATURES, LABELS) == pytest.approx(rate(centred) - conditional)
    assert transrate(1000 * FEATURES + 3, LABELS) == pytest.approx(transrate(FEATURES, LABELS))


def test_transrate_with_more_dimensions_than_examples() -> None:
    wide = np.random.default_rng(2).normal(size=(20, 100))
    assert np.isfinite(transrate(wide, np.arange(20) % 2))


def test_gbc_is_the_overlap_integral_in_one_dimension() -> None:
    one = FEATURES[:, :1]
    groups = [one[c == LABELS, 0] for c in range(3)]
    densities = [norm(g.mean(), g.std()) for g in groups]
    expected = -sum(
        quad(lambda x, p=p, q=q: np.sqrt(p.pdf(x) * q.pdf(x)), -20, 20)[0]
        for p, q in itertools.combinations(densities, 2)
    )
    for covariance in ("spherical", "diagonal"):
        assert gbc(one, LABELS, covariance=covariance) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("covariance", ["spherical", "diagonal"])
def test_gbc_is_the_formula(covariance: str) -> None:
    centred = FEATURES - FEATURES.mean(axis=0)
    reduced = centred @ np.linalg.svd(centred)[2].T[:, :4]
    gaussians = []
    for c in range(3):
        group = reduced[c == LABELS]
        diagonal = np.var(group, axis=0)
        matrix = np.diag(diagonal) if covariance == "diagonal" else np.eye(4) * diagonal.mean()
        gaussians.append((group.mean(axis=0), matrix))
    expected = 0.0
    for (mean, first), (other, second) in itertools.combinations(gaussians, 2):
        pooled = (first + second) / 2
        gap = mean - other
        distance = gap @ np.linalg.inv(pooled) @ gap / 8 + 0.5 * np.log(
            np.linalg.det(pooled) / np.sqrt(np.linalg.det(first) * np.linalg.det(second))
        )
        expected -= np.exp(-distance)
    value = gbc(FEATURES, LABELS, covariance=covariance, dimensions=4)
    assert value == pytest.approx(expected)


def test_gbc_of_a_class_with_one_example_is_finite() -> None:
    labels = np.array([0] * 59 + [1])
    assert -1 <= gbc(FEATURES, labels) <= 0


def test_unknown_covariance() -> None:
    with pytest.raises(InputError, match="did you mean 'diagonal'"):
        gbc(FEATURES, LABELS, covariance="diag")


@pytest.mark.parametrize("score", [h_score, h_score_shrunk, transrate, gbc])
def test_one_class(score: object) -> None:
    with pytest.raises(InputError, match="a single class"):
        score(FEATURES, np.zeros(60))  # type: ignore[operator]
