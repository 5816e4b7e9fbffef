"""Rows of CSV and TSV files."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from transfer_meta.errors import InputError
from transfer_meta.readers.csv_columns import (
    decimal_commas,
    looks_like_data,
    name_columns,
    number_columns,
)
from transfer_meta.readers.csv_dialect import (
    SEPARATOR_LINE,
    START_LINES,
    count_comments,
    count_preamble,
    find_dialect,
    sample_records,
)
from transfer_meta.readers.csv_records import BadRecord, Dialect, careful_records, read_records
from transfer_meta.readers.opening import find_encoding, first_lines, shown, text_lines
from transfer_meta.readers.rows import BadRow, FileRows, NoLog, OneColumnError, Row, RowLog, log_damage


@dataclass(frozen=True)
class DelimitedRows(FileRows):
    """Rows of a CSV or TSV file, numbered by the lines on which they begin.

    Parameters
    ----------
    path : Path
    names : tuple of str
        Names of the columns that are read.
    encoding, separator : str
    quoted : bool
        Whether ``"`` encloses cells, with ``""`` for a quote inside.
    header : bool
        Whether the first row holds the names.
    escape : str
        Character that stands before a quote inside a quoted cell instead; empty for none.
    skipped : int
        Number of lines before the header.
    empty : tuple of int
        Indices of the columns that have neither a name nor values; they are passed over.
    decimal_commas : tuple of str
        Columns of numbers written with a decimal comma.
    quote : str
        Character that encloses cells.
    spaces : bool
        Whether spaces before a cell are no part of it.
    repeated : tuple of str
        Names that the header holds more than once; the second is read as ``NAME.2``.
    headless : bool
        Whether the row that is taken for the header looks like data.
    notes : tuple of str
        What was detected, for the user.
    """

    path: Path
    names: tuple[str, ...]
    encoding: str
    separator: str
    quoted: bool
    header: bool
    escape: str = ""
    skipped: int = 0
    empty: tuple[int, ...] = ()
    decimal_commas: tuple[str, ...] = ()
    quote: str = '"'
    spaces: bool = False
    repeated: tuple[str, ...] = field(default=(), compare=False)
    headless: bool = field(default=False, compare=False)
    notes: tuple[str, ...] = field(default=(), compare=False)

    def __iter__(self) -> Iterator[tuple[int, Row]]:
        return self._rows(None)

    def lenient(self, log: RowLog) -> Iterator[tuple[int, Row]]:
        """Yield the rows that can be read; log the others."""
        return self._rows(log)

    def _rows(self, log: RowLog | None) -> Iterator[tuple[int, Row]]:
        names = self.names
        count = len(names) + len(self.empty)
        changed = bool(self.empty or self.decimal_commas)
        on_damage = None if log is None else log_damage(log, self.place)
        lines = functools.partial(text_lines, self.path, self.encoding, on_damage)
        dialect = Dialect(self.separator, self.quoted, self.escape, self.quote, self.spaces)
        records = read_records(lines, dialect, self.skipped)
        for line, record in itertools.islice(records, int(self.header), None):
            if len(record) != count or changed:
                try:
                    record = self._fitted(record, count, f"{self.path}:{line}", log)
                except BadRow as error:
                    if log is None:
                        raise InputError(f"{self.path}:{line}: {error}") from None
                    log.leave_out(error.reason, f"{self.path}:{line}")
                    continue
            yield line, dict(zip(names, record, strict=True))

    def _fitted(self, record: list[str], count: int, place: str, log: RowLog | None) -> list[str]:
        """Return the cells of the named columns; raise `BadRow` for a row that does not fit the header."""
        if isinstance(record, BadRecord):
            raise record.error
        if len(record) > count and log is not None and not any(record[count:]):
            record = record[:count]
            log.mend("with empty fields after the last column", place)
        if self.empty and len(record) < count and {*range(len(record), count)} <= {*self.empty}:
            record = record + [""] * (count - len(record))
        if len(record) != count:
            raise BadRow(
                f"with {len(record)} fields instead of {count}",
                f"{len(record)} fields, expected {count} ({', '.join(map(shown, self.names[:8]))})",
            )
        if self.empty:
            if any(record[index].strip() for index in self.empty):
                raise BadRow(
                    "with a value in a column without a name", "a value in a column without a name"
                )
            record = [cell for index, cell in enumerate(record) if index not in self.empty]
        if self.decimal_commas:
            record = [
                cell.replace(",", ".", 1) if name in self.decimal_commas else cell
                for name, cell in zip(self.names, record, strict=True)
            ]
        return record


def open_delimited(
    path: Path,
    *,
    encoding: str | None = None,
    separator: str | None = None,
    quoted: bool | None = None,
    escape: str | None = None,
    header: bool = True,
) -> DelimitedRows:
    r"""Open a CSV or TSV file and detect its encoding, separator and quoting from its first lines.

    The separator is that of a first line ``sep=;``, else that of the suffix (tab for .tsv, else comma) if all of
    the first rows then have equally many fields, else the only other one for which they do, else the one for which
    most have.  Cells are taken to be quoted, in tab-separated files only if all cells that begin with a quote are
    well quoted; ``\"`` is a quote inside a cell, and cells are not quoted at all, where more of the first rows can
    be read so.  Columns without name and values are passed over, others without a name are called ``column N``.

    Raises
    ------
    InputError
        No rows, no names, or a separator that cannot be detected.
    OneColumnError
        There is one column; its ``rows`` are those of the file.
    """
    encoding = find_encoding(path, encoding)
    on_damage = log_damage(NoLog(), "")
    start = first_lines(path, encoding, START_LINES, on_damage)
    if not any(line.strip() for line in start):
        raise InputError(f"{path}: the file is empty")
    notes: list[str] = []
    skipped = 0
    if match := SEPARATOR_LINE.fullmatch(start[0]):
        separator, skipped = separator or match[1], 1
    elif comments := count_comments(path, start, separator):
        skipped = comments
        notes.append(f"{comments} line{'s' * (comments > 1)} of comments before the header")
    if skipped:
        start = first_lines(path, encoding, START_LINES + skipped, on_damage)[skipped:]
    dialect = find_dialect(path, start, separator, quoted, escape)
    lines = functools.partial(text_lines, path, encoding, on_damage)
    if header and (
        before := count_preamble(list(itertools.islice(careful_records(start, dialect), 50)))
    ):
        heads = itertools.islice(careful_records(start, dialect), before, None)
        number, _ = next(heads)
        skipped, start = skipped + number, start[number:]
        notes.append(f"{number} line{'s' * (number > 1)} before the header passed over")
    records = read_records(lines, dialect, skipped)
    line, first = next(records, (1, []))
    if isinstance(first, BadRecord):
        raise InputError(f"{path}:{line}: {first.error}")
    if not first or (header and not any(name.strip() for name in first)):
        raise InputError(f"{path}:{line}: the first row is empty, expected the columns' names")
    if header and next(records, None) is None:
        raise InputError(f"{path}:{line}: a header and no rows")
    sample = [record for record in sample_records(start, dialect) if record][int(header) :]
    found = name_columns(first, sample) if header else number_columns(first)
    rows = DelimitedRows(
        path,
        found.names,
        encoding,
        dialect.separator,
        dialect.quoted,
        header,
        escape=dialect.escape,
        skipped=skipped,
        empty=found.empty,
        quote=dialect.quote,
        spaces=dialect.spaces,
    )
    if len(found.names) == 1:
        error = OneColumnError(
            f"{path}:{line}: one column ('{shown(found.names[0])}'), expected a text and a label at least;"
            " set --separator if something else separates them"
        )
        error.rows = rows
        raise error
    commas = decimal_commas(found, separator=dialect.separator, sample=sample)
    if commas:
        names = ", ".join(map(shown, commas))
        notes.append(f"numbers of {names} written with a decimal comma")
    if dialect.escape:
        notes.append(f"{dialect.escape} before a quote inside a cell")
    if dialect.quote != '"':
        notes.append("cells quoted by '")
    headless = header and looks_like_data(first, sample)
    return replace(
        rows,
        decimal_commas=commas,
        repeated=found.repeated,
        headless=headless,
        notes=(*notes, *found.notes),
    )
