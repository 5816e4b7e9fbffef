"""Sources of `train`: those that are named, and those that `recommend` puts first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from transfer_meta.encoding.encoding_settings import OFFLINE_NAMES
from transfer_meta.encoding.source_files import find_own_files
from transfer_meta.errors import InputError, first_line, nearest
from transfer_meta.tasks.catalogue import find_in_catalogue, load_catalogue
from transfer_meta.tasks.demo import expand_demo
from transfer_meta.tasks.hub import is_hub_address
from transfer_meta.tasks.read import read_task
from transfer_meta.tasks.resolve import find_tasks, is_same_task

if TYPE_CHECKING:
    from transfer_meta.recommender.recommendation import RankedSource
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
    """

    names: tuple[str, ...] = ()
    checkpoint: str | None = None


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
        Each a name in `tasks` or of the catalogue, a file, ``hf:DATASET``, or ``checkpoint:ENCODER``.
    tasks : dict of str to str
        Addresses of tasks by name, the target among them.
    target : str
        Name of the target.

    Raises
    ------
    InputError
        A source that cannot be read or is the target, one that is named twice, or two checkpoints.
    """
    names: list[str] = []
    checkpoint: str | None = None
    for source in given:
        if source.startswith(CHECKPOINT_PREFIX):
            if checkpoint is not None:
                raise InputError(f"two checkpoints to start from: '{checkpoint}' and '{source}'")
            checkpoint = source.removeprefix(CHECKPOINT_PREFIX)
            if not checkpoint:
                raise InputError(f"--source {source} (expected {CHECKPOINT_PREFIX}ID or a folder)")
            continue
        name = source if source in tasks else _add(source, tasks, target)
        if name == target:
            raise InputError(f"source '{source}' is the target itself (expected another task)")
        if name in names:
            raise InputError(f"source '{name}' is named twice")
        names.append(name)
    return NamedSources(tuple(names), checkpoint)


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
    if any(name == source for _, name in find_own_files()):
        return InputError(
            f"the data of source '{source}' is not at hand: of a source that was added its encoder alone is kept"
            " (expected its file)"
        )
    known = [*tasks, *(name for entry in load_catalogue() for name in entry.names)]
    return InputError(
        f"unknown source '{source}' (expected a file, hf:DATASET, {CHECKPOINT_PREFIX}ENCODER, {AUTO}, {NO_SOURCE},"
        f" or a name among --sources or of the catalogue){nearest(source, known)}"
    )


def absolute_address(address: str) -> str:
    """Return the address of a task as it is valid in any folder."""
    return address if is_hub_address(address) else str(Path(expand_demo(address)).absolute())


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
    ranked = _rank(target, tasks, method=method, encoder=encoder, tell=tell)
    if ranked is None:
        own = [name for name in tasks if name != target][:tries]
        return [RecommendedSource(name, 0.0) for name in own], []
    found: list[RecommendedSource] = []
    absent: list[RankedSource] = []
    failures = 0
    for source in ranked:
        if len(found) == tries:
            break
        name = _at_hand(source, tasks, target)
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


def _rank(
    target: str, tasks: Mapping[str, str], *, method: str, encoder: str, tell: Tell
) -> list[RankedSource] | None:
    """Return all sources in the recommender's order; None, told, if it cannot rank them."""
    from transfer_meta.recommender.library import open_library
    from transfer_meta.recommender.recommend import RecommendSettings, recommend

    settings = RecommendSettings(
        top=ALL_SOURCES,
        method=method,
        encoder=None if encoder in OFFLINE_NAMES else encoder,
        checkpoints=0,
    )
    try:
        library = open_library(method=method)
        known = [*library.sources, *(entry.name for entry in load_catalogue())]
        names = {name.casefold() for entry in load_catalogue() for name in entry.names}
        names |= {name.casefold() for name in library.sources}
        # A file that has the name of a known source is ranked as that source: by its outcomes, not by its text.
        own = [a for name, a in tasks.items() if name != target and name.casefold() not in names]
        answer = recommend(tasks[target], settings, sources=[*known, *own], tell=tell)
    except InputError as error:
        tell(f"no recommendation, sources in the order given: {first_line(error)}")
        return None
    return list(answer.sources)


def _at_hand(source: RankedSource, tasks: Mapping[str, str], target: str) -> str | None:
    """Return the name in `tasks` of a ranked source; None if it is not there, or is the target."""
    aliases = (source.source, *(source.facts.names if source.facts is not None else ()))
    by_folded = {name.casefold(): name for name in tasks if name != target}
    return next((by_folded[a.casefold()] for a in aliases if a.casefold() in by_folded), None)
