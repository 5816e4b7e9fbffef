from __future__ import annotations

import numpy as np
import pytest
from known_tasks import true_gain

from transfer_meta.recommender.library import Library
from transfer_meta.recommender.training_pairs import TrainingPairs


@pytest.fixture(scope="module")
def training(library: Library) -> TrainingPairs:
    return TrainingPairs.from_library(library, "text")


def test_training_rows_are_the_mean_gains(training: TrainingPairs) -> None:
    assert len(training.y) == 8 * 7
    for row, y in zip(training.X.itertuples(), training.y, strict=True):
        assert y == pytest.approx(true_gain(row.source, row.target), abs=0.02)


def test_without_leaves_a_task_out_in_both_roles(training: TrainingPairs) -> None:
    rest = training.without("film_a")
    assert "film_a" not in {*rest.X["source"], *rest.X["target"]}
    assert len(rest.y) == 7 * 6


def test_held_out_is_what_a_fit_without_the_target_says(training: TrainingPairs) -> None:
    gain_model = training.without("rain_b").fit()
    rows = (training.X["target"] == "rain_b").to_numpy()
    own = training.target_features.loc["rain_b"].to_numpy(dtype=float)
    expected = gain_model.expected(training.X[rows].reset_index(drop=True), own, np.ones(7, dtype=bool))
    np.testing.assert_allclose(training.held_out()[0, rows], expected)


def test_outcomes_of_a_held_out_target_do_not_reach_its_prediction(training: TrainingPairs) -> None:
    changed = training.y.copy()
    own = ((training.X["target"] == "film_c") | (training.X["source"] == "film_c")).to_numpy()
    changed[own] = np.random.default_rng(0).normal(size=int(own.sum()))
    other = TrainingPairs(training.X, changed, training.weight, training.target_features)
    rows = (training.X["target"] == "film_c").to_numpy()
    np.testing.assert_allclose(other.held_out()[:, rows], training.held_out()[:, rows])


def test_new_sources_know_nothing_of_their_own_outcomes(training: TrainingPairs) -> None:
    changed = training.y.copy()
    changed[(training.X["source"] == "film_b").to_numpy()] += 1.0
    other = TrainingPairs(training.X, changed, training.weight, training.target_features)
    rows = (training.X["source"] == "film_b").to_numpy()
    # The same quarter is left out with it, so nothing else of the fit has seen these outcomes either.
    np.testing.assert_allclose(other.held_out_sources()[rows], training.held_out_sources()[rows])
