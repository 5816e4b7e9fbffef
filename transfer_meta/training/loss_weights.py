"""Weights of the tasks' losses at every step of a run: fixed or moving ones, and ones that are learned."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from transfer_meta.records import TaskType
from transfer_meta.tasks.subsets import generator
from transfer_meta.training.method_settings import TO_TARGET, Mixing
from transfer_meta.training.stage import Stage

StepTasks = list[tuple[int, float]]
"""The tasks that a step trains on, by index, and the weights of their losses."""
LOG_VARIANCE_RATE = 0.05
"""Peak learning rate of the logarithms of variances: they start at 0, and AdamW moves them by about the rate at
each step, so that those of the encoder would leave them where they are."""


def step_schedule(stage: Stage, examples: Sequence[int], batches: int) -> list[StepTasks]:
    """Return the tasks of every step; a task whose weight is 0 is left out.

    Parameters
    ----------
    stage : Stage
    examples : sequence of int
        Number of training examples of each task of the stage.
    batches : int
        Number of batches of the target over all epochs.
    """
    tasks = range(len(examples))
    mixing = stage.mixing or Mixing()
    if stage.soft or not stage.sources:
        return [[(task, 1.0) for task in tasks]] * batches
    if mixing.weighting == TO_TARGET:
        return [_positive(moving_weights(step, batches, len(tasks))) for step in range(batches)]
    if mixing.sums_losses:
        return [_positive(mixing.weights or (1.0,) * len(tasks))] * batches
    shares = mixing.probabilities(tuple(examples))
    steps = round(batches / shares[0])
    drawn = generator("mixing", stage.seed, *stage.tasks).choice(len(tasks), size=steps, p=shares)
    return [[(int(task), 1.0)] for task in drawn]


def moving_weights(step: int, steps: int, tasks: int) -> tuple[float, ...]:
    """Return the weights of a step, counted from 0: equal at the first, 1 for the target (the first) at the last.

    Examples
    --------
    >>> [moving_weights(step, 3, 2) for step in range(3)]
    [(0.5, 0.5), (0.75, 0.25), (1.0, 0.0)]
    """
    passed = step / (steps - 1) if steps > 1 else 0.0
    rest = (1 - passed) / tasks
    return (rest + passed, *(rest,) * (tasks - 1))


def _positive(weights: Sequence[float]) -> StepTasks:
    return [(task, weight) for task, weight in enumerate(weights) if weight]


class UncertaintyWeights(nn.Module):
    """Loss weights learned with the encoder, from the tasks' homoscedastic uncertainty [1]_.

    With s the logarithm of a task's variance, its loss L counts as exp(-s) L + s / 2, and as exp(-s) L / 2 + s / 2
    in regression; the second term keeps s from growing.  All s start at 0, and there is no weight decay on them.

    Parameters
    ----------
    types : sequence of TaskType
        The types of the tasks, the target first.

    References
    ----------
    .. [1] Kendall, Gal & Cipolla (2018). Multi-Task Learning Using Uncertainty to Weigh Losses for Scene Geometry
       and Semantics. CVPR.
    """

    factors: torch.Tensor

    def __init__(self, types: Sequence[TaskType]) -> None:
        super().__init__()
        self.log_variances = nn.Parameter(torch.zeros(len(types)))
        factors = [0.5 if type is TaskType.REGRESSION else 1.0 for type in types]
        self.register_buffer("factors", torch.tensor(factors), persistent=False)

    def scaled(self, task: int, loss: torch.Tensor) -> torch.Tensor:
        """Return a task's loss times its weight."""
        return self.factors[task] * torch.exp(-self.log_variances[task]) * loss

    def penalty(self) -> torch.Tensor:
        """Return the sum of the terms that do not depend on the losses."""
        return self.log_variances.sum() / 2

    def values(self) -> list[float]:
        """Return the current weights of the losses."""
        found: list[float] = (self.factors * torch.exp(-self.log_variances)).detach().cpu().tolist()
        return found
