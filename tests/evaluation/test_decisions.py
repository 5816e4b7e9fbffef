from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from transfer_meta.evaluation.decisions import judge_decisions
from transfer_meta.predictors import Prediction

GAIN = np.array([0.3, -0.1, 0.1, -0.2, -0.3, -0.1])
TARGETS = np.array(["a", "a", "a", "b", "b", "b"], dtype=object)
POPULAR = Prediction(*(np.array([[0.0, 0.0, 1.0, 0.0, 0.0, 1.0]]) for _ in range(3)))


def judged(gain: list, ranking: list) -> pd.DataFrame:
    arrays = (np.atleast_2d(np.array(v, dtype=float)) for v in (ranking, gain, ranking))
    predictions = {("mine", "all"): Prediction(*arrays)}
    table = judge_decisions(GAIN, TARGETS, TARGETS, predictions, POPULAR)
    return table.set_index("predictor")


def test_the_references() -> None:
    table = judged([1, 0, 0, 1, 0, 0], [1, 0, 0, 1, 0, 0])
    assert table.loc["never-transfer", "gain"] == 0
    # Popular takes the third source of both: 0.1 and -0.1.
    assert table.loc["always-best-popular", "gain"] == pytest.approx(0.0)
    assert table.loc["always-best-popular", "helped"] == pytest.approx(0.5)
    # The oracle takes 0.3 for a and nothing for b.
    assert table.loc["oracle", "gain"] == pytest.approx(0.15)
    assert table.loc["oracle", "transfers"] == pytest.approx(0.5)
    assert table.loc["oracle", "helped"] == 1


def test_the_rule_takes_the_first_source_where_it_expects_a_gain() -> None:
    sure = judged([0.1, -1, -1, 0.1, -1, -1], [3, 2, 1, 3, 2, 1]).loc["mine"]
    assert sure["gain"] == sure["always"] == pytest.approx((0.3 - 0.2) / 2)
    assert sure["transfers"] == 1
    assert sure["over_popular"] == pytest.approx(0.05)
    wise = judged([0.1, 5, 5, -0.1, 5, 5], [3, 2, 1, 3, 2, 1]).loc["mine"]
    assert wise["gain"] == pytest.approx(0.15)
    assert wise["always"] == pytest.approx(0.05)
    assert wise["transfers"] == pytest.approx(0.5)
    assert wise["helped"] == 1
    never = judged([-1] * 6, [1, 2, 3, 1, 2, 3]).loc["mine"]
    assert never["gain"] == never["transfers"] == 0
    assert np.isnan(never["helped"])


def test_ties_are_an_expectation_and_repeats_a_mean() -> None:
    tied = judged([1] * 6, [0] * 6).loc["mine"]
    assert tied["gain"] == pytest.approx(GAIN.mean())
    first, second = [3, 2, 1, 3, 2, 1], [1, 2, 3, 1, 2, 3]
    both = judged([[1] * 6] * 2, [first, second]).loc["mine", "gain"]
    assert both == pytest.approx(
        (judged([1] * 6, first).loc["mine", "gain"] + judged([1] * 6, second).loc["mine", "gain"]) / 2
    )


def test_targets_are_drawn_and_settings_belong_to_them() -> None:
    groups = np.array([f"{t} | {k}" for k in (0, 1) for t in TARGETS], dtype=object)
    popular = Prediction(*(np.tile(a, (1, 2)) for a in POPULAR))
    table = judge_decisions(np.tile(GAIN, 2), groups, np.tile(TARGETS, 2), {}, popular)
    assert (table["n"] == 2).all()
    once = judge_decisions(GAIN, TARGETS, TARGETS, {}, POPULAR)
    pd.testing.assert_frame_equal(table, once)
