"""Finding the tasks that a command line names: files and their siblings, cards, folders, data sets of the Hub."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from transfer_meta.errors import InputError, nearest
from transfer_meta.records import Tell
from transfer_meta.tasks.build import PACKED, build_task, file_format, open_rows
from transfer_meta.tasks.card import is_card, read_card
from transfer_meta.tasks.settings import ReadSettings
from transfer_meta.tasks.task import Task

_SPLITS = {
    "train": "train",
    "training": "train",
    "dev": "dev",
    "val": "dev",
    "valid": "dev",
    "validation": "dev",
    "test": "test",
}
#: ``name.split`` or a bare ``split``, the suffixes taken off.
_SPLIT_NAME = re.compile(rf"(?:(?P<name>.+)\.)?(?P<split>{'|'.join(_SPLITS)})", re.IGNORECASE)
_HUB = "hf:"


def resolve_tasks(
    names: Iterable[str], settings: ReadSettings | None = None, *, tell: Tell | None = None
) -> list[Task]:
    """The tasks that a user names, each once, in the order named.

    Parameters
    ----------
    names : iterable of str
        Each a data file (its siblings ``NAME.train.*``, ``NAME.dev.*``, ``NAME.test.*`` come with it), the common
        beginning of such files (``data/sst2``), a task card (``.toml``), a folder of any of them, or ``hf:`` and a
        data set of the Hub (``hf:glue/sst2``, ``hf:glue/sst2@REVISION``).
    settings : ReadSettings, optional
        What the user said of the data, the same for all.
    tell : callable, optional
        Called with one line a task that says what was detected.

    Raises
    ------
    InputError
        A name that leads nowhere, a task that cannot be read, two tasks of one name.
    """
    settings = settings or ReadSettings()
    tasks: dict[str, Task] = {}
    for task in (load_named(name, settings) for name in find_tasks(names)):
        before = tasks.get(task.name)
        if before is None:
            tasks[task.name] = task
            if tell is not None:
                tell(f"{task.name}: {'; '.join(task.notes)}")
        elif before.origin != task.origin:
            raise InputError(
                f"two tasks are named '{task.name}': {_where(before)} and {_where(task)};"
                " name one of them in a card"
            )
    return list(tasks.values())


def find_tasks(names: Iterable[str]) -> list[str]:
    """The names with each folder replaced by what it holds, and each task's files by the first of them."""
    found: dict[tuple[str, ...], str] = {}
    for name in names:
        if name.startswith(_HUB):
            found.setdefault((name,), name)
            continue
        path = Path(name)
        for member in _in_folder(path) if _is_folder(path) else [path]:
            key: tuple[str, ...] = (str(member),)
            if member.suffix != ".toml":
                key = tuple(sorted(str(file) for file in find_siblings(member).values()))
            found.setdefault(key, str(member))
    return list(found.values())


def load_named(name: str, settings: ReadSettings) -> Task:
    """One task by the name that `find_tasks` gave."""
    if not name.startswith(_HUB):
        return load_files(Path(name), settings)
    from transfer_meta.tasks.hub import load_hub

    return load_hub(name.removeprefix(_HUB), settings)


def load_files(
    path: str | Path | Mapping[str, str | Path],
    settings: ReadSettings,
    *,
    name: str | None = None,
    description: str = "",
) -> Task:
    """The task of a file and its siblings, of one file a split, or of a card."""
    if isinstance(path, Mapping):
        files = {split: Path(file) for split, file in path.items()}
        if not files:
            raise InputError("no files: expected one a split, for example {'train': 'a.csv'}")
        name = name or _split_name(next(iter(files.values())))[0]
    else:
        path = Path(path)
        if path.suffix == ".toml":
            return _load_card(path, settings, name)
        files = find_siblings(path)
        name = name or _split_name(next(iter(files.values())))[0]
    rows = {split: open_rows(file, settings) for split, file in files.items()}
    return build_task(name, rows, settings, description=description)


def find_siblings(path: Path) -> dict[str, Path]:
    """The files of a task by split, in the order train, dev, test, from one of them or from their common beginning.

    A file whose name holds no split is a train split alone.

    Raises
    ------
    InputError
        No such file, or two files for one split.
    """
    exists = _exists(path)
    name, split = _split_name(path)
    if exists and split is None:
        return {"train": path}
    stem = path.name if not exists else None
    found: dict[str, Path] = {}
    for file in _files(path.parent):
        file_name, file_split = _split_name(file)
        if file_split is None or (file_format(file) is None and file != path):
            continue
        same = (
            file_name == stem if stem is not None else file_name == name and _bare(file) == _bare(path)
        )
        if not same:
            continue
        if file_split in found:
            raise InputError(
                f"two files for the {file_split} split of {file_name}: {found[file_split]} and {file};"
                " remove one, or name the files in a card"
            )
        found[file_split] = file
    if not found:
        names = [file.name for file in _files(path.parent)]
        raise InputError(f"no such file, folder or task: {path}{nearest(path.name, names)}")
    return {split: found[split] for split in ("train", "dev", "test") if split in found}


def _load_card(path: Path, settings: ReadSettings, name: str | None) -> Task:
    card = read_card(path, settings)
    if card.hub:
        from transfer_meta.tasks.hub import load_hub

        return load_hub(
            card.hub,
            card.settings,
            name=name or card.name,
            splits=card.splits or None,
            description=card.description,
            licence=card.licence,
        )
    rows = {split: open_rows(file, card.settings) for split, file in card.files.items()}
    return build_task(
        name or card.name, rows, card.settings, description=card.description, licence=card.licence
    )


def _in_folder(folder: Path) -> list[Path]:
    """The cards of a folder and the data files that no card names, by name; an InputError where there are none."""
    files = _files(folder)
    cards = [file for file in files if file.suffix == ".toml" and is_card(file)]
    settings = ReadSettings(outside=True)
    named = {file.resolve() for card in cards for file in read_card(card, settings).files.values()}
    data = [file for file in files if file_format(file) is not None and file.resolve() not in named]
    if not cards and not data:
        raise InputError(f"{folder}: the folder holds no task card and no data file")
    return sorted(cards + data)


def _split_name(path: Path) -> tuple[str, str | None]:
    """The task's name and the split that a file's name holds."""
    stem = path.with_suffix("") if path.suffix.lower() in PACKED else path
    if stem.suffix[1:].lower() not in _SPLITS:
        stem = stem.with_suffix("")
    if match := _SPLIT_NAME.fullmatch(stem.name):
        name = match["name"] or path.absolute().parent.name
        return name, _SPLITS[match["split"].lower()]
    return stem.name, None


def _bare(path: Path) -> bool:
    """Whether a file is called after its split alone (``train.csv``)."""
    return path.name.split(".")[0].lower() in _SPLITS


def _files(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return sorted(
                folder / e.name for e in entries if e.is_file() and not e.name.startswith(".")
            )
    except (OSError, ValueError):
        return []


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def _exists(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _where(task: Task) -> str:
    return next(iter(task.origin.values()), task.name)
