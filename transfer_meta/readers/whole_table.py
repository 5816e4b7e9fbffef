"""Tables of CSV, TSV or Parquet as data frames, column types inferred by pandas."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from transfer_meta.errors import InputError, first_line
from transfer_meta.readers.compressed import COMPRESSED_SUFFIXES, content_suffix, open_bytes

TABLE_FORMATS = f".csv, .tsv, .parquet, also {', '.join(COMPRESSED_SUFFIXES)} of the first two"


def read_table(path: Path) -> pd.DataFrame:
    """Read a table with unique column names.

    Names of tasks stay text: ``NA``, ``null`` or ``007`` are read as they stand.

    Raises
    ------
    InputError
        The file is missing, empty, or no table.
    """
    kind = content_suffix(path)
    if path.is_file() and kind not in (".csv", ".tsv", ".parquet"):
        raise InputError(f"'{path}' has no known suffix (expected {TABLE_FORMATS})")
    with open_bytes(path) as stream:
        if not path.stat().st_size:
            raise InputError(f"{path}: the file is empty")
        try:
            if kind == ".parquet":
                frame = pd.read_parquet(stream)
            else:
                frame = pd.read_csv(
                    stream,
                    sep="\t" if kind == ".tsv" else ",",
                    encoding="utf-8-sig",
                    dtype={"source": str, "target": str, "task": str},
                    # Only an empty field is missing; everything else may be a name.
                    keep_default_na=False,
                    na_values=["", "nan", "NaN"],
                )
        except InputError:
            raise
        except (ValueError, OSError, ImportError, OverflowError) as error:
            raise InputError(f"'{path}' is no table: {first_line(error)}") from error
    frame.columns = [str(c).strip() for c in frame.columns]
    repeated = frame.columns[frame.columns.duplicated()]
    if len(repeated):
        raise InputError(f"'{path}' has two columns named '{repeated[0]}'")
    if len(frame.columns) < 2:
        raise InputError(f"'{path}' is no table: it has one column, '{frame.columns[0]}'")
    return frame.reset_index(drop=True)
