"""The folder of checkpoints beside a run store: which file lies where, and what may go.

Every claim writes into a folder of its own that carries the claim's token: two workers on one run never write
the same file, and whatever a killed one left there, half-written files among it, can be told by that name.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from transfer_meta.errors import InputError
from transfer_meta.outcomes.store import Claim, Store

_OF_CLAIM = re.compile(r"[0-9a-f]{16}-([0-9a-f]{32})")
_OF_RUN = re.compile(r"[0-9a-f]{64}")
STATE = "state"


class CheckpointFolder:
    """The encoders that runs left for others, and the states of runs that were stopped half-way.

    Parameters
    ----------
    path : Path
        The folder; it is made.

    Raises
    ------
    InputError
        It cannot be made or written to.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        try:
            path.mkdir(parents=True, exist_ok=True)
            (path / ".probe").touch()
            (path / ".probe").unlink(missing_ok=True)
        except OSError as error:
            raise InputError(
                f"cannot write to the checkpoint folder '{path}': {error.strerror}"
            ) from error

    def encoder(self, claim: Claim) -> Path:
        """Where the run of a claim leaves its encoder."""
        return self.path / f"{claim.key[:16]}-{claim.token}" / "encoder.safetensors"

    def state(self, key: str) -> Path:
        """Where a run leaves its state when it is stopped, and looks for it when it goes on."""
        return self.path / key / STATE

    def name(self, file: Path) -> str:
        """What the store calls a file of this folder."""
        return file.relative_to(self.path).as_posix()

    def remove(self, files: Iterable[str | Path]) -> int:
        """Remove files, by name or by path, with all that lies beside each; returns the bytes freed."""
        return sum(_remove((self.path / file).parent) for file in files)

    def sweep(self, store: Store) -> int:
        """Remove what killed runs left behind; returns the bytes freed.

        The folder is listed before the store is asked: what another process is writing then belongs to a
        claim in work or, if the run ended meanwhile, is on record.
        """
        folders = [entry for entry in self.path.iterdir() if entry.is_dir()]
        on_record, tokens = store.checkpoint_files()
        in_use = {Path(file).parts[0] for file in on_record}
        statuses = store.statuses()
        freed = 0
        for folder in folders:
            if claim := _OF_CLAIM.fullmatch(folder.name):
                if folder.name not in in_use and claim[1] not in tokens:
                    freed += _remove(folder)
            elif _OF_RUN.fullmatch(folder.name):
                status = statuses.get(folder.name)
                if status == "pending":
                    freed += sum(_remove(file) for file in folder.glob("*") if file.name != STATE)
                elif status != "running":
                    freed += _remove(folder)
        return freed


def _remove(entry: Path) -> int:
    """Remove a file or a folder; returns its bytes.  Another process may be removing it, too."""
    freed = 0
    for file in [entry, *entry.rglob("*")]:
        with contextlib.suppress(FileNotFoundError):
            freed += file.stat().st_size if file.is_file() else 0
    if entry.is_dir():
        shutil.rmtree(entry, ignore_errors=True)
    else:
        entry.unlink(missing_ok=True)
    return freed
