"""The result of one fine-tuning run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from transfer_meta.records import LearningCurve


@dataclass(frozen=True)
class RunResult:
    """The result of one fine-tuning run.

    Parameters
    ----------
    score : float
        The main metric on the target's test split, 0-1; on the part held out of train for a source without one; NaN
        if nothing is held out.
    scores : mapping of str to float
        All metrics on the same split; correlations are on -1 to 1.
    main_metric : str
        Name of the main metric.
    curve : LearningCurve
        Training loss at each step that trained on the target, and evaluations of its dev split.
    seconds : float
        Wall time of the whole run.
    tokens_per_second : float
        Training throughput without padding and without evaluation.
    peak_memory_bytes : int
        GPU: maximum memory allocated during the run; CPU: maximum resident memory of the process so far.
    device : str
        Name of the device.
    versions : mapping of str to str
        Versions of Python and of the libraries that affect the result.
    notes : mapping of str to Any
        ``steps``, ``best_step``, ``micro_batches``: parts that each batch was split into, ``examples``:
        training examples by task, ``subsets``: digest of the training examples by task, ``scored_on``: the split
        that the scores are of.
    source_curves : mapping of str to LearningCurve
        Multi-task training: training loss of each source at the steps that trained on it.
    """

    score: float
    scores: Mapping[str, float]
    main_metric: str
    curve: LearningCurve
    seconds: float
    tokens_per_second: float
    peak_memory_bytes: int
    device: str
    versions: Mapping[str, str]
    notes: Mapping[str, Any] = field(default_factory=dict)
    source_curves: Mapping[str, LearningCurve] = field(default_factory=dict)
