from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as reference

from transfer_meta.evaluation import classification


@st.composite
def labelled_pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    n = draw(st.integers(1, 30))
    truth = draw(hnp.arrays(int, n, elements=st.integers(0, 1)))
    # A coarse grid makes ties, 0 and 1 likely.
    probability = draw(hnp.arrays(float, n, elements=st.integers(0, 8).map(lambda v: v / 8)))
    return truth, probability


@given(labelled_pairs())
def test_equals_scikit_learn(pairs: tuple[np.ndarray, np.ndarray]) -> None:
    truth, probability = pairs
    label = probability > 0.5
    assert classification.accuracy(truth, label) == pytest.approx(
        reference.accuracy_score(truth, label)
    )
    assert classification.f1(truth, label) == pytest.approx(
        reference.f1_score(truth, label, zero_division=0)
    )
    assert classification.brier(truth, probability) == pytest.approx(
        np.mean((truth - probability) ** 2)
    )
    assert classification.log_loss(truth, probability) == pytest.approx(
        reference.log_loss(truth, probability, labels=[0, 1])
    )
    if 0 < truth.sum() < len(truth):
        assert classification.auroc(truth, probability) == pytest.approx(
            reference.roc_auc_score(truth, probability)
        )
    else:
        assert np.isnan(classification.auroc(truth, probability))


@given(labelled_pairs(), st.randoms(use_true_random=False))
def test_a_weight_counts_a_pair_that_often(pairs: tuple[np.ndarray, np.ndarray], random) -> None:
    truth, probability = pairs
    weight = np.array([random.randrange(4) for _ in truth])
    repeated = np.repeat(np.arange(len(truth)), weight)
    for metric in (classification.accuracy, classification.f1):
        expected = metric(truth[repeated], probability[repeated] > 0.5)
        np.testing.assert_allclose(metric(truth, probability > 0.5, weight=weight), expected)
    for metric in (classification.auroc, classification.brier, classification.log_loss):
        expected = metric(truth[repeated], probability[repeated])
        np.testing.assert_allclose(metric(truth, probability, weight=weight), expected)


def test_a_stack_of_repeats_equals_one_by_one() -> None:
    random = np.random.default_rng(0)
    truth = random.integers(0, 2, 20)
    probability = random.integers(0, 5, (3, 4, 20)) / 4
    for metric in (classification.auroc, classification.brier, classification.log_loss):
        stacked = metric(truth, probability)
        assert stacked.shape == (3, 4)
        for index in np.ndindex(3, 4):
            assert stacked[index] == pytest.approx(metric(truth, probability[index]))
    weight = random.integers(0, 3, (6, 20))
    for metric in (classification.auroc, classification.f1, classification.accuracy):
        stacked = metric(truth, probability[0, 0] > 0.5, weight=weight)
        one_by_one = [metric(truth, probability[0, 0] > 0.5, weight=row) for row in weight]
        np.testing.assert_allclose(stacked, one_by_one)


def test_f1_of_the_trivial_predictors() -> None:
    truth = np.array([1] * 40 + [0] * 50)
    # All positive: precision 40/90, recall 1.
    assert classification.f1(truth, np.ones(90)) == pytest.approx(2 * (40 / 90) / (1 + 40 / 90))
    assert classification.f1(truth, np.zeros(90)) == 0
    assert classification.f1(np.zeros(5), np.zeros(5)) == 0


def test_undefined_cases() -> None:
    assert np.isnan(classification.auroc([1, 1], [0.1, 0.2]))
    assert classification.auroc([0, 1, 1], [0.5, 0.5, 0.5]) == 0.5
    assert np.isnan(classification.accuracy([], []))
    assert classification.log_loss([1], [0.0]) == pytest.approx(-np.log(np.finfo(float).eps))


@given(labelled_pairs())
def test_auroc_of_the_reversed_score_is_the_complement(pairs: tuple[np.ndarray, np.ndarray]) -> None:
    truth, score = pairs
    forward, backward = classification.auroc(truth, score), classification.auroc(truth, -score)
    assert np.isnan(forward) or forward == pytest.approx(1 - backward)
