from __future__ import annotations

import math

import numpy as np
import pytest

from transfer_meta.features.curves.size_curve import MAX_FACTOR, SizeCurve, fit_size_curve
from transfer_meta.features.missing import MissingError

SIZES = np.array([50, 100, 200])


def law(n: float | np.ndarray) -> np.ndarray:
    """A score of 0.5 on 50 examples and 0.8 on 200; each doubling brings half of what the last one brought."""
    return 0.9 - 0.4 * (np.asarray(n) / 50) ** -1.0


def runs(noise: float = 0.002, seeds: int = 3) -> np.ndarray:
    return law(SIZES) + noise * np.random.default_rng(0).normal(size=(seeds, len(SIZES)))


@pytest.fixture(scope="module")
def curve() -> SizeCurve:
    return fit_size_curve(SIZES, runs())


@pytest.mark.parametrize("factor", [2, 4])
def test_the_interval_covers_the_score_on_more_examples(curve: SizeCurve, factor: int) -> None:
    value, low, high = curve.score(200 * factor)
    assert low <= law(200 * factor) <= high
    assert abs(value - law(200 * factor)) < 0.5 * (law(200 * factor) - law(200))


def test_scores_rise_and_intervals_widen(curve: SizeCurve) -> None:
    found = [curve.score(n) for n in (200, 400, 800)]
    assert [f.value for f in found] == sorted(f.value for f in found)
    widths = [f.high - f.low for f in found]
    assert widths == sorted(widths)
    assert curve.score(200).value == pytest.approx(0.8, abs=0.01)


def test_more_examples_for_a_gain(curve: SizeCurve) -> None:
    # 0.05 more than 0.8, as 400 examples have.
    more = curve.more_examples(0.05 / 0.8)
    assert more.low < 200 < more.high
    small, none, huge = (curve.more_examples(gain) for gain in (0.01, -0.1, 0.5))
    assert small.value < more.value
    assert none == (0, 0, 0)
    assert huge == (math.inf, math.inf, math.inf)


def test_more_seeds_that_agree_make_intervals_narrower() -> None:
    widths = []
    for noise in (0.002, 0.03):
        _, low, high = fit_size_curve(SIZES, runs(noise)).score(400)
        widths.append(high - low)
    assert widths[0] < widths[1]


def test_seeds_that_are_all_equal_leave_an_interval() -> None:
    found = fit_size_curve(SIZES, np.tile(law(SIZES), (3, 1))).score(400)
    assert found.high - found.low > 0.005


def test_a_score_near_its_ceiling_stays_below_it() -> None:
    found = fit_size_curve(SIZES, [[0.95, 0.98, 0.995]] * 3).score(800)
    assert 0.98 < found.value <= found.high <= 1


def test_the_same_scores_give_the_same_curve(curve: SizeCurve) -> None:
    assert fit_size_curve(SIZES, runs()).score(400) == curve.score(400)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([[0.8, 0.7, 0.6]], "no higher with 200 examples than with 50"),
        ([[0.5, 0.5, 0.5], [0.5, 0.5, 0.5]], "no higher"),
        ([[0.0, 0.1, 0.2]], "the score is 0 with 50 examples"),
        ([[0.1, math.nan, 0.2]], "a run has no score"),
    ],
)
def test_no_trend(scores: list[list[float]], message: str) -> None:
    with pytest.raises(MissingError, match=message):
        fit_size_curve(SIZES, scores)


def test_one_size() -> None:
    with pytest.raises(MissingError, match="fewer than two sizes"):
        fit_size_curve([100], [[0.5]])


def test_no_score_far_beyond_the_data(curve: SizeCurve) -> None:
    with pytest.raises(ValueError, match=f"more than {MAX_FACTOR} times the largest size, 200"):
        curve.score(801)
