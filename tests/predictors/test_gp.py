from __future__ import annotations

import numpy as np
import pytest
from many_tasks import by_target, grouped_tasks

from transfer_meta.predictors.gp import NOISE, GaussianProcessPredictor, leave_group_out
from transfer_meta.predictors.relative import group_codes, relative_truth
from transfer_meta.predictors.task_space import TaskSpace


def fit(X, z, weight=None, **settings):
    predictor = GaussianProcessPredictor(**settings)
    predictor.feature_names_in_ = np.array(list(X.columns[3:]), dtype=object)
    predictor.fit_ranking(X, z, np.ones(len(z)) if weight is None else weight)
    return predictor


def dense_posterior(predictor, X, z, weight, new):
    """The textbook formula on all rows, with the covariance spelled out."""
    space = TaskSpace(**predictor.space_)

    def covariance(a, b):
        settings_a, settings_b = (
            np.searchsorted(predictor.settings_, t["setting"].to_numpy(dtype=object)) for t in (a, b)
        )
        pairs = predictor._covariance(predictor._pairs(a), predictor._pairs(b), space)
        return pairs * predictor.kappa_[np.ix_(settings_a, settings_b)]

    gram = covariance(X, X) + np.diag(NOISE / weight)
    return covariance(new, X) @ np.linalg.solve(gram, z)


def test_settings_by_eigenvectors_equal_the_dense_formula() -> None:
    X, y = grouped_tasks(7, settings=("a", "b", "c"))
    X = X.drop(columns="pair.mean_textemb")
    z = relative_truth(y, group_codes(X))
    predictor = fit(X, z)
    expected = dense_posterior(predictor, X, z, np.ones(len(z)), X)
    np.testing.assert_allclose(predictor.ranking(X), expected, atol=1e-9)


def test_an_incomplete_table_equals_the_dense_formula_with_weights() -> None:
    X, y = grouped_tasks(7, settings=("a", "b"))
    X = X.drop(columns="pair.mean_textemb")
    keep = np.random.default_rng(0).random(len(X)) > 0.2
    X, y = X[keep].reset_index(drop=True), y[keep]
    z = relative_truth(y, group_codes(X))
    weight = np.random.default_rng(1).uniform(0.2, 1, len(z))
    predictor = fit(X, z, weight)
    expected = dense_posterior(predictor, X, z, weight, X)
    np.testing.assert_allclose(predictor.ranking(X), expected, atol=1e-9)


@pytest.mark.parametrize("keep", [1.0, 0.8])
def test_left_out_targets_need_no_refit(keep: float) -> None:
    X, y = grouped_tasks(7, settings=("a", "b"))
    X = X.drop(columns="pair.mean_textemb")
    chosen = np.random.default_rng(0).random(len(X)) < keep
    X, y = X[chosen].reset_index(drop=True), y[chosen]
    z = relative_truth(y, group_codes(X))
    predictor = fit(X, z)
    closed = predictor.inner_ranking(X, z, np.ones(len(z)))
    for train, test in by_target(X):
        # The same kernel, the rows of one target less.
        part = X.iloc[train].reset_index(drop=True)
        expected = dense_posterior(predictor, part, z[train], np.ones(len(train)), X.iloc[test])
        np.testing.assert_allclose(closed[test], expected, atol=1e-9)


def test_leave_group_out_equals_refits_on_a_plain_kernel() -> None:
    random = np.random.default_rng(0)
    points = random.normal(size=(20, 3))
    kernel, z = points @ points.T, random.normal(size=20)
    groups = np.repeat(np.arange(5), 4)
    closed = leave_group_out(np.linalg.inv(kernel + np.eye(20)), z, groups)
    for g in range(5):
        out, rest = groups == g, groups != g
        refit = kernel[np.ix_(out, rest)] @ np.linalg.solve(
            kernel[np.ix_(rest, rest)] + np.eye(16), z[rest]
        )
        np.testing.assert_allclose(closed[out], refit, atol=1e-10)


@pytest.mark.parametrize("settings", [("",), ("a", "b")])
def test_the_subset_of_regressors_is_near_the_exact_answer(settings: tuple[str, ...]) -> None:
    X, y = grouped_tasks(16, settings=settings)
    z = relative_truth(y, group_codes(X))
    exact, subset = fit(X, z).ranking(X), fit(X, z, max_rows=200).ranking(X)
    assert np.corrcoef(exact, subset)[0, 1] > 0.9
