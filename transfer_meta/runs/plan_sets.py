"""Sets of several sources in a plan: its key ``sets``, and the order of the sources of a chain."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from transfer_meta.errors import InputError
from transfer_meta.readers.opening import shown
from transfer_meta.tasks.source_sets import MAX_SOURCES

if TYPE_CHECKING:
    from transfer_meta.runs.plan import TaskFacts

SourceGroup = tuple[str, ...]
"""Sources that are used together, in their order."""
ALL_PAIRS = "pairs"
GIVEN_ORDER = "given"
CHAIN_ORDERS = (GIVEN_ORDER, "length", "labels", "size")
_TOP = re.compile(r"top-([0-9]{1,9})")
_EXPECTED = "expected 'pairs', 'top-K', lists of names, or a table of such lists by target"


@dataclass(frozen=True)
class SourceSets:
    """Sets of sources that a plan names.

    Parameters
    ----------
    named : tuple of tuple of str
        For every target.
    of_target : mapping of str to tuple of tuple of str
        For one target.
    pairs : bool
        All pairs of the plan's single sources.
    top : int
        For each target the `top` sources that the recommender puts first, which
        `transfer_meta.recommend_sets` puts into `of_target`; 0: none.
    """

    named: tuple[SourceGroup, ...] = ()
    of_target: Mapping[str, tuple[SourceGroup, ...]] = field(default_factory=dict)
    pairs: bool = False
    top: int = 0

    def __bool__(self) -> bool:
        return bool(self.named or self.of_target or self.pairs or self.top)

    @property
    def tasks(self) -> Iterator[str]:
        """The names in all sets."""
        groups = itertools.chain(self.named, *self.of_target.values())
        return itertools.chain.from_iterable(groups)

    def of(self, target: str, sources: Iterable[SourceGroup]) -> Iterator[SourceGroup]:
        """Yield the sets for a target, both orders of each pair of the single ones among `sources`."""
        yield from self.named
        yield from self.of_target.get(target, ())
        if self.pairs:
            yield from itertools.permutations((group[0] for group in sources if len(group) == 1), 2)

    def most(self, sources: int) -> int:
        """Return the largest number of sets of a target in a plan of so many single sources."""
        of_one = max(map(len, self.of_target.values()), default=0)
        return len(self.named) + of_one + (sources * (sources - 1) if self.pairs else 0)


def parse_sets(value: Any) -> SourceSets:
    """Return the sets of a plan's key ``sets``.

    Raises
    ------
    InputError
        The value names no sets.

    Examples
    --------
    >>> parse_sets("top-3").top
    3
    """
    if isinstance(value, str):
        match = _TOP.fullmatch(value)
        if match and 2 <= int(match[1]) <= MAX_SOURCES:
            return SourceSets(top=int(match[1]))
        if value == ALL_PAIRS:
            return SourceSets(pairs=True)
        k = f", with K from 2 to {MAX_SOURCES}" if match else ""
        raise InputError(f"sets = {shown(repr(value), 200)} ({_EXPECTED}{k})")
    if isinstance(value, Mapping):
        return SourceSets(
            of_target={name: _groups(groups, f"sets.{name}") for name, groups in value.items()}
        )
    return SourceSets(named=_groups(value, "sets"))


def _groups(value: Any, key: str) -> tuple[SourceGroup, ...]:
    """Return a list of lists of at least two different names."""
    if not isinstance(value, list) or not value:
        raise InputError(f"{key} = {shown(repr(value), 200)} ({_EXPECTED})")
    for group in value:
        if not isinstance(group, list) or not all(isinstance(name, str) and name for name in group):
            raise InputError(f"{key} = {shown(repr(value), 200)} ({_EXPECTED})")
        check_group(group, key)
        if len(group) < 2:
            raise InputError(f"{key}: {shown(repr(group), 200)} (expected at least two sources)")
    groups = tuple(map(tuple, value))
    twice = [group for i, group in enumerate(groups) if group in groups[:i]]
    if twice:
        raise InputError(f"{key}: {shown(repr(list(twice[0])), 200)} occurs twice")
    return groups


def check_group(group: Sequence[str], key: str) -> None:
    """Raise an InputError for a set of too many sources, or with one twice."""
    if len(group) > MAX_SOURCES:
        raise InputError(
            f"{key}: {len(group)} sources in a set, {shown(', '.join(group), 200)} (expected at most {MAX_SOURCES})"
        )
    if len(set(group)) < len(group):
        raise InputError(f"{key}: a source occurs twice in {shown(repr(list(group)), 200)}")


def in_order(group: SourceGroup, order: str, tasks: Mapping[str, TaskFacts]) -> SourceGroup:
    """Return the sources of a chain in the order of a plan's key ``order``.

    Parameters
    ----------
    group : tuple of str
    order : {"given", "length", "labels", "size"}
        ``length``: by the mean number of characters of a training example, the shortest first; ``labels``: by the
        number of classes or tags, the fewest first (a task without them has none); ``size``: by the number of
        training examples, the largest first.
    tasks : mapping of str to TaskFacts
    """
    if order == GIVEN_ORDER:
        return group
    keys = {"length": lambda t: t.characters, "labels": lambda t: t.labels, "size": lambda t: -t.train}
    return tuple(sorted(group, key=lambda name: keys[order](tasks[name])))


def left_out_note(
    targets: Iterable[str], groups: Sequence[SourceGroup], sets: SourceSets
) -> Iterator[str]:
    """Yield a note if sets of several sources contain a target, for which they are left out."""
    count, first = 0, ""
    for target in targets:
        several = [group for group in groups if len(group) > 1]
        for group in dict.fromkeys([*several, *sets.named, *sets.of_target.get(target, ())]):
            if target in group:
                count += 1
                first = first or f"{'+'.join(group)} for {target}"
        if sets.pairs and (target,) in groups:
            others = [group[0] for group in groups if len(group) == 1 and group != (target,)]
            count += len(others)
            first = first or (f"{target}+{others[0]} for {target}" if others else "")
    if count:
        yield f"sets left out because they contain their target: {count} (first: {first})"
