from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from many_tasks import by_target, grouped_tasks
from scipy.stats import norm, rankdata
from sklearn.linear_model import LogisticRegression

from transfer_meta.errors import InputError
from transfer_meta.predictors import make_predictor
from transfer_meta.predictors.platt import fit_line, fit_platt, platt_probability
from transfer_meta.predictors.within_target import (
    WithinTarget,
    group_codes,
    levels_known,
    standardised_gains,
    target_folds,
)


def test_the_truth_is_the_mean_of_standardised_gain_and_normal_score() -> None:
    random = np.random.default_rng(0)
    y = random.normal(size=12)
    groups = np.repeat([0, 1], 6)
    expected = []
    for part in (y[:6], y[6:]):
        z = np.clip((part - part.mean()) / part.std(), -3, 3)
        score = norm.ppf((rankdata(part) - 0.5) / 6)
        expected += list((z + score / score.std()) / 2)
    np.testing.assert_allclose(standardised_gains(y, groups), expected, atol=1e-12)


def test_an_outlier_does_not_swallow_the_order_of_the_others() -> None:
    y = np.array([0.01, 0.02, 0.03, 0.04, -50.0])
    z = standardised_gains(y, np.zeros(5, dtype=int))
    assert (np.diff(z[:4]) > 0.1).all()


def test_scale_and_level_of_a_target_do_not_matter() -> None:
    y = np.random.default_rng(1).normal(size=8)
    groups = np.zeros(8, dtype=int)
    np.testing.assert_allclose(
        standardised_gains(y, groups), standardised_gains(0.01 * y - 3, groups), atol=1e-9
    )


def test_relative_features_of_a_full_target_are_centred_and_of_unknown_value_zero() -> None:
    random = np.random.default_rng(2)
    values = np.column_stack([random.normal(5, 3, 40), np.ones(40), np.full(40, np.nan)])
    groups = np.repeat([0, 1], 20)
    values[20:, 0] += 100
    relative = WithinTarget.fit(values).transform(values, groups)
    # Two rows of the training's mean are counted in: the centre is drawn a tenth of the way to it.
    assert abs(relative[:20, 0].mean() - relative[20:, 0].mean()) < 1
    assert (relative[:, 1:] == 0).all()
    assert np.isfinite(relative).all()


def test_groups_are_target_and_setting() -> None:
    X = pd.DataFrame({"setting": ["a", "b", "a"], "source": "s", "target": ["t", "t", "t"]})
    assert group_codes(X).tolist() == [0, 1, 0]


def test_scores_without_baselines_have_no_level() -> None:
    y, groups = np.array([0.1, -0.1, 0.3, -0.3]), np.array([0, 0, 1, 1])
    assert not levels_known(y, groups)
    assert levels_known(y + 1e-3, groups)


def test_inner_folds_hold_out_whole_targets() -> None:
    X = pd.DataFrame({"source": list("abcabcabc"), "target": list("xxxyyyzzz")})
    folds = target_folds(X, 3)
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(9))
    for train, test in folds:
        assert not set(X["target"].iloc[train]) & set(X["target"].iloc[test])
    assert target_folds(X.iloc[:3], 3) == []


@pytest.mark.parametrize("name", ["ridge", "default", "lambdarank"])
def test_rankings_alone_are_those_of_the_whole_prediction(name: str) -> None:
    X, y = grouped_tasks(7)
    weight = np.random.default_rng(5).uniform(0.2, 1, len(y))
    folds = by_target(X)[:3]
    whole = make_predictor(name).predict_folds(X, y, folds, weight)
    for ranking, prediction in zip(
        make_predictor(name).rank_folds(X, y, folds, weight), whole, strict=True
    ):
        np.testing.assert_array_equal(ranking, prediction.ranking)


def test_platt_is_the_logistic_fit_of_scikit_learn_on_smoothed_targets() -> None:
    random = np.random.default_rng(3)
    score = random.normal(size=4000)
    helped = random.random(4000) < 1 / (1 + np.exp(-(1.5 * score - 0.4)))
    a, b = fit_platt(score, helped)
    reference = LogisticRegression(C=1e6).fit(score[:, None], helped)
    assert a == pytest.approx(float(reference.coef_[0, 0]), rel=0.01)
    assert b == pytest.approx(float(reference.intercept_[0]), abs=0.01)


@pytest.mark.parametrize("helped", [np.ones(20, dtype=bool), np.zeros(20, dtype=bool)])
def test_one_class_is_never_certain(helped: np.ndarray) -> None:
    p = platt_probability(np.linspace(-2, 2, 20), fit_platt(np.linspace(-2, 2, 20), helped))
    assert ((p > 0) & (p < 1)).all()
    assert (p > 0.5).all() == helped[0]


def test_a_ranking_that_points_the_wrong_way_leaves_the_base_rate() -> None:
    score = np.linspace(-1, 1, 50)
    platt = fit_platt(score, score < 0)
    assert platt[0] == 0
    assert platt_probability(score, platt) == pytest.approx(0.5, abs=0.01)
    assert fit_line(score, -score).tolist() == pytest.approx([0, 0])


def test_the_line_is_least_squares() -> None:
    random = np.random.default_rng(4)
    x = random.normal(size=30)
    y = 0.3 * x + 0.1 + random.normal(size=30) * 0.01
    np.testing.assert_allclose(fit_line(x, y), np.polyfit(x, y, 1))


def test_bad_gains_and_lacking_columns_are_one_clear_line() -> None:
    X = pd.DataFrame({"source": ["a", "b"], "target": ["b", "a"], "pair.jsd": [0.1, 0.2]})
    with pytest.raises(InputError, match="as many finite gains as pairs"):
        make_predictor("ridge").fit(X, [np.nan, 1.0])
    with pytest.raises(InputError, match="needs a table with the column 'source'"):
        make_predictor("ridge").fit(np.ones((2, 2)), [0.0, 1.0])
    fitted = make_predictor("ridge").fit(X, [0.1, 0.2])
    with pytest.raises(InputError, match="lack the feature 'pair.jsd'"):
        fitted.predict(X.drop(columns="pair.jsd"))
