"""Tables of CSV, TSV or Parquet as data frames, column types inferred by pandas."""

from __future__ import annotations

import codecs
import csv
import io
import re
import warnings
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pandas as pd

from transfer_meta.errors import InputError, first_line
from transfer_meta.files import unguard_cell
from transfer_meta.readers.compressed import COMPRESSED_SUFFIXES, content_suffix, open_bytes
from transfer_meta.readers.number_text import parse_number_columns
from transfer_meta.readers.opening import find_encoding
from transfer_meta.readers.parquet import read_whole

TABLE_FORMATS = f".csv, .tsv, .txt, .parquet, also {', '.join(COMPRESSED_SUFFIXES)} of the text formats"
NAME_COLUMNS = ("source", "target", "task")
"""Columns that hold names of tasks: their cells stay text."""

_TEXT_SUFFIXES = (".csv", ".tsv", ".tab", ".txt")
_EXCEL_SUFFIXES = (".xlsx", ".xls", ".xlsm", ".xlsb", ".ods", ".numbers")
_TABLE_SEPARATORS = (",", "\t", ";", "|")
_NAMED_SEPARATORS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "bar": "|", "space": " "}
_SAMPLE_BYTES = 2**20
_SEPARATOR_LINE = re.compile(r"""["']?sep=(.)["']?;*,*""", re.IGNORECASE)
"""First line that Excel writes and reads to name the separator."""


@dataclass(frozen=True)
class TableFormat:
    """How a table is written; None is detected.

    Parameters
    ----------
    separator : str or None
        Character between the columns, or its name: tab, comma, semicolon, bar, space.
    encoding : str or None
        Name of the encoding.
    decimal : {".", ","} or None
        Decimal sign.
    """

    separator: str | None = None
    encoding: str | None = None
    decimal: str | None = None

    def __post_init__(self) -> None:
        if self.separator is not None:
            separator = _NAMED_SEPARATORS.get(self.separator, self.separator)
            object.__setattr__(self, "separator", separator)
        if self.separator is not None and (len(self.separator) != 1 or self.separator in '"\r\n'):
            raise InputError(f"--separator: expected one character (or 'tab'), got {self.separator!r}")
        if self.decimal not in (None, ".", ","):
            raise InputError(f"--decimal: expected '.' or ',', got '{self.decimal}'")


@dataclass(frozen=True)
class TableFile:
    """A table as it was read.

    Parameters
    ----------
    frame : DataFrame
        Unique column names, rows numbered from 0.
    notes : tuple of str
        What was read otherwise than written, at most a line each.
    ragged : tuple of int
        Lines left out because they have more fields than the header.
    """

    frame: pd.DataFrame
    notes: tuple[str, ...] = ()
    ragged: tuple[int, ...] = ()


def read_table(
    path: Path,
    form: TableFormat = TableFormat(),
    *,
    names: Collection[str] = NAME_COLUMNS,
) -> pd.DataFrame:
    """Read a table with unique column names (see `read_table_file`)."""
    return read_table_file(path, form, names=names).frame


def read_table_file(
    path: Path,
    form: TableFormat = TableFormat(),
    *,
    names: Collection[str] = NAME_COLUMNS,
    text: Collection[str] = (),
) -> TableFile:
    """Read a table with unique column names.

    Names of tasks stay text: ``NA``, ``null`` or ``007`` are read as they stand.  The separator is the one that
    gives all rows as many fields as the header, the most if there are several.

    Parameters
    ----------
    path : path
    form : TableFormat
    names : collection of str
        Columns of names, read as text.
    text : collection of str
        Further columns in which no numbers written as text are looked for.

    Raises
    ------
    InputError
        The file is missing, empty, or no table.
    """
    kind = content_suffix(path)
    if path.is_file() and kind not in (*_TEXT_SUFFIXES, ".parquet"):
        hint = "; save the workbook as CSV, a sheet a file" if kind in _EXCEL_SUFFIXES else ""
        raise InputError(f"'{path}' has no known suffix (expected {TABLE_FORMATS}){hint}")
    separator: str = ","
    ragged: tuple[int, ...] = ()
    if path.is_file() and _is_workbook(path):
        raise InputError(
            f"'{path}' is no table but a workbook of Excel; save it as CSV, a sheet a file"
        )
    with open_bytes(path) as stream:
        if not path.stat().st_size:
            raise InputError(f"{path}: the file is empty")
        try:
            if kind == ".parquet":
                frame = _read_parquet(path, stream)
                if set(frame.index.names) - {None, *frame.columns} == set(frame.index.names):
                    frame = frame.reset_index()
            else:
                frame, separator, ragged = _read_delimited(path, stream, form, names)
                texts = frame.select_dtypes(exclude=["number", "bool"]).columns
                frame = frame.assign(**{c: frame[c].map(unguard_cell) for c in texts})
                frame = frame.rename(columns=unguard_cell)
        except InputError:
            raise
        except UnicodeDecodeError as error:
            raise InputError(
                f"'{path}' is no table: not {form.encoding or 'utf-8'} (byte 0x{error.object[error.start]:02x}); "
                "set --encoding, for example --encoding latin-1"
            ) from error
        except (ValueError, OSError, ImportError, OverflowError) as error:
            raise InputError(f"'{path}' is no table: {first_line(error)}") from error
    frame.columns = [str(c).strip().strip("\ufeff") for c in frame.columns]
    repeated = frame.columns[frame.columns.duplicated()]
    if len(repeated):
        raise InputError(f"'{path}' has two columns named '{repeated[0]}'")
    if len(frame.columns) < 2:
        raise InputError(
            f"'{path}' is no table: it has one column, '{frame.columns[0]}'; set --separator if something other "
            "than comma, semicolon, tab or bar separates the columns"
        )
    frame = frame.reset_index(drop=True)
    again = _is_header(frame)
    notes = []
    if again.any():
        notes.append(f"the header occurs again in {_count(int(again.sum()), 'row')}, left out")
        frame = frame[~again].reset_index(drop=True)
    frame, more = parse_number_columns(
        frame, text={*names, *text}, separator=separator, decimal=form.decimal
    )
    if ragged:
        lines = ", ".join(map(str, ragged[:5])) + (", …" if len(ragged) > 5 else "")
        notes.append(
            f"{_count(len(ragged), 'row')} with more fields than the header left out (line {lines})"
        )
    return TableFile(frame, (*notes, *more), ragged)


def _read_parquet(path: Path, stream: BinaryIO) -> pd.DataFrame:
    # Packed once more, it cannot be read from its end.
    packed = isinstance(stream, io.BufferedReader) and not stream.seekable()
    return read_whole(path, stream.read() if packed else None)


def _read_delimited(
    path: Path, stream: BinaryIO, form: TableFormat, names: Collection[str]
) -> tuple[pd.DataFrame, str, tuple[int, ...]]:
    """Return the frame, the separator, and the lines that have too many fields."""
    encoding = find_encoding(path, form.encoding)
    start, complete = _start(path, encoding)
    skipped = 0
    separator = form.separator
    if start and (named := _SEPARATOR_LINE.fullmatch(start[0].strip())):
        skipped = 1
        separator = separator or named[1]
    sample = start[skipped:]
    separator = separator or _separator_of(path, sample, complete=complete)
    widths = _widths(sample, separator)
    options = {
        "sep": separator,
        "dtype": dict.fromkeys(names, str),
        # Only an empty field is missing; everything else may be a name.
        "keep_default_na": False,
        "na_values": ["", "nan", "NaN"],
    }
    # pandas takes the first field as an index where all rows have one field more than the header: row names as R
    # writes them, or nothing after a last separator.
    if len(set(widths)) > 1 and _trailing(sample, separator):
        return _read_repaired(stream, encoding, skipped, options)
    try:
        frame = pd.read_csv(
            stream,
            encoding="utf-8-sig" if encoding == "utf-8" else encoding,
            skiprows=skipped,
            **options,  # type: ignore[call-overload]
        )
    except pd.errors.ParserError as error:
        if "Expected" not in str(error):
            raise
        with open_bytes(path) as again:
            return _read_repaired(again, encoding, skipped, options)
    return frame, separator, ()


def _read_repaired(
    stream: BinaryIO, encoding: str, skipped: int, options: dict[str, object]
) -> tuple[pd.DataFrame, str, tuple[int, ...]]:
    """Read a file whose rows have empty fields after the last column, or a few rows too many fields."""
    separator = str(options["sep"])
    text = stream.read().decode("utf-8-sig" if encoding == "utf-8" else encoding)
    reader = csv.reader(io.StringIO(text, newline=None), delimiter=separator)
    rows, bad = [], []
    width = 0
    for record in reader:
        if reader.line_num <= skipped or not any(record):
            continue
        if not width:
            while record and not record[-1].strip():
                record.pop()
            width = len(record)
        if any(cell.strip() for cell in record[width:]):
            bad.append(reader.line_num)
        else:
            rows.append(record[:width])
    if 2 * len(bad) > len(bad) + len(rows) - 1:
        raise InputError(
            f"{len(bad)} of {len(bad) + len(rows) - 1} rows have more fields than the header, first line {bad[0]}"
        )
    out = io.StringIO()
    csv.writer(out, delimiter=separator).writerows(rows)
    out.seek(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pd.errors.ParserWarning)
        frame = pd.read_csv(out, index_col=False, **options)  # type: ignore[call-overload]
    return frame, separator, tuple(bad)


def _start(path: Path, encoding: str) -> tuple[list[str], bool]:
    """Return the first lines of a file, and whether these are all."""
    with open_bytes(path) as stream:
        data = stream.read(_SAMPLE_BYTES)
        complete = len(data) < _SAMPLE_BYTES
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    lines = decoder.decode(data).removeprefix("\ufeff").splitlines()
    return (lines if complete else lines[:-1]), complete


def _records_of(lines: list[str], separator: str) -> list[list[str]]:
    try:
        return [r for r in csv.reader(lines, delimiter=separator) if any(cell.strip() for cell in r)]
    except csv.Error:
        return []


def _widths(lines: list[str], separator: str) -> list[int]:
    return [len(record) for record in _records_of(lines, separator)]


def _trailing(lines: list[str], separator: str) -> bool:
    """Return whether the fields beyond the named columns are all empty."""
    records = _records_of(lines, separator)
    width = len(records[0])
    while width and not records[0][width - 1].strip():
        width -= 1
    beyond = [cell for record in records for cell in record[width:]]
    return bool(beyond) and not any(cell.strip() for cell in beyond)


def _separator_of(path: Path, lines: list[str], *, complete: bool) -> str:
    own = "\t" if content_suffix(path) in (".tsv", ".tab") else ","
    best, found = (0, 0), own
    for separator in (own, *(s for s in _TABLE_SEPARATORS if s != own)):
        widths = _widths(lines, separator)
        if not complete:
            widths = widths[:-1]
        if not widths or widths[0] < 2:
            continue
        rest = set(widths[1:])
        fits = rest <= {widths[0]} or rest == {widths[0] + 1}
        if (rank := (1 + fits, widths[0])) > best:
            best, found = rank, separator
    return found


def _is_header(frame: pd.DataFrame) -> pd.Series:
    """Return the mask of the rows that repeat the header."""
    columns = [c for c in frame if not pd.api.types.is_numeric_dtype(frame[c])]
    if len(columns) < len(frame.columns):
        return pd.Series(False, index=frame.index)
    return pd.concat([frame[c].astype(str).str.strip() == c for c in columns], axis=1).all(axis=1)


def _is_workbook(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            start = stream.read(4096)
    except OSError:
        return False
    return start.startswith(b"\xd0\xcf\x11\xe0") or (
        start.startswith(b"PK\x03\x04") and (b"[Content_Types]" in start or b"xl/" in start)
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
