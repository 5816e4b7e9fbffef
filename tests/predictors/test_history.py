from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from many_tasks import grouped_tasks

from transfer_meta.predictors.history import HISTORY_FEATURES, history_features
from transfer_meta.predictors.outcome_tensor import PRIOR_SETTING_SIMILARITY, OutcomeTensor, index_in
from transfer_meta.predictors.task_kernel import TaskKernel


def fitted(X: pd.DataFrame, z: np.ndarray, weight: np.ndarray | None = None):
    grid = OutcomeTensor.from_pairs(X, z, np.ones(len(z)) if weight is None else weight)
    columns = [c for c in X if c not in ("setting", "source", "target")]
    return grid, TaskKernel.fit(X, columns, grid, z)


def slow_popularity(X: pd.DataFrame, z: np.ndarray, row: int) -> float:
    """The mean over the other targets' rows of the same source and setting, one target of 0 counted in."""
    this = X.iloc[row]
    others = (
        (X["source"] == this["source"])
        & (X["setting"] == this["setting"])
        & (X["target"] != this["target"])
    )
    return float(z[others].sum() / (others.sum() + 1))


def test_popularity_is_a_shrunk_mean_over_the_other_targets() -> None:
    X, z = grouped_tasks(8, settings=("a", "b"))
    grid, space = fitted(X, z)
    features = history_features(grid, X, space)
    for row in range(0, len(X), 13):
        assert features[row, 0] == pytest.approx(slow_popularity(X, z, row))


def test_nearness_weighs_the_mean() -> None:
    X, z = grouped_tasks(8)
    grid, space = fitted(X, z)
    near = history_features(grid, X, space)[:, HISTORY_FEATURES.index("near")]
    kernel = space.kernel(grid.targets, grid.targets)
    for row in (0, 17, 40):
        t = int(np.searchsorted(grid.targets, X["target"][row]))
        weight = kernel[t].copy()
        weight[t] = 0
        weight /= weight.max()
        others = X[(X["source"] == X["source"][row]) & (X["target"] != X["target"][row])].index
        w = weight[np.searchsorted(grid.targets, X["target"][others])]
        assert near[row] == pytest.approx(float(w @ z[others] / (w.sum() + 1)))


def test_a_rows_own_target_never_enters_its_features() -> None:
    X, z = grouped_tasks(8, settings=("a", "b"))
    own = (X["target"] == "k03").to_numpy()
    noisy = z.copy()
    noisy[own] = np.random.default_rng(5).normal(size=own.sum())
    before, after = (
        history_features(*(lambda g, s: (g, X, s))(*fitted(X, truth)))[own] for truth in (z, noisy)
    )
    popularity = [HISTORY_FEATURES.index("popularity"), HISTORY_FEATURES.index("mutual")]
    np.testing.assert_allclose(before[:, popularity[0]], after[:, popularity[0]])


def test_mutual_is_how_much_the_target_helped_the_source_beyond_its_mean() -> None:
    X, z = grouped_tasks(6)
    grid, space = fitted(X, z)
    mutual = history_features(grid, X, space)[:, HISTORY_FEATURES.index("mutual")]
    row = 7
    helper, helped = X["target"][row], X["source"][row]
    gains = z[(X["source"] == helper)]
    this = z[(X["source"] == helper) & (X["target"] == helped)][0]
    assert mutual[row] == pytest.approx(this - gains.mean())


def test_what_is_unknown_is_zero() -> None:
    X, z = grouped_tasks(6)
    grid, space = fitted(X, z)
    new = X.iloc[:3].assign(source="new", target=["x", "y", "x"])
    np.testing.assert_array_equal(history_features(grid, new, space.extended(new)), 0.0)


def test_a_new_setting_gets_the_means_over_all() -> None:
    X, z = grouped_tasks(6, settings=("a", "b"))
    grid, space = fitted(X, z)
    elsewhere = history_features(grid, X.iloc[:5].assign(setting="c"), space)
    assert elsewhere[:, 0] == pytest.approx(elsewhere[:, 1])


def test_weights_count_like_repetition() -> None:
    X, z = grouped_tasks(5)
    doubled = OutcomeTensor.from_pairs(
        pd.concat([X, X.iloc[:4]]), np.concatenate([z, z[:4]]), np.ones(len(z) + 4)
    )
    weighted = OutcomeTensor.from_pairs(X, z, np.r_[np.full(4, 2.0), np.ones(len(z) - 4)])
    np.testing.assert_allclose(doubled.z, weighted.z)
    np.testing.assert_allclose(doubled.weight, weighted.weight)


def test_settings_that_agree_are_alike() -> None:
    X, z = grouped_tasks(20, settings=("a", "b", "c"), noise=0.0)
    z = z.copy()
    z[X["setting"] == "c"] = np.random.default_rng(0).permutation(z[X["setting"] == "c"])
    likeness = OutcomeTensor.from_pairs(X, z - z.mean(), np.ones(len(z))).setting_similarity()
    assert likeness[0, 1] > 0.9
    assert likeness[0, 2] < 0.4
    assert np.linalg.eigvalsh(likeness)[0] > 0
    none = OutcomeTensor.from_pairs(X.iloc[[0, -1]], z[[0, -1]], np.ones(2)).setting_similarity()
    assert none[0, 1] == pytest.approx(PRIOR_SETTING_SIMILARITY)


def test_sources_that_help_the_same_targets_play_one_role() -> None:
    X, z = grouped_tasks(12, noise=0.05)
    grid = OutcomeTensor.from_pairs(X, z, np.ones(len(z)))
    role = grid.role_similarity()
    even = np.arange(12) % 2 == 0
    off = ~np.eye(12, dtype=bool)
    assert role[np.ix_(even, even)][off[:6, :6]].mean() > role[np.ix_(even, ~even)].mean() + 0.3
    assert ((role >= 0) & (role <= 1)).all()


def test_find() -> None:
    axis = np.array(["a", "c"], dtype=object)
    assert index_in(axis, np.array(["c", "b", "a", "z"], dtype=object)).tolist() == [1, -1, 0, -1]
