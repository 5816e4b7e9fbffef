"""Files of a folder that was handed over, read within bounds: no links out of it, pipes, giants or deep JSON."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from transfer_meta.errors import InputError
from transfer_meta.readers.opening import shown

MAX_DEPTH = 32
"""Largest nesting of arrays and objects in a JSON file."""
MAX_CONTAINERS = 2_000_000
"""Largest number of arrays and objects in a JSON file; each takes some twenty times the memory of its text."""
_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_OTHERS = re.compile(r"[^\[\]{}]+")


def read_bounded(path: Path, *, most_bytes: int) -> bytes:
    """Return the content of a regular file.

    Parameters
    ----------
    path : Path
    most_bytes : int
        Largest size; nothing is read of a larger file.

    Raises
    ------
    OSError
        There is no such file, or it is a folder, a pipe, a device, or too large.
    """
    # Without O_NONBLOCK a pipe waits for a writer.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        # Some files of the system say that they are empty and are not.
        content = b"" if found.st_size > most_bytes else file.read(most_bytes + 1)
    if max(found.st_size, len(content)) > most_bytes:
        raise OSError(errno.EFBIG, f"larger than {most_bytes:,} bytes")
    return content


def read_file_in(folder: Path, name: str, *, most_bytes: int) -> bytes:
    """Return the content of a file of a folder.

    Parameters
    ----------
    folder : Path
    name : str
        Of a file in the folder itself; a symbolic link must lead to one inside the folder.
    most_bytes : int
        See `read_bounded`.

    Raises
    ------
    InputError
        There is no such file, it is a link out of the folder, or one that `read_bounded` refuses.
    """
    try:
        path = (folder / name).resolve(strict=True)
        if not path.is_relative_to(folder.resolve()):
            raise InputError(f"{name} is a link to a file outside of the folder")
        return read_bounded(path, most_bytes=most_bytes)
    except (OSError, RuntimeError) as error:
        # A circle of links is a RuntimeError before Python 3.13.
        raise InputError(
            f"{name}: {getattr(error, 'strerror', None) or 'it cannot be read'}"
        ) from error


def parse_json(text: str, name: str) -> Any:
    """Return the value of a JSON file, whose nesting and number of containers are looked at first.

    Raises
    ------
    InputError
        It is no JSON, too deep or too large, or has a key twice in one object.
    """
    if text.count("[") + text.count("{") > MAX_CONTAINERS:
        raise InputError(f"{name} holds more than {MAX_CONTAINERS:,} arrays and objects")
    depth = 0
    for bracket in "".join(_OTHERS.split(_STRINGS.sub("", text))):
        depth += 1 if bracket in "[{" else -1
        if depth > MAX_DEPTH:
            raise InputError(f"{name} is nested deeper than {MAX_DEPTH} levels")
    try:
        return json.loads(text, object_pairs_hook=_without_repeats)
    except InputError as error:
        raise InputError(f"{name} {error}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name} is no JSON: {shown(str(error), 120)}") from error


def _without_repeats(items: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    items = list(items)
    made = dict(items)
    if len(made) < len(items):
        raise InputError("has a key twice in one object")
    return made
