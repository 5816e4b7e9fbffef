"""Folders elsewhere that files are copied to and from: a plain folder, a URL of fsspec, a repository of the Hub."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from transfer_meta.api.hub_folder import HubFolder
from transfer_meta.api.remote_base import RemoteFolder
from transfer_meta.errors import InputError, require
from transfer_meta.tasks.catalogue import HUB_PREFIX

BLOCK = 2**20
"""Bytes that are copied at once."""


def open_remote(
    address: str | Path, *, what: str, kind: str | None = None, public: bool = False
) -> RemoteFolder:
    """Return a folder by its address.

    Parameters
    ----------
    address : str or Path
        A folder, ``hf:OWNER/NAME`` (with ``@REVISION`` after it to read one), or ``s3://``, ``gs://`` or another
        URL of fsspec.
    what : str
        What the folder is for, in messages.
    kind : str, optional
        ``model`` or ``dataset``: of the repository of the Hub; None: what there is.
    public : bool
        Whether a repository that is written may be seen by all.

    Raises
    ------
    InputError
        A protocol or package that is not there, or a URL with a password.
    """
    if str(address).startswith(HUB_PREFIX) and not str(address).startswith(f"{HUB_PREFIX}//"):
        return HubFolder(str(address), what, kind=kind, public=public)
    return FsspecFolder(address, what)


class FsspecFolder(RemoteFolder):
    """A plain folder, or one behind a URL of fsspec."""

    def __init__(self, address: str | Path, what: str) -> None:
        require("fsspec")
        import fsspec

        from transfer_meta.runs.checkpoints.remote_file import open_url

        self.address, self.what = str(address).rstrip("/"), what
        if urlsplit(self.address).password:
            raise InputError("the URL holds a password (expected it in fsspec's configuration)")
        with self._errors():
            if "://" in self.address:
                self._system, self._root = open_url(self.address, option="")
            else:
                folder = Path(self.address or "/").expanduser().absolute()
                self._system, self._root = fsspec.url_to_fs(str(folder))

    def names(self, *, depth: int | None = None) -> list[str]:
        with self._errors():
            self._system.invalidate_cache()
            try:
                paths = self._system.find(self._root, maxdepth=depth)
            except FileNotFoundError:
                return []
        return sorted(path.removeprefix(self._root).lstrip("/") for path in paths)

    def sizes(self, names: Iterable[str]) -> dict[str, int]:
        found = {}
        with self._errors():
            for name in names:
                try:
                    found[name] = int(self._system.info(self._path(name))["size"])
                except FileNotFoundError:
                    continue
        return found

    def fetch(self, name: str, path: Path, *, most_bytes: int) -> None:
        with self._errors(), self._open(name) as origin, path.open("wb") as copy:
            left = most_bytes
            while block := origin.read(min(BLOCK, left + 1)):
                left -= len(block)
                if left < 0:
                    raise self.refuse_size(name, most_bytes)
                copy.write(block)

    def write(
        self, files: Mapping[str, bytes | Path], *, remove: Collection[str] = (), message: str = ""
    ) -> None:
        # Under another name first: readers see all of a file or nothing.
        from transfer_meta.runs.checkpoints.remote_file import UNFINISHED, make_folder

        with self._errors():
            for name, content in files.items():
                path = self._path(name)
                make_folder(self._system, path.rpartition("/")[0])
                if isinstance(content, bytes):
                    self._system.pipe_file(path + UNFINISHED, content)
                else:
                    self._system.put_file(str(content), path + UNFINISHED)
                self._system.mv(path + UNFINISHED, path)
            for name in remove:
                self._system.rm_file(self._path(name))

    def _open(self, name: str) -> BinaryIO:
        """Open a file; one of this machine neither behind a link out of the folder nor a pipe or device."""
        path = self._path(name)
        protocols = self._system.protocol
        if "file" not in ((protocols,) if isinstance(protocols, str) else protocols):
            found: BinaryIO = self._system.open(path, "rb")
            return found
        if not Path(path).resolve(strict=True).is_relative_to(Path(self._root).resolve()):
            raise self.refuse(f"{name} is a link to a file outside of the folder")
        # Without O_NONBLOCK a pipe waits for a writer.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise self.refuse(f"{name} is not a regular file")
        return os.fdopen(handle, "rb")

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _errors(self) -> AbstractContextManager[Any]:
        from transfer_meta.runs.checkpoints.remote_file import one_line_errors

        return one_line_errors(self.address, self.what)
