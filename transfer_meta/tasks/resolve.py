"""Tasks named on the command line: files and their siblings, cards, folders, data sets of the Hub."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from transfer_meta.errors import InputError
from transfer_meta.records import Tell
from transfer_meta.tasks.build_task import file_format
from transfer_meta.tasks.card import is_card, read_card
from transfer_meta.tasks.hub import is_hub_address
from transfer_meta.tasks.read import read_task
from transfer_meta.tasks.settings import ReadSettings
from transfer_meta.tasks.siblings import find_siblings, list_files
from transfer_meta.tasks.task import Task


def resolve_tasks(
    names: Iterable[str], settings: ReadSettings | None = None, *, tell: Tell | None = None
) -> list[Task]:
    """Read the named tasks, each once, in the given order.

    Parameters
    ----------
    names : iterable of str
        Each an address as `read_task` takes it, or a folder of data files and task cards.
    settings : ReadSettings, optional
        The same for all tasks.
    tell : callable, optional
        Called with one line per task that says what was detected.

    Raises
    ------
    InputError
        A name that leads nowhere, a task that cannot be read, two tasks of one name.
    """
    tasks: dict[str, Task] = {}
    for task in (read_task(name, settings) for name in find_tasks(names)):
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
    """Return one address per task: folders are replaced by their tasks, a task's files by the first of them."""
    found: dict[tuple[str, ...], str] = {}
    for name in names:
        if is_hub_address(name):
            found.setdefault((name,), name)
            continue
        path = Path(name)
        for member in _tasks_in(path) if os.path.isdir(path) else [path]:
            key: tuple[str, ...] = (str(member),)
            if member.suffix != ".toml":
                key = tuple(sorted(str(file) for file in find_siblings(member).values()))
            found.setdefault(key, str(member))
    return list(found.values())


def _tasks_in(folder: Path) -> list[Path]:
    """Return a folder's cards and the data files that no card names; an InputError where there are none."""
    files = list_files(folder)
    cards = [file for file in files if file.suffix == ".toml" and is_card(file)]
    settings = ReadSettings(outside=True)
    named = {file.resolve() for card in cards for file in read_card(card, settings).files.values()}
    data = [file for file in files if file_format(file) is not None and file.resolve() not in named]
    if not cards and not data:
        raise InputError(f"{folder}: the folder holds no task card and no data file")
    return sorted(cards + data)


def _where(task: Task) -> str:
    return next(iter(task.origin.values()), task.name)
