from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from transfer_meta.evaluation.conformal import fit_conformal, interval_coverage
from transfer_meta.predictors.platt import fit_platt
from transfer_meta.recommender.fitting import UNKNOWN_SETTING, fit_recommender, left_out_coverage
from transfer_meta.recommender.inputs import BASES, DESCRIPTION, MODES, OUTCOMES, SCORES
from transfer_meta.recommender.library import Library
from transfer_meta.recommender.persistence import shipped_recommender
from transfer_meta.recommender.training_pairs import TrainingPairs, encoder_of


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "sources"])
def test_the_truth_is_found_on_held_out_targets(library: Library, mode: str) -> None:
    recommender = shipped_recommender(library, mode)
    figures = recommender.figures("toy-mini, 40 examples")
    assert figures["spearman"] > 0.8
    assert figures["regret@3"] < 0.02
    assert figures["calibration_error"] < 0.25
    # The promise is kept on average over targets, of which there are eight.
    assert figures["coverage_promised"] == 0.9
    assert figures["coverage"] > 0.7


def test_the_interval_is_that_of_the_held_out_residuals(library: Library) -> None:
    training = TrainingPairs.from_library(library, "text")
    recommender = shipped_recommender(library, "text")
    own, new = (
        recommender.interval("toy-mini, 40 examples", basis=basis) for basis in (OUTCOMES, DESCRIPTION)
    )
    assert own == recommender.interval("toy-mini, 40 examples")
    assert own == fit_conformal(training.held_out()[0], training.y, training.X["target"], coverage=0.9)
    assert new == fit_conformal(
        training.held_out_sources()[DESCRIPTION], training.y, training.X["target"], coverage=0.9
    )
    assert new.high_offset >= own.high_offset


def test_with_one_encoder_another_one_has_its_figures(library: Library) -> None:
    recommender = shipped_recommender(library, "text")
    assert recommender.figures(None) == recommender.figures("toy-mini, 40 examples")
    assert recommender.interval(None) == recommender.interval("toy-mini, 40 examples")


@pytest.mark.parametrize("mode", ["text", "encoder", "sources"])
def test_figures_of_every_setting_and_of_another_encoder(
    request: pytest.FixtureRequest, mode: str
) -> None:
    bases = (DESCRIPTION, SCORES) if mode == "sources" else (DESCRIPTION,)
    # Scores are those of one encoder: they tell nothing in the settings of another.
    scored = "toy-mini, 40 examples"
    atlas_library = request.getfixturevalue("scored_library" if mode == "sources" else "atlas_library")
    recommender = shipped_recommender(atlas_library, mode)
    names = [setting.name for setting in atlas_library.settings]
    card = recommender.card
    assert set(card["figures"]) == set(card["reliability"]) == {*names, UNKNOWN_SETTING}
    assert set(recommender.conformal) == {OUTCOMES, *bases}
    for basis, found in recommender.conformal.items():
        assert set(found) == {*([scored] if basis == SCORES else names), UNKNOWN_SETTING}
    assert card["settings"] == [vars(s) | {"more_tables": []} for s in atlas_library.settings]
    assert (card["n_targets"], card["n_pairs"], card["protocol"]) == (12, 168, "leave-one-task-out")
    for name in (*names, None):
        figures = recommender.figures(name)
        assert figures["spearman"] > (0.65 if name else 0.5)
        assert figures["regret@3"] < 0.02
        assert figures["calibration_error"] < 0.25
        assert figures["coverage_promised"] == 0.9
        # Scores tell gains so well that intervals are narrow: too narrow for another table's, of twice the size.
        assert figures["coverage"] > 0.75
        assert sum(point["n"] for point in card["reliability"][name or UNKNOWN_SETTING]) == (
            56 if name else 168
        )
        untried = bases if name == scored else (DESCRIPTION,)
        for basis in BASES[1:]:
            assert (f"spearman_{basis}" in figures) == (basis in untried)
            # The coverage is not known for another encoder.
            assert (f"coverage_{basis}" in figures) == (basis in untried and name is not None)
        for basis in untried:
            if name is None:
                every = [recommender.figures(one)[f"spearman_{basis}"] for one in names]
                assert figures[f"spearman_{basis}"] == min(every)
                continue
            # The descriptions tell the topic, but neither the helpful source nor the harmful one.
            assert figures[f"spearman_{basis}"] > 0.25
            assert figures[f"coverage_{basis}"] > 0.75
        if mode == "sources" and name == scored:
            # The scores tell these too.
            assert figures["spearman_scores"] > figures["spearman_description"] + 0.1


def test_intervals_are_those_of_the_setting(atlas_library: Library) -> None:
    training = TrainingPairs.from_library(atlas_library, "text")
    recommender = shipped_recommender(atlas_library, "text")
    targets, setting = training.X["target"], training.X["setting"]
    held_out, encoders = training.held_out()[0], training.held_out_encoders()[0]
    for name in training.settings:
        rows = (setting == name).to_numpy()
        expected = fit_conformal(held_out[rows], training.y[rows], targets[rows], coverage=0.9)
        assert recommender.interval(name) == expected
        found = interval_coverage(held_out[rows], training.y[rows], targets[rows], coverage=0.9)
        assert recommender.figures(name)["coverage"] == pytest.approx(found["covered"].mean(), abs=1e-6)
    unknown = recommender.interval(None)
    # As wide as for the encoder whose gains, predicted from the others', are farthest off.
    left_out = []
    for name in training.settings:
        rows = (setting == name).to_numpy()
        left_out.append(fit_conformal(encoders[rows], training.y[rows], targets[rows], coverage=0.9))
    assert unknown in left_out
    assert unknown.high_offset == max(found.high_offset for found in left_out)
    # What another encoder does is known less well than what these do: in units of the gain's spread.
    units = {name: scale.unit for name, scale in recommender.gain_model.scales.items()}
    own = [recommender.interval(name).high_offset / units[name] for name in training.settings]
    assert unknown.high_offset / recommender.gain_model.unknown.unit > sum(own) / len(own)


def test_coverage_of_a_left_out_encoder_is_that_of_the_others_widest_interval(
    atlas_library: Library,
) -> None:
    training = TrainingPairs.from_library(atlas_library, "text")
    expected = training.held_out_encoders()[0]
    # Predictions that are exact for one encoder and useless for the others: theirs decide the width for it.
    first = training.settings[0]
    exact = np.where(training.X["setting"] == first, training.y, training.y + 1.0)
    assert left_out_coverage(training, exact)[first] == 1.0
    others = [name for name in training.settings if encoder_of(name) != encoder_of(first)]
    shifted = np.where(training.X["setting"] == first, training.y + 1.0, training.y)
    assert others
    assert left_out_coverage(training, shifted)[first] == 0.0
    assert all(0.0 <= share <= 1.0 for share in left_out_coverage(training, expected).values())


def test_probabilities_for_another_encoder_are_calibrated_on_held_out_ones(
    atlas_library: Library,
) -> None:
    training = TrainingPairs.from_library(atlas_library, "text")
    recommender = shipped_recommender(atlas_library, "text")
    scale = recommender.gain_model.unknown
    expected = training.held_out_encoders()[0]
    np.testing.assert_allclose(scale.platt[OUTCOMES], fit_platt(expected / scale.unit, training.y > 0))
    probability = recommender.gain_model.probability(expected, None)
    assert probability.mean() == pytest.approx((training.y > 0).mean(), abs=0.02)


def test_intervals_and_sigmoids_of_each_basis_are_those_of_its_held_out_predictions(
    scored_library: Library,
) -> None:
    training = TrainingPairs.from_library(scored_library, "sources")
    recommender = shipped_recommender(scored_library, "sources")
    setting = training.X["setting"]
    for basis, expected in training.held_out_sources().items():
        for name in (*training.settings, None):
            rows = (setting == name).to_numpy() if name else np.ones(len(setting), dtype=bool)
            rows = rows & np.isfinite(expected)
            is_scored = name in ("toy-mini, 40 examples", None)
            assert rows.any() == (basis == DESCRIPTION or is_scored)
            if not rows.any():
                # Without scored pairs in a setting: the interval of all settings.
                assert name not in recommender.conformal[basis]
                every = recommender.conformal[basis][UNKNOWN_SETTING]
                assert recommender.interval(name, basis=basis) == every
                continue
            targets = training.X.loc[rows, "target"]
            interval = fit_conformal(expected[rows], training.y[rows], targets, coverage=0.9)
            assert recommender.conformal[basis][name or UNKNOWN_SETTING] == interval
            scale = recommender.gain_model.scale(name)
            sigmoid = fit_platt(expected[rows] / scale.unit, training.y[rows] > 0)
            np.testing.assert_allclose(scale.platt[basis], sigmoid)
            if name is not None:
                assert recommender.interval(name, basis=basis) == interval


@pytest.mark.parametrize("basis", [SCORES, DESCRIPTION])
def test_another_encoder_takes_the_wider_interval(scored_library: Library, basis: str) -> None:
    recommender = shipped_recommender(scored_library, "sources")
    tried, untried = (recommender.conformal[one][UNKNOWN_SETTING] for one in (OUTCOMES, basis))
    wider = max(tried, untried, key=lambda found: found.high_offset - found.low_offset)
    assert tried != untried
    assert recommender.interval(None, basis=basis) == wider
    assert recommender.interval(None) == tried
    narrow = replace(untried, low_offset=-1e-6, high_offset=1e-6)
    wide = replace(untried, low_offset=-1.0, high_offset=1.0)
    for found, taken in ((narrow, tried), (wide, wide)):
        conformal = {**recommender.conformal, basis: {UNKNOWN_SETTING: found}}
        assert replace(recommender, conformal=conformal).interval(None, basis=basis) == taken


def test_progress_is_told(library: Library) -> None:
    seen: list[tuple[int, int]] = []
    fit_recommender(library, "text", on_progress=lambda *at: seen.append(at))
    assert [at for at, _ in seen] == sorted({at for at, _ in seen})
    assert seen[-1][0] == seen[-1][1]
