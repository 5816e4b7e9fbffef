"""Cache of profiles on disk, by a digest of their inputs.

An entry is a file with a line of JSON (the profile, and names, types and lengths of its arrays) followed by the
bytes of the arrays, which is read in a fraction of a millisecond.
"""

from __future__ import annotations

import dataclasses
import json
import os
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfer_meta.errors import InputError, first_line
from transfer_meta.features.profile_files import ARRAY_TYPES, little_endian
from transfer_meta.files import atomic_file, platform_folder
from transfer_meta.records import TaskProfile


def cache_folder() -> Path:
    """Return the folder of this package's caches.

    ``$TRANSFER_META_CACHE``, else ``transfer_meta`` in the platform's cache folder: ``$XDG_CACHE_HOME`` or
    ``~/.cache``, ``~/Library/Caches`` on macOS, ``%LOCALAPPDATA%`` on Windows.
    """
    if named := os.environ.get("TRANSFER_META_CACHE"):
        return Path(named).expanduser()
    return platform_folder(
        mac="~/Library/Caches",
        windows=("LOCALAPPDATA", "~/AppData/Local"),
        other=("XDG_CACHE_HOME", "~/.cache"),
    )


def _warn(message: str) -> None:
    warnings.warn(message, stacklevel=3)


class ProfileCache:
    """Profiles in a folder, by key.

    Parameters
    ----------
    folder : path or None
        None: ``profiles`` in `cache_folder`.
    tell : callable
        Called with a one-line warning if an entry is broken or cannot be written; neither raises an error.
    """

    def __init__(
        self, folder: Path | str | None = None, *, tell: Callable[[str], None] = _warn
    ) -> None:
        self.folder = Path(folder) if folder is not None else cache_folder() / "profiles"
        self._tell = tell

    def get(self, key: str) -> TaskProfile | None:
        """Return the profile of a key, or None."""
        path = self._path(key)
        try:
            return _unpack(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            self._tell(f"broken cache entry {path} ({first_line(error)}); computing it anew")
            return None

    def put(self, key: str, profile: TaskProfile) -> None:
        """Store a profile."""
        try:
            with atomic_file(self._path(key)) as path:
                path.write_bytes(_pack(profile))
        except (OSError, InputError) as error:
            self._tell(f"the profile is not cached: {error}")

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.profile"


def _pack(profile: TaskProfile) -> bytes:
    arrays = {name: little_endian(array) for name, array in profile.sketches.items()}
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
        if kind not in ARRAY_TYPES:
            raise ValueError(f"unknown type {kind}")
        arrays[name] = np.frombuffer(data, dtype=kind, count=length, offset=start)
        start += 8 * length
    return dataclasses.replace(TaskProfile.from_json(header["profile"]), sketches=arrays)
