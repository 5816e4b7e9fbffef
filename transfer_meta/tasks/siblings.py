"""Files that belong to one task: split names in file and folder names, and shards of a split.

A split is named after a point (``sst2.train.csv``), a hyphen or an underscore (``sst2-train``, ``sst2_dev``),
before the name (``train_sst2``), alone (``train.csv``), with a version (``train-v2.0.json``), by shards
(``train-00000-of-00002.parquet``), or by the folder (``train/0000.parquet``).
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from transfer_meta.errors import InputError, nearest
from transfer_meta.readers.compressed import COMPRESSED_SUFFIXES
from transfer_meta.tasks.build_task import file_format

SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "dev": "dev",
    "devel": "dev",
    "development": "dev",
    "val": "dev",
    "valid": "dev",
    "validation": "dev",
    "eval": "dev",
    "evaluation": "dev",
    "test": "test",
    "testing": "test",
    "testa": "dev",
    "testb": "test",
}
"""Our name of a split by the word in a file's name, in lower case."""
SPLIT_ORDER = ("train", "dev", "test")
_WORDS = "|".join(sorted(SPLIT_WORDS, key=len, reverse=True))
_SHARD = re.compile(r"(?P<rest>.+?)[-_.](?P<shard>\d{3,}[-_]of[-_]\d{3,})([-_.][0-9a-f]{8,})?", re.I)
_SHARD_IN_FOLDER = re.compile(r"(?:(?:part|shard|chunk|data)[-_.]?)?\d+(?:[-_]of[-_]\d+)?", re.I)
_VERSION = re.compile(rf"(?P<split>{_WORDS})[-_.](?P<version>v?\d+(?:\.\d+)*)", re.I)
_AFTER_POINT = re.compile(rf"(?P<name>.+)\.(?P<split>{_WORDS})", re.I)
_AFTER = re.compile(rf"(?P<name>.*[^-_])[-_]+(?P<split>{_WORDS})", re.I)
_BEFORE = re.compile(rf"(?P<split>{_WORDS})[-_.]+(?P<name>[^-_].*)", re.I)
_PLAIN_FOLDERS = frozenset({"data", "default"})
"""Folders that hold the shards of a data set but not its name."""
_MAX_DEPTH = 3
"""Depth of folders in folders in which tasks are looked for."""


@dataclass(frozen=True)
class SplitName:
    """What a file's name says.

    Parameters
    ----------
    name : str
        Of the task; that of a folder where the file has none.
    split : str or None
        ``train``, ``dev`` or ``test``.
    group : tuple of str
        Equal for the files of one task in a folder.
    sure : bool
        Whether it is the name of a split even if the file is alone: ``a_test`` may be a name.
    shard : bool
        Whether the file is one of several of its split.
    """

    name: str
    split: str | None
    group: tuple[str, ...] = ()
    sure: bool = True
    shard: bool = False


@dataclass
class TaskFiles:
    """Files of one task.

    Parameters
    ----------
    name : str
    splits : dict of str to list of Path
        Shards in order, by split.
    unused : list of Path
        Further dev or test splits.
    problem : str
        Two files for one split; empty if there is none.
    """

    name: str
    splits: dict[str, list[Path]] = field(default_factory=dict)
    unused: list[Path] = field(default_factory=list)
    problem: str = ""

    @property
    def first(self) -> Path:
        """The first file."""
        return next(iter(self.splits.values()))[0]

    @property
    def files(self) -> list[Path]:
        """All files that are read."""
        return [file for files in self.splits.values() for file in files]


def find_siblings(path: Path) -> TaskFiles:
    """Return the files of a task by split, in the order train, dev, test.

    Parameters
    ----------
    path : Path
        One of the files, or their common beginning (``data/sst2``).  A file without a split in its name is a
        train split on its own.

    Raises
    ------
    InputError
        No such file, or two files for one split.
    """
    exists = os.path.isfile(path)  # False also for what is no path, unlike Path.is_file
    folder = _home(path) if exists else path.parent
    files = list_task_files(folder)
    if exists and path not in files:
        # The format of the others is that of this one.
        files += [
            file
            for file in list_files(folder)
            if file == path or file.suffix == path.suffix or file.suffix[1:].lower() in SPLIT_WORDS
        ]
    for task in group_files(files):
        if path in (*task.files, *task.unused) if exists else _begins(task, path):
            return _without_problem(task)
    names = [file.name for file in list_files(path.parent)]
    raise InputError(f"no such file, folder or task: {path}{nearest(path.name, names)}")


def find_in_folder(folder: Path, *, apart: Iterable[Path] = (), depth: int = 0) -> list[TaskFiles]:
    """Return the tasks of a folder's data files; of the folders in it where it has no data files itself.

    Parameters
    ----------
    folder : Path
    apart : iterable of Path
        Files, resolved, that belong to other tasks.
    depth : int
        Number of folders above that were looked through.
    """
    others = set(apart)
    files = [file for file in list_task_files(folder) if file.resolve() not in others]
    found = [_without_problem(task) for task in group_files(files)]
    if found or depth == _MAX_DEPTH:
        return found
    inner = [path for path in sorted(folder.glob("[!.]*")) if path.is_dir()]
    return [
        t
        for path in inner
        for t in find_in_folder(path, apart=others, depth=depth + 1)
        if _has_split(t)
    ]


def group_files(files: Iterable[Path]) -> list[TaskFiles]:
    """Return the tasks that data files belong to, in the order of their first files."""
    named = {file: split_name(file) for file in files}
    splits: dict[tuple[str, ...], set[str]] = {}
    for found in named.values():
        if found.split is not None:
            splits.setdefault(found.group, set()).add(found.split)
    bare = next((f.group for f in named.values() if f.split == "train" and f.group[-1] == "bare"), None)
    tasks: dict[tuple[str, ...], TaskFiles] = {}
    further: list[tuple[str, Path, SplitName]] = []
    for file, found in named.items():
        group = found.group
        if found.split is None or (not found.sure and not _is_split(found, splits[group])):
            # The dev and test splits of a task may have names: validation_matched.
            if found.split in ("dev", "test") and group[-1] == "before" and bare is not None:
                further.append((found.split, file, found))
            else:
                tasks[(str(file),)] = TaskFiles(_stem(file).name, {"train": [file]})
            continue
        task = tasks.setdefault(group, TaskFiles(found.name))
        before = task.splits.setdefault(found.split, [])
        if before and not (found.shard and split_name(before[0]).shard):
            task.problem = task.problem or (
                f"two files for the {found.split} split of {found.name}: {before[0]} and {file};"
                " remove one, or name the files in a card"
            )
        before.append(file)
    for split, file, found in further:
        task = tasks[bare]  # type: ignore[index]
        first = task.splits.get(split)
        if first is None or (found.shard and split_name(first[0]).name == found.name):
            task.splits.setdefault(split, []).append(file)
        else:
            task.unused.append(file)
    for task in tasks.values():
        task.splits = {s: sorted(task.splits[s]) for s in SPLIT_ORDER if s in task.splits}
    return list(tasks.values())


def split_name(path: Path) -> SplitName:
    """Return the task's name and the split that a file's name and folder contain.

    Examples
    --------
    >>> found = split_name(Path("data/sst2.validation.csv.gz")); found.name, found.split
    ('sst2', 'dev')
    >>> found = split_name(Path("mr/data/train-00000-of-00002.parquet")); found.name, found.split, found.shard
    ('mr', 'train', True)
    >>> split_name(Path("reviews.csv")).split is None, split_name(Path("stress_test.csv")).sure
    (True, False)
    """
    return _split_name(path.absolute())


@functools.lru_cache(10_000)
def _split_name(path: Path) -> SplitName:
    stem, parent = _stem(path).name, path.parent
    folder_split = SPLIT_WORDS.get(parent.name.lower())
    if folder_split is not None and _SHARD_IN_FOLDER.fullmatch(stem):
        return SplitName(
            _folder_name(parent.parent), folder_split, (str(parent.parent), "folder"), shard=True
        )
    shard = _SHARD.fullmatch(stem)
    if shard is not None:
        stem = shard["rest"]
    is_shard = shard is not None
    if stem.lower() in SPLIT_WORDS:
        # A data set's shards lie in folders without its name.
        name = _folder_name(parent) if is_shard else parent.name
        return SplitName(name, SPLIT_WORDS[stem.lower()], (str(parent), "bare"), shard=is_shard)
    if match := _VERSION.fullmatch(stem):
        group = (str(parent), match["version"].lower(), "version")
        return SplitName(parent.name, SPLIT_WORDS[match["split"].lower()], group)
    for pattern, how in ((_AFTER_POINT, "after"), (_AFTER, "after"), (_BEFORE, "before")):
        if match := pattern.fullmatch(stem):
            name, split = match["name"], SPLIT_WORDS[match["split"].lower()]
            sure = pattern is _AFTER_POINT or (is_shard and how == "after")
            return SplitName(name, split, (str(parent), name.lower(), how), sure, is_shard)
    return SplitName(stem, None)


def list_files(folder: Path) -> list[Path]:
    """Return the files of a folder, sorted, without hidden ones; empty if it cannot be read."""
    return sorted(file for file in folder.glob("[!.]*") if os.path.isfile(file))


def list_task_files(folder: Path) -> list[Path]:
    """Return the data files of a folder and of the folders in it that are named after a split."""
    files = [file for file in list_files(folder) if file_format(file) is not None]
    files = [file for file in files if file.name.lower() not in DESCRIPTIONS]
    for inner in sorted(folder.glob("[!.]*")):
        if inner.name.lower() in SPLIT_WORDS and inner.is_dir():
            files += [
                f for f in list_files(inner) if file_format(f) is not None and split_name(f).shard
            ]
    return files


DESCRIPTIONS = frozenset({"dataset_infos.json", "dataset_info.json", "state.json", "dataset_dict.json"})
"""Files that describe a data set and hold no examples."""


def _is_split(found: SplitName, splits: set[str]) -> bool:
    """Return whether a word that may be a split is one: the task has a train split, and others before the name."""
    if found.group[-1] == "before":
        return "train" in splits and len(splits) > 1
    return "train" in splits


def _without_problem(task: TaskFiles) -> TaskFiles:
    if task.problem:
        raise InputError(task.problem)
    return task


def _begins(task: TaskFiles, path: Path) -> bool:
    return any(
        split_name(file).split is not None and task.name == path.name for file in task.files
    ) and not all(split_name(file).group[-1] == "bare" for file in task.files)


def _has_split(task: TaskFiles) -> bool:
    return any(split_name(file).split is not None for file in task.files)


def _home(path: Path) -> Path:
    """Return the folder in which a task's files, or its folders of shards, lie."""
    found = split_name(path)
    return path.parent.parent if found.group[-1:] == ("folder",) else path.parent


def _folder_name(folder: Path) -> str:
    """Return the name of a folder of shards, or of the first above it that is named after a data set."""
    folder = folder.absolute()
    while folder.name.lower() in _PLAIN_FOLDERS and folder.parent.name:
        folder = folder.parent
    return folder.name


def _stem(path: Path) -> Path:
    """Return a path without the suffixes of its format and compression."""
    stem = path.with_suffix("") if path.suffix.lower() in COMPRESSED_SUFFIXES else path
    known = file_format(path) is not None or re.fullmatch(r"\.[A-Za-z]\w{0,9}", stem.suffix)
    return stem.with_suffix("") if known and stem.suffix[1:].lower() not in SPLIT_WORDS else stem
