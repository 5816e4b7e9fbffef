from __future__ import annotations

import numpy as np
import pytest

from transfer_meta.evaluation.calibration import expected_calibration_error, reliability


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
