"""Checkpoints in a folder: runs read and write the files in place."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from transfer_meta.errors import InputError
from transfer_meta.files import atomic_file
from transfer_meta.runs.checkpoints.checkpoint_base import Checkpoints


class CheckpointFolder(Checkpoints):
    """Checkpoints in a folder.

    Parameters
    ----------
    path : Path
        The folder.
    create : bool
        Make the folder, and check that it can be written to.

    Raises
    ------
    InputError
        The folder cannot be made or written to.
    """

    def __init__(self, path: Path, *, create: bool = True) -> None:
        self.path = path.absolute()
        self.address = str(self.path)
        self.tokens = self.path / "tokens"
        if not create:
            return
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._probe()
        except OSError as error:
            raise InputError(
                f"cannot write to the checkpoint folder '{path}': {error.strerror}"
            ) from error

    def file(self, name: str) -> Path:
        return self.path / name

    def size(self, name: str) -> int | None:
        try:
            return (self.path / name).stat().st_size
        except FileNotFoundError:
            return None

    def read_bytes(self, name: str, begin: int, end: int) -> bytes:
        try:
            with (self.path / name).open("rb") as file:
                file.seek(begin)
                return file.read(end - begin)
        except OSError:
            return b""

    def read(self, name: str) -> str:
        try:
            return (self.path / name).read_text()
        except OSError:
            return ""

    def write(self, name: str, text: str) -> None:
        with atomic_file(self.path / name) as temporary:
            temporary.write_text(text)

    def is_writable(self) -> bool:
        try:
            self._probe()
        except OSError:
            return False
        return True

    def _probe(self) -> None:
        """Write a file and remove it: for root, `os.access` says yes to a read-only disk as well."""
        probe = self.path / f".probe-{os.getpid()}"
        try:
            probe.write_bytes(b"probe")
        finally:
            probe.unlink(missing_ok=True)

    def _folders(self) -> list[str]:
        return [entry.name for entry in self.path.iterdir() if entry.is_dir()]

    def _files(self, folder: str) -> list[str]:
        return [entry.name for entry in (self.path / folder).glob("*")]

    def _remove(self, name: str) -> int:
        entry = self.path / name
        freed = 0
        for file in [entry, *entry.rglob("*")]:
            with contextlib.suppress(FileNotFoundError):
                freed += file.stat().st_size if file.is_file() else 0
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
        return freed
