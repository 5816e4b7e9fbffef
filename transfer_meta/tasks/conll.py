"""CoNLL files: one token per line in columns, an empty line after each sentence."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from transfer_meta.errors import InputError
from transfer_meta.readers.opening import MAX_LINE, find_encoding, first_lines, text_lines
from transfer_meta.readers.rows import FileRows, Row
from transfer_meta.tasks.iob import PLAIN, detect_scheme
from transfer_meta.tasks.settings import ReadSettings

MAX_TOKENS = 100_000
"""Largest number of tokens in a sentence; with more, the empty lines are taken to be missing."""
_WORD_LINE = re.compile(r"\d+")
"""First field of a word in CoNLL-U; 3-4 is a contraction, 8.1 an elided word."""


@dataclass(frozen=True)
class ConllSentences(FileRows):
    """The sentences of a CoNLL file as rows of ``tokens`` and ``label``, numbered by their first line.

    Parameters
    ----------
    path : Path
    encoding : str
    separator : str or None
        None for any white space.
    token_column, tag_column : int
        Indices from 0.
    width : int or None
        Number of fields of every row; None if only the two columns are required.
    comment : str or None
        Beginning of a comment line.  None for ``#`` before a sentence's first row, if the line does not have
        `width` fields (a tweet's ``#tag`` with its label is a row).
    universal : bool
        Whether the format is CoNLL-U, in which rows are skipped whose first field is no whole number.
    """

    path: Path
    encoding: str
    separator: str | None
    token_column: int
    tag_column: int
    width: int | None
    comment: str | None
    universal: bool

    def __iter__(self) -> Iterator[tuple[int, Row]]:
        tokens: list[str] = []
        tags: list[str] = []
        start = size = 0
        token_column, tag_column = self.token_column, self.tag_column
        least = max(token_column, tag_column) + 1
        lines = itertools.chain(text_lines(self.path, self.encoding), ["\n"])
        for number, line in enumerate(lines, 1):
            fields = _fields(line, self.separator)
            if not fields:
                if tokens and tokens != ["-DOCSTART-"]:
                    yield start, {"tokens": tokens, "label": tags}
                tokens, tags, size = [], [], 0
                continue
            if _is_comment(line, fields, self.comment, inside=bool(tokens), width=self.width or least):
                continue
            if len(fields) < least or (self.width is not None and len(fields) != self.width):
                expected = self.width or f"at least {least}"
                raise InputError(
                    f"{self.path}:{number}: {len(fields)} columns, expected {expected};"
                    " set --separator if something else separates them"
                )
            if self.universal and not _WORD_LINE.fullmatch(fields[0]):
                continue
            if not tokens:
                start = number
            tokens.append(fields[token_column])
            tags.append(fields[tag_column])
            size += len(line)
            if len(tokens) > MAX_TOKENS or size > MAX_LINE:
                raise InputError(
                    f"{self.path}:{number}: no empty line since line {start}: a sentence of over"
                    f" {len(tokens) - 1:,} tokens"
                )


def open_conll(path: Path, settings: ReadSettings | None = None) -> ConllSentences:
    """Open a CoNLL file and detect its columns from its first lines.

    Two columns are token and tag.  Of more, the first is the token (the second in CoNLL-U) and the tag is the only
    one that holds span tags.  Otherwise `settings.columns` says which, counted from 1 or, negative, from the end:
    ``{"tokens": "1", "label": "4"}``.

    Raises
    ------
    InputError
        An empty file, one column, or columns that cannot be detected.
    """
    settings = settings or ReadSettings()
    separator, comment = settings.separator, settings.comment
    encoding = find_encoding(path, settings.encoding)
    start = first_lines(path, encoding, 2000)
    if not any(line.strip() for line in start):
        raise InputError(f"{path}: the file is empty")
    if separator is None and any("\t" in line for line in start if not line.startswith("#")):
        separator = "\t"
    number, width = _find_width(start, separator, comment)
    universal = ".conllu" in path.suffixes
    if width < 2 + universal:
        raise InputError(
            f"{path}:{number}: one column, expected a token and a tag;"
            " set --separator if something else separates them"
        )
    given = {role: _column(path, role, text, width) for role, text in settings.columns.items()}
    token_column = given.get("tokens", int(universal))
    tag_column = given.get("label")
    if tag_column is None:
        tag_column = 1 - token_column if width == 2 else _find_tags(path, start, separator, width)
    chosen = "tokens" in given and "label" in given
    return ConllSentences(
        path,
        encoding,
        separator,
        token_column,
        tag_column,
        None if chosen else width,
        comment,
        universal,
    )


def _fields(line: str, separator: str | None) -> list[str]:
    if separator is None or line.isspace():
        return line.split()
    return line.rstrip("\r\n").split(separator)


def _is_comment(line: str, fields: list[str], comment: str | None, *, inside: bool, width: int) -> bool:
    if comment is not None:
        return line.startswith(comment)
    return line.startswith("#") and not inside and len(fields) != width


def _find_width(start: list[str], separator: str | None, comment: str | None) -> tuple[int, int]:
    """Return the line of the first row and its number of fields."""
    beginning = "#" if comment is None else comment
    candidates = [(n, len(f)) for n, line in enumerate(start, 1) if (f := _fields(line, separator))]
    rows = [(n, w) for n, w in candidates if not start[n - 1].startswith(beginning)]
    # A file may consist of hashtags only.
    return (rows or candidates)[0]


def _column(path: Path, role: str, text: str, width: int) -> int:
    """Return the index, from 0, of the column that the user numbered."""
    if role not in {"tokens", "label"}:
        raise InputError(f"--column {role}={text}: a CoNLL file has the columns tokens and label")
    try:
        number = int(text)
    except ValueError:
        number = 0
    if not 1 <= abs(number) <= width:
        raise InputError(
            f"--column {role}={text}: expected a number from 1 to {width}, the columns of {path}"
        )
    return number - 1 if number > 0 else width + number


def _find_tags(path: Path, start: list[str], separator: str | None, width: int) -> int:
    rows = [f for line in start if len(f := _fields(line, separator)) == width]
    spans = [c for c in range(1, width) if detect_scheme([[row[c] for row in rows]]) != PLAIN]
    if len(spans) == 1:
        return spans[0]
    which = (
        f"columns {', '.join(str(c + 1) for c in spans)} all hold span tags"
        if spans
        else "none holds span tags"
    )
    raise InputError(
        f"{path}: {width} columns, and {which}: set --column label=N (from 1) to the tags' column"
    )
