"""Data sets of the Hugging Face Hub, through `datasets`; nothing that a data set brings along is ever run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from transfer_meta.errors import InputError, unknown
from transfer_meta.readers.rows import Row
from transfer_meta.records import TaskType
from transfer_meta.tasks.build import build_task
from transfer_meta.tasks.detect import detect
from transfer_meta.tasks.settings import ReadSettings
from transfer_meta.tasks.task import Task

_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*){0,2}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SPLITS = {"train": "train", "validation": "dev", "dev": "dev", "test": "test"}
#: What the Hub writes where the label is kept secret, or where annotators did not agree.
_NO_LABEL = -1


@dataclass(frozen=True)
class HubRows:
    """The rows of one split, numbered from 0; a class is its name, a row whose class is -1 is passed over."""

    dataset: Any
    origin: str
    classes: Mapping[str, Sequence[str]]

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
                if any(row[column] == _NO_LABEL for column in self.classes):
                    continue
                for column, classes in self.classes.items():
                    row[column] = _class_names(row[column], classes)
                yield number, row


def load_hub(
    path: str,
    settings: ReadSettings,
    *,
    name: str | None = None,
    splits: Mapping[str, str] | None = None,
    description: str = "",
    licence: str = "",
) -> Task:
    """The task of ``DATASET``, ``DATASET/CONFIGURATION`` or ``OWNER/DATASET/CONFIGURATION``, also ``…@REVISION``.

    Of its splits, train, validation (our dev) and test are taken unless `splits` says others; a test split
    without labels is replaced by the validation split.

    Raises
    ------
    InputError
        `datasets` is not installed; no such data set, configuration or split; not in the cache while offline;
        the cache holds another revision than the one that was pinned.
    """
    path, _, at = path.partition("@")
    revision = at or settings.revision
    shown = f"hf:{path}" + (f"@{revision}" if revision else "")
    if not _NAME.fullmatch(path):
        raise InputError(
            f"{shown}: expected hf:DATASET, hf:DATASET/CONFIGURATION or hf:OWNER/DATASET/CONFIGURATION"
        )
    data = _load(path, shown, revision)
    _check_revision(data, shown, revision)
    if splits is None:
        splits = {_SPLITS[split]: split for split in data if split in _SPLITS}
        if not splits:
            raise InputError(
                f"{shown}: no train split (there are: {', '.join(map(str, data))}); write a card with [splits]"
            )
    for split in splits.values():
        if split not in data:
            raise unknown(f"split of {shown}", split, map(str, data))
    rows = {
        ours: HubRows(data[theirs], f"{shown}[{theirs}]", _classes(data[theirs]))
        for ours, theirs in splits.items()
    }
    if "test" in rows and "dev" in rows and next(iter(rows["test"]), None) is None:
        rows["test"] = rows.pop("dev")
    first = rows.get("train") or next(iter(rows.values()))
    type, columns = detect(first, type=settings.type, columns=settings.columns)
    if type is TaskType.MULTIPLE_CHOICE:
        # The class of a choice is its index, whatever the classes are called.
        rows = {split: replace(table, classes={}) for split, table in rows.items()}
    settings = replace(settings, type=type, columns=columns)
    return build_task(
        name or path.replace("/", "_"), rows, settings, description=description, licence=licence
    )


def _load(path: str, shown: str, revision: str | None) -> Mapping[str, Any]:
    """The splits by name."""
    datasets = _import_datasets(shown)
    first, _, rest = path.partition("/")
    # A name without an owner belongs to the Hub itself: it comes first, so that no owner can take its place.
    candidates: list[tuple[str, str | None]] = [(first, rest or None)] if "/" not in rest else []
    if rest:
        candidates.append(
            (path, None) if "/" not in rest else (path.rpartition("/")[0], path.rpartition("/")[2])
        )
    failed: list[Exception] = []
    for data_set, configuration in candidates:
        if Path(data_set).exists():
            raise InputError(
                f"{shown}: '{data_set}' is a file or folder here and would be read in the Hub's place"
            )
        try:
            loaded = datasets.load_dataset(data_set, configuration, revision=revision)
        except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
            failed.append(error)
        else:
            return loaded if isinstance(loaded, Mapping) else {"train": loaded}
    # A wrong configuration says more than that the other reading of the name does not exist.
    worst = next((e for e in failed if not isinstance(e, OSError)), failed[-1])
    message = (str(worst).strip().splitlines() or [type(worst).__name__])[0]
    if datasets.config.HF_HUB_OFFLINE:
        raise InputError(
            f"{shown}: not in the cache, and offline (HF_HUB_OFFLINE is set): {message}"
        ) from worst
    raise InputError(f"{shown}: cannot be loaded from the Hub: {message}") from worst


def _import_datasets(shown: str) -> ModuleType:
    try:
        import datasets
    except ImportError as error:
        raise InputError(
            f"{shown}: needs the package datasets: pip install 'transfer-meta[harness]'"
        ) from error
    return datasets


def _check_revision(data: Mapping[str, Any], shown: str, revision: str | None) -> None:
    """Offline, `datasets` takes the newest copy in its cache, pinned or not; the copy's folder bears its commit."""
    if revision is None or not _COMMIT.fullmatch(revision):
        return
    for split in data.values():
        for file in getattr(split, "cache_files", []):
            cached = Path(file["filename"]).parent.name
            if _COMMIT.fullmatch(cached) and cached != revision:
                raise InputError(f"{shown}: the cache holds revision {cached}, not the pinned one")


def _classes(dataset: Any) -> dict[str, Sequence[str]]:
    """The class names of the columns that have some, also inside lists."""
    found: dict[str, Sequence[str]] = {}
    for column, feature in dataset.features.items():
        names = getattr(getattr(feature, "feature", feature), "names", None)
        if names:
            found[column] = list(names)
    return found


def _class_names(value: Any, classes: Sequence[str]) -> Any:
    if isinstance(value, list):
        return [_class_names(item, classes) for item in value]
    return classes[value] if isinstance(value, int) and 0 <= value < len(classes) else value
