"""Atomic writing of files and folders, digests, and the folder of shipped data."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfer_meta.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


@contextlib.contextmanager
def atomic_file(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path that replaces `path` when the block ends without an error.

    Raises
    ------
    InputError
        The folder of `path` cannot be created or written to.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
        os.close(handle)
    except OSError as error:
        raise InputError(f"cannot write '{path}': {error.strerror or error}") from error
    temporary = Path(name)
    try:
        yield temporary
        try:
            _make_public(temporary)
            temporary.replace(path)
        except OSError as error:
            raise InputError(f"cannot write '{path}': {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def platform_folder(*, mac: str, windows: tuple[str, str], other: tuple[str, str]) -> Path:
    """Return this package's folder among those of the user's files.

    Parameters
    ----------
    mac : str
        Where these are on macOS.
    windows, other : tuple of str
        The environment variable that names it elsewhere, and where it is without.
    """
    if sys.platform == "darwin":
        base = mac
    else:
        variable, default = windows if sys.platform == "win32" else other
        base = os.environ.get(variable) or default
    return Path(base).expanduser() / "transfer_meta"


_FORMULA = re.compile("'*[=+\\-@\\t\\r\\n\uff1d\uff0b\uff0d\uff20]")
"""Start of a cell that a spreadsheet computes, after apostrophes of `guard_cell`; the last four are wide forms."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def guard_cell(cell: Any) -> Any:
    """Return a cell of a table with an apostrophe before a text that a spreadsheet would take for a formula.

    These begin with =, +, -, @, a tab or a line end, and are no numbers; texts that begin with apostrophes before
    one of these get one more, so that `unguard_cell` gives every text back.

    Examples
    --------
    >>> guard_cell("=1+1"), guard_cell("-1"), guard_cell("'@a"), guard_cell(-1.0)
    ("'=1+1", '-1', "''@a", -1.0)
    """
    if isinstance(cell, str) and _FORMULA.match(cell) and not _NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell


def unguard_cell(cell: Any) -> Any:
    """Return the cell that `guard_cell` was given.

    Examples
    --------
    >>> unguard_cell("'=1+1"), unguard_cell("-1"), unguard_cell("'tis")
    ('=1+1', '-1', "'tis")
    """
    if isinstance(cell, str) and cell.startswith("'") and _FORMULA.match(cell):
        return cell[1:]
    return cell


def save_table(frame: pd.DataFrame, path: Path | str, *, guard: bool = True) -> None:
    """Write a data frame, without its index, as CSV or, by the suffix, Parquet.

    Parameters
    ----------
    frame : DataFrame
    path : path
    guard : bool
        CSV: whether names of columns and cells of text are guarded by `guard_cell`.
    """
    with atomic_file(path) as temporary:
        if Path(path).suffix.lower() == ".parquet":
            frame.to_parquet(temporary, index=False)
            return
        if guard:
            texts = frame.select_dtypes(exclude=["number", "bool", "datetime"]).columns
            frame = frame.assign(**{c: frame[c].astype(object).map(guard_cell) for c in texts})
            frame = frame.rename(columns=guard_cell)
        frame.to_csv(temporary, index=False, errors="backslashreplace")


@contextlib.contextmanager
def atomic_folder(
    path: Path | str, *, marker: str = "card.json", keeps_earlier: bool = False
) -> Iterator[Path]:
    """Yield a temporary folder that becomes `path` when the block ends without an error.

    An existing folder at `path` is replaced only if it is empty or holds the file `marker`, which this package
    writes.  With `keeps_earlier`, for content that follows from the name, what another process has written
    meanwhile, and may be reading, stays.

    Raises
    ------
    InputError
        `path` is a file, a folder of other files, or cannot be written to.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise InputError(f"cannot write the folder '{path}': a file of that name exists")
    if path.is_dir() and any(path.iterdir()) and not (path / marker).is_file():
        raise InputError(f"cannot write the folder '{path}': it exists and holds other files")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    except OSError as error:
        raise InputError(f"cannot write '{path}': {error.strerror or error}") from error
    earlier = temporary.with_name(f"{temporary.name}.earlier")
    try:
        temporary.chmod(0o755)
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                _make_public(file)
        if path.is_dir() and not keeps_earlier:
            # Out of the way in one step: a kill while it is removed would leave a part of it.
            path.replace(earlier)
        try:
            temporary.replace(path)
        except OSError:  # not empty
            if not (keeps_earlier and (path / marker).is_file()):
                if earlier.is_dir():
                    earlier.replace(path)
                raise
    finally:
        for folder in (temporary, earlier):
            shutil.rmtree(folder, ignore_errors=True)


def _make_public(file: Path) -> None:
    """Give a file the permissions of any new one: mkstemp and some writers make it private."""
    umask = os.umask(0)
    os.umask(umask)
    file.chmod(0o666 & ~umask)


def digest(*parts: bytes | str) -> str:
    """Return the SHA-256 of the parts, each prefixed by its length so that parts cannot run together.

    Examples
    --------
    >>> digest("ab", "c") == digest("a", "bc")
    False
    """
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(len(data).to_bytes(8, "big"))
        total.update(data)
    return total.hexdigest()


def data_folder() -> Path:
    """Return the folder of shipped data, in the installed package or beside it in a source checkout."""
    package = Path(str(files("transfer_meta")))
    for folder in (package / "data", package.parent / "data"):
        if folder.is_dir():
            return folder
    raise InputError(f"the package is incomplete: no data folder in '{package}'; install it again")
