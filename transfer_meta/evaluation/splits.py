"""Protocols: which pairs a predictor may learn from, and which it is tested on.

A protocol goes from the pairs' sources and targets to folds of row numbers.  Every pair is tested
exactly once (in each repeat).  What differs is what training may know of the tasks of a test pair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transfer_meta.errors import InputError
from transfer_meta.predictors.base import Fold

RowIndices = NDArray[np.intp]

N_FOLDS = 5


def pairs_5fold(
    source: ArrayLike, target: ArrayLike, *, seed: int = 0, repeat: int = 0
) -> Iterator[Fold]:
    """Five folds of shuffled pairs, as in Bingel & Søgaard 2017.

    Training pairs share both tasks with the test pairs: a predictor can do well by knowing which tasks
    tend to gain, without knowing why.

    Parameters
    ----------
    source, target : array of shape (n,)
        Names of the pairs' tasks.
    seed, repeat : int
        Each repeat of a seed has a shuffle of its own, whatever other repeats are made.

    Yields
    ------
    train, test : array of int
        Row numbers, sorted.

    Raises
    ------
    InputError
        Fewer than five pairs.
    """
    n = len(_pairs(source, target)[0])
    if n < N_FOLDS:
        raise InputError(f"protocol pairs-5fold needs at least {N_FOLDS} pairs, got {n}")
    parts = np.array_split(np.random.default_rng([seed, repeat]).permutation(n), N_FOLDS)
    return ((_others(n, part), np.sort(part)) for part in parts)


def leave_one_target_out(source: ArrayLike, target: ArrayLike) -> Iterator[Fold]:
    """Test all pairs of one target, train on those of the others.

    The held-out target may still be a source in training.  Raises InputError with fewer than two
    targets.

    Examples
    --------
    >>> for train, test in leave_one_target_out(["a", "b", "c"], ["b", "c", "b"]):
    ...     print(train, test)
    [1] [0 2]
    [0 2] [1]
    """
    _, target = _pairs(source, target)
    names = np.unique(target)
    if len(names) < 2:
        raise InputError(f"protocol leave-one-target-out needs at least two targets, got {len(names)}")
    return ((np.flatnonzero(target != name), np.flatnonzero(target == name)) for name in names)


def leave_one_task_out(source: ArrayLike, target: ArrayLike) -> Iterator[Fold]:
    """Test all pairs of one target, train on the pairs in which it is neither target nor source.

    Raises InputError where a target's fold has nothing to train on.
    """
    source, target = _pairs(source, target)
    folds = [(name, (source != name) & (target != name), target == name) for name in np.unique(target)]
    for name, train, _ in folds:
        if not train.any():
            raise InputError(
                f"protocol leave-one-task-out has no pair to train on without task '{name}':"
                f" it needs pairs of at least two other tasks"
            )
    return ((np.flatnonzero(train), np.flatnonzero(test)) for _, train, test in folds)


def leave_two_tasks_out(source: ArrayLike, target: ArrayLike) -> Iterator[Fold]:
    """Test the pairs between two tasks, train on the pairs in which neither has a part.

    Both directions of a pair are tested in the same fold.  Raises InputError where a fold has nothing
    to train on.
    """
    source, target = _pairs(source, target)
    tasks, codes = np.unique(np.concatenate([source, target]), return_inverse=True)
    ends = np.sort(codes.reshape(2, -1), axis=0)
    pairs, fold = np.unique(ends, axis=1, return_inverse=True)
    fold = fold.ravel()

    def train(a: int, b: int) -> RowIndices:
        return np.flatnonzero(~np.any((ends == a) | (ends == b), axis=0))

    for a, b in pairs.T:
        if not len(train(a, b)):
            raise InputError(
                f"protocol leave-two-tasks-out has no pair to train on without tasks '{tasks[a]}' and"
                f" '{tasks[b]}': it needs pairs of at least two other tasks"
            )
    return ((train(a, b), np.flatnonzero(fold == number)) for number, (a, b) in enumerate(pairs.T))


@dataclass(frozen=True)
class Protocol:
    """One protocol of evaluation.

    Parameters
    ----------
    split
        ``split(source, target)`` gives the folds; a repeated one also takes `seed` and `repeat`.
    repeated : bool
        Shuffled, and therefore worth repeating.
    title : str
        What it holds out, for tables and reports.
    """

    split: Callable[..., Iterator[Fold]]
    repeated: bool
    title: str

    def folds(
        self, source: ArrayLike, target: ArrayLike, *, seed: int = 0, repeat: int = 0
    ) -> Iterator[Fold]:
        """The folds of one repeat; `seed` and `repeat` matter only to a repeated protocol."""
        if self.repeated:
            return self.split(source, target, seed=seed, repeat=repeat)
        return self.split(source, target)


PROTOCOLS: dict[str, Protocol] = {
    "pairs-5fold": Protocol(
        pairs_5fold,
        True,
        "random fifths of the pairs: both tasks of a test pair are known from training",
    ),
    "leave-one-target-out": Protocol(
        leave_one_target_out, False, "the target is in no training pair as a target"
    ),
    "leave-one-task-out": Protocol(
        leave_one_task_out, False, "the target is in no training pair, as target or as source"
    ),
    "leave-two-tasks-out": Protocol(
        leave_two_tasks_out, False, "neither task of a test pair is in any training pair"
    ),
}


def _pairs(source: ArrayLike, target: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    source, target = np.asarray(source), np.asarray(target)
    if source.shape != target.shape or source.ndim != 1:
        raise ValueError(f"sources {source.shape} and targets {target.shape} do not match")
    return source, target


def _others(n: int, rows: RowIndices) -> RowIndices:
    kept = np.ones(n, dtype=bool)
    kept[rows] = False
    return np.flatnonzero(kept)
