"""Columns of CoNLL files, told from their first lines: separator, width, tokens, tags, comments."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from transfer_meta.errors import InputError
from transfer_meta.readers.opening import shown
from transfer_meta.readers.rows import OneColumnError
from transfer_meta.tasks.iob import PLAIN
from transfer_meta.tasks.settings import ReadSettings
from transfer_meta.tasks.tag_notation import (
    TagNotation,
    check_unknown_spans,
    find_notation,
    looks_like_spans,
)

DOCUMENT_MARK = "-DOCSTART-"
"""Beginning of lines that separate documents."""
MIN_COMMENTED = 3
"""Least number of sentences from which comments of another kind than # are told."""
MIN_SHARE = 0.9
"""Least share of the sentences that begin with a comment of a kind, and of rows of the same width."""
_NUMBERS = re.compile(r"\d+(?:[-.:,_]\d+)*")
"""Running numbers, ranges (3-4) and offsets of characters (0:5)."""
_MANY_ROWS = 100
_FEW_VALUES = 60
"""A first column with at most this number of values, and a fifth of those of another, holds no words."""


def split_fields(line: str, separator: str | None) -> list[str]:
    """Return the fields of a line; a line of white space has none."""
    if separator is None or line.isspace():
        return line.split()
    return line.rstrip("\r\n").split(separator)


class NoTagColumnError(InputError):
    """The file of a split without tags."""


@dataclass(frozen=True)
class SentenceLines:
    """One sentence of the sample: the lines between two empty ones, and the fields of each."""

    numbers: Sequence[int]
    lines: Sequence[str]
    fields: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Layout:
    """Number of columns, those of tokens and tags (from 0), and what is no row.

    `metadata` is the beginning of the comments before sentences that have as many fields as a row; `numbered` says
    whether the first column holds running numbers of words, so that other rows are contractions.
    """

    width: int
    token_column: int
    tag_column: int
    metadata: str | None
    numbered: bool


def find_separator(start: Sequence[str], comment: str | None) -> str | None:
    r"""Return ``"\t"`` if tabs separate the fields of a file's first lines, None for any white space."""
    mark = "#" if comment is None else comment
    rows = [line for line in start if not line.isspace() and line.strip() and not line.startswith(mark)]
    tabbed = sum("\t" in line.rstrip() for line in rows)
    if 2 * tabbed < len(rows) or not tabbed:
        return None
    return None if _regular(rows, "\t") < MIN_SHARE and _regular(rows, None) == 1 else "\t"


def find_layout(
    path: Path,
    start: Sequence[str],
    separator: str | None,
    settings: ReadSettings,
    train: tuple[int, int] | None = None,
) -> Layout:
    """Return the layout of a file, told from its first lines.

    The tokens are the first column that holds words: no running numbers, no span tags, nothing that is the same in
    the whole file or in each sentence.  The tags are the other one of two columns, else the only one with span
    tags.  What begins most sentences, or begins with ``#``, is a comment if its tag fits none of the others.

    Parameters
    ----------
    path : Path
        For errors.
    start : sequence of str
        Lines.
    separator : str or None
    settings : ReadSettings
        Of them, `comment`, `columns` (as numbers) and `scheme` apply.
    train : tuple of (int, int), optional
        Columns of tokens and tags in train, for the files of other splits.

    Raises
    ------
    InputError
        Columns that cannot be told, with the option to set.
    NoTagColumnError
        The file has fewer columns than train, so that there are no tags.
    """
    comment, given = settings.comment, settings.columns
    blocks = _blocks(start, separator)
    marks = [] if comment is not None else _marks(blocks)
    beginning = ("#",) if comment is None else (comment,)
    rows = [
        (number, fields)
        for block in blocks
        for number, line, fields in zip(block.numbers, block.lines, block.fields, strict=True)
        if not line.startswith((*beginning, *marks))
    ]
    # A file may consist of hashtags only.
    rows = rows or [
        (n, f) for block in blocks for n, f in zip(block.numbers, block.fields, strict=True)
    ]
    width = Counter(len(fields) for _, fields in rows).most_common(1)[0][0]
    numbered = ".conllu" in path.suffixes
    if train is not None and train[0] < width <= train[1] and not given:
        raise NoTagColumnError(
            f"{path}: {width} columns, and train has its tags in column {train[1] + 1}"
        )
    if width < 2 + numbered:
        number = next(number for number, fields in rows if len(fields) == width)
        raise OneColumnError(
            f"{path}:{number}: one column, expected a token and a tag;"
            " set --separator if something else separates them"
        )
    body = []
    for block in blocks:
        kept = [
            fields
            for line, fields in zip(block.lines, block.fields, strict=True)
            if len(fields) == width and not line.startswith((*beginning, *marks))
        ]
        body += [kept] if kept else []
    body = body or [[f for f in block.fields if len(f) == width] for block in blocks]
    body = [block for block in body if block]
    chosen = {role: _column(path, role, text, width) for role, text in given.items()}
    if train is not None and max(train) < width:
        chosen = {"tokens": train[0], "label": train[1], **chosen}
    numbered = numbered or _is_numbered(body, width)
    token_column, tag_column = _find_columns(
        path, body, chosen, numbered=numbered, plain=settings.scheme == PLAIN
    )
    metadata = None
    if comment is None:
        metadata = _find_metadata(path, blocks, marks, body, (width, tag_column))
    return Layout(width, token_column, tag_column, metadata, numbered and token_column != 0)


def _blocks(start: Sequence[str], separator: str | None) -> list[SentenceLines]:
    blocks: list[SentenceLines] = []
    numbers: list[int] = []
    for number, line in enumerate([*start, "\n"], 1):
        if not line.strip() or line.startswith(DOCUMENT_MARK):
            if numbers:
                lines = [start[n - 1] for n in numbers]
                blocks.append(
                    SentenceLines(numbers, lines, [split_fields(text, separator) for text in lines])
                )
            numbers = []
        else:
            numbers.append(number)
    return blocks


def _regular(rows: Sequence[str], separator: str | None) -> float:
    """Return the share of rows that have the most frequent number of fields; 0 if that is one."""
    widths = Counter(len(split_fields(row, separator)) for row in rows)
    width, count = widths.most_common(1)[0]
    return count / len(rows) if width > 1 else 0.0


def _marks(blocks: Sequence[SentenceLines]) -> list[str]:
    """Return what most sentences begin with, and no other line: a word, or the start of lines of another width."""
    longer = [block for block in blocks if len(block.lines) > 1]
    if len(longer) < MIN_COMMENTED:
        return []
    firsts = [block.lines[0] for block in longer]
    mark, count = Counter(line.split()[0] for line in firsts).most_common(1)[0]
    width = Counter(len(fields) for block in longer for fields in block.fields[1:]).most_common(1)[0][0]
    if count < MIN_SHARE * len(longer) and all(len(block.fields[0]) != width for block in longer):
        mark, count = _common_start(firsts), len(longer)
    others = sum(line.startswith(mark) for block in longer for line in block.lines[1:])
    if count < MIN_SHARE * len(longer) or others or _NUMBERS.fullmatch(mark):
        return []
    return [mark] if len(mark) > 1 or (mark and not mark.isalnum()) else []


def _common_start(lines: Sequence[str]) -> str:
    """Return what all lines begin with, up to the first digit: what differs is mostly a number."""
    first, last = min(lines), max(lines)
    length = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return re.split(r"\d", first[:length])[0].rstrip("\r\n")


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


def _is_numbered(body: Sequence[Sequence[Sequence[str]]], width: int) -> bool:
    """Return whether the first column numbers the words as in CoNLL-U: with ranges, or in a table of 10 columns."""
    first = [[row[0] for row in block] for block in body]
    if not all(_NUMBERS.fullmatch(value) for block in first for value in block) or not _restarts(first):
        return False
    return width == 10 or any("-" in value or "." in value for block in first for value in block)


def _restarts(blocks: Sequence[Sequence[str]]) -> bool:
    """Return whether numbers run from 0 or 1 in each sentence."""
    return all(re.match(r"[01](?!\d)", block[0]) for block in blocks) and any(
        len(block) > 1 for block in blocks
    )


def _find_columns(
    path: Path,
    body: Sequence[Sequence[Sequence[str]]],
    chosen: dict[str, int],
    *,
    numbered: bool,
    plain: bool,
) -> tuple[int, int]:
    """Return the columns of tokens and tags; with `plain`, the tags may look like spans of no known scheme."""
    width = len(body[0][0])
    columns = [[[row[c] for row in block] for block in body] for c in range(width)]
    if len(chosen) == 2:
        return chosen["tokens"], chosen["label"]
    spans = [c for c in range(width) if find_notation(columns[c])[0] != PLAIN]
    excluded = {
        c: why for c in range(width) if (why := _no_words(columns[c], path, numbered and c == 0))
    }
    tags_first = width == 2 and (spans == [0] or _are_word_classes(columns))
    token_column = chosen.get("tokens")
    if token_column is None:
        taken = {chosen["label"]} if "label" in chosen else set(spans) if width > 2 else set()
        free = [c for c in range(width) if c not in taken and (c not in excluded or width == 2)]
        if tags_first and "label" not in chosen:
            free = [1]
        if not free:
            raise InputError(
                f"{path}: {width} columns, and none holds words"
                f" ({', '.join(f'{c + 1} holds {why}' for c, why in excluded.items())});"
                " set --column tokens=N (from 1) to the words' column"
            )
        token_column = _most_words(columns, free)
    tag_column = chosen.get("label")
    if tag_column is None:
        if width == 2:
            tag_column = 1 - token_column
        else:
            others = [c for c in range(width) if c != token_column]
            unknown = [c for c in others if c not in spans and looks_like_spans(columns[c])]
            if plain and not spans and len(unknown) == 1:
                tag_column = unknown[0]
            else:
                for c in unknown if not spans else ():
                    check_unknown_spans(columns[c], f"{path}, column {c + 1}")
                tag_column = _find_tags(path, width, [c for c in spans if c != token_column])
    if width == 2 and not chosen and "numbers" in excluded.get(token_column, ""):
        raise InputError(
            f"{path}: 2 columns, of which {token_column + 1} holds {excluded[token_column]}, not words;"
            " set --column tokens=N and --column label=N (from 1)"
        )
    return token_column, tag_column


def _no_words(blocks: Sequence[Sequence[str]], path: Path, numbered: bool) -> str:
    """Return what a column holds in place of words; empty if they may be words."""
    values = [value for block in blocks for value in block]
    if numbered:
        return "running numbers"
    if len(values) < 3:
        return ""
    if all(_NUMBERS.fullmatch(value) for value in values):
        return "numbers" if ".conllu" not in path.suffixes else "running numbers"
    if len(set(values)) == 1:
        return "the same everywhere"
    several = [set(block) for block in blocks if len(block) > 1]
    if len(several) > 1 and all(len(distinct) == 1 for distinct in several):
        return "one value a sentence"
    return ""


def _are_word_classes(columns: Sequence[Sequence[Sequence[str]]]) -> bool:
    """Return whether of two columns the first holds few capital codes, such as NOUN, and the second words."""
    first, second = ({value for block in column for value in block} for column in columns)
    rows = sum(map(len, columns[0]))
    capital = all(value.isupper() or not value.isalnum() for value in first)
    return (
        capital and 5 * len(first) <= rows and 2 * len(first) <= len(second) and not _all_upper(second)
    )


def _all_upper(values: Collection[str]) -> bool:
    return all(value.isupper() or not value.isalpha() for value in values)


def _most_words(columns: Sequence[Sequence[Sequence[str]]], free: Sequence[int]) -> int:
    """Return the first of some columns, unless it has few values and another one many."""
    distinct = {c: len({value for block in columns[c] for value in block}) for c in free}
    rows = sum(map(len, columns[free[0]]))
    if rows >= _MANY_ROWS and distinct[free[0]] <= _FEW_VALUES:
        more = [c for c in free if distinct[c] > 5 * distinct[free[0]]]
        return more[0] if more else free[0]
    return free[0]


def _find_tags(path: Path, width: int, spans: Sequence[int]) -> int:
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


def _find_metadata(
    path: Path,
    blocks: Sequence[SentenceLines],
    marks: Sequence[str],
    body: Sequence[Sequence[Sequence[str]]],
    width_and_tags: tuple[int, int],
) -> str | None:
    """Return the beginning of the comments that look like rows; None if there are none."""
    width, tag_column = width_and_tags
    leading = [
        (line, fields, line.startswith(tuple(marks)) if marks else False)
        for block in blocks
        for line, fields in _leading(block, ("#", *marks))
    ]
    tags = [[row[tag_column] for row in block] for block in body]
    ours = [[fields[tag_column]] for _, fields, _ in leading if len(fields) == width]
    known = {tag for sentence in tags for tag in sentence}
    # Where all are tags of one scheme, all are rows.
    tagging = [
        found for found in (find_notation(tags + ours), find_notation(tags)) if found[0] != PLAIN
    ]
    comments: list[str] = []
    rows: list[str] = []
    for line, fields, marked in leading:
        if len(fields) != width and not marked:
            continue
        tag = fields[tag_column] if len(fields) == width else ""
        if tagging:
            fits = tag in known or _reads(tagging[0][1], tag)
        else:
            # A class may belong to hashtags alone, and a word may begin every sentence.
            says_so = line.startswith("# ") or (marked and not line.split()[0].isalnum())
            fits = tag in known or not (says_so or any(map(str.isdigit, tag)))
        (rows if fits and len(fields) == width else comments).append(line)
    if not comments:
        return None
    if not comments[0].startswith("#") and len(comments) < MIN_SHARE * len(leading):
        return None
    common = _common_start(comments) if len(comments) > 1 else comments[0].split()[0]
    prefixes = [comments[0].split()[0] + " "] if common.startswith("# ") else []
    prefixes.append(common)
    for prefix in prefixes:
        if prefix and not any(row.startswith(prefix) for row in rows):
            return prefix
    if not rows or len(comments) < len(rows):
        # Rather hashtags with a wrong tag than comments.
        return None
    raise InputError(
        f"{path}: some lines before sentences are comments ({shown(comments[0].strip())}), others tokens"
        f" ({shown(rows[0].strip())}); set --comment to the beginning of the comments"
    )


def _leading(block: SentenceLines, beginning: tuple[str, ...]) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield the first lines of a sentence as far as they begin so, and their fields."""
    for line, fields in zip(block.lines, block.fields, strict=True):
        if not line.startswith(beginning):
            return
        yield line, fields


def _reads(notation: TagNotation | None, tag: str) -> bool:
    if notation is None:
        return tag == "O" or find_notation([[tag]])[0] != PLAIN
    return not isinstance(notation.sentence([tag]), int)
