"""Local copies of remote checkpoints: downloaded before a run, uploaded after it.

Downloaded encoders stay in this machine's temporary folder for the next run that starts from them; their names
hold a claim's token, so one name never stands for two contents.  fsspec's ``filecache::`` does not serve here: it
writes a download under its final name, where another process may read it half-written, and never limits the
number of files.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from transfer_meta.errors import InputError, StartUnusable, Stopped
from transfer_meta.files import digest
from transfer_meta.provenance import is_alive
from transfer_meta.runs.checkpoints.remote_file import RemoteFile

MAX_CACHED_ENCODERS = 8
"""Encoders that stay on a machine: the most recently used ones."""


@contextlib.contextmanager
def local_copies(
    start: RemoteFile | None,
    save: RemoteFile | None,
    state: RemoteFile,
    model: RemoteFile | None = None,
) -> Iterator[tuple[Path | None, Path | None, Path, Path | None]]:
    """Provide local paths in place of a run's remote files, and upload what the run wrote there.

    Parameters
    ----------
    start : RemoteFile or None
        The encoder to start from.
    save : RemoteFile or None
        Where the run leaves its encoder; uploaded only if the run does not raise.
    state : RemoteFile
        Where a stopped run leaves its state, and where an earlier attempt may have left one.
    model : RemoteFile or None
        Where the run leaves its trained model; uploaded only if the run does not raise.

    Raises
    ------
    InputError
        A file cannot be read or written.
    """
    with _run_folder() as folder:
        start_path = folder / "start.safetensors" if start else None
        if start and start_path:
            _fetch(start, start_path)
        save_path = folder / "encoder.safetensors" if save else None
        model_path = folder / "model.safetensors" if model else None
        state_path = folder / "state"
        state.download(state_path)
        modified = state_path.stat().st_mtime_ns if state_path.exists() else None
        try:
            yield start_path, save_path, state_path, model_path
        except Stopped as stopped:
            if not stopped.unsaved and state_path.exists():
                _upload_state(state, state_path, modified, stopped)
            raise
        for there, path in ((save, save_path), (model, model_path)):
            if there and path and path.exists():
                there.upload(path)


def _upload_state(state: RemoteFile, path: Path, modified: int | None, stopped: Stopped) -> None:
    """Upload the state of a stopped run unless it is as old as before; `stopped` is told if that fails."""
    if path.stat().st_mtime_ns != modified:
        try:
            state.upload(path)
        except InputError as error:
            stopped.unsaved = str(error)


def local_folder() -> Path:
    """Return this user's folder in ``$TMPDIR`` for local copies; it is made if needed."""
    owner = os.getuid() if hasattr(os, "getuid") else 0
    path = Path(tempfile.gettempdir()) / f"transfer-meta-{owner}"
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        (path / "encoders").mkdir(exist_ok=True)
        if path.stat().st_uid not in (owner, 0):
            raise InputError(f"'{path}' belongs to another user (expected a TMPDIR of this user)")
    except OSError as error:
        raise InputError(f"cannot write to '{path}': {error.strerror}") from None
    return path


def _fetch(file: RemoteFile, path: Path) -> None:
    """Place a file at `path`: a hard link to the cached copy, or a download that is then cached."""
    cached = local_folder() / "encoders" / digest(file.url)[:32]
    try:
        os.link(cached, path)
        os.utime(path)
        return
    except OSError:
        if not file.download(path):
            raise StartUnusable(f"the checkpoint '{file.url}' is gone") from None
    # Without hard links, or if another run was faster, this run uses its own copy.
    with contextlib.suppress(OSError):
        os.link(path, cached)
        by_use = sorted(cached.parent.iterdir(), key=lambda entry: entry.stat().st_mtime)
        for entry in by_use[:-MAX_CACHED_ENCODERS]:
            entry.unlink()


@contextlib.contextmanager
def _run_folder() -> Iterator[Path]:
    """Provide a temporary folder for one run; remove those that killed processes left."""
    parent = local_folder()
    for entry in parent.glob("run-*"):
        if not is_alive(int(entry.name.split("-")[1])):
            shutil.rmtree(entry, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"run-{os.getpid()}-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
