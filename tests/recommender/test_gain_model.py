from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from transfer_meta.predictors.within_target import WithinTarget, group_codes
from transfer_meta.recommender.gain_model import GainModel, MeanGainModel, relative_to
from transfer_meta.recommender.library import Library
from transfer_meta.recommender.training_pairs import TrainingPairs


@pytest.fixture(scope="module")
def training(library: Library) -> TrainingPairs:
    return TrainingPairs.from_library(library, "text")


@pytest.fixture(scope="module")
def gain_model(training: TrainingPairs) -> GainModel:
    return training.fit()


def of_target(training: TrainingPairs, name: str) -> pd.DataFrame:
    return training.X[training.X["target"] == name].reset_index(drop=True)


def test_terms_add_up_to_the_ranking_of_the_ridge_regression(
    training: TrainingPairs, gain_model: GainModel
) -> None:
    X = of_target(training, "film_a")
    effects = gain_model.effects(X, np.ones(len(X), dtype=bool))
    np.testing.assert_allclose(
        effects.sum(axis=1), gain_model.slope * gain_model.ridge.ranking(X), atol=1e-12
    )


def test_expected_gain_is_the_level_and_the_terms(
    training: TrainingPairs, gain_model: GainModel
) -> None:
    X, own = of_target(training, "rain_a"), training.target_features.loc["rain_a"].to_numpy(dtype=float)
    every = np.ones(len(X), dtype=bool)
    terms = gain_model.effects(X, every).to_numpy().sum(axis=1)
    np.testing.assert_allclose(
        gain_model.expected(X, own, every), gain_model.mean_gain.predict(own[None])[0] + terms
    )


def test_what_is_said_of_a_source_does_not_depend_on_new_ones(
    training: TrainingPairs, gain_model: GainModel
) -> None:
    X, own = of_target(training, "rain_a"), training.target_features.loc["rain_a"].to_numpy(dtype=float)
    new = X.assign(source=[f"new{i}" for i in range(len(X))])
    both = pd.concat([X, new], ignore_index=True)
    reference = np.arange(len(both)) < len(X)
    alone = gain_model.expected(X, own, np.ones(len(X), dtype=bool))
    np.testing.assert_allclose(gain_model.expected(both, own, reference)[: len(X)], alone, atol=1e-12)


def test_relative_to_every_row_is_within_target() -> None:
    random = np.random.default_rng(0)
    raw, centre, scale = random.normal(size=(7, 3)), random.normal(size=3), np.array([1.0, 2.0, 0.0])
    groups = group_codes(pd.DataFrame({"source": range(7), "target": "t"}))
    np.testing.assert_allclose(
        relative_to(raw, np.ones(7, dtype=bool), centre, scale),
        WithinTarget(centre, scale).transform(raw, groups),
    )


def test_relative_to_nothing_is_finite() -> None:
    found = relative_to(np.ones((2, 1)), np.zeros(2, dtype=bool), np.zeros(1), np.ones(1))
    np.testing.assert_allclose(found, 1.0)


def test_probability_rises_with_the_gain_and_doubt_draws_it_to_one_half(gain_model: GainModel) -> None:
    p = gain_model.probability(np.array([-0.1, 0.0, 0.1]))
    assert (np.diff(p) > 0).all()
    doubtful = gain_model.probability(np.array([-0.1, 0.0, 0.1]), doubt=3.0)
    assert (np.abs(doubtful - 0.5) <= np.abs(p - 0.5) + 1e-12).all()


def test_level_follows_features_that_tell_it() -> None:
    x = np.linspace(1.0, 5.0, 20)[:, None]
    model, left_out = MeanGainModel.fit(x, 0.1 * np.log1p(x[:, 0]))
    assert np.isfinite(model.penalty)
    assert np.corrcoef(left_out, x[:, 0])[0, 1] > 0.9
    assert model.predict(np.array([[5.0]]))[0] > model.predict(np.array([[1.0]]))[0]


def test_level_is_the_mean_where_features_say_nothing() -> None:
    random = np.random.default_rng(1)
    values = random.normal(size=30)
    model, left_out = MeanGainModel.fit(random.normal(size=(30, 8)), values)
    if np.isinf(model.penalty):
        np.testing.assert_allclose(model.predict(np.full((1, 8), 9.0)), values.mean())
        np.testing.assert_allclose(left_out, [(values.sum() - v) / 29 for v in values])
    # An unknown feature is an average one, whatever was learned.
    np.testing.assert_allclose(model.predict(np.full((1, 8), np.nan)), values.mean())


def test_left_out_level_does_not_know_the_target() -> None:
    x = np.arange(10.0)[:, None]
    y = np.zeros(10)
    changed = y.copy()
    changed[3] = 100.0
    before, after = MeanGainModel.fit(x, y)[1], MeanGainModel.fit(x, changed)[1]
    if np.isinf(MeanGainModel.fit(x, changed)[0].penalty):
        assert after[3] == before[3] == 0.0


def test_round_trip(gain_model: GainModel) -> None:
    again = GainModel.from_dict(gain_model.ridge, gain_model.to_dict())
    assert again.slope == gain_model.slope
    np.testing.assert_array_equal(again.platt, gain_model.platt)
    np.testing.assert_array_equal(again.mean_gain.coef, gain_model.mean_gain.coef)
    assert again.mean_gain.penalty == gain_model.mean_gain.penalty
