from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares

from transfer_meta.features.curves.curve_fits import fit_log, fit_paper, fit_power
from transfer_meta.features.missing import MissingError

STEPS = np.arange(10.0, 20_001, 10)


@settings(max_examples=40)
@given(
    st.floats(0.1, 9), st.floats(-3, -0.01), st.floats(-2, 8), st.floats(0, 0.05), st.integers(0, 99)
)
def test_log_fit_is_the_least_squares_one(
    a: float, b: float, log_s: float, noise: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x = STEPS - STEPS[0]
    losses = a + b * np.log(x + np.exp(log_s)) + rng.normal(0, noise, len(x))
    fit = fit_log(STEPS, losses)
    # A general solver, started at the truth, finds nothing better.
    general = least_squares(lambda p: p[0] + p[1] * np.log(x + np.exp(p[2])) - losses, [a, b, log_s])
    assert fit.rmse <= np.sqrt(2 * general.cost / len(x)) * (1 + 1e-6) + 1e-6 * np.ptp(losses)
    if noise == 0:
        assert fit.b == pytest.approx(b, rel=1e-4)
        assert np.log(fit.theta) == pytest.approx(log_s, abs=1e-3)


@settings(max_examples=40)
@given(st.floats(0, 3), st.floats(0.1, 3), st.floats(0.05, 3), st.floats(0, 0.05), st.integers(0, 99))
def test_power_fit_is_the_least_squares_one(
    a: float, b: float, p: float, noise: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    u = STEPS / STEPS[-1]
    losses = a + b * u**-p + rng.normal(0, noise, len(u))
    general = least_squares(
        lambda t: t[0] + t[1] * u ** -t[2] - losses,
        [a, b, p],
        bounds=([0, -np.inf, 0.01], [np.inf, np.inf, 5]),
    )
    try:
        fit = fit_power(STEPS, losses)
    except MissingError:
        # Noise has moved the best exponent to a bound, where the fit is refused: a general solver ends no better.
        at_bound = [
            least_squares(
                lambda t, q=q: t[0] + t[1] * u**-q - losses, [a, b], bounds=([0, -np.inf], np.inf)
            )
            for q in (0.01, 5)
        ]
        assert min(found.cost for found in at_bound) <= general.cost * 1.001
        return
    assert fit.rmse <= np.sqrt(2 * general.cost / len(u)) * (1 + 1e-6) + 1e-6 * np.ptp(losses)
    assert fit.a >= 0
    if noise == 0:
        assert fit.theta == pytest.approx(p, rel=1e-3)


def test_power_fit_keeps_the_limit_from_being_negative() -> None:
    losses = 3 - 0.3 * np.log(STEPS)
    fit = fit_power(STEPS, losses)
    assert fit.a == 0
    u = STEPS / STEPS[-1]
    grid = [
        np.sum((losses - losses @ u**-p / (u**-p @ u**-p) * u**-p) ** 2)
        for p in np.linspace(0.01, 1, 500)
    ]
    assert fit.rmse**2 * len(u) == pytest.approx(min(grid), rel=1e-3)


def test_paper_fit_recovers_the_slope() -> None:
    fit = fit_paper(STEPS, -0.5 * np.log(2 * STEPS + 30) + 6)
    assert fit.a == pytest.approx(-0.5, rel=1e-4)
    assert fit.rmse < 1e-4


def test_paper_fit_sees_every_tenth_of_the_first_5000_records() -> None:
    rng = np.random.default_rng(0)
    steps = np.arange(10.0, 60_001, 10)
    losses = 5 - 0.4 * np.log(steps + 70) + rng.normal(0, 0.05, len(steps))
    changed = losses.copy()
    changed[np.arange(len(steps)) % 10 != 0] += 1
    changed[5000:] -= 3
    assert fit_paper(steps, changed) == fit_paper(steps, losses)
    changed[10] += 1
    assert fit_paper(steps, changed) != fit_paper(steps, losses)


@pytest.mark.parametrize("fit", [fit_log, fit_power])
@pytest.mark.parametrize(
    ("losses", "reason"),
    [(np.ones(4), "fewer than 5 records"), (np.ones(50), "never changes")],
)
def test_logs_that_cannot_be_fitted(fit, losses, reason: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(MissingError, match=reason):
        fit(np.arange(len(losses)) + 1.0, losses)


def test_an_optimum_at_a_bound_is_reported() -> None:
    steps = np.arange(1.0, 101)
    with pytest.raises(MissingError, match="the best shift s lies at its bound"):
        fit_log(steps, 5 - steps / 100)  # a line: the greater s, the better
    with pytest.raises(MissingError, match="the best exponent p lies at its bound"):
        fit_power(steps, np.concatenate([[9.0], np.ones(99)]))


def test_a_failed_paper_fit_is_reported() -> None:
    with pytest.raises(MissingError, match="fewer than 5"):
        fit_paper(STEPS[:4], np.ones(4))
    rng = np.random.default_rng(1)
    failed = 0
    for _ in range(20):
        try:
            assert np.isfinite(fit_paper(STEPS[:60], 1e6 * rng.normal(size=60))).all()
        except MissingError:
            failed += 1
    assert failed
