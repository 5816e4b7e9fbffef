"""Seeded subsets of a split: training and dev examples of a run, and samples for profiles and embeddings."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from transfer_meta.errors import InputError
from transfer_meta.files import digest
from transfer_meta.records import Example
from transfer_meta.tasks.task import Task

MAX_DEV_FRACTION = 0.2
"""Largest share of a training split that becomes the dev split."""


def generator(*key: str | int) -> np.random.Generator:
    """Return a random generator seeded by a key, the same on every machine and in every version."""
    return np.random.default_rng(int(digest(*(str(part) for part in key))[:32], 16))


def dev_size(size: int, dev_examples: int) -> int:
    """Return the size of the dev split taken from a training split of `size` examples.

    Examples
    --------
    >>> dev_size(1000, 100), dev_size(50, 100)
    (100, 10)
    """
    return min(dev_examples, int(size * MAX_DEV_FRACTION))


def choose(
    task: str, size: int, examples: int | None, *, seed: int, dev_examples: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the indices of a training subset and of the dev split, disjoint, in ascending order.

    Both come from one permutation, seeded by the task's name and `seed`: the training subset is its beginning and
    depends on nothing else, so that a smaller subset lies within a larger one; the dev split is its end.

    Parameters
    ----------
    task : str
        Name of the task.
    size : int
        Number of examples in the training split.
    examples : int or None
        Number of training examples; None for all except the dev split.
    seed : int
    dev_examples : int
        Requested size of the dev split; see `dev_size`.

    Raises
    ------
    InputError
        Fewer than `examples` examples are left, or none at all.

    Examples
    --------
    >>> train, dev = choose("sst2", 10, 4, seed=0, dev_examples=2)
    >>> len(train), len(dev), len(set(train) & set(dev))
    (4, 2, 0)
    """
    held_out = dev_size(size, dev_examples)
    left = size - held_out
    if examples is not None and examples > left:
        raise InputError(
            f"task '{task}': {examples} training examples wanted, {left} are there "
            f"({size} less {held_out} of the dev split)"
        )
    if left == 0:
        raise InputError(f"task '{task}' has no training examples")
    order = generator("subset", task, seed).permutation(size)
    return np.sort(order[: left if examples is None else examples]), np.sort(order[left:])


def draw_examples(
    task: Task, split: str, count: int | None, *, seed: int = 0
) -> tuple[list[Example], int]:
    """Draw at most `count` examples of a split, as `choose` does without a dev split.

    The split is read twice, so that memory grows with `count` and not with the split.

    Parameters
    ----------
    task : Task
    split : str
    count : int or None
        None for all examples.
    seed : int

    Returns
    -------
    examples : list of Example
        In the order of the split.
    size : int
        Number of examples in the whole split.
    """
    size = sum(1 for _ in task.examples(split))
    if count is None or size <= count:
        return list(task.examples(split)), size
    chosen = set(choose(task.name, size, count, seed=seed, dev_examples=0)[0].tolist())
    return [example for i, example in enumerate(task.examples(split)) if i in chosen], size
