"""Tasks named on the command line: files and their siblings, cards, folders, demo tasks, data sets of the Hub."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from transfer_meta.errors import InputError
from transfer_meta.records import Tell
from transfer_meta.tasks.card import is_card, read_card
from transfer_meta.tasks.demo import expand_demo
from transfer_meta.tasks.hub import is_hub_address
from transfer_meta.tasks.read import read_task
from transfer_meta.tasks.settings import ReadSettings
from transfer_meta.tasks.siblings import TaskFiles, find_in_folder, find_siblings, list_files
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
    for name in map(expand_demo, names):
        if is_hub_address(name):
            found.setdefault((name,), name)
            continue
        path = Path(name)
        if os.path.isdir(path):
            cards, tasks = _tasks_in(path)
            members = [
                *((card, [card]) for card in cards),
                *((task.first, task.files) for task in tasks),
            ]
            members.sort(key=lambda member: member[0])
        elif path.suffix == ".toml":
            members = [(path, [path])]
        else:
            members = [(path, find_siblings(path).files)]
        for member, files in members:
            key = tuple(sorted(str(file.absolute()) for file in files))
            found.setdefault(key, str(member))
    return list(found.values())


def absolute_address(address: str) -> str:
    """Return the address of a task as it is valid in any folder."""
    return address if is_hub_address(address) else str(Path(expand_demo(address)).absolute())


def is_same_task(first: str, second: str) -> bool:
    """Return whether two addresses, as `find_tasks` returns them, lead to the same files."""
    if first == second:
        return True
    paths = [Path(first), Path(second)]
    if is_hub_address(first) or is_hub_address(second) or any(path.suffix == ".toml" for path in paths):
        return False
    return {f.resolve() for f in find_siblings(paths[0]).files} == {
        f.resolve() for f in find_siblings(paths[1]).files
    }


def _tasks_in(folder: Path) -> tuple[list[Path], list[TaskFiles]]:
    """Return a folder's cards and the tasks of files that no card names; an InputError where there are none."""
    files = list_files(folder)
    cards = [file for file in files if file.suffix == ".toml" and is_card(file)]
    settings = ReadSettings(outside=True)
    named = {file.resolve() for card in cards for file in read_card(card, settings).files.values()}
    data = find_in_folder(folder, apart=named)
    if not cards and not data:
        raise InputError(f"{folder}: the folder holds no task card and no data file")
    return cards, data


def _where(task: Task) -> str:
    return next(iter(task.origin.values()), task.name)
