"""Checkpoints behind a URL, by fsspec: runs work on local copies."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from transfer_meta.errors import InputError
from transfer_meta.runs.checkpoints.checkpoint_base import Checkpoints
from transfer_meta.runs.checkpoints.local_copies import local_folder
from transfer_meta.runs.checkpoints.remote_file import (
    RemoteFile,
    make_folder,
    one_line_errors,
    open_url,
)


class CheckpointBucket(Checkpoints):
    """Checkpoints behind a URL.

    Parameters
    ----------
    url : str
        URL of a folder or of a bucket's prefix, as fsspec reads it.
    create : bool
        Make the folder, and check that it can be written to.

    Raises
    ------
    InputError
        The URL cannot be reached or written to, its protocol is unknown or not installed, or it holds a password.
    """

    def __init__(self, url: str, *, create: bool = True) -> None:
        self.address = url.rstrip("/")
        if urlsplit(url).password:
            raise InputError(
                "--checkpoints holds a password, which runs would show (expected it in fsspec's configuration)"
            )
        with one_line_errors(self.address):
            self._system, self._root = open_url(self.address)
            if create:
                make_folder(self._system, self._root)
        if create and not self.is_writable():
            raise InputError(f"cannot write to the checkpoint folder '{self.address}'")
        self.tokens = local_folder() / "tokens"

    def file(self, name: str) -> RemoteFile:
        return RemoteFile(f"{self.address}/{name}")

    def size(self, name: str) -> int | None:
        with one_line_errors(self.address):
            self._system.invalidate_cache()
            try:
                return int(self._system.size(self._path(name)))
            except FileNotFoundError:
                return None

    def read_bytes(self, name: str, begin: int, end: int) -> bytes:
        with one_line_errors(self.address):
            try:
                return bytes(self._system.cat_file(self._path(name), start=begin, end=end))
            except FileNotFoundError:
                return b""

    def read(self, name: str) -> str:
        with one_line_errors(self.address):
            try:
                return bytes(self._system.cat_file(self._path(name))).decode()
            except FileNotFoundError:
                return ""

    def write(self, name: str, text: str) -> None:
        with one_line_errors(self.address):
            self._system.pipe_file(self._path(name), text.encode())

    def is_writable(self) -> bool:
        probe = self._path(f".probe-{os.urandom(8).hex()}")
        with one_line_errors(self.address):
            try:
                self._system.pipe_file(probe, b"probe")
                self._system.rm_file(probe)
            except PermissionError:
                return False
        return True

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _folders(self) -> list[str]:
        return self._list(self._root, "directory")

    def _files(self, folder: str) -> list[str]:
        return self._list(self._path(folder), "file")

    def _list(self, path: str, kind: str) -> list[str]:
        with one_line_errors(self.address):
            self._system.invalidate_cache()
            try:
                entries = self._system.ls(path, detail=True)
            except FileNotFoundError:
                return []
        return [e["name"].rstrip("/").rpartition("/")[2] for e in entries if e["type"] == kind]

    def _remove(self, name: str) -> int:
        with one_line_errors(self.address):
            self._system.invalidate_cache()
            try:
                freed = int(self._system.du(self._path(name)))
                self._system.rm(self._path(name), recursive=True)
            except FileNotFoundError:
                return 0
        return freed
