from __future__ import annotations

import numpy as np
import pytest

from transfer_meta.errors import InputError
from transfer_meta.evaluation.conformal import Conformal, fit_conformal, interval_coverage


def residuals(
    n_targets: int, n: int, seed: int, *, spread: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """Residuals whose scale differs by target, and the targets."""
    random = np.random.default_rng(seed)
    scale = np.exp(spread * random.normal(size=n_targets))
    return (random.normal(size=(n_targets, n)) * scale[:, None]).ravel(), np.repeat(
        np.arange(n_targets), n
    )


def slow_offset(residual: np.ndarray, target: np.ndarray, coverage: float) -> float:
    """The definition, by loops: the level that covers left-out targets as often as promised, then its quantile."""
    size = np.abs(residual)
    weight = np.array([1 / np.sum(target == t) for t in target])
    others = np.array(
        [weight[(target != t) & (size < s)].sum() for s, t in zip(size, target, strict=True)]
    ) / (len(np.unique(target)) - 1)
    total = weight.sum()
    level = min(v for v in others if weight[others <= v + 1e-12].sum() / total >= coverage - 1e-9)
    return min(s for s in size if weight[size <= s].sum() / total >= level - 1e-9)


@pytest.mark.parametrize(("n_targets", "n", "coverage"), [(2, 3, 0.5), (7, 12, 0.9), (10, 9, 0.8)])
def test_the_offset_is_what_the_definition_says(n_targets: int, n: int, coverage: float) -> None:
    residual, target = residuals(n_targets, n, seed=n)
    keep = np.random.default_rng(1).random(len(residual)) < 0.8
    residual, target = residual[keep], target[keep]
    fitted = fit_conformal(np.zeros(len(residual)), residual, target, coverage=coverage)
    assert fitted.high_offset == pytest.approx(slow_offset(residual, target, coverage))
    assert fitted.low_offset == -fitted.high_offset
    assert fitted.n_targets == n_targets


@pytest.mark.parametrize("n_targets", [5, 10, 25])
def test_new_targets_are_covered_as_often_as_promised(n_targets: int) -> None:
    covered = []
    for seed in range(150):
        residual, target = residuals(n_targets + 1, 20, seed)
        new = target == n_targets
        fitted = fit_conformal(np.zeros((~new).sum()), residual[~new], target[~new])
        low, high = fitted.interval(np.zeros(new.sum()))
        covered.append(np.mean((residual[new] >= low) & (residual[new] <= high)))
    assert 0.85 <= np.mean(covered) <= 0.95


def test_a_target_with_many_pairs_weighs_no_more_than_one_with_few() -> None:
    few, target = residuals(6, 5, seed=3)
    many = np.concatenate([np.repeat(few[:5], 200), few[5:]])
    of_many = np.concatenate([np.zeros(1000, dtype=int), target[5:]])
    a, b = (fit_conformal(np.zeros(len(r)), r, t) for r, t in ((few, target), (many, of_many)))
    assert a.high_offset == pytest.approx(b.high_offset)


def test_coverage_is_of_each_target_against_the_others() -> None:
    residual, target = residuals(5, 8, seed=0)
    expected = np.linspace(-1, 1, len(residual))
    table = interval_coverage(expected, expected + residual, target, coverage=0.8)
    assert table["target"].tolist() == [0, 1, 2, 3, 4]
    for row in table.itertuples():
        own = target == row.target
        fitted = fit_conformal(expected[~own], (expected + residual)[~own], target[~own], coverage=0.8)
        assert row.width == pytest.approx(2 * fitted.high_offset)
        assert row.covered == pytest.approx(np.mean(np.abs(residual[own]) <= fitted.high_offset))
        assert row.n == 8


def test_one_target_has_nobody_to_be_calibrated_on() -> None:
    assert interval_coverage(np.zeros(3), np.ones(3), ["a"] * 3).empty
    fitted = fit_conformal(np.zeros(3), [0.1, 0.2, 0.3], ["a"] * 3, coverage=0.6)
    assert fitted.high_offset == 0.2


def test_unknown_pairs_are_left_out() -> None:
    truth, target = np.array([0.1, np.nan, -0.3, 0.2]), np.array(["a", "a", "b", "c"])
    with_gap = fit_conformal(np.zeros(4), truth, target)
    assert with_gap == fit_conformal(np.zeros(3), truth[[0, 2, 3]], target[[0, 2, 3]])


def test_an_interval_can_be_widened() -> None:
    low, high = Conformal(0.9, -0.1, 0.2, 12).interval(np.array([0.0, 1.0]), widen=2.0)
    np.testing.assert_allclose(low, [-0.2, 0.8])
    np.testing.assert_allclose(high, [0.4, 1.4])


def test_bad_input() -> None:
    with pytest.raises(InputError, match="between 0 and 1, got 90"):
        fit_conformal([0.0], [0.1], ["a"], coverage=90)
    with pytest.raises(InputError, match="no pair"):
        fit_conformal([np.nan], [0.1], ["a"])
