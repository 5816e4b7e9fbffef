"""Checkpoints beside a run store, in a folder or a bucket: which file lies where, and what may go.

Every claim writes into a folder of its own that carries the claim's token: two workers on one run never write
the same file, and whatever a killed one left there, half-written files among it, can be told by that name.
A run reads only what the store has on record, and the store records a file after it was written to its end.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from transfer_meta.errors import InputError
from transfer_meta.files import atomic_file
from transfer_meta.runs.store.run_store import Claim, Store

if TYPE_CHECKING:
    from transfer_meta.runs.checkpoints.bucket import RemoteFile

_OF_CLAIM = re.compile(r"[0-9a-f]{16}-([0-9a-f]{32})")
_OF_RUN = re.compile(r"[0-9a-f]{64}")
STATE = "state"
# Every machine of a cluster must find in it what the driver found or wrote.
PROBE = ".shared-folder"


class Checkpoints(ABC):
    """The encoders that runs left for others, and the states of runs that were stopped half-way.

    Parameters
    ----------
    address : str
        Where they are: `open_checkpoints` opens the same place on any machine that sees it.
    tokens : Path
        Where this machine keeps tokenised tasks.
    """

    address: str
    tokens: Path

    @abstractmethod
    def file(self, name: str) -> Path | RemoteFile:
        """The file of a name, for a run to read or write."""

    @abstractmethod
    def size(self, name: str) -> int | None:
        """Bytes of a file; None where there is none."""

    @abstractmethod
    def read(self, name: str) -> str:
        """A small file; an empty text where there is none."""

    @abstractmethod
    def write(self, name: str, text: str) -> None:
        """Write a small file."""

    @abstractmethod
    def is_writable(self) -> bool:
        """Whether this machine may write here."""

    @abstractmethod
    def _folders(self) -> list[str]: ...

    @abstractmethod
    def _files(self, folder: str) -> list[str]: ...

    @abstractmethod
    def _remove(self, name: str) -> int:
        """Remove a file or a folder; returns its bytes.  Another process may be removing it, too."""

    def encoder(self, claim: Claim) -> str:
        """Name of the file in which the run of a claim leaves its encoder."""
        return f"{claim.key[:16]}-{claim.token}/encoder.safetensors"

    def state(self, key: str) -> str:
        """Name of the file in which a run leaves its state when it is stopped, and looks for it."""
        return f"{key}/{STATE}"

    def remove(self, names: Iterable[str]) -> int:
        """Remove files with all that lies beside each; returns the bytes freed."""
        return sum(self._remove(name.partition("/")[0]) for name in names)

    def sweep(self, store: Store) -> int:
        """Remove what killed runs left behind; returns the bytes freed.

        The folder is listed before the store is asked: what another process is writing then belongs to a
        claim in work or, if the run ended meanwhile, is on record.
        """
        folders = self._folders()
        on_record, tokens = store.checkpoint_files()
        in_use = {name.partition("/")[0] for name in on_record}
        statuses = store.statuses()
        freed = 0
        for folder in folders:
            if claim := _OF_CLAIM.fullmatch(folder):
                if folder not in in_use and claim[1] not in tokens:
                    freed += self._remove(folder)
            elif _OF_RUN.fullmatch(folder):
                status = statuses.get(folder)
                if status == "pending":
                    unfinished = [name for name in self._files(folder) if name != STATE]
                    freed += sum(self._remove(f"{folder}/{name}") for name in unfinished)
                elif status != "running":
                    freed += self._remove(folder)
        return freed

    def mark(self) -> str:
        """What the probe file holds; it is written where there is none."""
        if not self.read(PROBE):
            self.write(PROBE, secrets.token_hex(16))
        return self.read(PROBE)


class CheckpointFolder(Checkpoints):
    """Checkpoints in a folder; runs read and write them where they lie.

    Parameters
    ----------
    path : Path
        The folder.
    create
        Make it; otherwise it is looked at as it is.

    Raises
    ------
    InputError
        It cannot be made or written to.
    """

    def __init__(self, path: Path, *, create: bool = True) -> None:
        self.path = path.absolute()
        self.address = str(self.path)
        self.tokens = self.path / "tokens"
        if not create:
            return
        try:
            path.mkdir(parents=True, exist_ok=True)
            (path / ".probe").touch()
            (path / ".probe").unlink(missing_ok=True)
        except OSError as error:
            raise InputError(
                f"cannot write to the checkpoint folder '{path}': {error.strerror}"
            ) from error

    def file(self, name: str) -> Path:
        """The path of a name."""
        return self.path / name

    def size(self, name: str) -> int | None:
        """Bytes of a file; None where there is none."""
        try:
            return (self.path / name).stat().st_size
        except FileNotFoundError:
            return None

    def read(self, name: str) -> str:
        """A small file; an empty text where there is none."""
        try:
            return (self.path / name).read_text()
        except OSError:
            return ""

    def write(self, name: str, text: str) -> None:
        """Write a small file."""
        with atomic_file(self.path / name) as temporary:
            temporary.write_text(text)

    def is_writable(self) -> bool:
        """Whether this machine may write here."""
        return os.access(self.path, os.W_OK)

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


def open_checkpoints(address: str | Path, *, create: bool = True) -> Checkpoints:
    """The checkpoints of a folder's path or of an fsspec URL (``s3://``, ``gs://``, ``file://``).

    Parameters
    ----------
    address
        A path or a URL.
    create
        Make the folder, and see whether it can be written to.

    Raises
    ------
    InputError
        It cannot be reached or written to, the URL's protocol is unknown or not installed, or it holds a password.
    """
    if "://" not in str(address):
        return CheckpointFolder(Path(address), create=create)
    from transfer_meta.runs.checkpoints.bucket import CheckpointBucket

    return CheckpointBucket(str(address), create=create)


def faults_of(address: str, mark: str) -> Sequence[str]:
    """What keeps this machine from using the checkpoints of the one that read this mark."""
    try:
        there = open_checkpoints(address, create=False)
        if there.read(PROBE) != mark:
            return [f"the checkpoint folder '{address}' is not shared with it"]
        if not there.is_writable():
            return [f"it may not write to the checkpoint folder '{address}'"]
    except InputError as error:
        return [str(error)]
    return []
