"""Tables and JSON that commands write to files, and what they say on stderr."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfer_meta.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


def check_out(out: Path | None) -> None:
    """Say before the work, not after it, that an output cannot be written."""
    if out is not None and out.suffix.lower() not in (".csv", ".parquet", ".json"):
        raise InputError(f"--out: expected a file named .csv, .parquet or .json, got '{out.name}'")


def write_table(frame: pd.DataFrame, out: Path) -> None:
    """Write a table as CSV or Parquet, by the suffix."""
    from transfer_meta.files import atomic_file

    with atomic_file(out) as path:
        if out.suffix.lower() == ".csv":
            frame.to_csv(path, index=False)
        else:
            frame.to_parquet(path, index=False)


def write_records(frame: pd.DataFrame, out: Path) -> None:
    """Write a table, as JSON one object a row where the suffix asks for it."""
    if out.suffix.lower() == ".json":
        write_json(frame.to_dict("records"), out)
    else:
        write_table(frame, out)


def write_json(value: Any, out: Path) -> None:
    """Write a value as `print_json` prints it."""
    from contextlib import redirect_stdout

    from transfer_meta.cli.shared.console import print_json
    from transfer_meta.files import atomic_file

    with atomic_file(out) as path, path.open("w", encoding="utf-8") as stream, redirect_stdout(stream):
        print_json(value)


def tell(line: str) -> None:
    """One line on stderr."""
    print(line, file=sys.stderr, flush=True)
