from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer_meta.records import LearningCurve, Outcome, TaskProfile, TaskType, relative_gain

finite = st.floats(allow_nan=False, allow_infinity=False)


def test_gain_is_a_fraction_of_the_baseline() -> None:
    outcome = Outcome(source="a", target="b", score=0.66, baseline=0.6)
    assert outcome.gain == pytest.approx(0.1)
    assert outcome.absolute_gain == pytest.approx(0.06)


def test_a_baseline_of_zero_has_no_gain() -> None:
    assert math.isnan(relative_gain(0.5, 0.0))
    assert np.isnan(relative_gain(np.array([0.5, 0.5]), np.array([0.0, 0.5]))).tolist() == [True, False]


def test_a_curve_whose_steps_go_back_is_refused() -> None:
    with pytest.raises(ValueError, match="increase"):
        LearningCurve(steps=np.array([1.0, 1.0]), losses=np.array([2.0, 1.0]))


@given(st.dictionaries(st.text(min_size=1), finite | st.just(math.nan)))
def test_a_profile_survives_json(features: dict[str, float]) -> None:
    profile = TaskProfile(
        name="t", type=TaskType.REGRESSION, features=features, vectors={"textemb": np.array([1.0, 0.5])}
    )
    copy = TaskProfile.from_json(profile.to_json())
    assert copy.features.keys() == features.keys()
    assert all(
        a == b or (a != a and b != b)
        for a, b in zip(copy.features.values(), features.values(), strict=True)
    )
    assert copy.vectors["textemb"].tolist() == [1.0, 0.5]
    assert copy.type is TaskType.REGRESSION
