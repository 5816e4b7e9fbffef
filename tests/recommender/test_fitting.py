from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from known_tasks import NAMES, true_gain

from transfer_meta.errors import InputError
from transfer_meta.evaluation.conformal import fit_conformal
from transfer_meta.model import load_model
from transfer_meta.recommender.features import MODES
from transfer_meta.recommender.fitting import (
    Training,
    fit_recommender,
    load_recommender,
    shipped_recommender,
)
from transfer_meta.recommender.library import Library, open_library


@pytest.fixture(scope="module")
def training(library: Library) -> Training:
    return Training.of(library, "text")


def test_training_rows_are_the_mean_gains(training: Training) -> None:
    assert len(training.y) == 8 * 7
    for row, y in zip(training.X.itertuples(), training.y, strict=True):
        assert y == pytest.approx(true_gain(row.source, row.target), abs=0.02)


def test_without_leaves_a_task_out_in_both_roles(training: Training) -> None:
    rest = training.without("film_a")
    assert "film_a" not in {*rest.X["source"], *rest.X["target"]}
    assert len(rest.y) == 7 * 6


def test_held_out_is_what_a_fit_without_the_target_says(training: Training) -> None:
    advisor = training.without("rain_b").fit()
    rows = (training.X["target"] == "rain_b").to_numpy()
    own = training.own.loc["rain_b"].to_numpy(dtype=float)
    expected = advisor.expected(training.X[rows].reset_index(drop=True), own, np.ones(7, dtype=bool))
    np.testing.assert_allclose(training.held_out()[0, rows], expected)


def test_outcomes_of_a_held_out_target_do_not_reach_its_prediction(training: Training) -> None:
    changed = training.y.copy()
    own = ((training.X["target"] == "film_c") | (training.X["source"] == "film_c")).to_numpy()
    changed[own] = np.random.default_rng(0).normal(size=int(own.sum()))
    other = Training(training.X, changed, training.weight, training.own, training.tasks)
    rows = (training.X["target"] == "film_c").to_numpy()
    np.testing.assert_allclose(other.held_out()[:, rows], training.held_out()[:, rows])


def test_new_sources_know_nothing_of_their_own_outcomes(training: Training) -> None:
    changed = training.y.copy()
    changed[(training.X["source"] == "film_b").to_numpy()] += 1.0
    other = Training(training.X, changed, training.weight, training.own, training.tasks)
    rows = (training.X["source"] == "film_b").to_numpy()
    # The same quarter is left out with it, so nothing else of the fit has seen these outcomes either.
    np.testing.assert_allclose(other.held_out_sources()[rows], training.held_out_sources()[rows])


@pytest.mark.parametrize("mode", MODES)
def test_the_truth_is_found_on_held_out_targets(library: Library, mode: str) -> None:
    figures = shipped_recommender(library, mode).card["figures"]
    assert figures["spearman"] > 0.8
    assert figures["regret@3"] < 0.02
    assert figures["calibration_error"] < 0.25
    # The promise is kept on average over targets, of which there are eight.
    assert figures["coverage_promised"] == 0.9
    assert figures["coverage"] > 0.7


def test_the_interval_is_that_of_the_held_out_residuals(library: Library, training: Training) -> None:
    recommender = shipped_recommender(library, "text")
    assert recommender.conformal == fit_conformal(
        training.held_out()[0], training.y, training.X["target"], coverage=0.9
    )
    assert recommender.conformal_new.high_offset >= recommender.conformal.high_offset


def test_fitted_again_from_the_same_data_it_is_the_same(data: Path, library: Library) -> None:
    fitted, loaded = fit_recommender(library, "text"), shipped_recommender(library, "text")
    assert loaded.advisor.to_dict() == fitted.advisor.to_dict()
    np.testing.assert_array_equal(loaded.advisor.ridge.coef_, fitted.advisor.ridge.coef_)
    training = Training.of(library, "text")
    X = training.X[training.X["target"] == "film_a"].reset_index(drop=True)
    own, every = training.own.loc["film_a"].to_numpy(dtype=float), np.ones(len(X), dtype=bool)
    np.testing.assert_array_equal(
        loaded.advisor.expected(X, own, every), fitted.advisor.expected(X, own, every)
    )
    assert loaded.card["figures"] == fitted.card["figures"]
    assert (loaded.conformal, loaded.conformal_new) == (fitted.conformal, fitted.conformal_new)
    assert loaded.domain == fitted.domain
    assert {p.suffix for p in (data / "minilm_grid/models/text").iterdir()} == {".json", ".csv"}


def test_a_changed_model_is_refused(data: Path, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "model"
    shutil.copytree(data / "minilm_grid/models/text", folder)
    (folder / "state.json").write_text((folder / "state.json").read_text().replace("0", "1", 1))
    with pytest.raises(InputError, match="corrupt"):
        load_recommender(folder)


def test_a_model_of_something_else_is_refused(data: Path, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "model"
    shutil.copytree(data / "minilm_grid/models/text", folder)
    card = json.loads((folder / "card.json").read_text())
    del card["advisor"]
    (folder / "card.json").write_text(json.dumps(card))
    load_model(folder)
    with pytest.raises(InputError, match="not of a recommender"):
        load_recommender(folder)


def test_no_model_for_a_method_without_outcomes() -> None:
    with pytest.raises(
        InputError, match=r"no outcomes of method 'multitask' .*\(it has: intermediate\)"
    ):
        open_library(method="multitask")


def test_a_table_without_profiles_cannot_recommend(data: Path) -> None:
    import shutil

    folder = data / "bare"
    shutil.copytree(data / "minilm_grid", folder)
    (folder / "profiles" / "film_a.json").unlink()
    try:
        with pytest.raises(InputError, match="no profile of its task 'film_a'"):
            open_library("bare")
    finally:
        shutil.rmtree(folder)


def test_library_names(library: Library) -> None:
    assert library.sources == NAMES
    assert library.examples == (100, 40)
    assert library.count_outcomes("film_a") == 14
    assert library.count_outcomes("film_a", without="film_b") == 12
