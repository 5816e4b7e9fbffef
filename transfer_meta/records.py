"""The records that the rooms of this package hand to one another.

A *target* is the task one cares about; a *source* is a task trained on beside it or before it.  Scores
are on 0-1.  The gain of an outcome is defined here and nowhere else.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

NameArray = NDArray[np.object_]
"""Names of tasks or settings."""

OnProgress = Callable[[int, int], None]
"""Called with the number of items done and of all items."""

Tell = Callable[[str], None]
"""Called with one line for the user."""

ID_COLUMNS = ("setting", "source", "target")
"""The columns that say which pair a row is about; every other column of a predictor's input is a feature."""


class TaskType(StrEnum):
    """What a model has to put out for an example."""

    CLASSIFICATION = "classification"
    REGRESSION = "regression"
    TOKEN_CLASSIFICATION = "token-classification"
    QUESTION_ANSWERING = "question-answering"
    MULTIPLE_CHOICE = "multiple-choice"


class Answer(NamedTuple):
    """One gold answer of span question answering: its text and its first character in the context."""

    text: str
    start: int


Label = str | int | float | tuple[str, ...] | tuple[Answer, ...] | None


class Example(NamedTuple):
    """One labelled example of any task type.

    Parameters
    ----------
    text : str
        The text; the question of question answering; the context of multiple choice.
    label
        ``str`` class of classification, ``float`` of regression, one ``str`` a token of token
        classification, the gold `Answer` s of question answering (empty: no answer), the ``int`` index of the
        right choice of multiple choice, or None where there is no label.
    text_pair : str or None
        The second text of a pair; the context of question answering; the question of multiple choice.
    choices : tuple of str
        The choices of multiple choice, else empty.
    tokens : tuple of str
        The tokens of token classification (`text` is then the tokens joined by blanks), else empty.
    """

    text: str
    label: Label = None
    text_pair: str | None = None
    choices: tuple[str, ...] = ()
    tokens: tuple[str, ...] = ()


@dataclass(frozen=True)
class LearningCurve:
    """The loss of one training run, and what was measured on a dev split beside it.

    Parameters
    ----------
    steps, losses : array of shape (n,)
        Update steps, strictly increasing, and the training loss at each (nats, mean per example).
    dev_steps, dev_losses, dev_scores : array of shape (m,)
        The same for the dev split; scores on 0-1, NaN where a value was not measured.
    """

    steps: FloatArray
    losses: FloatArray
    dev_steps: FloatArray = field(default_factory=lambda: np.empty(0))
    dev_losses: FloatArray = field(default_factory=lambda: np.empty(0))
    dev_scores: FloatArray = field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        if self.steps.shape != self.losses.shape or self.steps.ndim != 1:
            raise ValueError(f"steps {self.steps.shape} and losses {self.losses.shape} do not match")
        if len(self.steps) > 1 and not np.all(np.diff(self.steps) > 0):
            raise ValueError("the steps of a learning curve must increase strictly")
        if not self.dev_steps.shape == self.dev_losses.shape == self.dev_scores.shape:
            raise ValueError("dev_steps, dev_losses and dev_scores must have the same length")


@dataclass(frozen=True)
class TaskProfile:
    """What is known of one task before any transfer: named numbers and vectors.

    Parameters
    ----------
    name, type
        The task and its `TaskType`.
    features : mapping of str to float
        Named numbers; NaN where a feature could not be computed.
    missing : mapping of str to str
        For each NaN feature the reason.
    vectors : mapping of str to array
        Task vectors by kind, each of shape (d,).
    digest : str
        Digest of the task's content.
    settings : mapping
        The settings that the features depend on.
    notes : tuple of str
        What was odd about the task's files and was put right.
    sketches : mapping of str to array
        Counts of words, labels and examples by hash, for the features of pairs (`features.sketches`); too
        bulky for `to_json`, which leaves them out.
    """

    name: str
    type: TaskType
    features: Mapping[str, float]
    missing: Mapping[str, str] = field(default_factory=dict)
    vectors: Mapping[str, FloatArray] = field(default_factory=dict)
    digest: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    sketches: Mapping[str, NDArray[Any]] = field(default_factory=dict, repr=False)

    def to_json(self) -> str:
        """The profile as one JSON object; NaN as null."""
        return json.dumps(
            {
                "name": self.name,
                "type": str(self.type),
                "digest": self.digest,
                "settings": dict(self.settings),
                "features": {k: None if math.isnan(v) else v for k, v in self.features.items()},
                "missing": dict(self.missing),
                "notes": list(self.notes),
                "vectors": {k: np.asarray(v).tolist() for k, v in self.vectors.items()},
            },
            allow_nan=False,
        )

    @classmethod
    def from_json(cls, text: str) -> TaskProfile:
        """The profile that `to_json` wrote."""
        data = json.loads(text)
        return cls(
            name=data["name"],
            type=TaskType(data["type"]),
            features={k: math.nan if v is None else float(v) for k, v in data["features"].items()},
            missing=data["missing"],
            notes=tuple(data.get("notes", ())),
            vectors={k: np.asarray(v, dtype=np.float64) for k, v in data["vectors"].items()},
            digest=data["digest"],
            settings=data["settings"],
        )


def relative_gain(score: Any, baseline: Any) -> Any:
    """Gain of a transfer as a fraction of the baseline: (score - baseline) / baseline.

    Works on numbers, arrays and pandas columns.  A baseline of zero has no relative gain: NaN.

    Examples
    --------
    >>> round(relative_gain(0.66, 0.60), 3)
    0.1
    """
    baseline = np.where(np.asarray(baseline, dtype=float) == 0, np.nan, baseline)
    gain = (np.asarray(score, dtype=float) - baseline) / baseline
    return float(gain) if np.ndim(gain) == 0 else gain


@dataclass(frozen=True)
class Outcome:
    """One measured transfer.

    Parameters
    ----------
    source, target : str
        A chain of sources is written ``first>second``, several sources at once ``one+two``.
    score, baseline : float
        Test score with and without the source, on 0-1, under the same settings and seed.
    method : str
        ``intermediate``, ``multitask`` or ``chain``.
    regime : str
        ``SOURCE-TARGET`` examples, each a number or ``full``, for example ``1000-200``.
    encoder : str
        Name of the pretrained encoder.
    seed : int or None
        None for a mean over seeds.
    """

    source: str
    target: str
    score: float
    baseline: float
    method: str = "intermediate"
    regime: str = "full-full"
    encoder: str = ""
    seed: int | None = None

    @property
    def gain(self) -> float:
        """Relative gain, a fraction (see `relative_gain`)."""
        return float(relative_gain(self.score, self.baseline))

    @property
    def absolute_gain(self) -> float:
        """Score points gained, on 0-1."""
        return self.score - self.baseline
