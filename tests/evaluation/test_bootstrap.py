from __future__ import annotations

import numpy as np
import pytest

from transfer_meta.evaluation.bootstrap import bootstrap_over_targets, bootstrap_pooled
from transfer_meta.evaluation.metrics import METRICS, PairPredictions, PairTruth


def test_interval_of_a_mean_is_near_the_normal_one() -> None:
    values = np.random.default_rng(0).normal(0.3, 0.1, 200)
    low, high = bootstrap_over_targets(values, resamples=4000)
    half = 1.96 * values.std() / np.sqrt(200)
    assert low == pytest.approx(values.mean() - half, abs=0.003)
    assert high == pytest.approx(values.mean() + half, abs=0.003)
    narrow = bootstrap_over_targets(values, resamples=4000, level=0.5)
    assert low < narrow[0] < values.mean() < narrow[1] < high


def test_nan_is_left_out_and_one_value_has_no_interval() -> None:
    assert bootstrap_over_targets([0.1, np.nan, 0.4, 0.2]) == bootstrap_over_targets([0.1, 0.4, 0.2])
    assert np.isnan(bootstrap_over_targets([0.1, np.nan])).all()
    assert bootstrap_over_targets([0.5, 0.5, 0.5]) == pytest.approx((0.5, 0.5))


@pytest.mark.parametrize("key", [k for k, m in METRICS.items() if not m.per_target])
def test_pooled_equals_stacking_the_drawn_targets_rows(key: str) -> None:
    random = np.random.default_rng(5)
    target = np.repeat(["a", "b", "c", "d"], [5, 8, 3, 6])
    truth = PairTruth(target, gain=random.normal(size=len(target)))
    probability = np.round(random.random(len(target)), 1)
    predictions = PairPredictions(probability > 0.5, probability, probability)
    metric = METRICS[key]
    measured, predicted = truth.values(metric.truth), getattr(predictions, metric.prediction)
    draws = np.random.default_rng(9).multinomial(4, np.full(4, 1 / 4), size=300)
    values = []
    for draw in draws:
        drawn = np.repeat(["a", "b", "c", "d"], draw)
        rows = np.concatenate([np.flatnonzero(target == name) for name in drawn])
        values.append(metric.function(measured[rows], predicted[rows]))
    expected = np.nanquantile(values, [0.025, 0.975])
    got = bootstrap_pooled(key, truth, predictions, resamples=300, seed=9)
    np.testing.assert_allclose(got, expected)


def test_pooled_is_undefined_with_one_target_or_one_class() -> None:
    gain = np.array([0.1, -0.2, 0.3])
    predictions = PairPredictions(ranking=gain)
    assert np.isnan(bootstrap_pooled("auroc", PairTruth(np.array(["a"] * 3), gain), predictions)).all()
    two = PairTruth(np.array(["a", "b", "b"]), np.abs(gain))
    assert np.isnan(bootstrap_pooled("auroc", two, predictions)).all()
    with pytest.raises(ValueError, match="no pooled metric"):
        bootstrap_pooled("ndcg", two, predictions)
    with pytest.raises(ValueError, match="no pooled metric"):
        bootstrap_pooled("brier", two, predictions)
