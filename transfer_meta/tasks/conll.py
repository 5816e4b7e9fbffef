"""CoNLL files: one token per line in columns, an empty line after each sentence."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from transfer_meta.errors import InputError
from transfer_meta.readers.opening import MAX_LINE, find_encoding, first_lines, text_lines
from transfer_meta.readers.rows import FileRows, OneColumnError, Row, RowLog
from transfer_meta.tasks.conll_columns import (
    DOCUMENT_MARK,
    find_layout,
    find_separator,
    split_fields,
)
from transfer_meta.tasks.settings import ReadSettings

MAX_TOKENS = 100_000
"""Largest number of tokens in a sentence; with more, the empty lines are taken to be missing."""
_WORD_LINE = re.compile(r"\d+")
"""First field of a word in CoNLL-U; 3-4 is a contraction, 8.1 an elided word."""
_DOCUMENT_LINES = ("#begin document", "#end document")
"""Comments of CoNLL-2012 that may stand right before or behind a sentence."""


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
    metadata : str or None
        Beginning of the comments before a sentence's first row that have as many fields as a row.
    """

    path: Path
    encoding: str
    separator: str | None
    token_column: int
    tag_column: int
    width: int | None
    comment: str | None
    universal: bool
    metadata: str | None = None

    def __iter__(self) -> Iterator[tuple[int, Row]]:
        return self._sentences(None)

    def lenient(self, log: RowLog) -> Iterator[tuple[int, Row]]:
        """Iterate over the sentences without those that have a row of another number of columns."""
        return self._sentences(log)

    def _sentences(self, log: RowLog | None) -> Iterator[tuple[int, Row]]:
        tokens: list[str] = []
        tags: list[str] = []
        start = size = broken = 0
        token_column, tag_column, width = self.token_column, self.tag_column, self.width
        separator = self.separator
        marked = self.comment is not None or self.metadata is not None
        least = max(token_column, tag_column) + 1
        lines = itertools.chain(text_lines(self.path, self.encoding), ["\n"])
        for number, line in enumerate(lines, 1):
            fields = line.split() if separator is None else split_fields(line, separator)
            first = line[0]
            if not fields or (first == "-" and line.startswith(DOCUMENT_MARK)):
                if broken and log is not None:
                    log.leave_out("with a line of another number of columns", f"{self.path}:{broken}")
                elif tokens and tokens != [DOCUMENT_MARK]:
                    yield start, {"tokens": tokens, "label": tags}
                tokens, tags, size, broken = [], [], 0, 0
                continue
            if (first == "#" or marked) and self._is_comment(
                line, len(fields), least, inside=bool(tokens or broken)
            ):
                continue
            if len(fields) < least or (width is not None and len(fields) != width):
                if log is None:
                    expected = width or f"at least {least}"
                    raise InputError(
                        f"{self.path}:{number}: {len(fields)} columns, expected {expected};"
                        " set --separator if something else separates them"
                    )
                broken = broken or number
                continue
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

    def _is_comment(self, line: str, fields: int, least: int, *, inside: bool) -> bool:
        if self.comment is not None:
            return line.startswith(self.comment)
        if inside:
            return line.startswith(_DOCUMENT_LINES)
        if self.metadata is not None and line.startswith(self.metadata):
            return True
        return line.startswith("#") and fields != (self.width or least)


def open_conll(
    path: Path, settings: ReadSettings | None = None, train: ConllSentences | None = None
) -> ConllSentences:
    """Open a CoNLL file and detect its columns from its first lines, as `find_layout` says.

    ``settings.columns`` takes precedence; it counts columns from 1 or, negative, from the end:
    ``{"tokens": "1", "label": "4"}``.  The files of other splits have the columns of `train`.

    Raises
    ------
    InputError
        An empty file, or columns that cannot be detected.
    OneColumnError
        There is one column; its ``rows`` have the words as their tags.
    NoTagColumnError
        The file has fewer columns than `train`.
    """
    settings = settings or ReadSettings()
    encoding = find_encoding(path, settings.encoding)
    start = first_lines(path, encoding, 2000)
    if not any(line.strip() for line in start):
        raise InputError(f"{path}: the file is empty")
    separator = settings.separator or find_separator(start, settings.comment)
    columns = (train.token_column, train.tag_column) if train is not None else None
    try:
        layout = find_layout(path, start, separator, settings, columns)
    except OneColumnError as error:
        error.rows = ConllSentences(path, encoding, separator, 0, 0, 1, settings.comment, False)
        raise
    chosen = {"tokens", "label"} <= settings.columns.keys()
    return ConllSentences(
        path,
        encoding,
        separator,
        layout.token_column,
        layout.tag_column,
        None if chosen else layout.width,
        settings.comment,
        layout.numbered or ".conllu" in path.suffixes,
        layout.metadata,
    )
