"""Names of sets of source tasks: ``one+two`` trained side by side, ``one>two`` one after the other."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from transfer_meta.errors import InputError

TOGETHER, IN_TURN = "+", ">"
"""What joins the names of a mixture and of a chain."""
MAX_SOURCES = 5
"""Largest number of sources of a set that is recommended or trained on."""


@dataclass(frozen=True)
class SourceSet:
    """One source task, or several.

    Parameters
    ----------
    members : tuple of str
        Names of the tasks, of a chain in the order of training.
    ordered : bool
        Whether the tasks are trained one after the other.
    """

    members: tuple[str, ...]
    ordered: bool = False

    @property
    def tasks(self) -> frozenset[str]:
        """The tasks without their order."""
        return frozenset(self.members)

    def is_same(self, other: SourceSet) -> bool:
        """Return whether these are the same tasks, of chains in the same order."""
        members = (self.members, other.members) if self.ordered else (self.tasks, other.tasks)
        return self.ordered == other.ordered and members[0] == members[1]

    def __str__(self) -> str:
        return (IN_TURN if self.ordered else TOGETHER).join(self.members)


def parse_sources(name: str, known: Collection[str] = ()) -> SourceSet:
    """Return the tasks that the name of a source in a table of outcomes stands for.

    Parameters
    ----------
    name : str
        ``one``, ``one+two`` (a mixture) or ``one>two`` (a chain: first ``one``, then ``two``, then the target).
    known : collection of str
        Names of tasks that are no sets although they have such a sign in them.

    Notes
    -----
    A name with an empty part, such as ``c++``, is that of one task.

    Examples
    --------
    >>> parse_sources("snli>rte").members, parse_sources("snli>rte").ordered
    (('snli', 'rte'), True)
    >>> parse_sources("snli+rte").tasks == parse_sources("rte>snli").tasks
    True
    >>> parse_sources("c++").members
    ('c++',)
    """
    parts = [part.strip() for part in re.split("[+>]", name)]
    if len(parts) == 1 or name in known or not all(parts):
        return SourceSet((name,))
    return SourceSet(tuple(parts), ordered=IN_TURN in name)


def is_set(name: str, known: Collection[str] = ()) -> bool:
    """Return whether the name of a source stands for several tasks."""
    return len(parse_sources(name, known).members) > 1


def has_sets(names: Iterable[str], known: Collection[str] = ()) -> bool:
    """Return whether any of the names of sources stands for several tasks."""
    return any(is_set(str(name), known) for name in set(names))


def join_sources(members: Iterable[str], *, ordered: bool) -> str:
    """Return the name of a set of sources in a table of outcomes; a mixture's tasks keep their order.

    Raises
    ------
    InputError
        There is no task, one twice, or the name of one would be read as a set.
    """
    names = tuple(members)
    if not names:
        raise InputError("a set of sources needs at least one task, got none")
    for place, task in enumerate(names):
        if task in names[:place]:
            raise InputError(f"source '{task}' occurs twice in a set (expected different tasks)")
        if is_set(task):
            raise InputError(
                f"source '{task}' cannot be part of a set: its name has a '{TOGETHER}' or '{IN_TURN}'"
            )
    return str(SourceSet(names, ordered))
