"""Data sets of the Hugging Face Hub, loaded with `datasets`; their own code is never run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from transfer_meta.errors import InputError, first_line, unknown
from transfer_meta.readers.class_labels import name_class
from transfer_meta.readers.rows import Row, Rows
from transfer_meta.records import TaskType
from transfer_meta.tasks.build_task import build_task
from transfer_meta.tasks.catalogue import ENTRY_MARK, HUB_PREFIX, CatalogueSource, find_by_hub
from transfer_meta.tasks.detect import ROLES, detect
from transfer_meta.tasks.settings import ReadSettings
from transfer_meta.tasks.task import Task

_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*){0,2}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
PARQUET = "refs/convert/parquet"
"""Revision at which the Hub keeps a copy of a data set in Parquet."""
_SPLITS = {"train": "train", "validation": "dev", "dev": "dev", "test": "test"}


@dataclass(frozen=True)
class HubRows:
    """Rows of one split, numbered from 0, with names of classes for their indices, None for index -1."""

    dataset: Any
    origin: str
    classes: Mapping[str, Sequence[str]]

    @classmethod
    def of(cls, dataset: Any, origin: str) -> HubRows:
        """Return the rows of a `datasets.Dataset`, with the names of classes that its features hold."""
        return cls(dataset, origin, _classes(dataset))

    @property
    def place(self) -> str:
        """``hf:name[split] row``, before the number."""
        return f"{self.origin} row "

    def __iter__(self) -> Iterator[tuple[int, Row]]:
        names = list(self.dataset.column_names)
        number = -1
        for batch in self.dataset.iter(batch_size=128):
            for cells in zip(*(batch[name] for name in names), strict=True):
                number += 1
                row = dict(zip(names, cells, strict=True))
                for column, classes in self.classes.items():
                    row[column] = name_class(row[column], classes)
                yield number, row


def is_hub_address(address: str) -> bool:
    """Return whether an address names a data set of the Hub (``hf:glue/sst2``)."""
    return address.startswith(HUB_PREFIX)


def read_hub(
    address: str,
    settings: ReadSettings | None = None,
    *,
    name: str | None = None,
    splits: Mapping[str, str] | None = None,
    description: str = "",
    licence: str = "",
) -> Task:
    """Read a task from the Hugging Face Hub or, offline, from its cache; needs the extra ``harness``.

    What is not given is taken from the entry of the catalogue (`transfer_meta.tasks.catalogue`), if there is one:
    configuration, revision, splits, type and columns, description and licence.  A note says what was taken.

    Parameters
    ----------
    address : str
        ``DATASET``, ``DATASET/CONFIGURATION`` or ``OWNER/DATASET/CONFIGURATION``, with or without ``hf:`` before it
        and ``@REVISION`` (a commit, tag or branch) after it; at the end ``#NAME`` for one of several tasks that the
        catalogue has of a data set.
    settings : ReadSettings, optional
        Of them, `type`, `columns`, `scheme`, `repair_tags` and `revision` apply.
    name : str, optional
        By default the address with ``_`` for ``/``, or what stands after ``#``.
    splits : mapping of str to str, optional
        Our split names to the Hub's, for example ``{"train": "train", "test": "validation"}``.  By default those of
        the catalogue, else train, validation (as dev) and test; the validation split replaces a test split without
        labels.
    description, licence : str

    Raises
    ------
    InputError
        `datasets` is not installed; no such data set, configuration or split; not in the cache while offline;
        the cache holds another revision than the requested one.
    """
    settings = settings or ReadSettings()
    given, _, entry = address.removeprefix(HUB_PREFIX).partition(ENTRY_MARK)
    path, _, at = given.partition("@")
    if not _NAME.fullmatch(path):
        raise InputError(
            f"{HUB_PREFIX}{given}: expected hf:DATASET, hf:DATASET/CONFIGURATION or"
            " hf:OWNER/DATASET/CONFIGURATION"
        )
    known = _choose(path, entry, settings)
    revision = at or settings.revision or (known.revision if known else "") or None
    where = f"{HUB_PREFIX}{path}" + (f"@{revision}" if revision else "")
    candidates = [(known.hub, known.config or None)] if known else _candidates(path)
    data = _load(candidates, where, revision)
    _check_revision(data, where, revision)
    notes: list[str] = []
    if known:
        taken = [f"configuration {known.config}"] if known.config and path == known.hub else []
        taken += [f"revision {revision}"] if revision and not (at or settings.revision) else []
        misfit = _misfit(known, data)
        if misfit and entry:
            raise InputError(f"{where}: the catalogue's entry {entry} does not fit: {misfit}")
        if misfit:
            notes.append(f"the catalogue's entry {known.name} does not fit: {misfit}; detected instead")
        else:
            if splits is None:
                splits = _catalogue_splits(known, data)
                taken.append("splits " + ", ".join(f"{o} = {t}" for o, t in splits.items()))
            if _agrees(known, settings) and known.columns:
                columns = {**known.columns, **settings.columns}
                settings = replace(settings, type=known.type, columns=columns)
                taken.append("type and columns")
        if taken:
            notes.append(f"from the catalogue's entry {known.name}: {'; '.join(taken)}")
        description = description or known.description
        licence = licence or (known.licence if known.licence != "unknown" else "")
    rows = dataset_rows(data, where, splits=splits, remedy="write a card with [splits]")
    return build_dataset_task(
        name or entry or path.replace("/", "_"),
        rows,
        settings,
        description=description,
        licence=licence,
        notes=notes,
    )


def _choose(path: str, entry: str, settings: ReadSettings) -> CatalogueSource | None:
    """Return the catalogue's entry for a data set, if it has one; an InputError where several fit the settings."""
    known = find_by_hub(path)
    if entry:
        named = [source for source in known if source.name == entry]
        if not named:
            what = f"entry of the catalogue for {HUB_PREFIX}{path}"
            raise unknown(what, entry, [source.name for source in known])
        return named[0]
    fitting = [source for source in known if _agrees(source, settings)]
    if len(fitting) > 1:
        addresses = ", ".join(source.address for source in fitting)
        raise InputError(
            f"{HUB_PREFIX}{path}: {len(fitting)} tasks in the catalogue; name one: {addresses}"
        )
    # Where the user's columns are those of no entry, the configuration and the splits can still be taken of one.
    places = {(s.config, s.revision, s.train_split, s.test_split) for s in known}
    return fitting[0] if fitting else known[0] if len(places) == 1 else None


def _agrees(source: CatalogueSource, settings: ReadSettings) -> bool:
    """Return whether the type and the columns that the user set are a way to read a catalogue's entry."""
    roles = {role.rstrip("?") for role in ROLES[source.type]}
    same = source.columns.get("label") in (
        None,
        settings.columns.get("label", source.columns.get("label")),
    )
    return same and settings.columns.keys() <= roles and settings.type in (None, source.type)


def _misfit(source: CatalogueSource, data: Mapping[str, Any]) -> str:
    """Return in which way the data are not as the catalogue says; empty if they are."""
    splits = [split for split in (source.train_split, source.test_split) if split and split not in data]
    if splits:
        return f"no split '{splits[0]}'"
    have = data[source.train_split].column_names
    named = [name for column in source.columns.values() for name in column.split(",")]
    missing = [name for name in named if name not in have]
    return f"no column '{missing[0]}'" if missing else ""


def _catalogue_splits(source: CatalogueSource, data: Mapping[str, Any]) -> dict[str, str]:
    """Return our names of splits to the Hub's: those of the catalogue, and a dev split that is none of them."""
    splits = {"train": source.train_split}
    dev = next((s for s in ("validation", "dev") if s in data and s != source.test_split), None)
    if dev is not None:
        splits["dev"] = dev
    return splits | ({"test": source.test_split} if source.test_split else {})


def dataset_rows(
    data: Mapping[str, Any], where: str, *, splits: Mapping[str, str] | None = None, remedy: str
) -> dict[str, HubRows]:
    """Return the rows of a `datasets.DatasetDict` by our names of splits.

    Parameters
    ----------
    data : mapping of str to Dataset
    where : str
        Name of the data set in errors.
    splits : mapping of str to str, optional
        As for `read_hub`.
    remedy : str
        What to do if no split has a known name, for the error.
    """
    if splits is None:
        splits = {_SPLITS[split]: split for split in data if split in _SPLITS}
        if not splits:
            raise InputError(
                f"{where}: no train split (there are: {', '.join(map(str, data))}); {remedy}"
            )
    for split in splits.values():
        if split not in data:
            raise unknown(f"split of {where}", split, map(str, data))
    return {ours: HubRows.of(data[theirs], f"{where}[{theirs}]") for ours, theirs in splits.items()}


def build_dataset_task(
    name: str,
    rows: Mapping[str, Rows],
    settings: ReadSettings,
    *,
    description: str = "",
    licence: str = "",
    notes: Sequence[str] = (),
) -> Task:
    """Make a task of tables of which some are `HubRows`, as `build_task` does."""
    first = rows.get("train") or next(iter(rows.values()))
    if isinstance(first, HubRows):
        type, columns = detect(first, type=settings.type, columns=settings.columns)
        if type is TaskType.MULTIPLE_CHOICE:
            # The class of a choice is its index, whatever the classes are called; of classes that are numbers the
            # first may be unused, and the choices are counted from 1.
            classes = first.classes.get(columns["label"], ())
            if settings.choices_from is None and not all(name.isdecimal() for name in classes):
                settings = replace(settings, choices_from="0")
            rows = {
                split: replace(table, classes={}) if isinstance(table, HubRows) else table
                for split, table in rows.items()
            }
        settings = replace(settings, type=type, columns=columns)
    task = build_task(name, rows, settings, description=description, licence=licence, notes=notes)
    return task.with_test() if isinstance(rows.get("test"), HubRows) else task


def _candidates(path: str) -> list[tuple[str, str | None]]:
    """Return the data sets and configurations that a path may stand for, in order."""
    first, *rest = path.split("/")
    if len(rest) == 2:
        return [(f"{first}/{rest[0]}", rest[1])]
    # A name without an owner belongs to the Hub itself: it comes first, so that no owner can take its place.
    return [(first, rest[0]), (path, None)] if rest else [(path, None)]


def _load(
    candidates: Sequence[tuple[str, str | None]], where: str, revision: str | None
) -> Mapping[str, Any]:
    """Return the splits of the first data set that can be loaded, by name."""
    try:
        import datasets
    except ImportError as error:
        raise InputError(
            f"{where}: needs the package datasets: pip install 'transfer-meta[harness]'"
        ) from error
    failed: list[Exception] = []
    for data_set, configuration in candidates:
        if Path(data_set).exists():
            raise InputError(
                f"{where}: '{data_set}' is a file or folder here and would be read in the Hub's place"
            )
        try:
            loaded = datasets.load_dataset(data_set, configuration, revision=revision)
        except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
            failed.append(error)
        else:
            return loaded if isinstance(loaded, Mapping) else {"train": loaded}
    # That a configuration is unknown says more than that the other candidate does not exist.
    worst = next((e for e in failed if not isinstance(e, OSError)), failed[-1])
    what = "cannot be loaded from the Hub"
    if datasets.config.HF_HUB_OFFLINE:
        what = "not in the cache, and offline (HF_HUB_OFFLINE is set)"
    if "scripts are no longer supported" in str(worst):
        hint = "" if revision or candidates[-1][1] else f"; try {where}@{PARQUET}, its copy in Parquet"
        raise InputError(
            f"{where}: has a script in the place of data, which is never run{hint}"
        ) from worst
    raise InputError(f"{where}: {what}: {first_line(worst)}") from worst


def _check_revision(data: Mapping[str, Any], where: str, revision: str | None) -> None:
    """Refuse a cached copy of another commit: offline, `datasets` takes the newest copy, whatever the revision."""
    if revision is None or not _COMMIT.fullmatch(revision):
        return
    for split in data.values():
        for file in getattr(split, "cache_files", []):
            cached = Path(file["filename"]).parent.name
            if _COMMIT.fullmatch(cached) and cached != revision:
                raise InputError(f"{where}: the cache holds revision {cached}, not the pinned one")


def _classes(dataset: Any) -> dict[str, Sequence[str]]:
    """Return the names of the classes by column, also of lists of classes."""
    found: dict[str, Sequence[str]] = {}
    for column, feature in dataset.features.items():
        names = getattr(getattr(feature, "feature", feature), "names", None)
        if names:
            found[column] = list(names)
    return found
