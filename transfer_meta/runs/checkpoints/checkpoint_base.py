"""Base class of checkpoints: names of files, and which of them may be removed.

Every claim writes into a folder named after its token, so two workers on one run never write the same file, and
what a killed worker left can be recognised by that name.  A run reads only files that the store has on record,
and the store records a file after it has been written completely.
"""

from __future__ import annotations

import json
import re
import secrets
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path

from transfer_meta.runs.checkpoints.remote_file import RemoteFile
from transfer_meta.runs.store.run_store import Claim, Store

CLAIM_FOLDER = re.compile(r"[0-9a-f]{16}-([0-9a-f]{32})")
RUN_FOLDER = re.compile(r"[0-9a-f]{64}")
STATE, MODEL = "state", "model.safetensors"
PROBE = ".shared-folder"
"""File by which the machines of a cluster check that they see the same checkpoints."""


class Checkpoints(ABC):
    """The encoders that runs left for others, and the states of interrupted runs.

    Parameters
    ----------
    address : str
        Path or URL for `open_checkpoints`, the same on every machine.
    tokens : Path
        Local folder for tokenised tasks.
    """

    address: str
    tokens: Path

    @abstractmethod
    def file(self, name: str) -> Path | RemoteFile:
        """Return the file of a name, for a run to read or write."""

    @abstractmethod
    def size(self, name: str) -> int | None:
        """Return the size of a file in bytes, or None if there is no such file."""

    @abstractmethod
    def read_bytes(self, name: str, begin: int, end: int) -> bytes:
        """Return a part of a file; fewer bytes where it ends before, or is not there."""

    @abstractmethod
    def read(self, name: str) -> str:
        """Return the content of a small text file, or "" if there is no such file."""

    @abstractmethod
    def write(self, name: str, text: str) -> None:
        """Write a small text file."""

    @abstractmethod
    def is_writable(self) -> bool:
        """Return whether this machine may write here."""

    @abstractmethod
    def _folders(self) -> list[str]: ...

    @abstractmethod
    def _files(self, folder: str) -> list[str]: ...

    @abstractmethod
    def _remove(self, name: str) -> int:
        """Remove a file or folder, which another process may be removing too; return the bytes freed."""

    def is_whole(self, name: str, *, run: str = "") -> bool:
        """Return whether a safetensors file is there, as long as its header says, and of a run if one is named.

        Files of earlier versions name no run.
        """
        size = self.size(name) or 0
        length = int.from_bytes(self.read_bytes(name, 0, 8), "little") if size >= 8 else 0
        if not 0 < length <= size - 8:
            return False
        try:
            header = json.loads(self.read_bytes(name, 8, 8 + length))
            ends = [facts["data_offsets"][1] for key, facts in header.items() if key != "__metadata__"]
            named = header.get("__metadata__", {}).get("run", run)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError):
            return False
        return bool(size == 8 + length + max(ends, default=0)) and (not run or named == run)

    def encoder(self, claim: Claim) -> str:
        """Return the name of the file in which a claimed run leaves its encoder."""
        return f"{claim.key[:16]}-{claim.token}/encoder.safetensors"

    def state(self, key: str) -> str:
        """Return the name of the file that holds the state of an interrupted run."""
        return f"{key}/{STATE}"

    def model(self, key: str) -> str:
        """Return the name of the file in which a run leaves its trained model if it is to be kept."""
        return f"{key}/{MODEL}"

    def remove_state(self, key: str) -> int:
        """Remove the state of a run that is done, and its folder unless that holds its model."""
        name = self.state(key)
        return self._remove(name) if self.size(self.model(key)) else self.remove([name])

    def remove(self, names: Iterable[str]) -> int:
        """Remove files together with their folders; return the bytes freed."""
        return sum(self._remove(name.partition("/")[0]) for name in names)

    def sweep(self, store: Store, *, models: bool = False) -> int:
        """Remove what killed runs left behind, and the trained models if asked to; return the bytes freed.

        The folders are listed before the store is read: what another process writes in between belongs to a
        running claim or, if that run has ended, is on record.
        """
        folders = self._folders()
        on_record, tokens = store.checkpoint_files()
        in_use = {name.partition("/")[0] for name in on_record}
        statuses = store.statuses()
        freed = 0
        for folder in folders:
            if claim := CLAIM_FOLDER.fullmatch(folder):
                if folder not in in_use and claim[1] not in tokens:
                    freed += self._remove(folder)
            elif RUN_FOLDER.fullmatch(folder):
                status = statuses.get(folder)
                stays = STATE if status == "pending" else MODEL
                files = self._files(folder)
                if status == "pending" or (status == "done" and MODEL in files and not models):
                    freed += sum(self._remove(f"{folder}/{name}") for name in files if name != stays)
                elif status != "running":
                    freed += self._remove(folder)
        return freed

    def mark(self) -> str:
        """Return the content of the probe file, which is written if there is none."""
        if not self.read(PROBE):
            self.write(PROBE, secrets.token_hex(16))
        return self.read(PROBE)
