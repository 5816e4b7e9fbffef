from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import linregress

from transfer_meta.features.curves.curve_features import CURVE_PERCENTS, curve_features
from transfer_meta.features.curves.curve_files import read_curves
from transfer_meta.features.curves.curve_fits import fit_log
from transfer_meta.features.curves.curve_log import clean_log
from transfer_meta.records import CurveLog, LearningCurve

TASKS = ["CCG", "CHU", "COM", "FNT", "POS", "HYP", "KEY", "MWE", "SEM", "STR"]
DEV = {"dev_final_score", "dev_score_gain_late", "dev_overfit", "dev_loss_ratio"}
nan = float("nan")


@pytest.fixture(scope="module")
def logs(shared: Path) -> dict[str, CurveLog]:
    return read_curves(shared / "bingel_soegaard" / "curves.csv.gz")


@pytest.fixture(scope="module")
def published(shared: Path) -> pd.DataFrame:
    return pd.read_csv(shared / "bingel_soegaard" / "tasks.csv", index_col="task")


@pytest.fixture(scope="module")
def robust(shared: Path) -> pd.DataFrame:
    return pd.read_csv(shared / "bingel_soegaard" / "tasks_robust_curves.csv", index_col="task")


@pytest.mark.parametrize("task", TASKS)
def test_the_papers_gradients(logs: dict[str, CurveLog], published: pd.DataFrame, task: str) -> None:
    values = curve_features(logs[task]).values
    for percent in CURVE_PERCENTS:
        name = f"grad_{percent}"
        assert values[name] == pytest.approx(published.at[task, name], abs=1e-12)


@pytest.mark.parametrize("task", TASKS)
def test_the_papers_fit(logs: dict[str, CurveLog], published: pd.DataFrame, task: str) -> None:
    # Its c depends on the processor and on the versions of SciPy and NumPy; a hardly.
    values = curve_features(logs[task]).values
    assert values["curve_a"] == pytest.approx(published.at[task, "curve_a"], rel=5e-3)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("total_steps", [None, 50_000])
def test_robust_slopes_are_negative(
    logs: dict[str, CurveLog], task: str, total_steps: float | None
) -> None:
    log = logs[task] if total_steps is None else logs[task].up_to(total_steps)
    found = curve_features(log)
    assert all(found.values[f"slope_{percent}"] < 0 for percent in CURVE_PERCENTS)
    assert all(found.values[f"slope_se_{percent}"] > 0 for percent in CURVE_PERCENTS)
    assert not found.missing


@pytest.mark.parametrize("task", TASKS)
def test_robust_features(logs: dict[str, CurveLog], robust: pd.DataFrame, task: str) -> None:
    values = curve_features(logs[task].up_to(50_000)).values
    names = {
        f"{ours}_{p}": f"{theirs}_{p}"
        for p in CURVE_PERCENTS
        for ours, theirs in (("slope", "sgrad"), ("relative_slope", "rel"), ("loss_done", "done"))
    }
    names |= {
        name: name for name in ("init_loss", "final_loss", "half_iter", "dev_overfit", "dev_loss_ratio")
    }
    names |= {"dev_final_score": "dev_final_f1", "dev_score_gain_late": "dev_f1_gain_late"}
    for ours, theirs in names.items():
        assert values[ours] == pytest.approx(robust.at[task, theirs], rel=1e-9), ours


@pytest.mark.parametrize("task", TASKS)
def test_robust_log_fit_of_every_tenth_record(
    logs: dict[str, CurveLog], robust: pd.DataFrame, task: str
) -> None:
    curve, _ = clean_log(logs[task].up_to(50_000))
    fit = fit_log(curve.steps[::10], curve.losses[::10])
    assert fit.b == pytest.approx(robust.at[task, "log_B"], rel=1e-5)
    assert fit.theta == pytest.approx(robust.at[task, "log_shift"], rel=1e-3)
    assert fit.rmse == pytest.approx(robust.at[task, "log_rmse"], rel=1e-6)


@pytest.mark.parametrize("task", TASKS)
def test_robust_fits_never_fail_on_parts_of_a_log(logs: dict[str, CurveLog], task: str) -> None:
    log = logs[task]
    for offset in range(10):
        found = curve_features(CurveLog(log.steps[offset::10], log.losses[offset::10]))
        assert not {name for name in found.missing if name.startswith(("log_fit", "slope"))}
        assert found.values["log_fit_b"] < 0


def test_an_aborted_start_is_reported(logs: dict[str, CurveLog]) -> None:
    notes = {task: curve_features(log).notes for task, log in logs.items()}
    assert notes.pop("HYP") == ("10 records of an aborted start (the step goes back 1 time)",)
    assert not any(notes.values())


STEPS = np.arange(10.0, 10_001, 10)


def noisy(seed: int = 0) -> CurveLog:
    rng = np.random.default_rng(seed)
    return CurveLog(STEPS, 4 - 0.4 * np.log(STEPS + 50) + rng.normal(0, 0.05, len(STEPS)))


@pytest.mark.parametrize("percent", CURVE_PERCENTS)
def test_slope_is_a_regression_over_the_window(percent: int) -> None:
    log = noisy()
    found = curve_features(log).values
    inside = [abs(step - 100 * percent) <= 500 for step in STEPS]
    line = linregress(STEPS[inside], log.losses[inside])
    mean = log.losses[inside].mean()
    first, last = log.losses[:10].mean(), log.losses[STEPS > 9500].mean()
    assert found[f"slope_{percent}"] == pytest.approx(line.slope)
    assert found[f"slope_se_{percent}"] == pytest.approx(line.stderr)
    assert found[f"relative_slope_{percent}"] == pytest.approx(line.slope * 10_000 / mean)
    assert found[f"loss_done_{percent}"] == pytest.approx((first - mean) / (first - last))
    k = 1000 * percent // 100
    gradient = (log.losses[k + 1] - log.losses[k - 1]) / 20
    assert found[f"grad_{percent}"] == pytest.approx(gradient, abs=1e-15)


def test_the_clean_record_gives_the_same_as_its_log() -> None:
    log = noisy()
    assert curve_features(LearningCurve(log.steps, log.losses)).values == pytest.approx(
        curve_features(log).values, nan_ok=True
    )


@pytest.mark.parametrize("factor", [0.1, 10.0])
def test_units(factor: float) -> None:
    one, other = (curve_features(CurveLog(STEPS * f, noisy().losses)).values for f in (1.0, factor))
    for percent in CURVE_PERCENTS:
        assert other[f"slope_{percent}"] == pytest.approx(one[f"slope_{percent}"] / factor)
        assert other[f"relative_slope_{percent}"] == pytest.approx(one[f"relative_slope_{percent}"])
        assert other[f"loss_done_{percent}"] == pytest.approx(one[f"loss_done_{percent}"])
    assert other["log_fit_b"] == pytest.approx(one["log_fit_b"], rel=1e-5)
    assert other["log_fit_s"] == pytest.approx(one["log_fit_s"] * factor, rel=1e-3)
    assert other["power_fit_p"] == pytest.approx(one["power_fit_p"], rel=1e-3)


def test_overfitting() -> None:
    steps = np.arange(1.0, 101)
    up = np.where(steps <= 50, 2 - steps / 50, 1 + (steps - 50) / 50)
    log = CurveLog(STEPS, noisy().losses, steps, up, steps / 100)
    values = curve_features(log).values
    assert values["dev_overfit"] == pytest.approx(up[-10:].mean() - up[49:51].mean())
    assert values["dev_final_score"] == pytest.approx(0.955)
    assert values["dev_score_gain_late"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("steps", "losses"),
    [
        ([], []),
        ([1.0], [2.0]),
        ([1.0, 2.0], [2.0, 1.0]),
        ([1.0, 1.0, 1.0], [3.0, 2.0, 1.0]),
        ([0.0, 0.0], [nan, nan]),
        ([5.0, 4.0, 3.0, 2.0, 1.0], [1.0] * 5),
        (np.arange(100.0), np.ones(100)),
        (np.arange(100.0), np.full(100, nan)),
        (np.arange(100.0), np.zeros(100)),
        ([1.0, 2.0, 3.0, 1e9], [1.0, 2.0, 3.0, 4.0]),
    ],
)
def test_hopeless_logs_give_reasons(steps, losses) -> None:  # type: ignore[no-untyped-def]
    found = curve_features(CurveLog(np.array(steps), np.array(losses)))
    assert set(found.values) == set(curve_features(noisy()).values)
    assert {name for name, value in found.values.items() if np.isnan(value)} == set(found.missing)
    assert not [reason for reason in found.missing.values() if reason.startswith("failed")]


Numbers = st.floats(-1e6, 1e6) | st.sampled_from([nan, np.inf, -np.inf, 0.0, 1e300])


@settings(max_examples=150)
@given(
    st.lists(st.tuples(Numbers, Numbers), max_size=40),
    st.lists(st.tuples(Numbers, Numbers, Numbers), max_size=9),
)
def test_no_log_breaks_the_features(train, dev) -> None:  # type: ignore[no-untyped-def]
    columns = np.array(train, dtype=float).reshape(-1, 2).T, np.array(dev, dtype=float).reshape(-1, 3).T
    with np.errstate(all="ignore"):
        found = curve_features(CurveLog(*columns[0], *columns[1]))
    assert {name for name, value in found.values.items() if np.isnan(value)} == set(found.missing)
    assert set(found.values) >= DEV
