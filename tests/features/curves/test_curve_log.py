from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer_meta.features.curves.curve_log import clean_log
from transfer_meta.records import CurveLog

nan = float("nan")


def log_of(steps: list[float], losses: list[float] | None = None, **dev: list[float]) -> CurveLog:
    arrays = {name: np.array(values, dtype=float) for name, values in dev.items()}
    return CurveLog(np.array(steps, float), np.array(losses or [1.0] * len(steps), float), **arrays)


@pytest.mark.parametrize(
    ("steps", "losses", "kept", "note"),
    [
        ([1, 2, 3], [3, 2, 1], [3, 2, 1], ""),
        (
            [1, 2, 1, 2, 3],
            [9, 9, 3, 2, 1],
            [3, 2, 1],
            "2 records of an aborted start (the step goes back 1 time)",
        ),
        ([1, 2, 3, 4, 3, 4], [5, 4, 9, 9, 3, 2], [5, 4, 3, 2], "2 records of an aborted start"),
        (
            [1, 2, 2, 3],
            [3, 9, 2, 1],
            [3, 2, 1],
            "1 record written twice for one step, the last one taken",
        ),
        ([1, 2, 3], [3, nan, 1], [3, 1], "1 record without a finite loss"),
        ([1, 2, nan], [3, np.inf, 1], [3], "2 records without a finite loss"),
        (
            [1, 2, 3, 90, 91],
            [5, 4, 3, 2, 1],
            [5, 4, 3, 2, 1],
            "1 gap (the longest of 87 steps, the median",
        ),
        ([], [], [], ""),
    ],
)
def test_clean(steps: list[float], losses: list[float], kept: list[float], note: str) -> None:
    curve, notes = clean_log(log_of(steps, losses))
    assert curve.losses.tolist() == kept
    assert len(notes) == bool(note)
    assert not note or notes[0].startswith(note)


def test_a_clean_dev_curve() -> None:
    log = log_of(
        [1, 2],
        dev_steps=[1, 2, 1, 2, 3],
        dev_losses=[9, 9, 2, nan, nan],
        dev_scores=[0, 0, nan, 0.5, nan],
    )
    curve, _ = clean_log(log)
    assert curve.dev_steps.tolist() == [1, 2]
    assert curve.dev_losses[0] == 2
    assert curve.dev_scores[1] == 0.5


@given(st.lists(st.tuples(st.integers(0, 12), st.sampled_from([1.0, 2.0, nan])), max_size=30))
def test_a_cleaned_log_is_a_valid_curve(records: list[tuple[int, float]]) -> None:
    curve, notes = clean_log(log_of([s for s, _ in records], [x for _, x in records]))
    assert np.all(np.diff(curve.steps) > 0)
    assert np.all(np.isfinite(curve.losses))
    finite = [(s, x) for s, x in records if np.isfinite(x)]
    if finite:  # the last record always stands
        assert (curve.steps[-1], curve.losses[-1]) == finite[-1]
    assert bool(notes) or len(curve.steps) == len(records)


def test_cut() -> None:
    log = log_of([1, 2, 3, 4], dev_steps=[2, 4], dev_losses=[1, 2], dev_scores=[0, 1]).up_to(3)
    assert log.steps.tolist() == [1, 2, 3]
    assert log.dev_scores.tolist() == [0]
