"""Open checkpoints by their address: a folder's path or an fsspec URL."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transfer_meta.errors import InputError
from transfer_meta.runs.checkpoints.bucket import CheckpointBucket
from transfer_meta.runs.checkpoints.checkpoint_base import PROBE, Checkpoints
from transfer_meta.runs.checkpoints.folder import CheckpointFolder


def open_checkpoints(address: str | Path, *, create: bool = True) -> Checkpoints:
    """Open the checkpoints at an address.

    Parameters
    ----------
    address : str or Path
        A folder's path or an fsspec URL (``s3://``, ``gs://``, ``file://``).
    create : bool
        Make the folder, and check that it can be written to.

    Raises
    ------
    InputError
        See `CheckpointFolder` and `CheckpointBucket`.
    """
    if "://" not in str(address):
        return CheckpointFolder(Path(address), create=create)
    return CheckpointBucket(str(address), create=create)


def faults_of(address: str, mark: str) -> Sequence[str]:
    """Return what keeps this machine from using the checkpoints whose probe file holds `mark`."""
    try:
        there = open_checkpoints(address, create=False)
        if there.read(PROBE) != mark:
            return [f"the checkpoint folder '{address}' is not shared with it"]
        if not there.is_writable():
            return [f"it may not write to the checkpoint folder '{address}'"]
    except InputError as error:
        return [str(error)]
    return []
