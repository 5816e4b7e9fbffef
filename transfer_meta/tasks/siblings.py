"""Files that belong to one task: ``NAME.train.*``, ``NAME.dev.*`` and ``NAME.test.*`` in one folder."""

from __future__ import annotations

import os
import re
from pathlib import Path

from transfer_meta.errors import InputError, nearest
from transfer_meta.readers.compressed import COMPRESSED_SUFFIXES
from transfer_meta.tasks.build_task import file_format

_SPLITS = {
    "train": "train",
    "training": "train",
    "dev": "dev",
    "val": "dev",
    "valid": "dev",
    "validation": "dev",
    "test": "test",
}
_SPLIT_NAME = re.compile(rf"(?:(?P<name>.+)\.)?(?P<split>{'|'.join(_SPLITS)})", re.IGNORECASE)
"""Matches ``name.split`` or a bare ``split``, without suffixes."""


def find_siblings(path: Path) -> dict[str, Path]:
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
    name, split = split_name(path)
    if exists and split is None:
        return {"train": path}
    found: dict[str, Path] = {}
    for file in list_files(path.parent):
        file_name, file_split = split_name(file)
        if file_split is None or (file_format(file) is None and file != path):
            continue
        same = (
            (file_name, _is_bare(file)) == (name, _is_bare(path)) if exists else file_name == path.name
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
        names = [file.name for file in list_files(path.parent)]
        raise InputError(f"no such file, folder or task: {path}{nearest(path.name, names)}")
    return {split: found[split] for split in ("train", "dev", "test") if split in found}


def split_name(path: Path) -> tuple[str, str | None]:
    """Return the task's name and the split that a file name contains.

    Examples
    --------
    >>> split_name(Path("data/sst2.validation.csv.gz")), split_name(Path("reviews.csv"))
    (('sst2', 'dev'), ('reviews', None))
    """
    stem = path.with_suffix("") if path.suffix.lower() in COMPRESSED_SUFFIXES else path
    if stem.suffix[1:].lower() not in _SPLITS:
        stem = stem.with_suffix("")
    if match := _SPLIT_NAME.fullmatch(stem.name):
        name = match["name"] or path.absolute().parent.name
        return name, _SPLITS[match["split"].lower()]
    return stem.name, None


def list_files(folder: Path) -> list[Path]:
    """Return the files of a folder, sorted, without hidden ones; empty if it cannot be read."""
    return sorted(file for file in folder.glob("[!.]*") if os.path.isfile(file))


def _is_bare(path: Path) -> bool:
    """Return whether a file is named after its split alone (``train.csv``)."""
    return path.name.split(".")[0].lower() in _SPLITS
