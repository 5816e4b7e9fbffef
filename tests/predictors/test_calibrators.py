from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression

from transfer_meta.predictors.calibrators import (
    CALIBRATORS,
    MIN_ISOTONIC_PROBABILITY,
    calibrated,
    choose_calibrator,
    fit_calibrator,
)


def drawn(probability, n: int = 4000, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores, whether they helped by the given probability of a score, and twenty targets."""
    random = np.random.default_rng(seed)
    score = random.normal(size=n)
    return score, random.random(n) < probability(score), np.repeat(np.arange(20), n // 20)


def sigmoid(s: np.ndarray) -> np.ndarray:
    return expit(1.5 * s - 0.5)


def plateau(s: np.ndarray) -> np.ndarray:
    """Never below 0.3 nor above 0.7, and a jump between: no sigmoid."""
    return np.where(s > 0.5, 0.7, 0.3)


@pytest.mark.parametrize("kind", CALIBRATORS)
@pytest.mark.parametrize("truth", [sigmoid, plateau])
def test_probabilities_come_near_the_truth_and_do_not_fall(kind: str, truth) -> None:
    score, helped, _ = drawn(truth)
    at = np.linspace(-2, 2, 41)
    p = calibrated(kind, at, fit_calibrator(kind, score, helped))
    assert ((p > 0) & (p < 1)).all()
    assert (np.diff(p) >= -1e-12).all()
    assert np.abs(p - truth(at)).mean() < (0.04 if truth is sigmoid or kind == "isotonic" else 0.15)


def test_isotonic_is_scikit_learns() -> None:
    score, helped, _ = drawn(plateau, n=500)
    theirs = IsotonicRegression(
        y_min=MIN_ISOTONIC_PROBABILITY, y_max=1 - MIN_ISOTONIC_PROBABILITY, out_of_bounds="clip"
    ).fit(score, helped)
    at = np.linspace(-4, 4, 99)
    np.testing.assert_allclose(
        calibrated("isotonic", at, fit_calibrator("isotonic", score, helped)), theirs.predict(at)
    )


def test_beta_of_calibrated_probabilities_changes_nothing() -> None:
    score, helped, _ = drawn(sigmoid, n=40_000)
    parameters = fit_calibrator("beta", score, helped)
    a, b, c = parameters[2:]
    assert (a, b) == (pytest.approx(1, abs=0.15), pytest.approx(1, abs=0.15))
    assert abs(c) < 0.1
    at = np.linspace(-2, 2, 9)
    assert np.abs(logit(calibrated("beta", at, parameters)) - logit(sigmoid(at))).max() < 0.2


def test_the_choice_is_the_one_that_holds_on_other_targets() -> None:
    assert choose_calibrator(*drawn(sigmoid)) == "platt"
    assert choose_calibrator(*drawn(plateau)) == "isotonic"
    # Too few pairs to tell: two parameters.
    assert choose_calibrator(*drawn(plateau, n=60)) == "platt"


@pytest.mark.parametrize("kind", CALIBRATORS)
@pytest.mark.parametrize("helped", [np.ones(6, dtype=bool), np.zeros(6, dtype=bool)])
def test_one_class_only(kind: str, helped: np.ndarray) -> None:
    score = np.arange(6.0)
    p = calibrated(kind, score, fit_calibrator(kind, score, helped))
    assert ((p > 0) & (p < 1)).all()
    assert choose_calibrator(score, helped, np.repeat([0, 1], 3)) == "platt"


@pytest.mark.parametrize("kind", CALIBRATORS)
def test_scores_that_say_nothing_give_the_base_rate(kind: str) -> None:
    helped = np.arange(40) % 4 == 0
    p = calibrated(kind, np.zeros(3), fit_calibrator(kind, np.zeros(40), helped))
    assert p == pytest.approx(0.25, abs=0.03)
