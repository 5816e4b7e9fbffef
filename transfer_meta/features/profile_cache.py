"""Profiles kept on disk, by what they were computed from.

An entry is one file: a line of JSON (the profile, and the names, types and lengths of its sketches), then the
sketches' bytes.  Reading one takes a fraction of a millisecond.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfer_meta.errors import InputError
from transfer_meta.files import atomic_file
from transfer_meta.records import TaskProfile

_TYPES = ("<u8", "<i8", "<f8")


def cache_folder() -> Path:
    """Where caches of this package lie.

    ``$TRANSFER_META_CACHE``, else ``transfer_meta`` in the platform's folder for caches: ``$XDG_CACHE_HOME`` or
    ``~/.cache``, ``~/Library/Caches`` on macOS, ``%LOCALAPPDATA%`` on Windows.
    """
    if named := os.environ.get("TRANSFER_META_CACHE"):
        return Path(named).expanduser()
    if sys.platform == "darwin":
        base = Path("~/Library/Caches")
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", "~/AppData/Local"))
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    return base.expanduser() / "transfer_meta"


def _warn(message: str) -> None:
    warnings.warn(message, stacklevel=3)


class ProfileCache:
    """A folder of profiles by key.

    Parameters
    ----------
    folder : path or None
        None: ``profiles`` in `cache_folder`.
    tell : callable
        Called with a line of warning where an entry is broken or cannot be written; the work goes on
        without the cache.
    """

    def __init__(
        self, folder: Path | str | None = None, *, tell: Callable[[str], None] = _warn
    ) -> None:
        self.folder = Path(folder) if folder is not None else cache_folder() / "profiles"
        self._tell = tell

    def get(self, key: str) -> TaskProfile | None:
        """The profile of a key, or None."""
        path = self._path(key)
        try:
            return _unpack(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            what = str(error).splitlines()[0] if str(error) else type(error).__name__
            self._tell(f"broken cache entry {path} ({what}); computing it anew")
            return None

    def put(self, key: str, profile: TaskProfile) -> None:
        """Keep a profile."""
        try:
            with atomic_file(self._path(key)) as path:
                path.write_bytes(_pack(profile))
        except (OSError, InputError) as error:
            self._tell(f"the profile is not cached: {error}")

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.profile"


def _pack(profile: TaskProfile) -> bytes:
    # Bytes have an order everywhere but in memory: they are written lowest first.
    arrays = {name: a.astype(a.dtype.newbyteorder("<")) for name, a in profile.sketches.items()}
    payload = b"".join(array.tobytes() for array in arrays.values())
    header = {
        "profile": profile.to_json(),
        "arrays": [[name, array.dtype.str, len(array)] for name, array in arrays.items()],
        "crc32": zlib.crc32(payload),
    }
    return json.dumps(header).encode() + b"\n" + payload


def _unpack(data: bytes) -> TaskProfile:
    head, newline, _ = data.partition(b"\n")
    start = len(head) + len(newline)
    header = json.loads(head)
    if zlib.crc32(memoryview(data)[start:]) != header["crc32"]:
        raise ValueError("the checksum does not match")
    arrays: dict[str, NDArray[Any]] = {}
    for name, kind, length in header["arrays"]:
        if kind not in _TYPES:
            raise ValueError(f"unknown type {kind}")
        arrays[name] = np.frombuffer(data, dtype=kind, count=length, offset=start)
        start += 8 * length
    return dataclasses.replace(TaskProfile.from_json(header["profile"]), sketches=arrays)
