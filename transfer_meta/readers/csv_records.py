"""Records of CSV and TSV files: lists of cells, with a marker where a line begins none that can be read."""

from __future__ import annotations

import csv
import itertools
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from transfer_meta.readers.opening import MAX_LINE
from transfer_meta.readers.rows import BadRow

_BACKSLASH = re.compile(r'\\(["\\])|\\')
_HIDDEN = "\ufdd0"
"""Noncharacter that stands for a carriage return within a line, which the csv module takes for a line's end."""
_OPEN_QUOTE = "with a quote that does not close"


class Dialect(NamedTuple):
    """How cells are separated and quoted.

    `escape` stands before a quote inside a cell; with `spaces`, those before a cell are no part of it.
    """

    separator: str
    quoted: bool
    escape: str = ""
    quote: str = '"'
    spaces: bool = False


class BadRecord(list[str]):
    """A record of no fields where a line begins none that can be read; `unfinished` where a quote is open."""

    def __init__(self, error: BadRow, unfinished: bool) -> None:
        super().__init__()
        self.error = error
        self.unfinished = unfinished


def read_records(
    lines: Callable[[], Iterator[str]], dialect: Dialect, skipped: int = 0
) -> Iterator[tuple[int, list[str]]]:
    """Yield the records that are not blank, each with the line on which it begins; `lines` opens the file anew.

    The first record that the csv module refuses, and what follows it, is read by the slower `careful_records`.
    """
    offset = skipped + 1
    reader = csv_reader(itertools.islice(lines(), skipped, None), dialect, strict=True)
    line = offset
    try:
        for record in reader:
            if len(record) > 1 or not is_blank(record):
                yield line, record
            line = reader.line_num + offset
    except csv.Error:
        pass
    else:
        return
    for number, careful in careful_records(itertools.islice(lines(), line - 1, None), dialect):
        yield line + number, careful


def careful_records(lines: Iterable[str], dialect: Dialect) -> Iterator[tuple[int, list[str]]]:
    """Yield the records that are not blank, a `BadRecord` for each line that begins none, counted from 0.

    After a line with an open quote, a line that has an odd number of quotes and yet is a record of its own is the
    end of the cell that was broken.
    """
    source = _Lines(lines)
    reader = csv_reader(source, dialect, strict=True)
    number = 0
    in_doubt = False
    while True:
        source.taken.clear()
        try:
            record = next(reader, None)
        except csv.Error as error:
            first, *rest = source.taken
            yield number, _bad_record(error, first, len(rest), dialect)
            source.put_back(rest)
            in_doubt = first.count(dialect.quote) % 2 == 1
            number += 1
            continue
        if record is None:
            return
        line, number = number, number + len(source.taken)
        if in_doubt and len(source.taken) == 1 and source.taken[0].count(dialect.quote) % 2:
            in_doubt = False
            yield line, _bad_record(csv.Error("a quote that opens no cell"), "", 1, dialect)
        elif not is_blank(record):
            if source.hiding:
                record = [cell.replace(_HIDDEN, "\r") for cell in record]
            yield line, record


def hide_returns(line: str) -> str:
    """Return a line with a noncharacter for each carriage return within it."""
    if "\r" not in line:
        return line
    text = line.rstrip("\r\n")
    return text.replace("\r", _HIDDEN) + line[len(text) :] if "\r" in text else line


class _Lines:
    """Lines that can be put back, without carriage returns within them; `taken` are those since it was cleared."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._source = iter(lines)
        self._back: deque[str] = deque()
        self.taken: list[str] = []
        self.hiding = False

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._back.popleft() if self._back else next(self._source)
        self.taken.append(line)
        hidden = hide_returns(line)
        self.hiding |= hidden is not line
        return hidden

    def put_back(self, lines: Sequence[str]) -> None:
        """Yield some lines again."""
        self._back.extendleft(reversed(lines))


def _bad_record(error: csv.Error, line: str, more: int, dialect: Dialect) -> BadRecord:
    """Return the reason why no record begins on a line; the csv module read `more` lines after it."""
    what = str(error)
    hint = ""
    if "limit" in what:
        reason = f"with a cell of over {MAX_LINE // 2**20} MiB"
    elif '\\"' in line and not dialect.escape:
        reason = 'with \\" inside a quoted cell (--escape backslash reads it)'
        hint = '; set --escape backslash if \\" is a quote inside a cell'
    else:
        reason = _OPEN_QUOTE if more or "end of data" in what else "with text after a closing quote"
        hint = "; an open quote? set --no-quotes if quotes enclose no cells"
    message = f"not readable as CSV: {what}{hint if dialect.quoted else ''}"
    return BadRecord(BadRow(reason, message), "end of data" in what)


def csv_reader(lines: Iterable[str], dialect: Dialect, *, strict: bool) -> Any:
    """Return a reader of the csv module."""
    # The limit is global; its default of 128 KiB is less than a long document.
    csv.field_size_limit(MAX_LINE)
    quoting: Any = csv.QUOTE_MINIMAL if dialect.quoted else csv.QUOTE_NONE
    if dialect.escape == "\\":
        # Only a quote and a backslash are escaped: \n and C:\new keep theirs.
        lines = (
            _BACKSLASH.sub(lambda found: found[0] if found[1] else "\\\\", line)
            if "\\" in line
            else line
            for line in lines
        )
    return csv.reader(
        lines,
        delimiter=dialect.separator,
        quoting=quoting,
        escapechar=dialect.escape or None,
        quotechar=dialect.quote,
        skipinitialspace=dialect.spaces,
        strict=strict,
    )


def is_blank(record: list[str]) -> bool:
    """Return whether a record is an empty line; a line of separators is a row of empty cells."""
    return len(record) < 2 and not "".join(record).strip()
