"""Which examples of a training split a run trains on, and which it measures its curve on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from transfer_meta.errors import InputError
from transfer_meta.files import digest

# The dev split takes at most this share of a small training split.
MAX_DEV_FRACTION = 0.2


def generator(*key: str | int) -> np.random.Generator:
    """A random generator that the key alone decides, on every machine and in every version."""
    return np.random.default_rng(int(digest(*(str(part) for part in key))[:32], 16))


def choose(
    task: str, size: int, examples: int | None, *, seed: int, dev_examples: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of the training subset and of the dev split, disjoint, in ascending order.

    One shuffle, decided by the task's name and the seed, is cut at both ends: the subset is its
    beginning, so that it depends on task, `examples` and seed alone and a smaller one lies within a
    larger one; the dev split is its end.

    Parameters
    ----------
    task
        Name of the task.
    size
        Examples in the whole training split.
    examples
        Training examples wanted; None: all that the dev split leaves.
    seed
        Which of the possible subsets.
    dev_examples
        Size of the dev split, at most a fifth of `size`.

    Raises
    ------
    InputError
        Fewer examples are left than wanted.

    Examples
    --------
    >>> train, dev = choose("sst2", 10, 4, seed=0, dev_examples=2)
    >>> len(train), len(dev), len(set(train) & set(dev))
    (4, 2, 0)
    """
    held_out = min(dev_examples, int(size * MAX_DEV_FRACTION))
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
