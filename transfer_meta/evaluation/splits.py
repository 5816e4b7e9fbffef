"""Evaluation protocols: how pairs are split into training and test folds.

Every protocol tests every pair exactly once (in each repeat).  Protocols differ in what the training pairs reveal
about the tasks of a test pair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transfer_meta.errors import InputError, unknown
from transfer_meta.predictors.base import Fold, IntArray

N_FOLDS = 5


def pairs_5fold(
    source: ArrayLike, target: ArrayLike, *, seed: int = 0, repeat: int = 0
) -> Iterator[Fold]:
    """Yield five folds of shuffled pairs, as in Bingel & Søgaard 2017.

    Training pairs share both tasks with the test pairs, so a predictor can score well by learning which tasks tend
    to gain.

    Parameters
    ----------
    source, target : array of shape (n,)
        Task names of the pairs.
    seed, repeat : int
        Seed of the shuffle; each repeat is shuffled independently of the others.

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
    """Yield a fold per target: test on its pairs, train on those of the other targets.

    The held-out target may still be a source in training.  Raises InputError with fewer than two targets.

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
    """Yield a fold per target: test on its pairs, train on pairs in which it is neither target nor source.

    Raises InputError if a fold has no training pairs.
    """
    return _without_a_task("leave-one-task-out", source, target, tested=1)


def leave_one_source_out(source: ArrayLike, target: ArrayLike) -> Iterator[Fold]:
    """Yield a fold per source: test on its pairs, train on pairs in which it is neither source nor target.

    The targets are known, with the outcomes of their other sources.  Raises InputError if a fold has no training
    pairs.
    """
    return _without_a_task("leave-one-source-out", source, target, tested=0)


def leave_two_tasks_out(source: ArrayLike, target: ArrayLike) -> Iterator[Fold]:
    """Yield a fold per pair of tasks: test on the pairs between them, train on pairs that contain neither.

    Both directions of a pair are tested in the same fold.  Raises InputError if a fold has no training pairs.
    """
    source, target = _pairs(source, target)
    tasks, codes = np.unique(np.concatenate([source, target]), return_inverse=True)
    ends = np.sort(codes.reshape(2, -1), axis=0)
    pairs, fold = np.unique(ends, axis=1, return_inverse=True)
    fold = fold.ravel()

    def train(a: int, b: int) -> IntArray:
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
    """An evaluation protocol.

    Parameters
    ----------
    name : str
        Name in tables, JSON and on the command line.
    split : callable
        ``split(source, target)`` yields the folds; that of a shuffled protocol also takes `seed` and `repeat`.
    is_shuffled : bool
        Whether folds are random, and the protocol therefore worth repeating.
    title : str
        What the protocol holds out, for tables and reports.
    """

    name: str
    split: Callable[..., Iterator[Fold]]
    is_shuffled: bool
    title: str

    def folds(
        self, source: ArrayLike, target: ArrayLike, *, seed: int = 0, repeat: int = 0
    ) -> Iterator[Fold]:
        """Return the folds of one repeat; `seed` and `repeat` matter only to a shuffled protocol."""
        if self.is_shuffled:
            return self.split(source, target, seed=seed, repeat=repeat)
        return self.split(source, target)


DEFAULT_PROTOCOL = Protocol(
    "leave-one-target-out",
    leave_one_target_out,
    False,
    "the target is in no training pair as a target",
)
PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "pairs-5fold",
            pairs_5fold,
            True,
            "random fifths of the pairs: both tasks of a test pair are known from training",
        ),
        DEFAULT_PROTOCOL,
        Protocol(
            "leave-one-task-out",
            leave_one_task_out,
            False,
            "the target is in no training pair, as target or as source",
        ),
        Protocol(
            "leave-one-source-out",
            leave_one_source_out,
            False,
            "the source is in no training pair, as source or as target; the target is known with its other sources",
        ),
        Protocol(
            "leave-two-tasks-out",
            leave_two_tasks_out,
            False,
            "neither task of a test pair is in any training pair",
        ),
    )
}


def find_protocol(name: str) -> Protocol:
    """Return the protocol of a name; raises InputError for an unknown name."""
    if name not in PROTOCOLS:
        raise unknown("protocol", name, PROTOCOLS)
    return PROTOCOLS[name]


def _without_a_task(
    protocol: str, source: ArrayLike, target: ArrayLike, *, tested: int
) -> Iterator[Fold]:
    """Yield a fold per source (`tested` 0) or target (1): test on its pairs, train on pairs without the task."""
    ends = np.stack(_pairs(source, target))
    folds = [
        (name, (ends != name).all(axis=0), ends[tested] == name) for name in np.unique(ends[tested])
    ]
    for name, train, _ in folds:
        if not train.any():
            raise InputError(
                f"protocol {protocol} has no pair to train on without task '{name}':"
                f" it needs pairs of at least two other tasks"
            )
    return ((np.flatnonzero(train), np.flatnonzero(test)) for _, train, test in folds)


def _pairs(source: ArrayLike, target: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    source, target = np.asarray(source), np.asarray(target)
    if source.shape != target.shape or source.ndim != 1:
        raise ValueError(f"sources {source.shape} and targets {target.shape} do not match")
    return source, target


def _others(n: int, rows: IntArray) -> IntArray:
    kept = np.ones(n, dtype=bool)
    kept[rows] = False
    return np.flatnonzero(kept)
