from __future__ import annotations

import pytest

from transfer_meta.evaluation.conformal import fit_conformal
from transfer_meta.recommender.inputs import MODES
from transfer_meta.recommender.library import Library
from transfer_meta.recommender.persistence import shipped_recommender
from transfer_meta.recommender.training_pairs import TrainingPairs


@pytest.mark.parametrize("mode", MODES)
def test_the_truth_is_found_on_held_out_targets(library: Library, mode: str) -> None:
    figures = shipped_recommender(library, mode).card["figures"]
    assert figures["spearman"] > 0.8
    assert figures["regret@3"] < 0.02
    assert figures["calibration_error"] < 0.25
    # The promise is kept on average over targets, of which there are eight.
    assert figures["coverage_promised"] == 0.9
    assert figures["coverage"] > 0.7


def test_the_interval_is_that_of_the_held_out_residuals(library: Library) -> None:
    training = TrainingPairs.from_library(library, "text")
    recommender = shipped_recommender(library, "text")
    assert recommender.conformal == fit_conformal(
        training.held_out()[0], training.y, training.X["target"], coverage=0.9
    )
    assert recommender.conformal_new.high_offset >= recommender.conformal.high_offset
