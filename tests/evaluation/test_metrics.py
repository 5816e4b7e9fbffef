from __future__ import annotations

import numpy as np
import pytest

from transfer_meta.errors import InputError
from transfer_meta.evaluation import classification, ranking
from transfer_meta.evaluation.metrics import (
    METRICS,
    PairPredictions,
    PairTruth,
    evaluate,
    within_groups,
)

KEYS = ["accuracy", "f1", "auroc", "auroc_within_target", "brier", "log_loss", "ece", "spearman"]
KEYS += ["ndcg", "ndcg_exp", "ndcg@3", "ndcg@3_langrank"]
KEYS += ["regret@1", "regret@3", "regret@5", "regret_mean@5", "mean_rank", "hit@1"]


@pytest.fixture
def table() -> tuple[PairTruth, PairPredictions]:
    """Targets with 9, 1, 4 and 9 sources, rows shuffled; three repeats of predictions."""
    random = np.random.default_rng(3)
    target = random.permutation(np.repeat(["d", "a", "c", "b"], [9, 1, 4, 9]))
    probability = random.random((3, len(target)))
    truth = PairTruth(target, gain=random.normal(0, 0.1, len(target)))
    return truth, PairPredictions(probability > 0.5, probability, probability)


def test_the_keys_are_the_published_ones() -> None:
    assert list(METRICS) == KEYS


def test_per_target_values_are_the_function_of_each_targets_rows(table) -> None:
    truth, predictions = table
    values = evaluate(truth, predictions)
    assert list(values) == KEYS
    for key, metric in METRICS.items():
        if not metric.per_target:
            assert values[key].shape == (3,)
            continue
        assert values[key].shape == (3, 4)
        for column, target in enumerate("abcd"):
            rows = truth.target == target
            measured = truth.values(metric.truth)[rows]
            for repeat in range(3):
                got = values[key][repeat, column]
                if target == "a":
                    assert np.isnan(got)
                else:
                    expected = metric.function(measured, predictions.ranking[repeat, rows])
                    np.testing.assert_allclose(got, expected)


def test_directions(table) -> None:
    """The truth as its own prediction beats its reverse, in the direction that the metric says."""
    truth, _ = table
    good = PairPredictions(truth.gain > 0, (truth.gain > 0) * 0.8 + 0.1, truth.gain)
    bad = PairPredictions(truth.gain <= 0, (truth.gain <= 0) * 0.8 + 0.1, -truth.gain)
    best, worst = evaluate(truth, good), evaluate(truth, bad)
    for key, metric in METRICS.items():
        difference = np.nanmean(best[key]) - np.nanmean(worst[key])
        assert difference > 0 if metric.higher_is_better else difference < 0, key


def test_gains_alone_and_scores_of_one_baseline_a_target_rank_alike(table) -> None:
    truth, predictions = table
    baseline = np.array([{"a": 0.5, "b": 0.6, "c": 0.7, "d": 0.8}[t] for t in truth.target])
    scored = PairTruth(truth.target, gain=truth.gain, score=baseline * (1 + truth.gain))
    only_scores = PairTruth(truth.target, score=baseline * (1 + truth.gain))
    expected = evaluate(truth, predictions)
    for key, values in evaluate(scored, predictions).items():
        np.testing.assert_allclose(values, expected[key], err_msg=key)
    ranked = evaluate(only_scores, predictions)
    assert set(ranked) == {k for k, m in METRICS.items() if m.truth != "label"}
    for key, values in ranked.items():
        np.testing.assert_allclose(values, expected[key], err_msg=key)


def test_what_is_not_predicted_is_absent_or_nan(table) -> None:
    truth, predictions = table
    only_ranking = evaluate(truth, PairPredictions(ranking=predictions.ranking))
    assert set(only_ranking) == {k for k, m in METRICS.items() if m.prediction == "ranking"}
    holes = predictions.ranking.copy()
    holes[1, np.flatnonzero(truth.target == "b")[0]] = np.nan
    values = evaluate(truth, PairPredictions(ranking=holes))
    assert np.isnan(values["auroc"]).tolist() == [False, True, False]
    for key in ("ndcg", "regret@3", "hit@1", "spearman"):
        undefined = np.isnan(values[key][:, 1:])  # target a has a single source
        np.testing.assert_array_equal(undefined, [[False] * 3, [True, False, False], [False] * 3])


def test_a_choice_of_metrics_and_an_unknown_one(table) -> None:
    assert list(evaluate(*table, metrics=["brier", "ndcg"])) == ["brier", "ndcg"]
    with pytest.raises(InputError, match="did you mean 'ndcg@3'"):
        evaluate(*table, metrics=["ndgc@3"])


def test_truth_needs_gains_or_scores() -> None:
    with pytest.raises(ValueError, match="neither"):
        PairTruth(np.array(["a"]))


def test_within_groups_broadcasts_truth_over_repeats() -> None:
    groups = np.array([2, 1, 2, 1, 1])
    truth = np.array([1.0, 0.0, 0.0, 1.0, 1.0])
    predicted = np.array([[1, 0, 0, 1, 0], [0, 0, 0, 0, 0]], dtype=float)
    np.testing.assert_allclose(
        within_groups(classification.accuracy, groups, truth, predicted), [[2 / 3, 1], [1 / 3, 0.5]]
    )
    np.testing.assert_allclose(within_groups(ranking.hit, groups, truth, predicted[1]), [2 / 3, 0.5])
