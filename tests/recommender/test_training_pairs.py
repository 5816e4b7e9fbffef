from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from known_tasks import (
    ALL_NAMES,
    FIRST_ENCODER,
    MORE_NAMES,
    NAMES,
    SECOND_ENCODER,
    make_task,
    second_gain,
    true_gain,
)

from transfer_meta.features.task_profile import profile_task
from transfer_meta.recommender.gain_model import GainModel
from transfer_meta.recommender.inputs import DESCRIPTION, SCORE_FEATURES, SCORES
from transfer_meta.recommender.library import Library
from transfer_meta.recommender.training_pairs import (
    N_SOURCE_FOLDS,
    TrainingPairs,
    encoder_of,
    find_twins,
)
from transfer_meta.records import Example, TaskProfile, TaskType
from transfer_meta.tasks import Task


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
    X = training.X[rows].reset_index(drop=True)
    expected = gain_model.expected(X, own, np.ones(7, dtype=bool), "toy-mini, 40 examples")
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
    # The same fold is left out with it, so nothing else of the fit has seen these outcomes either; only the mean
    # gain over the seven sources of other targets, which is the same for all sources of a target, is 1 / 7 higher.
    (after,), (before,) = (pairs.held_out_sources().values() for pairs in (other, training))
    np.testing.assert_allclose(after[rows], before[rows] + 1 / 7)


@pytest.fixture
def every(atlas_library: Library) -> TrainingPairs:
    return TrainingPairs.from_library(atlas_library, "text")


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[pd.DataFrame]:
    """The pairs that models were fitted on since."""
    seen: list[pd.DataFrame] = []
    fit = GainModel.fit.__func__  # type: ignore[attr-defined]

    def spy(cls: type[GainModel], X: pd.DataFrame, *arguments: object) -> GainModel:
        seen.append(X)
        return fit(cls, X, *arguments)

    monkeypatch.setattr(GainModel, "fit", classmethod(spy))
    return seen


def test_rows_of_several_settings(every: TrainingPairs) -> None:
    assert len(every.y) == 3 * 8 * 7
    assert [encoder_of(name) for name in every.settings] == [
        SECOND_ENCODER,
        SECOND_ENCODER,
        FIRST_ENCODER,
    ]
    assert every.targets == sorted(ALL_NAMES)
    for row, y in zip(every.X.itertuples(), every.y, strict=True):
        if encoder_of(row.setting) == FIRST_ENCODER:
            assert y == pytest.approx(true_gain(row.source, row.target), abs=0.02)
        else:
            how = "adapter" if "adapter" in row.setting else "finetune"
            assert y == pytest.approx(second_gain(row.source, row.target, how), abs=0.02)
    # Four seeds count more than two.
    assert every.weight[(every.X["source"] == "film_e").to_numpy()].min() > 0


def test_features_of_a_pair_are_relative_to_the_sources_of_its_setting(every: TrainingPairs) -> None:
    pair = every.X[(every.X["source"] == "film_c") & (every.X["target"] == "film_d")]
    assert list(pair["setting"]) == every.settings
    first, second = pair.iloc[0], pair.iloc[1]
    pd.testing.assert_series_equal(first.drop("setting"), second.drop("setting"), check_names=False)


def twin_profiles() -> Iterator[TaskProfile]:
    rows = list(make_task("one", ["film", "scene", "plot", "actor", "sky"], seed=5).examples())
    other = [e._replace(label=f"{e.label}!") for e in rows]
    new = list(make_task("new", ["rain", "cloud", "wind", "sun", "snow"], seed=6).examples())
    for name, examples in (
        ("one", rows),
        ("half", [*rows[:30], *new[:30]]),
        ("relabelled", other),
        ("apart", new),
    ):
        yield profile_task(Task.from_iterable(name, TaskType.CLASSIFICATION, {"train": examples}))
    numbers = [Example(e.text, float(i)) for i, e in enumerate(rows)]
    yield profile_task(Task.from_iterable("scores", TaskType.REGRESSION, {"train": numbers}))


def test_twins_have_the_same_labels_and_partly_the_same_texts() -> None:
    one, half, relabelled, apart, scores = twin_profiles()
    assert find_twins([one, relabelled, scores]) == {}
    assert find_twins([one, half, relabelled, scores]) == {"one": "one", "half": "one"}
    # What is a twin of a twin is of the same group, whatever the order.
    for order in itertools.permutations([one, half, apart]):
        assert len({find_twins(order)[p.name] for p in order}) == 1


def test_twins_are_held_out_together(every: TrainingPairs, fits: list[pd.DataFrame]) -> None:
    twins = replace(every, twins={"film_c": "film_c", "film_a": "film_c"})
    assert twins.group_of("film_a") == twins.group_of("film_c") == "film_c"
    rest = twins.without("film_a")
    assert not {"film_a", "film_c"} & {*rest.X["source"], *rest.X["target"]}
    assert len(twins.targets) == len(every.targets) - 1
    found = twins.held_out()
    assert np.isfinite(found).all()
    assert len(fits) == len(twins.targets)
    for X in fits:
        # Either both are there or neither.
        assert len({"film_a", "film_c"} & {*X["source"], *X["target"]}) in (0, 2)
    changed = every.y.copy()
    own = every.X[["source", "target"]].isin(["film_c"]).any(axis=1).to_numpy()
    changed[own] = np.random.default_rng(0).normal(size=int(own.sum()))
    rows = (every.X["target"] == "film_a").to_numpy()
    np.testing.assert_allclose(replace(twins, y=changed).held_out()[:, rows], found[:, rows])


def test_every_table_leaves_a_task_of_one_name_out(
    every: TrainingPairs, fits: list[pd.DataFrame]
) -> None:
    assert np.isfinite(every.held_out()).all()
    assert len(fits) == len(ALL_NAMES)
    for group, X in zip(every.targets, fits, strict=True):
        assert group not in {*X["source"], *X["target"]}
        assert X["setting"].nunique() == 3


def test_held_out_encoders_have_no_part_in_the_fit(
    every: TrainingPairs, fits: list[pd.DataFrame]
) -> None:
    found = every.held_out_encoders()
    assert np.isfinite(found).all()
    assert len(fits) == len(NAMES) + len(MORE_NAMES)
    for X in fits:
        assert X["setting"].map(encoder_of).nunique() == 1
    of_first = [X for X in fits if set(X["setting"].map(encoder_of)) == {FIRST_ENCODER}]
    # The second encoder's targets are predicted from the first one alone, each without itself.
    assert len(of_first) == len(MORE_NAMES)
    for name, X in zip(sorted(MORE_NAMES), of_first, strict=True):
        assert name not in {*X["source"], *X["target"]}
    changed = every.y.copy()
    own = every.X["setting"].map(encoder_of).eq(FIRST_ENCODER).to_numpy()
    changed[own] = np.random.default_rng(0).normal(size=int(own.sum()))
    again = replace(every, y=changed).held_out_encoders()
    np.testing.assert_allclose(again[:, own], found[:, own])


def test_one_encoder_cannot_be_held_out(training: TrainingPairs) -> None:
    assert np.isnan(training.held_out_encoders()).all()


def test_held_out_sources_of_several_settings(every: TrainingPairs, fits: list[pd.DataFrame]) -> None:
    assert every.untried_bases == (DESCRIPTION,)
    found = every.held_out_sources()
    assert list(found) == [DESCRIPTION]
    assert np.isfinite(found[DESCRIPTION]).all()
    left_out = [set(ALL_NAMES) - set(X["source"]) for X in fits]
    # Of each target a model without it alone, for its level, and one per fold without further sources.
    assert sorted(map(len, left_out)).count(1) >= len(ALL_NAMES)
    folds = [names for names in left_out if len(names) > 1]
    assert len(folds) == pytest.approx(N_SOURCE_FOLDS * len(ALL_NAMES), abs=N_SOURCE_FOLDS)
    assert {name for names in folds for name in names} == set(ALL_NAMES)
    changed = every.y.copy()
    changed[(every.X["source"] == "film_e").to_numpy()] += 1.0
    rows = (every.X["source"] == "film_e").to_numpy()
    # Only the mean gain over the seven sources of a target knows these outcomes.
    again = replace(every, y=changed).held_out_sources()
    known = every.X["setting"].map(encoder_of).eq(SECOND_ENCODER).to_numpy()
    np.testing.assert_allclose(
        again[DESCRIPTION][rows & known], found[DESCRIPTION][rows & known] + 1 / 7
    )


@pytest.fixture
def scored(scored_library: Library) -> TrainingPairs:
    return TrainingPairs.from_library(scored_library, "sources")


def is_scored(pairs: TrainingPairs) -> np.ndarray:
    """Which rows are of the encoder that the source encoders are of."""
    return pairs.X["setting"].map(encoder_of).eq(FIRST_ENCODER).to_numpy()


def test_scores_are_those_of_the_source_on_the_target(
    scored: TrainingPairs, scored_library: Library
) -> None:
    rows = scored.X[is_scored(scored)].set_index(["target", "source"])
    assert scored_library.scores is not None
    assert len(rows) == len(NAMES) * (len(NAMES) - 1)
    for name in SCORE_FEATURES:
        known = scored_library.scores[name].reindex(rows.index)
        assert known.notna().all()
        np.testing.assert_array_equal(rows[f"pair.{name}"], known)
    assert scored_library.scores_on("nobody", "toy-mini, 40 examples") is None
    assert scored_library.scores_on("film_a", "toy-mini, 40 examples").index.isin(ALL_NAMES).all()  # type: ignore[union-attr]
    # The other modes do not use them.
    for mode in ("text", "encoder"):
        X = TrainingPairs.from_library(scored_library, mode).X
        assert not {f"pair.{name}" for name in SCORE_FEATURES} & set(X)


def test_settings_of_other_encoders_have_no_scored_rows(
    scored: TrainingPairs, scored_library: Library
) -> None:
    values = scored.X[[f"pair.{name}" for name in SCORE_FEATURES]]
    np.testing.assert_array_equal(values.notna().all(axis=1), is_scored(scored))
    np.testing.assert_array_equal(values.isna().all(axis=1), ~is_scored(scored))
    for setting in scored_library.settings:
        for target in ("film_a", "film_c", "film_e"):
            # Whether or not the target has outcomes there.
            found = scored_library.scores_on(target, setting.name)
            assert (found is None) == (setting.encoder != FIRST_ENCODER)
    # They tell nothing apart in these settings: it is as if there were no scores.
    unscored = replace(scored_library, scores=None)
    other = TrainingPairs.from_library(unscored, "sources").X[~is_scored(scored)]
    pd.testing.assert_frame_equal(scored.X[~is_scored(scored)], other)
    # The order of the settings does not matter, but which one's runs can be repeated here.
    turned = replace(scored_library, settings=scored_library.settings[::-1])
    assert turned.trained.encoder == SECOND_ENCODER
    assert turned.scores_on("film_c", "toy-mini, 40 examples") is None
    assert turned.scores_on("film_c", "toy-encoder, 400 examples") is not None


def test_sources_are_held_out_once_for_each_basis(scored: TrainingPairs) -> None:
    one = ((scored.X["source"] == "film_a") & (scored.X["target"] == "rain_a")).to_numpy()
    assert (one & is_scored(scored)).any()
    unscored = one | ~is_scored(scored)
    X = scored.X.copy()
    X.loc[unscored, [f"pair.{name}" for name in SCORE_FEATURES]] = np.nan
    some = replace(scored, X=X)
    assert some.untried_bases == (DESCRIPTION, SCORES)
    found = some.held_out_sources()
    assert list(found) == [DESCRIPTION, SCORES]
    assert np.isfinite(found[DESCRIPTION]).all()
    # A pair without a score is not ranked by it.
    np.testing.assert_array_equal(np.isnan(found[SCORES]), unscored)
    assert unscored.any()
    X.loc[:, [f"pair.{name}" for name in SCORE_FEATURES]] = np.nan
    none = replace(scored, X=X).held_out_sources()
    assert list(none) == [DESCRIPTION]
    np.testing.assert_allclose(none[DESCRIPTION], found[DESCRIPTION])


def test_a_held_out_source_is_ranked_by_its_scores_and_not_by_its_outcomes(
    scored: TrainingPairs,
) -> None:
    rows = (scored.X["source"] == "film_d").to_numpy()
    by_score = rows & is_scored(scored)
    assert by_score.any()
    changed = scored.y.copy()
    changed[rows] += 1.0
    before, after = (pairs.held_out_sources() for pairs in (scored, replace(scored, y=changed)))
    for basis, ranked in ((DESCRIPTION, rows), (SCORES, by_score)):
        np.testing.assert_allclose(after[basis][ranked], before[basis][ranked] + 1 / 7)
    assert np.isnan(before[SCORES][rows & ~by_score]).all()
    # Other scores of it are another prediction, by its scores alone.
    X = scored.X.copy()
    X.loc[rows, [f"pair.{name}" for name in SCORE_FEATURES]] += 0.05
    again = replace(scored, X=X).held_out_sources()
    np.testing.assert_allclose(again[DESCRIPTION][rows], before[DESCRIPTION][rows])
    assert (again[SCORES][by_score] > before[SCORES][by_score]).all()
