"""Catalogue of sources: public English data sets of the Hugging Face Hub, with how each is read."""

from __future__ import annotations

import csv
import functools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transfer_meta.errors import InputError, nearest, unknown
from transfer_meta.files import data_folder
from transfer_meta.readers.opening import shown
from transfer_meta.records import TaskType
from transfer_meta.tasks.detect import ROLES

HUB_PREFIX = "hf:"
ENTRY_MARK = "#"
"""Before the name of an entry, after a Hub id of which the catalogue has several (``hf:facebook/anli#anli_r3``)."""
CATALOGUE_COLUMNS = (
    "name", "aliases", "hub", "config", "revision", "train_split", "test_split", "columns", "type", "classes",
    "train_size", "mean_length", "language", "licence", "description", "remark", "paper", "url", "seen_in",
)  # fmt: skip

_FORMS = {
    "name": re.compile(r"\w[\w.+-]*"),
    "hub": re.compile(r"\w[\w.-]*(/\w[\w.-]*)?", re.ASCII),
    "config": re.compile(r"(\w[\w.+-]*)?", re.ASCII),
    "revision": re.compile(r"(\w[\w./-]*)?", re.ASCII),
    "url": re.compile(r"(https?://[\w.:/?&=%#~+@,()-]+)?", re.ASCII),
}
"""Forms of what links and commands are made from: no other scheme, quotes, markup, options, control characters."""


@dataclass(frozen=True, kw_only=True)
class CatalogueSource:
    """A data set that can be taken as a source.

    Parameters
    ----------
    name : str
        As in the outcome tables that ship.
    aliases : tuple of str
        Other names of it, in outcome tables and papers.
    hub, config, revision : str
        Id on the Hugging Face Hub, configuration and revision; empty: the only or the newest one.
    train_split, test_split : str
        The Hub's names of splits; no `test_split`: none with labels.
    columns : mapping of role to column
        See `transfer_meta.tasks.detect.ROLES`; several columns of choices are joined by commas.
    type : TaskType
    classes : int or None
        Number of classes, of tags, or of choices a question.
    train_size : int or None
        Published number of training examples.
    mean_length : int or None
        Mean number of words of an example, both texts together, without choices.
    language, licence : str
        Codes as on the Hub; the licence may be ``unknown`` or ``other``.
    description : str
    remark : str
        What to know about reading it.
    paper, url : str
    seen_in : str
        Public code or documentation in which the Hub id and the columns were seen.
    """

    name: str
    aliases: tuple[str, ...] = ()
    hub: str
    config: str = ""
    revision: str = ""
    train_split: str = "train"
    test_split: str = ""
    columns: Mapping[str, str]
    type: TaskType
    classes: int | None = None
    train_size: int | None = None
    mean_length: int | None = None
    language: str = "en"
    licence: str = "unknown"
    description: str
    remark: str = ""
    paper: str = "unknown"
    url: str = ""
    seen_in: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """Name and aliases."""
        return (self.name, *self.aliases)

    @property
    def path(self) -> str:
        """Hub id with the configuration."""
        return f"{self.hub}/{self.config}" if self.config else self.hub

    @property
    def address(self) -> str:
        """Address by which the task is read: ``hf:ID``, with the entry's name where the id has several tasks."""
        several = len(find_by_hub(self.path)) > 1
        return f"{HUB_PREFIX}{self.path}" + (f"{ENTRY_MARK}{self.name}" if several else "")

    @property
    def command(self) -> str:
        """Command that reads it from the Hub and shows how."""
        return f"transfer-meta tasks check {self.address}"


@dataclass(frozen=True, kw_only=True)
class SourceFilter:
    """Which sources of the catalogue to use; a filter that is not set keeps all.

    Parameters
    ----------
    types : sequence of str, or str with commas
        Task types.
    licence : sequence of str, or str with commas
        Licences as the Hub writes them, such as ``cc-by-4.0``.
    max_size : int, optional
        Largest number of training examples; sources of unknown size are left out.

    Raises
    ------
    InputError
        An unknown type, a licence that no source has, or a size below 1.
    """

    types: str | Sequence[str] = ()
    licence: str | Sequence[str] = ()
    max_size: int | None = None

    def __post_init__(self) -> None:
        for name in ("types", "licence"):
            given = getattr(self, name)
            parts = given.split(",") if isinstance(given, str) else given
            object.__setattr__(
                self, name, tuple(part.strip().lower() for part in parts if part.strip())
            )
        for kind, given, valid in (
            ("task type", self.types, list(TaskType)),
            ("licence", self.licence, known_licences()),
        ):
            for wrong in (part for part in given if part not in valid):
                raise unknown(kind, wrong, valid)
        if self.max_size is not None and self.max_size < 1:
            raise InputError(f"--max-size {self.max_size} (expected at least 1)")

    def keeps(self, source: CatalogueSource) -> bool:
        """Return whether a source passes."""
        small = self.max_size is None or (
            source.train_size is not None and source.train_size <= self.max_size
        )
        return (
            small
            and (not self.types or source.type in self.types)
            and (not self.licence or source.licence in self.licence)
        )


def known_licences() -> list[str]:
    """Return the licences of the catalogue's sources, sorted."""
    return sorted({source.licence for source in load_catalogue()})


@functools.cache
def load_catalogue(path: Path | None = None) -> tuple[CatalogueSource, ...]:
    """Return the sources of the catalogue, in its order.

    Parameters
    ----------
    path : Path, optional
        Another file of the same columns.

    Raises
    ------
    InputError
        Columns that differ, a value of the wrong kind, or a name that two entries have, with the line.

    Examples
    --------
    >>> next(source.address for source in load_catalogue() if source.name == "squad")
    'hf:rajpurkar/squad'
    """
    file = path or data_folder() / "catalogue.csv"
    found: list[CatalogueSource] = []
    taken: dict[str, str] = {}
    with file.open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream, strict=True)
        if tuple(reader.fieldnames or ()) != CATALOGUE_COLUMNS:
            raise InputError(
                f"{file}:1: columns {', '.join(reader.fieldnames or ())}"
                f" (expected: {', '.join(CATALOGUE_COLUMNS)})"
            )
        for row in reader:
            try:
                source = _source(row)
            except (ValueError, TypeError, AttributeError) as error:
                raise InputError(f"{file}:{reader.line_num}: {error}") from None
            for name in source.names:
                if before := taken.get(name.casefold()):
                    raise InputError(f"{file}:{reader.line_num}: '{name}' is also a name of '{before}'")
                taken[name.casefold()] = source.name
            found.append(source)
    return tuple(found)


def find_in_catalogue(name_or_hub: str) -> CatalogueSource | None:
    """Return the source of a name, an alias or a Hub id; None if there is none, or several.

    Names are found whatever their case; a Hub id may have ``hf:`` before it.

    Examples
    --------
    >>> find_in_catalogue("SST-2").name, find_in_catalogue("hf:nyu-mll/glue/sst2").name
    ('sst2', 'sst2')
    """
    path, _, entry = name_or_hub.removeprefix(HUB_PREFIX).partition(ENTRY_MARK)
    path = path.partition("@")[0]
    if entry or "/" in path or name_or_hub.startswith(HUB_PREFIX):
        known = [s for s in find_by_hub(path) if not entry or s.name == entry]
        return known[0] if len(known) == 1 else None
    return _by_name().get(path.casefold())


def find_by_hub(path: str) -> tuple[CatalogueSource, ...]:
    """Return the sources of a Hub id with its configuration, which may be left out where there is only one.

    Examples
    --------
    >>> [source.name for source in find_by_hub("tasksource/trec")], find_by_hub("nyu-mll/glue")
    (['trec', 'trec_fine'], ())
    """
    return _by_path().get(path, ())


def known_source(name_or_hub: str) -> CatalogueSource:
    """Return the source of a name, an alias or a Hub id.

    Raises
    ------
    InputError
        There is none, with the nearest name, or there are several of the Hub id.
    """
    found = find_in_catalogue(name_or_hub)
    if found is not None:
        return found
    path = name_or_hub.removeprefix(HUB_PREFIX)
    if several := [s for s in load_catalogue() if path in (s.hub, s.path)]:
        raise InputError(
            f"'{name_or_hub}' has {len(several)} tasks; name one: {', '.join(s.name for s in several)}"
        )
    every = load_catalogue()
    names = [s.path for s in every] if "/" in path else [name for s in every for name in s.names]
    raise InputError(
        f"'{name_or_hub}' is not among the {len(every)} sources of the catalogue{nearest(path, names)}"
    )


@functools.cache
def _by_name() -> dict[str, CatalogueSource]:
    return {name.casefold(): source for source in load_catalogue() for name in source.names}


@functools.cache
def _by_path() -> dict[str, tuple[CatalogueSource, ...]]:
    groups: dict[str, list[CatalogueSource]] = {}
    configurations: dict[str, set[str]] = {}
    for source in load_catalogue():
        groups.setdefault(source.path, []).append(source)
        configurations.setdefault(source.hub, set()).add(source.config)
    for hub, names in configurations.items():
        if len(names) == 1:
            groups.setdefault(hub, groups[f"{hub}/{min(names)}" if min(names) else hub])
    return {path: tuple(sources) for path, sources in groups.items()}


def _source(row: Mapping[str, str]) -> CatalogueSource:
    """Return the source of a row; ValueError if a value is not of its kind."""
    values: dict[str, Any] = dict(row)
    if None in values or None in values.values():
        raise ValueError(f"expected {len(CATALOGUE_COLUMNS)} cells")
    missing = [
        k for k in ("name", "hub", "train_split", "type", "licence", "description") if not row[k]
    ]
    if missing:
        raise ValueError(f"no {missing[0]}")
    for column, form in _FORMS.items():
        if not form.fullmatch(row[column]):
            raise ValueError(f"{column} '{shown(row[column])}' is not of the form {form.pattern}")
    values["aliases"] = tuple(filter(None, row["aliases"].split(";")))
    values["type"] = type = TaskType(row["type"])
    values["columns"] = columns = json.loads(row["columns"])
    _check_roles(columns, type)
    for key in ("classes", "train_size", "mean_length"):
        values[key] = int(row[key]) if row[key] else None
    return CatalogueSource(**values)


def _check_roles(columns: Mapping[str, str], type: TaskType) -> None:
    """Raise a ValueError if columns lack a role of the type or have another; without columns, all is detected."""
    roles = {role.rstrip("?"): role.endswith("?") for role in ROLES[type]}
    wrong: Iterable[str] = columns.keys() - roles.keys()
    if columns:
        wrong = [*wrong, *(r for r, optional in roles.items() if not optional and r not in columns)]
    if wrong:
        raise ValueError(
            f"columns of {type}: {', '.join(sorted(wrong))} (expected: {', '.join(ROLES[type])})"
        )
