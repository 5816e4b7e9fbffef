from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_selection import RFE
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import MinMaxScaler

from transfer_meta.predictors.logistic_solver import eliminate, scale_and_fill, solve, with_intercept


def problem(seed: int, n: int = 40, p: int = 6) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    X = random.normal(size=(n, p)) * random.uniform(0.1, 100, p)
    return X, random.normal(size=n) + X[:, 0] / np.abs(X[:, 0]).max() > 0


def subsets(n: int, count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).random((count, n)) < 0.7


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.01, 1.0, 100.0]))
def test_it_solves_what_liblinear_solves(seed: int, C: float) -> None:
    X, y = problem(seed)
    train = subsets(len(y), 3, seed)
    scaled = scale_and_fill(X, train)[0]
    ours = solve(with_intercept(scaled), y, train, C=C)
    for row, mask, w in zip(scaled, train, ours, strict=True):
        if len(set(y[mask])) < 2:
            continue
        theirs = LogisticRegression(C=C, solver="liblinear", tol=1e-10, max_iter=100_000)
        theirs.fit(row.T[mask], y[mask])
        np.testing.assert_allclose(w[:-1], theirs.coef_[0], rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(w[-1], theirs.intercept_[0], rtol=1e-3, atol=1e-4)


def test_the_gradient_is_zero_at_the_solution() -> None:
    X, y = problem(3)
    train = subsets(len(y), 4)
    A = with_intercept(scale_and_fill(X, train)[0])
    w = solve(A, y, train, C=10.0)
    probability = 1 / (1 + np.exp(-np.einsum("bp,bpn->bn", w, A)))
    gradient = w + 10.0 * np.einsum("bpn,bn->bp", A, train * (probability - y))
    assert np.abs(gradient).max() < 1e-6


def test_a_problem_does_not_depend_on_the_others_in_its_stack() -> None:
    X, y = problem(5)
    train = subsets(len(y), 20)
    together = solve(with_intercept(scale_and_fill(X, train)[0]), y, train)
    for i in range(20):
        alone = solve(with_intercept(scale_and_fill(X, train[i : i + 1])[0]), y, train[i : i + 1])
        assert np.array_equal(alone[0], together[i])


def test_separable_data_converge() -> None:
    X = np.linspace(-1, 1, 30)[:, None]
    train = np.ones((1, 30), dtype=bool)
    w = solve(with_intercept(scale_and_fill(X, train)[0]), X[:, 0] > 0, train, C=1e6)
    assert np.isfinite(w).all()


def test_scaling_and_filling_see_training_rows_only() -> None:
    X, _ = problem(7)
    X[3, 2] = np.nan
    X[:, 4] = 5.0
    train = subsets(len(X), 3)
    scaled, _, _, fill = scale_and_fill(X, train)
    for row, mask, filled in zip(scaled, train, fill, strict=True):
        median = np.nanmedian(X[mask], axis=0)
        np.testing.assert_allclose(filled, median)
        complete = np.where(np.isnan(X), median, X)
        np.testing.assert_allclose(
            row.T, MinMaxScaler().fit(complete[mask]).transform(complete), atol=1e-9
        )


def test_a_feature_that_is_unknown_in_training_is_zero() -> None:
    X, _ = problem(8)
    X[:20, 1] = np.nan
    train = np.arange(len(X))[None] < 20
    assert (scale_and_fill(X, train)[0][0, 1] == 0).all()


def test_elimination_drops_in_scikit_learns_order() -> None:
    X, y = problem(11, n=60, p=7)
    train = np.ones((1, 60), dtype=bool)
    scaled = scale_and_fill(X, train)[0]
    order, margin = eliminate(scaled, y, train)
    theirs = RFE(
        LogisticRegression(solver="liblinear", tol=1e-10, max_iter=10_000), n_features_to_select=1
    )
    theirs.fit(scaled[0].T, y)
    assert order[0].tolist() == np.argsort(-theirs.ranking_).tolist()
    for size in (1, 4, 7):
        w = solve(with_intercept(scaled[:, order[0, -size:]]), y, train)[0]
        np.testing.assert_allclose(
            margin[size - 1, 0], w[:-1] @ scaled[0, order[0, -size:]] + w[-1], atol=1e-6
        )


@pytest.mark.parametrize("rows", [1, 2])
def test_tiny_training_sets(rows: int) -> None:
    X, y = problem(13)
    train = np.arange(len(y))[None] < rows
    assert np.isfinite(solve(with_intercept(scale_and_fill(X, train)[0]), y, train)).all()
