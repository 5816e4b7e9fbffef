from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from known_tasks import HARMFUL, HELPFUL

from transfer_meta.predictors.group_ridge import GroupRidgePredictor
from transfer_meta.predictors.history import HISTORY_FEATURES
from transfer_meta.predictors.within_target import WithinTarget, group_codes
from transfer_meta.recommender.gain_model import (
    MAX_NEW_SIMILARITY,
    GainModel,
    MeanGainModel,
    relative_to,
)
from transfer_meta.recommender.inputs import (
    BASES,
    DESCRIPTION,
    NEW_SOURCE_COLUMNS,
    OUTCOMES,
    SCORE_FEATURES,
    SCORES,
)
from transfer_meta.recommender.library import Library
from transfer_meta.recommender.training_pairs import TrainingPairs

ONLY = "toy-mini, 40 examples"


@pytest.fixture(scope="module")
def training(library: Library) -> TrainingPairs:
    return TrainingPairs.from_library(library, "text")


@pytest.fixture(scope="module")
def gain_model(training: TrainingPairs) -> GainModel:
    return training.fit()


def names(n: int) -> np.ndarray:
    return np.array([f"t{i}" for i in range(n)], dtype=object)


def basis_of(reference: np.ndarray, untried: str = DESCRIPTION) -> np.ndarray:
    """What each source's gain rests on, `untried` for those without outcomes."""
    return np.where(reference, OUTCOMES, untried).astype(object)


def of_target(training: TrainingPairs, name: str) -> pd.DataFrame:
    return training.X[training.X["target"] == name].reset_index(drop=True)


def test_terms_add_up_to_the_ranking_of_the_ridge_regression(
    training: TrainingPairs, gain_model: GainModel
) -> None:
    X = of_target(training, "film_a")
    effects = gain_model.effects(X, np.ones(len(X), dtype=bool), ONLY)
    unit = gain_model.scale(ONLY).unit
    np.testing.assert_allclose(
        effects.sum(axis=1), unit * gain_model.slope * gain_model.ridge.ranking(X), atol=1e-12
    )


def test_expected_gain_is_the_level_and_the_terms(
    training: TrainingPairs, gain_model: GainModel
) -> None:
    X, own = of_target(training, "rain_a"), training.target_features.loc["rain_a"].to_numpy(dtype=float)
    every = np.ones(len(X), dtype=bool)
    for setting in (ONLY, None):
        terms = gain_model.effects(X, every, setting).to_numpy().sum(axis=1)
        scale = gain_model.scale(setting)
        level = scale.mean + scale.unit * gain_model.mean_gain.predict(own[None])[0]
        assert gain_model.level(own, setting) == pytest.approx(level)
        np.testing.assert_allclose(gain_model.expected(X, own, every, setting), level + terms)


def test_what_is_said_of_a_source_does_not_depend_on_new_ones(
    training: TrainingPairs, gain_model: GainModel
) -> None:
    X, own = of_target(training, "rain_a"), training.target_features.loc["rain_a"].to_numpy(dtype=float)
    new = X.assign(source=[f"new{i}" for i in range(len(X))])
    both = pd.concat([X, new], ignore_index=True)
    reference = np.arange(len(both)) < len(X)
    alone = gain_model.expected(X, own, np.ones(len(X), dtype=bool), ONLY)
    found = gain_model.expected(both, own, reference, ONLY, basis_of(reference))
    np.testing.assert_allclose(found[: len(X)], alone, atol=1e-12)


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
    for setting in (ONLY, None):
        p = gain_model.probability(np.array([-0.1, 0.0, 0.1]), setting)
        assert (np.diff(p) > 0).all()
        doubtful = gain_model.probability(np.array([-0.1, 0.0, 0.1]), setting, doubt=3.0)
        assert (np.abs(doubtful - 0.5) <= np.abs(p - 0.5) + 1e-12).all()


def test_level_follows_features_that_tell_it() -> None:
    x = np.linspace(1.0, 5.0, 20)[:, None]
    model, left_out = MeanGainModel.fit(x, 0.1 * np.log1p(x[:, 0]), names(20))
    assert np.isfinite(model.penalty)
    assert np.corrcoef(left_out, x[:, 0])[0, 1] > 0.9
    assert model.predict(np.array([[5.0]]))[0] > model.predict(np.array([[1.0]]))[0]


def test_level_is_the_mean_where_features_say_nothing() -> None:
    random = np.random.default_rng(1)
    values = random.normal(size=30)
    model, left_out = MeanGainModel.fit(random.normal(size=(30, 8)), values, names(30))
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
    before, after = (MeanGainModel.fit(x, each, names(10))[1] for each in (y, changed))
    if np.isinf(MeanGainModel.fit(x, changed, names(10))[0].penalty):
        assert after[3] == before[3] == 0.0


def test_rows_of_a_target_in_several_settings_are_left_out_together() -> None:
    x = np.repeat(np.arange(10.0), 2)[:, None]
    y = np.zeros(20)
    changed = y.copy()
    changed[6:8] = 100.0
    together = np.repeat(names(10), 2)
    model, left_out = MeanGainModel.fit(x, changed, together)
    assert left_out[6] == left_out[7]
    if np.isinf(model.penalty):
        assert left_out[6] == 0.0
    # One target alone cannot be left out.
    alone = MeanGainModel.fit(x, changed, np.repeat(names(1), 20))[1]
    np.testing.assert_allclose(alone, changed.mean())


def test_round_trip(gain_model: GainModel, several: GainModel) -> None:
    for model in (gain_model, several):
        values = json.loads(json.dumps(model.to_dict()))
        again = GainModel.from_dict(model.ridge, values)
        assert again.to_dict() == model.to_dict()
        assert again.slope == model.slope
        assert list(again.untried) == list(model.untried) == [DESCRIPTION]
        np.testing.assert_array_equal(again.untried[DESCRIPTION], model.untried[DESCRIPTION])
        assert list(again.scales) == list(model.scales)
        assert set(again.unknown.platt) == set(model.unknown.platt) == set(BASES)
        for basis in BASES:
            np.testing.assert_array_equal(again.unknown.platt[basis], model.unknown.platt[basis])
        np.testing.assert_array_equal(again.mean_gain.coef, model.mean_gain.coef)
        assert again.mean_gain.penalty == model.mean_gain.penalty


@pytest.fixture
def every(atlas_library: Library) -> TrainingPairs:
    return TrainingPairs.from_library(atlas_library, "text")


@pytest.fixture
def several(every: TrainingPairs) -> GainModel:
    """A model of two tables."""
    return every.fit()


def slope_of(model: GainModel) -> float:
    """Units of gain per unit of the ranking by descriptions."""
    weights = model.new_source_weights
    slope = float(model.untried[DESCRIPTION].sum() / (weights.sum() or 1.0))
    np.testing.assert_allclose(model.untried[DESCRIPTION], slope * weights)
    return slope


FINETUNED, ADAPTED = "toy-encoder, 400 examples", "toy-encoder adapter, 400 examples"


def test_every_setting_has_its_scale(every: TrainingPairs, several: GainModel) -> None:
    assert list(several.scales) == [ADAPTED, FINETUNED, ONLY]
    means, units = [], []
    for name, scale in several.scales.items():
        rows = (every.X["setting"] == name).to_numpy()
        of_target = pd.Series(every.y[rows]).groupby(every.X.loc[rows, "target"].to_numpy())
        assert scale.mean == pytest.approx(of_target.mean().mean())
        assert scale.unit == pytest.approx(of_target.std(ddof=0).mean())
        means.append(scale.mean)
        units.append(scale.unit)
    # Gains of the second table are twice as large where it is tuned as a whole, and lower by adapters.
    assert several.scales[FINETUNED].unit > 1.6 * several.scales[ADAPTED].unit
    assert several.scales[FINETUNED].mean > several.scales[ADAPTED].mean + 0.015
    assert several.unknown.mean == pytest.approx(np.mean(means))
    assert several.unknown.unit == pytest.approx(np.mean(units))
    assert several.scale(None) is several.unknown
    assert several.scale(ONLY) is several.scales[ONLY]
    with pytest.raises(KeyError):
        several.scale("toy-encoder")


@pytest.mark.parametrize("setting", [ONLY, FINETUNED, ADAPTED, None])
def test_effects_add_up_in_every_setting_and_for_another_encoder(
    every: TrainingPairs, several: GainModel, setting: str | None
) -> None:
    rows = every.X[(every.X["target"] == "film_c") & (every.X["setting"] == (setting or FINETUNED))]
    X, own = rows.reset_index(drop=True), every.target_features.loc["film_c"].to_numpy(dtype=float)
    reference = np.arange(len(X)) < 5
    for basis in (None, basis_of(reference)):
        effects = several.effects(X, reference, setting, basis)
        assert list(effects) == several.columns
        np.testing.assert_allclose(
            several.expected(X, own, reference, setting, basis),
            several.level(own, setting) + effects.to_numpy().sum(axis=1),
        )
    if setting is not None:
        all_known = np.ones(len(X), dtype=bool)
        np.testing.assert_allclose(
            several.effects(X, all_known, setting).to_numpy().sum(axis=1),
            several.scale(setting).unit * several.slope * several.ridge.ranking(X),
            atol=1e-12,
        )


def test_for_another_encoder_the_effects_are_the_mean_of_all_settings(
    every: TrainingPairs, several: GainModel
) -> None:
    X = of_target(every, "film_a")
    reference = np.ones(len(X), dtype=bool)
    by_setting = [
        several.effects(X, reference, name) / several.scale(name).unit for name in several.scales
    ]
    mean = sum(frame.to_numpy() for frame in by_setting) / len(by_setting)
    np.testing.assert_allclose(
        several.effects(X, reference, None).to_numpy(), several.unknown.unit * mean, atol=1e-12
    )


def test_new_sources_are_ranked_by_their_descriptions_alone(
    every: TrainingPairs, several: GainModel
) -> None:
    X = of_target(every, "film_c")
    X = X[X["setting"] == ONLY].reset_index(drop=True)
    new = np.isin(X["source"], ["film_b", "rain_c"])
    basis = basis_of(~new)
    effects = several.effects(X, ~new, ONLY, basis)
    other = [c for c in effects if c not in NEW_SOURCE_COLUMNS]
    assert (effects.loc[new, other] == 0).all(axis=None)
    assert (effects.loc[~new, other] != 0).any(axis=None)
    alike, unlike = effects[new].sum(axis=1).to_numpy()
    assert slope_of(several) > 0
    assert alike > 0 > unlike
    # Nothing else that is known of them counts.
    numbers = [
        c for c in X if c.startswith(("source.", "ratio.", "pair.")) and c not in NEW_SOURCE_COLUMNS
    ]
    odd = X.copy()
    odd.loc[new, numbers] = 77.0
    np.testing.assert_allclose(several.effects(odd, ~new, ONLY, basis)[new], effects[new])
    # Without a description it is a typical source.
    unknown = X.copy()
    unknown.loc[new, [c for c in X if c in NEW_SOURCE_COLUMNS]] = np.nan
    assert (several.effects(unknown, ~new, ONLY, basis)[new] == 0).all(axis=None)


def test_without_descriptions_new_sources_are_all_alike(
    training: TrainingPairs, gain_model: GainModel
) -> None:
    assert slope_of(gain_model) == 0.0
    assert (gain_model.untried[DESCRIPTION] == 0).all()
    assert gain_model.new_source_weights.sum() == 0.0
    X = of_target(training, "film_a")
    new = np.arange(len(X)) > 3
    assert (gain_model.effects(X, ~new, ONLY, basis_of(~new))[new] == 0).all(axis=None)


def test_probabilities_are_on_the_scale_of_the_setting(several: GainModel) -> None:
    for setting in (ONLY, FINETUNED, ADAPTED, None):
        scale = several.scale(setting)
        p = several.probability(np.array([0.01, 0.02]), setting)
        again = replace(scale, unit=2 * scale.unit)
        doubled = replace(several, scales=dict.fromkeys(several.scales, again), unknown=again)
        np.testing.assert_allclose(doubled.probability(np.array([0.02, 0.04]), setting), p)


def test_sources_without_outcomes_have_sigmoids_of_their_own(
    every: TrainingPairs, several: GainModel
) -> None:
    expected = np.array([-0.05, 0.02])
    sigmoids = {SCORES: np.array([2.0, 0.3]), DESCRIPTION: np.array([1.0, -0.2])}
    other = replace(several.unknown, platt={**several.unknown.platt, **sigmoids})
    scales = {n: replace(s, platt={**s.platt, **sigmoids}) for n, s in several.scales.items()}
    calibrated = replace(several, scales=scales, unknown=other)
    refitted = every.without("film_a").fit()
    again = refitted.with_calibration(calibrated)
    assert again.unknown is other
    for name, scale in again.scales.items():
        np.testing.assert_array_equal(scale.platt[OUTCOMES], refitted.scales[name].platt[OUTCOMES])
        for basis in BASES:
            platt = scale.platt[basis]
            np.testing.assert_array_equal(platt, sigmoids.get(basis, platt))
            p = 1 / (1 + np.exp(-(platt[0] * expected / scale.unit + platt[1])))
            np.testing.assert_allclose(again.probability(expected, name, basis=basis), p)


def test_with_an_unknown_encoder_a_source_without_outcomes_has_the_flatter_sigmoid(
    several: GainModel,
) -> None:
    expected = np.array([-0.05, 0.0, 0.02])
    steep, flat = np.array([3.0, 0.1]), np.array([1.0, 0.1])
    for tried, untried in ((steep, flat), (flat, steep)):
        platt = {OUTCOMES: tried, SCORES: untried, DESCRIPTION: untried}
        model = replace(several, unknown=replace(several.unknown, platt=platt))
        p = 1 / (1 + np.exp(-(flat[0] * expected / several.unknown.unit + flat[1])))
        for basis in (SCORES, DESCRIPTION):
            np.testing.assert_allclose(model.probability(expected, None, basis=basis), p)


def test_a_description_far_more_alike_than_usual_counts_no_more_than_that(
    every: TrainingPairs, several: GainModel
) -> None:
    X = of_target(every, "film_c")
    X = X[X["setting"] == ONLY].reset_index(drop=True)
    new = np.arange(len(X)) < 2
    similar = X.copy()
    similar.loc[new, [c for c in X if c in NEW_SOURCE_COLUMNS]] = [[1.0], [0.99]]
    similar.loc[~new, [c for c in X if c in NEW_SOURCE_COLUMNS]] = 0.0
    found = several.effects(similar, ~new, ONLY, basis_of(~new))[new].sum(axis=1).to_numpy()
    most = several.scale(ONLY).unit * slope_of(several) * MAX_NEW_SIMILARITY
    np.testing.assert_allclose(found, most)


@pytest.fixture
def scored(scored_library: Library) -> TrainingPairs:
    return TrainingPairs.from_library(scored_library, "sources")


@pytest.fixture
def by_scores(scored: TrainingPairs) -> GainModel:
    return scored.fit()


@pytest.mark.parametrize("setting", [ONLY, FINETUNED, ADAPTED, None])
def test_effects_of_the_three_bases_add_up(
    scored: TrainingPairs, by_scores: GainModel, setting: str | None
) -> None:
    X = of_target(scored, "film_c")
    X = X[X["setting"] == (setting or ONLY)].reset_index(drop=True)
    own = scored.target_features.loc["film_c"].to_numpy(dtype=float)
    basis = np.array([OUTCOMES] * 3 + [SCORES] * 2 + [DESCRIPTION] * 2, dtype=object)
    reference = basis == OUTCOMES
    effects = by_scores.effects(X, reference, setting, basis)
    assert list(effects) == by_scores.columns
    np.testing.assert_allclose(
        by_scores.expected(X, own, reference, setting, basis),
        by_scores.level(own, setting) + effects.to_numpy().sum(axis=1),
    )
    # Sources with outcomes keep their coefficients, whatever the others rest on.
    plain = by_scores.effects(X, reference, setting)
    pd.testing.assert_frame_equal(effects[reference], plain[reference])
    assert (effects[~reference] != plain[~reference]).any(axis=None)
    history = [name for name in effects if name.startswith("history.")]
    scores = [name for name in effects if name.removeprefix("pair.") in SCORE_FEATURES]
    assert len(scores) == len(SCORE_FEATURES)
    assert (effects.loc[basis != OUTCOMES, history] == 0).all(axis=None)
    # There are no scores in the settings of another encoder than that of the source encoders.
    is_scored = setting in (ONLY, None)
    assert (effects.loc[basis == SCORES, scores] != 0).any(axis=None) == is_scored
    # Those of a target count in any setting.
    if not is_scored:
        told = of_target(scored, "film_c").loc[lambda rows: rows["setting"] == ONLY]
        effects = by_scores.effects(told.reset_index(drop=True), reference, setting, basis)
        assert (effects.loc[basis == SCORES, scores] != 0).any(axis=None)
    assert (effects.loc[basis == DESCRIPTION, scores] == 0).all(axis=None)


def test_sources_without_outcomes_are_ranked_by_what_their_encoders_make_of_the_target(
    scored: TrainingPairs, by_scores: GainModel
) -> None:
    assert list(by_scores.untried) == [DESCRIPTION, SCORES]
    X = of_target(scored, "film_d")
    X = X[X["setting"] == ONLY].reset_index(drop=True)
    new = np.isin(X["source"], [HELPFUL, HARMFUL, "film_c", "rain_d"])
    found = by_scores.effects(X, ~new, ONLY, basis_of(~new, SCORES))[new].sum(axis=1)
    ranking = found.set_axis(X.loc[new, "source"]).sort_values(ascending=False)
    # The descriptions tell the topic only; that one source helps all targets and one harms all, the scores tell.
    assert list(ranking.index) == [HELPFUL, "film_c", "rain_d", HARMFUL]
    assert ranking[HELPFUL] - ranking["film_c"] > 0.03
    assert ranking["rain_d"] - ranking[HARMFUL] > 0.03


def test_coefficients_of_scores_are_those_of_the_regression_by_groups_on_scored_pairs(
    scored: TrainingPairs, by_scores: GainModel
) -> None:
    part = scored.only(ONLY)
    learned = GroupRidgePredictor(expected=False).fit(part.X, part.y, part.weight)
    expected = np.concatenate([np.zeros(len(HISTORY_FEATURES)), learned.coef_])
    found = by_scores.untried[SCORES]
    slope = float(found @ expected) / float(expected @ expected)
    assert slope > 0
    np.testing.assert_allclose(found, slope * expected, atol=1e-12)


def test_a_model_of_scores_is_the_same_after_a_round_trip(by_scores: GainModel) -> None:
    values = json.loads(json.dumps(by_scores.to_dict()))
    again = GainModel.from_dict(by_scores.ridge, values)
    assert again.to_dict() == by_scores.to_dict()
    assert list(again.untried) == [DESCRIPTION, SCORES]
    for basis, coefficients in by_scores.untried.items():
        np.testing.assert_array_equal(again.untried[basis], coefficients)
