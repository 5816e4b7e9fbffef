from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_rel

from transfer_meta.evaluation.comparisons import NOT_SEPARABLE, compare, holm


def values(*columns: np.ndarray) -> dict:
    return {
        (f"p{i}", "all"): {f"t{j}": float(v) for j, v in enumerate(column)}
        for i, column in enumerate(columns)
    }


def test_holm_by_its_definition() -> None:
    p = np.array([0.02, 0.001, 0.5, 0.02, 0.04])
    # 5 · 0.001, then 4 · 0.02; 3 · 0.02 and 2 · 0.04 must not be smaller than what came before.
    np.testing.assert_allclose(holm(p), [0.08, 0.005, 0.5, 0.08, 0.08])
    assert len(holm(np.array([]))) == 0


def test_p_is_near_that_of_a_paired_t_test() -> None:
    random = np.random.default_rng(0)
    for shift in (0.0, 0.3, 0.6):
        a, b = random.normal(size=(2, 40))
        a += shift
        row = compare(values(a, b)).iloc[0]
        assert row["p"] == pytest.approx(ttest_rel(a, b).pvalue, abs=0.05)
        assert row["difference"] == pytest.approx((a - b).mean())
        assert row["ci_low"] < row["difference"] < row["ci_high"]


def test_no_winner_among_equals() -> None:
    """Ten predictors that differ by chance at ten targets: hardly ever is any called better than another."""
    random = np.random.default_rng(1)
    false = sum(
        (compare(values(*random.normal(size=(10, 10))), seed=k)["verdict"] != NOT_SEPARABLE).any()
        for k in range(60)
    )
    assert false <= 6


def test_a_clear_winner_is_named_in_the_direction_of_the_metric() -> None:
    random = np.random.default_rng(2)
    low = random.normal(size=15)
    high = low + 1 + 0.1 * random.normal(size=15)
    assert compare(values(high, low))["verdict"].tolist() == ["better"]
    assert compare(values(low, high))["verdict"].tolist() == ["worse"]
    assert compare(values(low, high), higher_is_better=False)["verdict"].tolist() == ["better"]


def test_many_comparisons_need_more() -> None:
    random = np.random.default_rng(3)
    a = random.normal(size=12)
    b = a + 0.35 + 0.45 * random.normal(size=12)
    alone = compare(values(a, b)).iloc[0]
    among = compare(values(a, b, *random.normal(size=(12, 12)))).iloc[0]
    assert alone["verdict"] == "worse"
    assert among["verdict"] == NOT_SEPARABLE
    assert among["p_holm"] > 10 * alone["p_holm"]


def test_undefined_targets_are_left_out_of_a_pair() -> None:
    a, b = np.array([0.1, 0.2, np.nan, 0.5]), np.array([0.0, np.nan, 0.3, 0.1])
    row = compare(values(a, b)).iloc[0]
    assert row["n"] == 2
    assert row["difference"] == pytest.approx(0.25)
    assert compare(values(a, np.full(4, np.nan))).empty
    assert compare({}).empty


def test_the_same_predictor_twice_is_not_separable() -> None:
    a = np.linspace(0, 1, 8)
    assert compare(values(a, a))["p"].tolist() == [1.0]
    # A constant lead has no spread to be judged by.
    assert compare(values(a, a + 0.1))["verdict"].tolist() == [NOT_SEPARABLE]
