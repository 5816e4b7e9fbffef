"""Tables and JSON written to files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfer_meta.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


def check_out(out: Path | None, *, guard: bool) -> None:
    """Raise an InputError, before the work is done, for an output file of an unknown kind."""
    if not guard and (out is None or out.suffix.lower() != ".csv"):
        raise InputError("--no-guard has no effect without --out FILE.csv")
    if out is not None and out.suffix.lower() not in (".csv", ".parquet", ".json"):
        raise InputError(f"--out: expected a file named .csv, .parquet or .json, got '{out.name}'")


def write_table(frame: pd.DataFrame, out: Path, *, guard: bool) -> None:
    """Write a table as CSV (`guard`: see `save_table`), Parquet or JSON (one object per row), by the suffix."""
    from transfer_meta.files import save_table

    if out.suffix.lower() == ".json":
        write_json(frame.to_dict("records"), out)
    else:
        save_table(frame, out, guard=guard)


def write_json(value: Any, out: Path) -> None:
    """Write a value as `print_json` prints it."""
    from contextlib import redirect_stdout

    from transfer_meta.cli.shared.console import print_json
    from transfer_meta.files import atomic_file

    with atomic_file(out) as path, path.open("w", encoding="utf-8") as stream, redirect_stdout(stream):
        print_json(value)
