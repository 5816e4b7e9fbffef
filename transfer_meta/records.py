"""Records exchanged between the subpackages.

A *target* is the task of interest; a *source* is a task trained on before it or beside it.  Scores are on 0-1.  The
gain of an outcome is defined here and nowhere else.
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
"""Called with the number of items done and the total."""

Tell = Callable[[str], None]
"""Called with one line for the user."""

ID_COLUMNS = ("setting", "source", "target")
"""Columns that identify a pair; every other column of a predictor's input is a feature."""


class TaskType(StrEnum):
    """Types of tasks, by what a model outputs for an example."""

    CLASSIFICATION = "classification"
    REGRESSION = "regression"
    TOKEN_CLASSIFICATION = "token-classification"
    QUESTION_ANSWERING = "question-answering"
    MULTIPLE_CHOICE = "multiple-choice"
    GENERATION = "generation"


TYPES_WITH_HEADS = tuple(type for type in TaskType if type is not TaskType.GENERATION)
"""Types that an encoder with a head on top can be trained on; the answers of the other one are texts."""


class Answer(NamedTuple):
    """One gold answer of span question answering: its text and the offset of its first character in the context."""

    text: str
    start: int


Label = str | int | float | tuple[str, ...] | tuple[Answer, ...] | None


class Example(NamedTuple):
    """One labelled example of any task type.

    Parameters
    ----------
    text : str
        The text; the question in question answering; the context in multiple choice; the input in generation.
    label : str, float, int, tuple or None
        ``str`` class in classification, ``float`` in regression, one ``str`` per token in token classification,
        the gold `Answer` s in question answering (empty: no answer), the ``int`` index of the right choice in
        multiple choice.  In generation the reference texts, one ``str`` at least, each an answer that counts as
        right: models are trained on the first and scored against the one that fits best.
    text_pair : str or None
        The second text of a pair; the context in question answering; the question in multiple choice; in
        generation the instruction (what to do with the input), if it is a text of its own.
    choices : tuple of str
        The choices in multiple choice, else empty.
    tokens : tuple of str
        The tokens in token classification (`text` is then the tokens joined by blanks), else empty.
    """

    text: str
    label: Label = None
    text_pair: str | None = None
    choices: tuple[str, ...] = ()
    tokens: tuple[str, ...] = ()


@dataclass(frozen=True)
class CurveLog:
    """Records of a training log in the order they were written, aborted starts included.

    Parameters
    ----------
    steps, losses : array of shape (n,)
        Update steps and the training loss at each (nats, mean per example).
    dev_steps, dev_losses, dev_scores : array of shape (m,)
        The same for the dev split; scores on 0-1, NaN where a value was not measured.
    """

    steps: FloatArray
    losses: FloatArray
    dev_steps: FloatArray = field(default_factory=lambda: np.empty(0))
    dev_losses: FloatArray = field(default_factory=lambda: np.empty(0))
    dev_scores: FloatArray = field(default_factory=lambda: np.empty(0))

    def up_to(self, step: float) -> CurveLog:
        """Return the log up to and including a step."""
        early, dev_early = self.steps <= step, self.dev_steps <= step
        dev = (values[dev_early] for values in (self.dev_steps, self.dev_losses, self.dev_scores))
        return CurveLog(self.steps[early], self.losses[early], *dev)


@dataclass(frozen=True)
class LearningCurve(CurveLog):
    """Training loss of one run at strictly increasing steps; raises ValueError for other arrays."""

    def __post_init__(self) -> None:
        if self.steps.shape != self.losses.shape or self.steps.ndim != 1:
            raise ValueError(f"steps {self.steps.shape} and losses {self.losses.shape} do not match")
        if len(self.steps) > 1 and not np.all(np.diff(self.steps) > 0):
            raise ValueError("the steps of a learning curve must increase strictly")
        if not self.dev_steps.shape == self.dev_losses.shape == self.dev_scores.shape:
            raise ValueError("dev_steps, dev_losses and dev_scores must have the same length")


@dataclass(frozen=True)
class TaskProfile:
    """Description of one task: named features and vectors.

    Parameters
    ----------
    name : str
    type : TaskType
    features : mapping of str to float
        NaN where a feature could not be computed.
    missing : mapping of str to str
        The reason for each NaN.
    vectors : mapping of str to array
        Task vectors by kind, each of shape (d,).
    digest : str
        Digest of the task's content.
    settings : mapping
        Settings that the features depend on.
    notes : tuple of str
        Defects of the task's files that were repaired.
    sketches : mapping of str to array
        Counts of words, labels and examples by hash, for the features of pairs (see `features.text.text_hashes`).
        `to_json` leaves them out.
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
        """Return the profile as a JSON object; NaN as null."""
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
        """Read a profile that `to_json` wrote."""
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
    """Return the gain as a fraction of the baseline: (score - baseline) / baseline.

    Accepts numbers, arrays and pandas columns.  The gain over a baseline of zero, or next to it, is NaN.

    Examples
    --------
    >>> round(relative_gain(0.66, 0.60), 3)
    0.1
    """
    baseline = np.where(np.asarray(baseline, dtype=float) == 0, np.nan, baseline)
    with np.errstate(over="ignore"):  # of a baseline next to zero, as good as none
        gain = (np.asarray(score, dtype=float) - baseline) / baseline
    gain = np.where(np.isinf(gain), np.nan, gain)
    return float(gain) if np.ndim(gain) == 0 else gain


def signed_log(values: FloatArray) -> FloatArray:
    """Return sign(x) · ln(1 + |x|), a logarithmic scale that is defined for negative numbers too.

    Examples
    --------
    >>> signed_log(np.array([-99.0, 0.0, 99.0])).round(3).tolist()
    [-4.605, 0.0, 4.605]
    """
    return np.sign(values) * np.log1p(np.abs(values))


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
        """Gain in score points, on 0-1."""
        return self.score - self.baseline
