from __future__ import annotations

import numpy as np
import pytest

from transfer_meta.evaluation.calibration import (
    error_if_calibrated,
    expected_calibration_error,
    reliability,
)
from transfer_meta.evaluation.classification import calibration_error


def test_points_equal_a_loop_over_bins() -> None:
    random = np.random.default_rng(0)
    truth, probability = random.integers(0, 2, 500), random.random(500) * 0.7
    points = reliability(truth, probability, n_bins=8)
    row = 0
    for low in np.arange(8) / 8:
        inside = (probability >= low) & (probability < low + 1 / 8)
        if inside.any():
            assert points.loc[row, "predicted"] == pytest.approx(probability[inside].mean())
            assert points.loc[row, "observed"] == pytest.approx(truth[inside].mean())
            assert points.loc[row, "n"] == inside.sum()
            row += 1
    assert row == len(points) < 8


def test_error_of_known_miscalibration() -> None:
    truth = np.repeat([0, 1, 0, 1], [80, 20, 10, 90])
    calibrated = np.repeat([0.2, 0.9], 100)
    assert expected_calibration_error(reliability(truth, calibrated)) == pytest.approx(0)
    overconfident = np.repeat([0.0, 1.0], 100)
    assert expected_calibration_error(reliability(truth, overconfident)) == pytest.approx(0.15)


def test_the_metric_is_the_error_of_the_diagram_for_stacks_and_weights() -> None:
    random = np.random.default_rng(1)
    truth, probability = random.integers(0, 2, 80), random.random((3, 80))
    errors = [expected_calibration_error(reliability(truth, p)) for p in probability]
    np.testing.assert_allclose(calibration_error(truth, probability), errors)
    weight = random.integers(0, 4, (5, 80)).astype(float)
    repeated = [
        expected_calibration_error(
            reliability(np.repeat(truth, w.astype(int)), np.repeat(probability[0], w.astype(int)))
        )
        for w in weight
    ]
    np.testing.assert_allclose(calibration_error(truth, probability[0], weight=weight), repeated)


def test_certainty_lies_in_the_last_bin() -> None:
    assert float(calibration_error([1, 1], [1.0, 0.95])) == pytest.approx(0.025)


def test_few_pairs_have_an_error_though_every_probability_is_true() -> None:
    few, many = (error_if_calibrated(np.full(n, 0.3)) for n in (20, 2000))
    # One bin: the mean absolute deviation of a rate, √(2/π) of its standard error.
    assert few == pytest.approx(np.sqrt(2 / np.pi * 0.3 * 0.7 / 20), rel=0.15)
    assert many < few / 5
    assert error_if_calibrated(np.array([0.0, 1.0, 1.0])) == 0
