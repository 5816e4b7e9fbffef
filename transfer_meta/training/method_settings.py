"""Settings of the ways to train a task together with others, or in an order of its examples."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from transfer_meta.errors import InputError, unknown
from transfer_meta.records import TaskType
from transfer_meta.training.training_settings import check_fields, has_type

SAMPLINGS = ("uniform", "proportional", "temperature")
FIXED = "fixed"
TO_TARGET = "to-target"
UNCERTAINTY = "uncertainty"
WEIGHTINGS = (FIXED, TO_TARGET, UNCERTAINTY)
L2_TIE = "l2"
KL_TIE = "kl"
TIES = (L2_TIE, KL_TIE)
BASELINE_ORDER = "baseline"
NAIVE = "naive"
MIXED = "mixed"
COMBINED = "combined"
ORDERS = (BASELINE_ORDER, NAIVE, MIXED, COMBINED)
BY_LENGTH = "length"
BY_LABELS = "labels"
BY_LOSS = "loss"
BY_RUN_LOSS = "run-loss"
DIFFICULTIES = (BY_LENGTH, BY_LABELS, BY_LOSS, BY_RUN_LOSS)
BY_LOSSES = (BY_LOSS, BY_RUN_LOSS)
"""Difficulties for which an encoder reads the examples."""
TYPES_WITH_COUNTED_LABELS = (
    TaskType.TOKEN_CLASSIFICATION,
    TaskType.QUESTION_ANSWERING,
    TaskType.MULTIPLE_CHOICE,
)
"""Types whose examples have numbers of tags, answers or choices to be ordered by."""
MAX_LEVELS = 1000
"""Largest number of levels of a curriculum."""
MAX_STRENGTH = 1e9
"""Largest strength of a tie: beyond it, single precision no longer tells encoders apart."""


@dataclass(frozen=True)
class Mixing:
    """Mixture of the target with its sources in multi-task training.

    Either every step draws one task and trains on one of its batches (`sampling`), or every step sums the
    weighted losses of one batch of each task (`weights`, or a `weighting` that is not fixed).  In both cases the
    target is passed over `epochs` times, in expectation: steps = epochs x batches of the target / its probability.

    Parameters
    ----------
    sampling : {"uniform", "proportional", "temperature"}
        ``uniform`` over tasks (Bingel & Søgaard 2017); ``proportional`` to the number of training
        examples; ``temperature``: proportional to examples^(1 / temperature).
    temperature : float
        1 is proportional; larger values are closer to uniform.
    weights : tuple of float
        Loss weights, the target's first and then one per source, summing to 1.  Empty: use sampling.
    weighting : {"fixed", "to-target", "uncertainty"}
        ``fixed``: as `weights` or `sampling` say, throughout.  ``to-target``: weights that move linearly from equal
        ones at the first step to the target alone at the last.  ``uncertainty``: weights that are learned, see
        `transfer_meta.training.loss_weights.UncertaintyWeights`.
    """

    sampling: str = "uniform"
    temperature: float = 2.0
    weights: tuple[float, ...] = ()
    weighting: str = FIXED

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", tuple(float(w) for w in self.weights))
        object.__setattr__(self, "temperature", float(self.temperature))

    def problems(self) -> list[str]:
        """Return one line for each invalid setting."""
        found = []
        if self.sampling not in SAMPLINGS:
            found.append(str(unknown("sampling", str(self.sampling), SAMPLINGS)))
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            found.append(f"temperature = {self.temperature} (expected a positive number)")
        if self.weights and any(not (math.isfinite(w) and w >= 0) for w in self.weights):
            found.append(f"weights = {list(self.weights)} (expected numbers of at least 0)")
        elif self.weights and abs(sum(self.weights) - 1) > 1e-6:
            found.append(f"weights = {list(self.weights)} sum to {sum(self.weights):g} (expected 1)")
        elif self.weights and self.weights[0] == 0:
            found.append(f"weights = {list(self.weights)} (the target's, the first, must be above 0)")
        if self.weighting not in WEIGHTINGS:
            found.append(str(unknown("weighting", str(self.weighting), WEIGHTINGS)))
        elif self.weighting != FIXED:
            found += [
                f"{name} has no effect with weighting = '{self.weighting}' (expected it left out)"
                for name in ("sampling", "temperature", "weights")
                if getattr(self, name) != getattr(Mixing, name)
            ]
        return found

    @property
    def sums_losses(self) -> bool:
        """Whether every step sums the losses of all tasks; else it draws one of them."""
        return bool(self.weights) or self.weighting != FIXED

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Mixing:
        """Return a mixture from a mapping; an InputError names every unknown key."""
        check_fields("mixing setting", data, cls)
        return cls(**data)

    def probabilities(self, examples: tuple[int, ...]) -> tuple[float, ...]:
        """Return the probability of drawing each task, given their numbers of training examples.

        Examples
        --------
        >>> Mixing("proportional").probabilities((100, 300))
        (0.25, 0.75)
        """
        exponent = {"uniform": 0.0, "proportional": 1.0}.get(self.sampling, 1 / self.temperature)
        shares = [n**exponent for n in examples]
        return tuple(share / sum(shares) for share in shares)


@dataclass(frozen=True)
class SoftSharing:
    """How encoders are tied, one for each task, see `transfer_meta.training.soft_sharing.Tie`.

    Parameters
    ----------
    tie : {"l2", "kl"}
        ``l2``: by the squared L2 distances of their weights; ``kl``: by the KL divergences of the tasks'
        predictions for the same texts, for tasks of one type with the same labels.
    strength : float
        Factor of this penalty beside the losses; 0: each task is trained on its own.
    """

    tie: str = L2_TIE
    strength: float = 0.1

    def __post_init__(self) -> None:
        object.__setattr__(self, "strength", float(self.strength))

    def problems(self) -> list[str]:
        """Return one line for each invalid setting."""
        found = []
        if self.tie not in TIES:
            found.append(str(unknown("tie", str(self.tie), TIES)))
        if not 0 <= self.strength <= MAX_STRENGTH:
            found.append(f"strength = {self.strength} (expected a number from 0 to {MAX_STRENGTH:g})")
        return found

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SoftSharing:
        """Return the settings of a mapping; an InputError names every unknown key."""
        check_fields("soft sharing setting", data, cls)
        return cls(**data)


class TiedTask(Protocol):
    """What a tie by predictions needs to know about a task."""

    @property
    def name(self) -> str:
        """Name of the task."""

    @property
    def type(self) -> TaskType:
        """Its type."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Its classes or tags."""


def check_tie(settings: SoftSharing, tasks: Sequence[TiedTask]) -> None:
    """Raise an InputError if tasks, the target first, cannot be tied by their predictions."""
    if settings.tie != KL_TIE:
        return
    target = tasks[0]
    for task in tasks:
        if task.type not in (TaskType.CLASSIFICATION, TaskType.TOKEN_CLASSIFICATION):
            raise InputError(
                f"tie '{KL_TIE}' compares predicted classes or tags (got '{task.name}': {task.type})"
            )
        if (task.type, task.labels) != (target.type, target.labels):
            raise InputError(
                f"tie '{KL_TIE}' needs tasks of one type with the same labels (got {_described(target)}; "
                f"{_described(task)})"
            )


def _described(task: TiedTask) -> str:
    labels = ", ".join(task.labels[:5]) + ", …" * (len(task.labels) > 5)
    return f"'{task.name}': {task.type} with {labels}"


@dataclass(frozen=True)
class Curriculum:
    """Order of a run's training examples by their difficulty [1]_, see `transfer_meta.training.curriculum`.

    The examples are divided into levels of equal size by their rank in difficulty.  The number of steps and the
    batch size stay those of a run without a curriculum.

    Parameters
    ----------
    order : {"baseline", "naive", "mixed", "combined"}
        As in [2]_.  ``baseline``: all examples at once, as without a curriculum.  ``naive``: the easiest level
        alone at first; the next one is added when an evaluation finds no lower dev loss than those before, and at
        the latest after an equal share of the batches.  ``mixed``: every batch is of one level, drawn uniformly.
        ``combined``: batches of ``naive`` and ``mixed`` in turn.
    difficulty : {"length", "labels", "loss", "run-loss"}
        ``length``: number of tokens.  ``labels``: number of different tags, answers or choices of an example; not
        for classification and regression.  ``loss``: loss under a linear head on the frozen encoder that the run
        starts from, fitted to the other half of the examples.  ``run-loss``: the same with the encoder that an
        earlier run has left, of the task alone with the same settings in a random order [3]_; for targets without
        sources.
    levels : int

    References
    ----------
    .. [1] Bengio et al. (2009). Curriculum learning. ICML.
    .. [2] Zaremba & Sutskever (2015). Learning to execute. arXiv:1410.4615.
    .. [3] Hacohen & Weinshall (2019). On the power of curriculum learning in training deep networks. ICML.
    """

    order: str = NAIVE
    difficulty: str = BY_LENGTH
    levels: int = 4

    def problems(self) -> list[str]:
        """Return one line for each invalid setting."""
        found = []
        for name, valid in (("order", ORDERS), ("difficulty", DIFFICULTIES)):
            if getattr(self, name) not in valid:
                found.append(str(unknown(name, str(getattr(self, name)), valid)))
        if not has_type(self.levels, "int") or not 2 <= self.levels <= MAX_LEVELS:
            found.append(f"levels = {self.levels!r} (expected a whole number from 2 to {MAX_LEVELS:,})")
        return found

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Curriculum:
        """Return a curriculum from a mapping; an InputError names every unknown key."""
        check_fields("curriculum setting", data, cls)
        return cls(**data)
