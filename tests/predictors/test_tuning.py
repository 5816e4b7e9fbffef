from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from many_tasks import by_target, grouped_tasks
from scipy.stats import spearmanr

from transfer_meta.predictors import make_predictor
from transfer_meta.predictors.lambdarank import LambdaRankPredictor
from transfer_meta.predictors.tuning import SPACES, TunedPredictor, mean_spearman
from transfer_meta.predictors.within_target_logistic import RelativeLogisticPredictor


def test_the_ranking_figure_is_scipys_within_each_target_and_setting() -> None:
    X, y = grouped_tasks(6, settings=("a", "b"))
    folds = by_target(X)
    rankings = make_predictor("knn-targets").rank_folds(X, y, folds)
    expected = []
    for ranking, (_, test) in zip(rankings, folds, strict=True):
        for setting in ("a", "b"):
            rows = (X["setting"].iloc[test] == setting).to_numpy()
            expected.append(spearmanr(ranking[rows], y[test][rows]).statistic)
    assert mean_spearman(rankings, X, y, folds) == pytest.approx(np.mean(expected))


@pytest.mark.parametrize("predictor", [LambdaRankPredictor(), RelativeLogisticPredictor()])
def test_the_search_stays_within_its_space_and_the_training_rows(predictor) -> None:
    X, y = grouped_tasks(7)
    train = (X["target"] != "k00").to_numpy()
    tuned = TunedPredictor(predictor, n_trials=3)
    assert tuned.uses_names
    found = tuned.fit(X[train], y[train]).best_params_
    for name, (_, low, high) in SPACES[type(predictor).__name__].items():
        assert low <= found[name] <= high
    noisy = np.where(train, y, np.random.default_rng(0).normal(size=len(y)))
    assert TunedPredictor(predictor, n_trials=3).fit(X[train], noisy[train]).best_params_ == found


def test_many_features_of_the_table_do_not_drown_the_history() -> None:
    X, y = grouped_tasks(10, noise=0.1)
    random = np.random.default_rng(0)
    noise = pd.DataFrame(random.normal(size=(len(X), 200))).add_prefix("pair.noise_")
    noisy = pd.concat([X, noise], axis=1)
    ridge = make_predictor("ridge").fit(noisy, y)
    plain = make_predictor("ridge").fit(X, y)
    held = np.corrcoef(ridge.inner_ranking(noisy, y, y), y)[0, 1]
    assert held > 0.8 * np.corrcoef(plain.inner_ranking(X, y, y), y)[0, 1]
