"""One contract for all predictors: whatever the registry holds keeps it."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import estimator_checks_generator

from transfer_meta.errors import InputError
from transfer_meta.predictors import PREDICTORS, Prediction, TransferPredictor, make_predictor
from transfer_meta.predictors.registry import SIMILARITIES
from transfer_meta.records import ID_COLUMNS

CHEAP = {
    "n_trials": 2,
    "n_splits": 2,
    "n_repeats": 1,
    "n_estimators": 20,
    "predictor__n_estimators": 20,
}
"""Settings of the slow predictors here."""

TAKE_ARRAYS = [
    name for name in PREDICTORS if (p := make_predictor(name)).uses_features and not p.uses_names
]


def make(name: str):
    predictor = make_predictor(name, random_state=0)
    return predictor.set_params(**{k: CHEAP[k] for k in CHEAP.keys() & predictor.get_params()})


@cache
def fitted(name: str):
    """A predictor fitted on `pairs`, shared by the tests that do not change it."""
    return make(name).fit(*pairs())


@cache
def out_of_fold(name: str) -> list[Prediction]:
    return make(name).predict_folds(*pairs(), folds_of(name))


@cache
def pairs() -> tuple[pd.DataFrame, np.ndarray]:
    """42 pairs of 7 tasks, so that six training targets remain when one is held out."""
    random = np.random.default_rng(0)
    tasks = {f"t{i}": random.normal(size=3) for i in range(7)}
    rows = [(s, t) for t in tasks for s in tasks if s != t]
    X = pd.DataFrame({"setting": "", "source": [s for s, _ in rows], "target": [t for _, t in rows]})
    for i, feature in enumerate(("size", "grad_30", "label_entropy")):
        X[f"target.{feature}"] = [tasks[t][i] for _, t in rows]
        X[f"source.{feature}"] = [tasks[s][i] for s, _ in rows]
    for feature, *_ in SIMILARITIES.values():
        X[f"pair.{feature}"] = random.normal(size=len(X))
    y = 0.1 * (X["target.size"] - X["source.size"]).to_numpy() + 0.02 * random.normal(size=len(X))
    return X, y


def folds_of(name: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Three held-out targets; one for a predictor that leaves the loop over folds to its base class."""
    held = pairs()[0]["target"].to_numpy()
    batched = type(make(name)).predict_folds is not TransferPredictor.predict_folds
    targets = np.unique(held)[: 3 if batched else 1]
    return [(np.flatnonzero(held != t), np.flatnonzero(held == t)) for t in targets]


def assert_equal(one: Prediction, other: Prediction) -> None:
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("name", PREDICTORS)
class TestEveryPredictor:
    def test_shapes_and_ranges(self, name: str) -> None:
        X, _ = pairs()
        predictor = fitted(name)
        probability = predictor.predict_proba(X)
        assert probability.shape == (len(X), 2)
        assert np.allclose(probability.sum(axis=1), 1)
        assert (probability >= 0).all()
        assert predictor.predict(X).shape == predictor.decision_function(X).shape == (len(X),)
        assert np.isfinite(predictor.predict(X)).all()
        assert np.isfinite(predictor.decision_function(X)).all()

    def test_same_seed_same_numbers(self, name: str) -> None:
        X, y = pairs()
        assert_equal(fitted(name).predict_pairs(X), clone(make(name)).fit(X, y).predict_pairs(X))

    def test_folds_are_what_single_fits_give(self, name: str) -> None:
        if make(name).optimistic:
            pytest.skip("it looks at the test folds: that is what it is for")
        X, y = pairs()
        for (train, test), batched in zip(folds_of(name), out_of_fold(name), strict=True):
            single = make(name).fit(X.iloc[train], y[train]).predict_pairs(X.iloc[test])
            for a, b in zip(single, batched, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)

    def test_folds_do_not_depend_on_each_other(self, name: str) -> None:
        X, y = pairs()
        for fold, expected in zip(folds_of(name), out_of_fold(name), strict=True):
            assert_equal(make(name).predict_folds(X, y, [fold])[0], expected)

    def test_the_held_out_outcomes_do_not_matter(self, name: str) -> None:
        if make(name).optimistic:
            pytest.skip("it looks at the test folds: that is what it is for")
        X, y = pairs()
        for fold, before in list(zip(folds_of(name), out_of_fold(name), strict=True))[:2]:
            noisy = y.copy()
            noisy[fold[1]] = np.random.default_rng(9).normal(size=len(fold[1]))
            assert_equal(make(name).predict_folds(X, noisy, [fold])[0], before)

    @pytest.mark.parametrize("sign", [1, -1])
    def test_one_class_only(self, name: str, sign: int) -> None:
        X, y = pairs()
        prediction = make(name).fit(X, sign * (np.abs(y) + 0.01)).predict_pairs(X)
        assert np.isfinite(prediction.gain).all()
        assert np.isfinite(prediction.ranking).all()

    def test_unknown_features_are_no_obstacle(self, name: str) -> None:
        X, y = pairs()
        X = X.copy()
        X.loc[::3, "source.label_entropy"] = np.nan
        X["target.empty"] = np.nan
        assert np.isfinite(make(name).fit(X, y).predict(X)).all()

    def test_fit_leaves_its_settings_alone(self, name: str) -> None:
        assert str(fitted(name).get_params()) == str(make(name).get_params())

    def test_a_table_without_features_is_refused_by_those_that_need_them(self, name: str) -> None:
        X, y = pairs()
        bare = X[list(ID_COLUMNS)]
        predictor = make(name)
        needs = predictor.uses_features and predictor.needs_features
        if needs or "rule" in name or name in SIMILARITIES:
            with pytest.raises(InputError, match="needs"):
                predictor.check(bare)
        else:
            assert len(predictor.fit(bare, y).predict(bare)) == len(X)


@pytest.mark.parametrize("name", TAKE_ARRAYS)
def test_scikit_learns_own_checks(name: str) -> None:
    failed = [
        f"{r['check_name']}: {r['exception']}" for r in _checks(make(name)) if r["status"] == "failed"
    ]
    assert not failed, failed


def _checks(predictor) -> list[dict]:
    from sklearn.utils.estimator_checks import check_estimator

    deliberate = {"check_regressors_no_decision_function": "the ranking is a third kind of prediction"}
    return check_estimator(predictor, on_fail=None, on_skip=None, expected_failed_checks=deliberate)


def test_the_generator_covers_these_estimators() -> None:
    assert sum(1 for _ in estimator_checks_generator(make("logistic"))) > 30


def test_an_unknown_predictor_offers_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'lightgbm'"):
        make_predictor("lightgmb")
