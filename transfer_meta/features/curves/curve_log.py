"""Learning curves from training logs as written."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from transfer_meta.records import CurveLog, FloatArray, LearningCurve

GAP_FACTOR = 5
"""Two steps are a gap if their distance exceeds this multiple of the median distance."""


def clean_log(log: CurveLog) -> tuple[LearningCurve, tuple[str, ...]]:
    """Return the learning curve of a log, and a note for each kind of record that was dropped or is irregular.

    Records whose loss is not finite are dropped.  Where the step decreases, training was restarted or resumed: a
    record is dropped if a later one has the same step or an earlier one.

    Examples
    --------
    >>> log = CurveLog(np.array([10.0, 20, 10, 20, 30]), np.array([3.0, 2, 4, np.nan, 1]))
    >>> curve, notes = clean_log(log)
    >>> curve.steps.tolist(), curve.losses.tolist()
    ([10.0, 30.0], [4.0, 1.0])
    >>> print("; ".join(notes))
    1 record without a finite loss; 2 records of an aborted start (the step goes back 1 time)
    """
    notes: list[str] = []
    finite = np.isfinite(log.steps) & np.isfinite(log.losses)
    if not finite.all():
        notes.append(f"{_plural(int((~finite).sum()), 'record')} without a finite loss")
    steps = log.steps[finite]
    keep = _last_written(steps)
    changes = np.diff(steps)
    backward = int((changes < 0).sum())
    duplicates = int((changes == 0).sum())
    if backward:
        dropped = _plural(int((~keep).sum()) - duplicates, "record")
        notes.append(f"{dropped} of an aborted start (the step goes back {_plural(backward, 'time')})")
    if duplicates:
        notes.append(f"{_plural(duplicates, 'record')} written twice for one step, the last one taken")
    steps, losses = steps[keep], log.losses[finite][keep]

    changes = np.diff(steps)
    gaps = int((changes > GAP_FACTOR * np.median(changes)).sum()) if len(changes) else 0
    if gaps:
        longest = f"{changes.max():g} steps, the median step is {np.median(changes):g}"
        notes.append(f"{_plural(gaps, 'gap')} (the longest of {longest})")

    measured = np.isfinite(log.dev_steps) & (np.isfinite(log.dev_losses) | np.isfinite(log.dev_scores))
    dev_keep = np.flatnonzero(measured)[_last_written(log.dev_steps[measured])]
    dev = (values[dev_keep] for values in (log.dev_steps, log.dev_losses, log.dev_scores))
    return LearningCurve(steps, losses, *dev), tuple(notes)


def _last_written(steps: FloatArray) -> NDArray[np.bool_]:
    """Return True for each step that is smaller than all later ones."""
    keep = np.ones(len(steps), dtype=bool)
    if len(steps) > 1:
        earliest_later = np.minimum.accumulate(steps[:0:-1])[::-1]
        keep[:-1] = steps[:-1] < earliest_later
    return keep


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
