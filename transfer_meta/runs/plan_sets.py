"""Sets of several sources in a plan: its key ``sets``, their order, and whether they can be tied."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from transfer_meta.errors import InputError
from transfer_meta.readers.opening import shown
from transfer_meta.tasks.source_sets import MAX_SOURCES, join_sources, parse_sources
from transfer_meta.training.method_settings import check_tie
from transfer_meta.training.stage import Stage

if TYPE_CHECKING:
    from transfer_meta.runs.plan import Plan, TaskFacts
    from transfer_meta.runs.store.run_store import Store

SourceGroup = tuple[str, ...]
"""Sources that are used together, in their order."""
ALL_PAIRS = "pairs"
GIVEN_ORDER = "given"
CHAIN_ORDERS = (GIVEN_ORDER, "length", "labels", "size")
MAX_UNTIED = 10
"""Sets of tasks that cannot be tied which are reported, each with its labels."""
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
    keys = {
        "length": lambda t: t.characters,
        "labels": lambda t: len(t.labels),
        "size": lambda t: -t.train,
    }
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


def untied(stages: Iterable[Stage], tasks: Mapping[str, TaskFacts]) -> Iterator[str]:
    """Yield a line for each set of tasks that cannot be tied as its stage says, at most `MAX_UNTIED` of them."""
    wrong: dict[str, None] = {}
    for names, soft in dict.fromkeys((stage.tasks, stage.soft) for stage in stages):
        try:
            if soft is not None:
                check_tie(soft, [tasks[name] for name in names])
        except InputError as error:
            wrong[str(error)] = None
    yield from itertools.islice(wrong, MAX_UNTIED)
    if len(wrong) > MAX_UNTIED:
        yield f"{len(wrong) - MAX_UNTIED} more sets of tasks cannot be tied (exclude = [...] leaves pairs out)"


def with_stored_mixtures(plan: Plan, store: Store) -> Plan:
    """Return a plan in which a mixture has the order of its sources that its run in a store has.

    A mixture has no order, but the key of its run has.  A run of ``b+a`` that is in the store stands for ``a+b``;
    without this it would be done a second time.
    """
    stored = store.mixtures()
    orders: dict[frozenset[str], dict[SourceGroup, None]] = {}
    for source in stored.values():
        members = parse_sources(source).members
        orders.setdefault(frozenset(members), {})[members] = None
    runs = {run.key: run for run in plan.runs}
    stages = dict(plan.stages)
    taken = []
    for run in plan.runs:
        stage = plan.stages[run.key]
        for members in orders.get(frozenset(stage.sources), ()):
            other = _reordered(stage, members)
            key = other.key(run.task_digests, run.encoder_revision)
            if run.key in stored or key not in stored:
                continue
            # No run starts from a mixture or is compared with one.
            del runs[run.key], stages[run.key]
            name = join_sources(members, ordered=False)
            runs[key] = replace(run, key=key, source=name, settings=other.to_dict())
            stages[key] = other
            taken.append(f"{name} for {run.target}")
            break
    if not taken:
        return plan
    note = f"mixtures that the store has in another order of their sources: {len(taken)} (first: {taken[0]})"
    return replace(plan, runs=tuple(runs.values()), stages=stages, notes=(*plan.notes, note))


def _reordered(stage: Stage, sources: SourceGroup) -> Stage:
    """Return a stage of a mixture with its sources in another order."""
    if stage.mixing is not None and len(set(stage.mixing.weights[1:])) > 1:
        return stage  # the order says which weight each has
    numbers = stage.source_examples
    if isinstance(numbers, tuple):
        numbers = tuple(stage.examples_of(name) for name in sources)
    return replace(stage, sources=sources, source_examples=numbers)
