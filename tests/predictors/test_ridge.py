from __future__ import annotations

import numpy as np
import pytest
from many_tasks import grouped_tasks, mean_spearman
from sklearn.linear_model import Ridge

from transfer_meta.predictors import make_predictor
from transfer_meta.predictors.ridge import leave_group_out_ridge
from transfer_meta.records import ID_COLUMNS


def test_left_out_groups_equal_refits() -> None:
    random = np.random.default_rng(0)
    X, groups = random.normal(size=(60, 5)), random.integers(0, 7, 60)
    y = X @ random.normal(size=5) + random.normal(size=60)
    penalties = (0.5, 3.0, 100.0)
    closed = leave_group_out_ridge(X, y, groups, penalties=penalties)
    for row, penalty in zip(closed, penalties, strict=True):
        for g in np.unique(groups):
            out = groups == g
            refit = Ridge(penalty, fit_intercept=False).fit(X[~out], y[~out])
            np.testing.assert_allclose(row[out], refit.predict(X[out]), atol=1e-10)


def test_weights_count_like_repetition() -> None:
    X, y = grouped_tasks(8)
    twice = np.r_[np.full(7, 1.0), np.full(len(y) - 7, 0.5)]
    ridge = make_predictor("ridge").fit(X, y, twice)
    assert np.isfinite(ridge.coef_).all()
    assert not np.allclose(ridge.predict(X), make_predictor("ridge").fit(X, y).predict(X))


@pytest.mark.parametrize("name", ["knn-targets", "ridge", "gp", "lambdarank", "default"])
def test_they_find_that_a_kind_helps_its_own(name: str) -> None:
    X, y = grouped_tasks(10, noise=0.1)
    popular = mean_spearman(make_predictor("source-popularity"), X, y)
    assert mean_spearman(make_predictor(name), X, y) > popular + 0.1


def test_without_history_outcomes_of_other_targets_are_no_feature() -> None:
    X, y = grouped_tasks(8)
    ridge = make_predictor("ridge-without-history").fit(X, y)
    own = [c for c in X if c not in ID_COLUMNS and not c.startswith("target.")]
    assert ridge.raw_features(X).shape == (len(X), len(own))
    assert len(ridge.coef_) == len(own)
