"""What training logged, and the clean learning curve in it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from transfer_meta.records import FloatArray, LearningCurve

# A step this many times longer than the median step is a gap.
GAP = 5


def _empty() -> FloatArray:
    return np.empty(0)


@dataclass(frozen=True)
class CurveLog:
    """The records of a training log in the order they were written, aborted starts and all.

    Parameters
    ----------
    steps, losses : array of shape (n,)
        Update steps and the training loss at each.
    dev_steps, dev_losses, dev_scores : array of shape (m,)
        The same for the dev split; NaN where a value was not measured.
    """

    steps: FloatArray
    losses: FloatArray
    dev_steps: FloatArray = field(default_factory=_empty)
    dev_losses: FloatArray = field(default_factory=_empty)
    dev_scores: FloatArray = field(default_factory=_empty)

    def up_to(self, step: float) -> CurveLog:
        """The log without the records after a step."""
        early, dev_early = self.steps <= step, self.dev_steps <= step
        return CurveLog(
            self.steps[early],
            self.losses[early],
            self.dev_steps[dev_early],
            self.dev_losses[dev_early],
            self.dev_scores[dev_early],
        )


def clean(log: CurveLog) -> tuple[LearningCurve, tuple[str, ...]]:
    """The learning curve of a log, and one note for each thing that was wrong with it.

    Records whose loss is not finite are dropped.  Where the step goes back, training was started again or
    resumed: a record is dropped if a later one has the same step or an earlier one.

    Examples
    --------
    >>> log = CurveLog(np.array([10.0, 20, 10, 20, 30]), np.array([3.0, 2, 4, np.nan, 1]))
    >>> curve, notes = clean(log)
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
    gaps = int((changes > GAP * np.median(changes)).sum()) if len(changes) else 0
    if gaps:
        longest = f"{changes.max():g} steps, the median step is {np.median(changes):g}"
        notes.append(f"{_plural(gaps, 'gap')} (the longest of {longest})")

    measured = np.isfinite(log.dev_steps) & (np.isfinite(log.dev_losses) | np.isfinite(log.dev_scores))
    dev_keep = _last_written(log.dev_steps[measured])
    curve = LearningCurve(
        steps=steps,
        losses=losses,
        dev_steps=log.dev_steps[measured][dev_keep],
        dev_losses=log.dev_losses[measured][dev_keep],
        dev_scores=log.dev_scores[measured][dev_keep],
    )
    return curve, tuple(notes)


def _last_written(steps: FloatArray) -> NDArray[np.bool_]:
    """True where all later steps are greater."""
    keep = np.ones(len(steps), dtype=bool)
    if len(steps) > 1:
        earliest_later = np.minimum.accumulate(steps[:0:-1])[::-1]
        keep[:-1] = steps[:-1] < earliest_later
    return keep


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
