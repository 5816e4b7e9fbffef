"""Sources of `train`: those that are named, and those that `recommend` puts first."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from transfer_meta.api.added_sources import added_address, added_addresses, described_addresses
from transfer_meta.encoding.encoding_settings import OFFLINE_NAMES
from transfer_meta.errors import InputError, first_line, nearest
from transfer_meta.tasks.catalogue import find_in_catalogue, load_catalogue
from transfer_meta.tasks.hub import is_hub_address
from transfer_meta.tasks.read import read_task
from transfer_meta.tasks.resolve import absolute_address, find_tasks, is_same_task
from transfer_meta.tasks.source_sets import (
    IN_TURN,
    MAX_SOURCES,
    TOGETHER,
    SourceSet,
    is_set,
    parse_sources,
)

if TYPE_CHECKING:
    from transfer_meta.recommender.recommendation import RankedSource, Recommendation
    from transfer_meta.records import Tell

CHECKPOINT_PREFIX = "checkpoint:"
AUTO, NO_SOURCE = "auto", "none"
ALL_SOURCES = 1_000_000
"""Number of sources to rank that leaves none out."""
MAX_HUB_FAILURES = 3
"""Data sets of the Hub that cannot be read before no other one is asked for."""


@dataclass(frozen=True)
class NamedSources:
    """Sources of one way to train.

    Parameters
    ----------
    names : tuple of str
        Names of the tasks, in the order of training.
    checkpoint : str or None
        Encoder to start from in the place of the one to compare with.
    ordered : bool or None
        Whether they were named as a chain; None if the names do not say.
    """

    names: tuple[str, ...] = ()
    checkpoint: str | None = None
    ordered: bool | None = None


@dataclass(frozen=True)
class RecommendedSource:
    """A source that the recommender proposes.

    Parameters
    ----------
    name : str
    expected_gain : float
        A fraction.
    """

    name: str
    expected_gain: float


def named_sources(given: Sequence[str], tasks: dict[str, str], target: str) -> NamedSources:
    """Resolve sources that were named; their addresses are added to `tasks`.

    Parameters
    ----------
    given : sequence of str
        Each a name in `tasks`, of a source that was added or of the catalogue, a file, ``hf:DATASET``, a set of
        them, ``one>two`` or ``one+two``, or ``checkpoint:ENCODER``, alone or as in ``checkpoint:ENCODER>one``.
    tasks : dict of str to str
        Addresses of tasks by name, the target among them.
    target : str
        Name of the target.

    Raises
    ------
    InputError
        A source that cannot be read or is the target, one that is named twice, two checkpoints, a mixture among
        others, or more than `MAX_SOURCES` sources.
    """
    names: list[str] = []
    checkpoint: str | None = None
    ordered, a_set = None, ""
    for source in given:
        if source.startswith(CHECKPOINT_PREFIX):
            if checkpoint is not None:
                raise InputError(f"two checkpoints to start from: '{checkpoint}' and '{source}'")
            checkpoint = source.removeprefix(CHECKPOINT_PREFIX)
            rest = ""
            if not Path(checkpoint).exists():
                checkpoint, _, rest = checkpoint.partition(IN_TURN)
            if not checkpoint:
                raise InputError(f"--source {source} (expected {CHECKPOINT_PREFIX}ID or a folder)")
            if not rest:
                continue
            source = rest
        found = named_set(source, tasks)
        if len(found.members) > 1:
            ordered, a_set = found.ordered, source
        for member in found.members:
            try:
                name = member if member in tasks else _add(member, tasks, target)
            except InputError as error:
                if member == source:
                    raise
                raise InputError(f"source '{source}': {error}") from error
            if name == target:
                raise InputError(f"source '{member}' is the target itself (expected another task)")
            if name in names:
                raise InputError(f"source '{name}' is named twice")
            names.append(name)
        if ordered is False and len(names) > len(parse_sources(a_set).members):
            raise InputError(f"mixture '{a_set}' among other sources (expected it alone)")
    if len(names) > MAX_SOURCES:
        raise InputError(
            f"{len(names)} sources at once, {', '.join(names)} (expected at most {MAX_SOURCES})"
        )
    return NamedSources(tuple(names), checkpoint, ordered)


def named_set(source: str, tasks: Collection[str] = ()) -> SourceSet:
    """Return the sources that a name stands for, as they were given; a name in `tasks` or a path is one.

    Raises
    ------
    InputError
        Both signs of sets in one name, or more than `MAX_SOURCES` sources.
    """
    if source in tasks or not is_set(source) or _is_one(source):
        return SourceSet((source,))
    if TOGETHER in source and IN_TURN in source:
        raise InputError(
            f"source '{source}': both '{TOGETHER}' and '{IN_TURN}' (expected one of them, or a path that exists)"
        )
    found = parse_sources(source)
    if len(found.members) > MAX_SOURCES:
        raise InputError(
            f"source '{source}': {len(found.members)} sources at once (expected at most {MAX_SOURCES})"
        )
    return found


def _is_one(source: str) -> bool:
    """Return whether there is a file or an added source of this name."""
    if is_hub_address(source):
        return False
    try:
        return source in added_addresses() or bool(find_tasks([source]))
    except InputError:
        return Path(source).exists()


def _add(source: str, tasks: dict[str, str], target: str) -> str:
    """Add the address of a source that is not among the tasks, and return its name."""
    entry = find_in_catalogue(source)
    for name in () if entry is None or is_hub_address(source) else entry.names:
        if name in tasks:
            return name
    try:
        found = find_tasks([source])
    except InputError:
        if is_hub_address(source) or Path(source).suffix or len(Path(source).parts) > 1:
            raise
        added = added_address(source)
        if added is not None:
            if is_same_task(added, tasks[target]):
                return target
            tasks[source] = added
            return source
        if entry is None:
            raise _unknown_source(source, tasks) from None
        found = [entry.address]
    if len(found) != 1:
        raise InputError(f"--source {source}: expected one task, got {len(found)}")
    address = absolute_address(found[0])
    if is_same_task(address, tasks[target]):
        return target
    try:
        name = read_task(address).name
    except InputError as error:
        if entry is None or is_hub_address(source):
            raise
        raise InputError(
            f"the data of source '{source}' is not at hand ({first_line(error)}); get it by `{entry.command}`,"
            " or give its files by --sources"
        ) from error
    if tasks.setdefault(name, address) != address:
        raise InputError(f"two tasks are named '{name}': {tasks[name]} and {address}")
    return name


def _unknown_source(source: str, tasks: Mapping[str, str]) -> InputError:
    known = [*tasks, *(name for entry in load_catalogue() for name in entry.names)]
    return InputError(
        f"unknown source '{source}' (expected a file, hf:DATASET, {CHECKPOINT_PREFIX}ENCODER, {AUTO}, {NO_SOURCE},"
        f" or a name among --sources, of an added source or of the catalogue){nearest(source, known)}"
    )


def recommended_sources(
    target: str,
    tasks: dict[str, str],
    *,
    tries: int,
    method: str,
    encoder: str,
    tell: Tell,
) -> tuple[list[RecommendedSource], list[str]]:
    """Return the sources that `recommend` puts first, of those that can be read, and notes on the others.

    Addresses are added to `tasks`.

    Parameters
    ----------
    target : str
        Name of the target, in `tasks`.
    tasks : dict of str to str
        Addresses by name: the target's and those of the user's sources.
    tries : int
        Number of sources to return, fewer if there are not as many.
    method, encoder : str
        As in `transfer_meta.recommender.recommend.RecommendSettings`.
    tell : callable
        Called with one line for each note.
    """
    answer = _rank(target, tasks, method=method, encoder=encoder, tell=tell)
    if answer is None:
        own = [name for name in tasks if name != target][:tries]
        return [RecommendedSource(name, 0.0) for name in own], []
    found: list[RecommendedSource] = []
    absent: list[RankedSource] = []
    failures = 0
    for source in answer.sources:
        if len(found) == tries:
            break
        name = _at_hand(source, tasks, target)
        if name is None and source.is_own:
            try:
                added = added_address(source.source)
            except InputError as error:
                tell(first_line(error))
            else:
                if added is not None:
                    tasks[source.source], name = added, source.source
        if name is None and source.address and failures < MAX_HUB_FAILURES:
            try:
                name = read_task(source.address).name
            except InputError as error:
                # Of a Hub that cannot be reached nothing else is asked for: each try takes half a minute.
                failures = MAX_HUB_FAILURES if "reach" in str(error) else failures + 1
            else:
                name = name if tasks.setdefault(name, source.address) == source.address else None
        if name is None:
            absent.append(source)
        elif name != target and name not in [one.name for one in found]:
            found.append(RecommendedSource(name, source.expected_gain))
    if not absent:
        return found, []
    first = absent[0]
    command = f": `{first.facts.command}` gets it" if first.facts is not None else ""
    if found:
        note = (
            f"{len(absent)} sources recommended before are not at hand, first {first.source}{command}"
        )
    else:
        note = f"no recommended source is at hand, first {first.source}{command}; --sources names files"
    return found, [note]


def recommended_set(
    target: str, tasks: Mapping[str, str], size: int, *, encoder: str, tell: Tell
) -> list[str]:
    """Return the set of `tasks` that `recommend` puts first, else the first ones of its ranking, or of those given.

    Parameters
    ----------
    target : str
        Name of the target, in `tasks`.
    tasks : mapping of str to str
        Addresses by name: the target's and those of its sources.
    size : int
        Number of sources, fewer if there are not as many.
    encoder : str
        As in `transfer_meta.recommender.recommend.RecommendSettings`.
    tell : callable
        Called with one line if there is no recommendation.
    """
    names = [name for name in tasks if name != target]
    # Mixtures too are ranked by what their sources gain one at a time, before the target.
    answer = _rank(
        target, tasks, method="intermediate", encoder=encoder, sources_at_once=size, tell=tell
    )
    if answer is None:
        return names[:size]
    at_hand = {source.label: _at_hand(source, tasks, target) for source in answer.sources}
    first = answer.sets[0].members if answer.sets else ()
    order = [name for name in map(at_hand.get, [*first, *at_hand]) if name is not None]
    # Those that it did not rank come last.
    return list(dict.fromkeys([*order, *names]))[:size]


def _rank(
    target: str,
    tasks: Mapping[str, str],
    *,
    method: str,
    encoder: str,
    tell: Tell,
    sources_at_once: int = 1,
) -> Recommendation | None:
    """Return the recommender's answer on all sources, on sets on those of `tasks`; None, told, if it has none."""
    from transfer_meta.recommender.library import open_library
    from transfer_meta.recommender.recommend import RecommendSettings, recommend

    settings = RecommendSettings(
        top=ALL_SOURCES,
        sources_at_once=sources_at_once,
        method=method,
        encoder=None if encoder in OFFLINE_NAMES else encoder,
        checkpoints=0,
    )
    try:
        library = open_library(method=method)
        known = [*library.sources, *(entry.name for entry in load_catalogue())]
        if sources_at_once > 1:
            given = {name.casefold() for name in tasks if name != target}
            known = [name for name in known if given & {n.casefold() for n in _aliases(name)}]
        names = {name.casefold() for entry in load_catalogue() for name in entry.names}
        names |= {name.casefold() for name in library.sources}
        # A file that has the name of a known source is ranked as that source: by its outcomes, not by its text.
        own = {n: a for n, a in tasks.items() if n != target and n.casefold() not in names}
        added = described_addresses()
        # What was added is known by its name, without its data.
        ranked = [n if added.get(n) == a else a for n, a in own.items()]
        ranked += [
            n
            for n, a in added.items()
            if n not in tasks and n.casefold() not in names and not is_same_task(a, tasks[target])
        ]
        answer = recommend(tasks[target], settings, sources=[*known, *ranked], tell=tell)
    except InputError as error:
        tell(f"no recommendation, sources in the order given: {first_line(error)}")
        return None
    return answer


def _aliases(name: str) -> tuple[str, ...]:
    """Return the names of a known source."""
    entry = find_in_catalogue(name)
    return (name, *(entry.names if entry is not None else ()))


def _at_hand(source: RankedSource, tasks: Mapping[str, str], target: str) -> str | None:
    """Return the name in `tasks` of a ranked source; None if it is not there, or is the target."""
    aliases = (source.source, *(source.facts.names if source.facts is not None else ()))
    by_folded = {name.casefold(): name for name in tasks if name != target}
    return next((by_folded[a.casefold()] for a in aliases if a.casefold() in by_folded), None)
