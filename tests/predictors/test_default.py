from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from many_tasks import grouped_tasks

from transfer_meta.predictors import make_predictor
from transfer_meta.predictors.default import DefaultPredictor, stack_weights


def test_a_member_that_says_nothing_gets_little_weight() -> None:
    random = np.random.default_rng(0)
    z = random.normal(size=3000)
    rankings = np.column_stack([z + random.normal(size=3000), random.normal(size=3000)])
    rankings /= rankings.std(axis=0)
    weights = stack_weights(rankings, z, np.ones(3000))
    assert weights.sum() == pytest.approx(1)
    assert weights[0] > 0.9
    # A few rows leave them nearly equal.
    assert stack_weights(rankings[:5], z[:5], np.ones(5))[1] > 0.3


def test_without_any_signal_the_weights_are_equal() -> None:
    assert stack_weights(np.zeros((4, 2)), np.ones(4), np.ones(4)).tolist() == [0.5, 0.5]


@pytest.mark.parametrize(("n_tasks", "both"), [(4, False), (5, False), (6, True), (20, True)])
def test_the_default_goes_by_the_number_of_targets(n_tasks: int, both: bool) -> None:
    X, y = grouped_tasks(n_tasks)
    fitted = DefaultPredictor().fit(X, y)
    members = [fitted.gp_, fitted.ridge_] if both else [fitted.gp_]
    assert (fitted.ridge_ is not None) == both
    expected = sum(w * m.ranking(X) for w, m in zip(fitted.weights_, members, strict=True))
    np.testing.assert_allclose(fitted.predict_pairs(X).ranking, expected)
    assert fitted.weights_.sum() == pytest.approx(1)


def test_scores_without_baselines_are_ranked_all_the_same() -> None:
    X, y = grouped_tasks(8)
    centred = y - pd.Series(y).groupby(X["target"]).transform("mean").to_numpy()
    fitted = make_predictor("default").fit(X, centred)
    assert not fitted.levels_known_
    assert fitted.weights_.tolist() == [0.5, 0.5]
    assert np.isfinite(fitted.predict_pairs(X).ranking).all()


@pytest.mark.parametrize("name", ["gp", "ridge", "knn-targets", "default"])
def test_tables_of_every_kind(name: str) -> None:
    """Missing pairs, sources that are no targets, an uneven number of settings, no features at all."""
    X, y = grouped_tasks(9, settings=("a", "b"))
    keep = (X["target"] < "k05") & ((X["setting"] == "a") | (X["source"] > "k03"))
    X, y = X[keep].reset_index(drop=True), y[keep]
    for columns in (list(X), ["setting", "source", "target"], ["source", "target"]):
        prediction = make_predictor(name).fit(X[columns], y).predict_pairs(X[columns].iloc[:4])
        assert all(np.isfinite(part).all() for part in prediction)
