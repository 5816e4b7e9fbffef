"""Answers of span question answering: read in the forms in use, moved to where they stand in their context."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

from transfer_meta.readers.jsonl import kind
from transfer_meta.readers.rows import BadRow
from transfer_meta.records import Answer

NEAR = (3, 20)
"""Distances in characters: an answer is moved to the one place within the first, else within the second."""
_MOVED = "with an answer moved to where it stands"
_MOVED_BY_ONE = "with an answer moved by {:+d}"
_INVISIBLE = frozenset("\u200b\u200c\u200d\u2060\ufeff\u00ad")
_SAME = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": "-", "−": "-"})


def read_answers(column: str, raw: Any) -> tuple[Answer, ...]:
    """Return the answers of a question, given as a list of objects or as an object of lists or of values."""
    if isinstance(raw, list) and all(isinstance(answer, dict) for answer in raw):
        texts = [answer.get("text") for answer in raw]
        starts = [answer.get("answer_start") for answer in raw]
    elif isinstance(raw, dict):
        texts, starts = (
            cell if isinstance(cell, list) else [] if cell is None or cell == "" else [cell]
            for cell in (raw.get("text"), raw.get("answer_start"))
        )
        # Flat tables write "no answer" as an offset such as -1 without a text.
        starts = starts if texts else []
    else:
        raise BadRow(
            "with answers of another type",
            f"{column} is {kind(raw)}, expected answers with text and answer_start",
        )
    starts = [_whole(start) for start in starts]
    if (
        len(texts) != len(starts)
        or not all(type(text) is str for text in texts)
        or not all(type(start) is int for start in starts)
    ):
        raise BadRow(
            "with answers without text or answer_start",
            f"{column} must have a text (a string) and an answer_start (an integer) for each answer",
        )
    return tuple(map(Answer, texts, starts))


def answer_texts(raw: Any) -> list[str] | None:
    """Return answers that are given as texts without offsets: a list of strings, or an object with ``spans``.

    None for any other form, an empty list among them: it says that there is no answer.

    Examples
    --------
    >>> answer_texts(["Ann"]), answer_texts({"spans": ["Ann", "Bob"], "types": ["span", "span"]})
    (['Ann'], ['Ann', 'Bob'])
    >>> answer_texts([]), answer_texts([{"text": "Ann", "answer_start": 0}])
    (None, None)
    """
    texts = raw.get("spans") if isinstance(raw, dict) else raw
    if isinstance(texts, list) and texts and all(type(text) is str for text in texts):
        return texts
    return None


def find_answers(texts: Sequence[str], context: str) -> list[Answer]:
    """Return answers at their first places in a context, without those that are nowhere.

    A place between words is preferred; digits are not looked for within other digits or words.  If no text is
    found, white space, quotes, dashes, composed letters and case are taken as equal; an answer is as the context
    has it.

    Examples
    --------
    >>> find_answers(["Ann", "Eve"], "Annie saw Ann."), find_answers(["ANN"], "Annie saw Ann.")
    ([Answer(text='Ann', start=10)], [Answer(text='Ann', start=10)])
    >>> find_answers(["7"], "In 1871.")
    []
    """
    distinct = dict.fromkeys(stripped for text in texts if (stripped := text.strip()))
    found = [Answer(text, at) for text in distinct if (at := _first_place(text, context)) is not None]
    if found:
        return found
    searched, offsets = _normal(context)
    lowered = searched.lower()
    for text in distinct:
        plain = _normal(text)[0].lower()
        at = _first_place(plain, lowered) if plain and len(lowered) == len(offsets) else None
        if at is not None:
            start, end = offsets[at], offsets[at + len(plain) - 1] + 1
            found.append(Answer(context[start:end], start))
    return list(dict.fromkeys(found))


def move_answer(answer: Answer, context: str) -> tuple[Answer, str] | None:
    """Return an answer where it stands in its context, and the reason for the log; None if that is not clear.

    Tried are, in this order: an offset in bytes of UTF-8; the text without the white space around it; the one place
    within `NEAR` characters; the one place in the context; the same with white space, invisible characters, quotes,
    dashes and composed letters taken as equal, which gives the text as the context has it.

    Examples
    --------
    >>> move_answer(Answer("1871", 4), "In 1871.")
    (Answer(text='1871', start=3), 'with an answer moved by -1')
    >>> move_answer(Answer("a mill", 0), "We saw a  mill.")
    (Answer(text='a  mill', start=7), 'with an answer written otherwise than in its context')
    """
    text, start = answer
    if not context.isascii() and start > 0:
        at = len(context.encode(errors="replace")[:start].decode(errors="ignore"))
        if at != start and context.startswith(text, at):
            return Answer(text, at), "with an offset in bytes"
    text = text.strip()
    if not text:
        return None
    if len(text) < len(answer.text):
        at = start + len(answer.text) - len(answer.text.lstrip())
        for shifted in (at, start):
            if shifted >= 0 and context.startswith(text, shifted):
                return Answer(text, shifted), "with white space around an answer"
    place = _nearest(_places(text, context), start)
    if place is not None:
        shift = place - start
        by_one = abs(shift) == 1
        return Answer(text, place), _MOVED_BY_ONE.format(shift) if by_one else _MOVED
    plain, _ = _normal(text)
    searched, offsets = _normal(context)
    if not plain:
        return None
    spans = {
        offsets[at]: offsets[at + len(plain) - 1] + 1 for at in _places(plain, searched) if at >= 0
    }
    place = _nearest(sorted(spans), start)
    if place is None:
        return None
    return Answer(
        context[place : spans[place]], place
    ), "with an answer written otherwise than in its context"


def _whole(start: Any) -> Any:
    """Return an offset as an integer, also where it is written as a string or, beside gaps, as a float."""
    if isinstance(start, str) and start.removesuffix(".0").isascii():
        digits = start.strip().removesuffix(".0")
        return int(digits) if digits.isdecimal() and len(digits) < 10 else start
    return int(start) if isinstance(start, float) and start.is_integer() else start


def _places(text: str, context: str) -> list[int]:
    """Return the offsets of a text in its context."""
    found = []
    at = context.find(text)
    while at >= 0:
        found.append(at)
        at = context.find(text, at + 1)
    return found


def _first_place(text: str, context: str) -> int | None:
    """Return the offset of the first occurrence between words, else, unless it is digits, of the first at all."""
    if text not in context:
        return None
    bounded = re.search(rf"(?<!\w){re.escape(text)}(?!\w)", context)
    if bounded:
        return bounded.start()
    return None if text.isdecimal() else context.find(text)


def _nearest(places: Sequence[int], start: int) -> int | None:
    """Return the one place near `start`, else the only one at all; None if there is none or several."""
    for distance in NEAR:
        near = [place for place in places if abs(place - start) <= distance]
        if near:
            return near[0] if len(near) == 1 else None
    return places[0] if len(places) == 1 else None


def _normal(text: str) -> tuple[str, list[int]]:
    """Return a text in normal form, and the offset in `text` of each of its characters."""
    characters: list[str] = []
    offsets: list[int] = []
    for offset, character in enumerate(text):
        if character in _INVISIBLE:
            continue
        if character.isspace():
            if characters and characters[-1] != " ":
                characters.append(" ")
                offsets.append(offset)
            continue
        for part in unicodedata.normalize("NFKD", character.translate(_SAME)):
            characters.append(part)
            offsets.append(offset)
    return "".join(characters), offsets
