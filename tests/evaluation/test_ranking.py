from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import rankdata, spearmanr
from sklearn.metrics import ndcg_score

from transfer_meta.evaluation import ranking

# Each by its definition on an order without ties: (truth in that order) -> value.


def dcg(gains: np.ndarray) -> float:
    return sum(gain / np.log2(place + 2) for place, gain in enumerate(gains))


def slow_ndcg(truth: np.ndarray, gains: np.ndarray, order: list[int], k: int) -> float:
    if np.ptp(gains) == 0:
        return np.nan
    return dcg(gains[order][:k]) / dcg(np.sort(gains)[::-1][:k])


def slow_linear(truth: np.ndarray, order: list[int], k: int = 99) -> float:
    return slow_ndcg(truth, truth - truth.min(), order, k)


def slow_exp(truth: np.ndarray, order: list[int]) -> float:
    rank = rankdata(-truth)
    return slow_ndcg(truth, 2 ** (len(truth) - rank) - 1, order, 99)


def slow_langrank(truth: np.ndarray, order: list[int]) -> float:
    relevance = np.clip(11 - rankdata(-truth), 0, None)
    return slow_ndcg(truth, 2**relevance - 1, order, 3)


def slow_regret(truth: np.ndarray, order: list[int], k: int) -> float:
    return 1 - max(truth[order][:k]) / max(truth)


def slow_regret_mean(truth: np.ndarray, order: list[int], k: int) -> float:
    return 1 - np.mean(truth[order][:k]) / np.mean(sorted(truth)[::-1][:k])


def slow_mean_rank(truth: np.ndarray, order: list[int]) -> float:
    return 1 + sum(truth > truth[order[0]])


def slow_hit(truth: np.ndarray, order: list[int]) -> float:
    return float(truth[order[0]] == truth.max())


METRICS: list[tuple[Callable, Callable]] = [
    (ranking.ndcg, slow_linear),
    (partial(ranking.ndcg, k=3), partial(slow_linear, k=3)),
    (ranking.ndcg_exp, slow_exp),
    (ranking.ndcg_langrank, slow_langrank),
    (partial(ranking.regret, k=1), partial(slow_regret, k=1)),
    (partial(ranking.regret, k=2), partial(slow_regret, k=2)),
    (partial(ranking.regret, k=3), partial(slow_regret, k=3)),
    (partial(ranking.regret, k=5), partial(slow_regret, k=5)),
    (partial(ranking.regret_mean, k=2), partial(slow_regret_mean, k=2)),
    (partial(ranking.regret_mean, k=5), partial(slow_regret_mean, k=5)),
    (ranking.mean_rank, slow_mean_rank),
    (ranking.hit, slow_hit),
]


@st.composite
def rankings(draw: st.DrawFn, max_n: int = 6) -> tuple[np.ndarray, np.ndarray]:
    n = draw(st.integers(1, max_n))
    truth = draw(hnp.arrays(float, n, elements=st.integers(1, 6).map(lambda v: v / 4)))
    prediction = draw(hnp.arrays(float, n, elements=st.integers(0, 3).map(float)))
    return truth, prediction


@settings(deadline=None, max_examples=60)
@given(rankings())
def test_every_metric_is_its_mean_over_all_orders_of_the_tied(pair) -> None:
    truth, prediction = pair
    orders = [
        list(order)
        for order in permutations(range(len(truth)))
        if all(np.diff(prediction[list(order)]) <= 0)
    ]
    for metric, slow in METRICS:
        expected = np.mean([slow(truth, order) for order in orders])
        np.testing.assert_allclose(metric(truth, prediction), expected, atol=1e-12, err_msg=str(metric))


@given(rankings(max_n=12))
def test_ndcg_equals_scikit_learn(pair) -> None:
    truth, prediction = pair
    if np.ptp(truth) == 0:
        assert np.isnan(ranking.ndcg(truth, prediction))
        return
    relevance = truth - truth.min()
    for k in (None, 1, 3, 20):
        expected = ndcg_score([relevance], [prediction], k=k)
        assert ranking.ndcg(truth, prediction, k=k) == pytest.approx(expected)
    gains = 2 ** (len(truth) - rankdata(-truth)) - 1
    assert ranking.ndcg_exp(truth, prediction) == pytest.approx(ndcg_score([gains], [prediction]))


@given(rankings(max_n=12))
def test_spearman_equals_scipy(pair) -> None:
    truth, prediction = pair
    if np.ptp(truth) == 0 or np.ptp(prediction) == 0:
        assert np.isnan(ranking.spearman(truth, prediction))
    else:
        expected = spearmanr(truth, prediction).statistic
        assert ranking.spearman(truth, prediction) == pytest.approx(expected)


@given(rankings(max_n=12), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(pair, random) -> None:
    truth, prediction = pair
    shuffled = list(range(len(truth)))
    random.shuffle(shuffled)
    for metric, _ in [*METRICS, (ranking.spearman, None)]:
        np.testing.assert_allclose(
            metric(truth[shuffled], prediction[shuffled]), metric(truth, prediction), atol=1e-12
        )


def test_a_stack_equals_one_by_one() -> None:
    random = np.random.default_rng(1)
    truth = random.integers(1, 9, (4, 7)) / 8
    prediction = random.integers(0, 6, (3, 4, 7)).astype(float)
    for metric, _ in [*METRICS, (ranking.spearman, None)]:
        stacked = metric(truth, prediction)
        assert stacked.shape == (3, 4)
        for repeat, target in np.ndindex(3, 4):
            one = metric(truth[target], prediction[repeat, target])
            np.testing.assert_allclose(stacked[repeat, target], one)


def test_the_true_order_is_perfect_and_the_reverse_is_worst() -> None:
    truth = np.array([0.9, 0.7, 0.6, 0.3, 0.2, 0.1])
    for metric in (
        ranking.ndcg,
        ranking.ndcg_exp,
        ranking.ndcg_langrank,
        ranking.hit,
        ranking.spearman,
    ):
        assert metric(truth, truth) == pytest.approx(1)
    assert ranking.regret(truth, truth, k=1) == 0
    assert ranking.regret_mean(truth, truth) == pytest.approx(0)
    assert ranking.mean_rank(truth, truth) == 1
    assert ranking.mean_rank(truth, -truth) == 6
    assert ranking.regret(truth, -truth, k=1) == pytest.approx(8 / 9)
    assert ranking.regret(truth, -truth, k=6) == 0


def test_regret_is_undefined_without_a_positive_best_score() -> None:
    assert np.isnan(ranking.regret([0.0, 0.0], [1, 2], k=1))
    assert np.isnan(ranking.regret_mean([0.0, 0.0], [1, 2]))


def test_ndcg_exp_of_many_sources_does_not_overflow() -> None:
    truth = np.arange(3000.0)
    with np.errstate(over="raise"):
        assert ranking.ndcg_exp(truth, truth) == pytest.approx(1)
