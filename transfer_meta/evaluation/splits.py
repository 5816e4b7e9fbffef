"""Evaluation protocols: how pairs are split into training and test folds.

Every protocol tests every pair exactly once (in each repeat).  Protocols differ in what the training pairs reveal
about the tasks of a test pair.  A source such as ``one+two`` or ``one>two`` is a set of tasks: each of them is in
the pair, as the target is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transfer_meta.errors import InputError, unknown
from transfer_meta.predictors.base import Fold, IntArray
from transfer_meta.tasks.source_sets import has_sets, parse_sources

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
    pairs = _TaskPairs.of(source, target)
    held_out: list[_HeldOut] = [
        ((str(name),), np.flatnonzero(pairs.target == name)) for name in np.unique(pairs.target)
    ]
    return _without_tasks("leave-one-task-out", pairs, held_out)


def leave_one_source_out(source: ArrayLike, target: ArrayLike) -> Iterator[Fold]:
    """Yield a fold per source: test on its pairs, train on pairs in which it is neither source nor target.

    The targets are known, with the outcomes of their other sources.  Of a set of sources every task is left out.
    Raises InputError if a fold has no training pairs.
    """
    pairs = _TaskPairs.of(source, target)
    names, first = np.unique(pairs.source, return_index=True)
    held_out: list[_HeldOut] = [
        (pairs.members[row], np.flatnonzero(pairs.source == name))
        for name, row in zip(names, first, strict=True)
    ]
    return _without_tasks("leave-one-source-out", pairs, held_out)


def leave_two_tasks_out(source: ArrayLike, target: ArrayLike) -> Iterator[Fold]:
    """Yield a fold per pair of tasks: test on the pairs between them, train on pairs that contain neither.

    Both directions of a pair are tested in the same fold.  Of a set of sources every task is left out.  Raises
    InputError if a fold has no training pairs.
    """
    pairs = _TaskPairs.of(source, target)
    rows: dict[tuple[str, ...], list[int]] = {}
    for row, (members, name) in enumerate(zip(pairs.members, pairs.target, strict=True)):
        rows.setdefault(tuple(sorted({*members, name})), []).append(row)
    held_out: list[_HeldOut] = [(tasks, np.array(rows[tasks])) for tasks in sorted(rows)]
    return _without_tasks("leave-two-tasks-out", pairs, held_out)


def leave_set_out(source: ArrayLike, target: ArrayLike) -> Iterator[Fold]:
    """Yield a fold per target and set of sources: test on the set, train on what does not contain it on the target.

    The set is tested in all its forms and settings at once: as a mixture, and as a chain in any order.  No pair of
    the target whose sources include all tasks of the set is in training; smaller sets of the target are, and so are
    all pairs of other targets, those with the same set too.  Raises InputError if no source is a set, or if a fold
    has no training pairs.

    Examples
    --------
    >>> sources = ["a+b", "a>b", "a+b+c", "a", "b+c", "a+b"]
    >>> for train, test in leave_set_out(sources, [*"tttttu"]):
    ...     print(train, test)
    [4 5] [3]
    [3 4 5] [0 1]
    [0 1 3 4 5] [2]
    [0 1 3 5] [4]
    [0 1 2 3 4] [5]
    """
    pairs = _TaskPairs.of(source, target)
    if not any(len(members) > 1 for members in pairs.members):
        raise InputError(
            "protocol leave-set-out needs sets of sources, such as one+two or one>two (got single sources only)"
        )
    contents = [frozenset(members) for members in pairs.members]
    cells: dict[tuple[str, tuple[str, ...]], list[int]] = {}
    for row, (name, content) in enumerate(zip(pairs.target, contents, strict=True)):
        cells.setdefault((str(name), tuple(sorted(content))), []).append(row)
    folds: list[Fold] = []
    for (name, tasks), test in sorted(cells.items()):
        held = set(tasks)
        train = [
            row
            for row, (of, content) in enumerate(zip(pairs.target, contents, strict=True))
            if of != name or not held <= content
        ]
        if not train:
            raise InputError(
                f"protocol leave-set-out has no pair to train on without the set '{'+'.join(tasks)}' on '{name}'"
            )
        folds.append((np.array(train), np.array(test)))
    return iter(folds)


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
    is_of_sets : bool
        Whether the protocol is for tables in which a source may be a set of tasks, and refuses others.
    """

    name: str
    split: Callable[..., Iterator[Fold]]
    is_shuffled: bool
    title: str
    is_of_sets: bool = False

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
        Protocol(
            "leave-set-out",
            leave_set_out,
            False,
            "the target is known with other sets of sources, of which none contains all tasks of the test set",
            is_of_sets=True,
        ),
    )
}


def find_protocol(name: str) -> Protocol:
    """Return the protocol of a name; raises InputError for an unknown name."""
    if name not in PROTOCOLS:
        raise unknown("protocol", name, PROTOCOLS)
    return PROTOCOLS[name]


def protocols_of(source: ArrayLike, target: ArrayLike) -> list[Protocol]:
    """Return the protocols for a table of pairs: those of sets only where a source is a set."""
    with_sets = has_sets(np.unique(np.asarray(source)), known=set(np.asarray(target)))
    return [protocol for protocol in PROTOCOLS.values() if with_sets or not protocol.is_of_sets]


@dataclass(frozen=True)
class _TaskPairs:
    """Pairs with the tasks that their sources stand for."""

    source: NDArray[Any]
    target: NDArray[Any]
    members: list[tuple[str, ...]]

    @classmethod
    def of(cls, source: ArrayLike, target: ArrayLike) -> _TaskPairs:
        source, target = _pairs(source, target)
        known = set(target)
        by_name = {name: parse_sources(str(name), known).members for name in np.unique(source)}
        return cls(source, target, [by_name[name] for name in source])

    def with_task(self) -> dict[str, IntArray]:
        """Return the rows of each task, as the target or among the sources."""
        rows: dict[str, list[int]] = {}
        for row, (members, name) in enumerate(zip(self.members, self.target, strict=True)):
            for task in {*members, str(name)}:
                rows.setdefault(task, []).append(row)
        return {task: np.array(found) for task, found in rows.items()}


_HeldOut = tuple[tuple[str, ...], IntArray]
"""Tasks of a fold, and the rows of its test pairs."""


def _without_tasks(protocol: str, pairs: _TaskPairs, held_out: list[_HeldOut]) -> Iterator[Fold]:
    """Yield a fold per tasks and test rows: train on the pairs that contain none of the tasks."""
    rows, n = pairs.with_task(), len(pairs.target)

    def train(tasks: tuple[str, ...]) -> IntArray:
        return _others(n, np.concatenate([rows[task] for task in tasks]))

    for tasks, _ in held_out:
        if sum(len(rows[task]) for task in tasks) >= n and not len(train(tasks)):
            named = " and ".join(f"'{task}'" for task in tasks[:2]) + (
                f" and {len(tasks) - 2} more" if len(tasks) > 2 else ""
            )
            kind = "task" if len(tasks) == 1 else "tasks"
            raise InputError(
                f"protocol {protocol} has no pair to train on without {kind} {named}:"
                " it needs pairs of at least two other tasks"
            )
    return ((train(tasks), test) for tasks, test in held_out)


def _pairs(source: ArrayLike, target: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    source, target = np.asarray(source), np.asarray(target)
    if source.shape != target.shape or source.ndim != 1:
        raise ValueError(f"sources {source.shape} and targets {target.shape} do not match")
    return source, target


def _others(n: int, rows: IntArray) -> IntArray:
    kept = np.ones(n, dtype=bool)
    kept[rows] = False
    return np.flatnonzero(kept)
