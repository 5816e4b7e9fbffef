"""Reading a table from CSV, TSV or Parquet."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from transfer_meta.errors import InputError

TABLE_FORMATS = ".csv, .tsv, .parquet, also .gz, .zst, .bz2, .xz of the first two"


def read_table(path: Path) -> pd.DataFrame:
    """A table with unique column names.

    Names of tasks stay text: ``NA``, ``null`` or ``007`` are read as they stand.

    Raises
    ------
    InputError
        The file is missing, empty, or no table.
    """
    if not path.exists():
        raise InputError(f"no such file: '{path}'")
    if path.is_dir():
        raise InputError(f"'{path}' is a folder, expected a file ({TABLE_FORMATS})")
    if path.stat().st_size == 0:
        raise InputError(f"'{path}' is empty")
    suffixes = path.suffixes
    kind = (
        suffixes[-2]
        if len(suffixes) > 1 and suffixes[-1] in (".gz", ".zst", ".bz2", ".xz")
        else path.suffix
    )
    try:
        if kind == ".parquet":
            frame = pd.read_parquet(path)
        elif kind in (".csv", ".tsv"):
            frame = pd.read_csv(
                path,
                sep="\t" if kind == ".tsv" else ",",
                encoding="utf-8-sig",
                dtype={"source": str, "target": str, "task": str},
                # Only an empty field is missing; everything else a name may be.
                keep_default_na=False,
                na_values=["", "nan", "NaN"],
            )
        else:
            raise InputError(f"'{path}' has no known suffix (expected {TABLE_FORMATS})")
    except InputError:
        raise
    except (ValueError, OSError, EOFError, ImportError, OverflowError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"'{path}' is no table: {reason}") from error
    frame.columns = [str(c).strip() for c in frame.columns]
    repeated = frame.columns[frame.columns.duplicated()]
    if len(repeated):
        raise InputError(f"'{path}' has two columns named '{repeated[0]}'")
    if len(frame.columns) < 2:
        raise InputError(f"'{path}' is no table: it has one column, '{frame.columns[0]}'")
    return frame.reset_index(drop=True)
