"""Columns of generation tasks, told by their names and by what they hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from transfer_meta.errors import InputError
from transfer_meta.readers.opening import shown
from transfer_meta.readers.rows import Row
from transfer_meta.tasks.generation_rows import cell_of, is_chat

_CHATS = ("messages", "conversations", "conversation")
_TRANSLATIONS = ("translation", "translations")
_ITEMS = tuple(f"{name}." for name in _TRANSLATIONS)
_INSTRUCTION = "instruction"
_TASK_INPUTS = ("input", "inputs", "context", "source")
_ANSWERS = (
    "target",
    "targets",
    "output",
    "outputs",
    "response",
    "completion",
    "references",
    "reference",
)
_NAMES = (
    (("input", "inputs"), ("target", "targets", "output", "outputs", "references", "reference")),
    (("source",), ("target", "targets", "references", "reference")),
    (("prompt",), ("completion", "response")),
    ((_INSTRUCTION,), ("output", "response")),
    (("document", "article", "dialogue", "text"), ("summary", "highlights")),
)
"""Names of an input and of its answer, in lower case."""
_NAMES_OF_TYPE = (
    (
        ("text", "question", "query", "sentence", "document", "content", "prompt", *_TASK_INPUTS),
        ("label", "labels", "answer", "answers", "summary", "highlights", *_ANSWERS),
    ),
)
"""Further names where the type is set: another type may have them, too."""
MIN_DISTINCT_SHARE = 0.5
"""Answers of which fewer are distinct may be classes."""
MIN_SHARE, MIN_SHARE_IF_SET = 0.95, 0.5
"""Least share of a column's cells that are texts, or chats; the second where the user set the type."""


def translation_columns(row: Row) -> list[str]:
    """Return the names of a row's translations, such as ``translation.en``."""
    return [
        f"{column}.{language}"
        for column, cell in row.items()
        if column.lower() in _TRANSLATIONS and isinstance(cell, Mapping)
        for language, text in cell.items()
        if isinstance(text, str)
    ]


def find_generation(
    rows: Sequence[Row],
    free: Sequence[str],
    given: Mapping[str, str],
    *,
    origin: str,
    is_set: bool = False,
) -> dict[str, str]:
    """Return the columns of input, answer and instruction by role, those that the user set among them.

    Parameters
    ----------
    rows : sequence of Row
        The first rows.
    free : sequence of str
        Columns without a role.
    given : mapping of role to column
        Those that the user set.
    origin : str
        The file, for errors.
    is_set : bool
        Whether the type is known; names that other types have, too, are then considered.

    Raises
    ------
    InputError
        Several columns fit.
    """
    found = {role: given[role] for role in ("text", "text_pair", "label") if role in given}
    if {"text", "label"} <= found.keys():
        return found
    if is_set and not found and {"text", "label"} <= set(free):
        pair = {"text_pair": "text_pair"} if "text_pair" in free else {}
        return {"text": "text", **pair, "label": "label"}
    least = MIN_SHARE_IF_SET if is_set else MIN_SHARE
    chats = [name for name in free if name.lower() in _CHATS and _are(rows, name, is_chat, least)]
    several = [{"text": name, "label": name} for name in chats]
    translations = [name for name in free if name.lower().startswith(_ITEMS)]
    if len(translations) == 2:
        several.append(dict(zip(("text", "label"), translations, strict=True)))
    elif len(translations) > 2:
        raise InputError(
            f"{origin}: several translations: {', '.join(map(shown, translations))}; set --column text=NAME and"
            " --column label=NAME"
        )
    if found or not several:
        several = _named(rows, free, found, _NAMES, is_set)
    if not several and is_set:
        several = _named(rows, free, found, _NAMES_OF_TYPE, is_set)
    if len(several) > 1:
        listed = " and ".join(
            f"{shown(columns['text'])} → {shown(columns['label'])}" for columns in several
        )
        raise InputError(
            f"{origin}: {listed} may each be the input and its answer; set --column text=NAME and"
            " --column label=NAME"
        )
    return several[0] if several else found


def find_generation_inputs(
    rows: Sequence[Row], free: Sequence[str], given: Mapping[str, str], *, origin: str
) -> dict[str, str]:
    """Return the columns of a table whose answers may be missing; those of answers where there are any."""
    found = find_generation(rows, free, given, origin=origin, is_set=True)
    if "text" not in found:
        known = [name for names, _ in (*_NAMES, *_NAMES_OF_TYPE) for name in names]
        texts = [name for name in free if name.lower() in known and _are(rows, name, _is_input)]
        if _INSTRUCTION in texts and len(texts) > 1 and "text_pair" not in found:
            texts.remove(_INSTRUCTION)
            found["text_pair"] = _INSTRUCTION
        found |= {"text": min(texts, key=lambda name: known.index(name.lower()))} if texts else {}
    return found


def names_generation(rows: Sequence[Row], given: Mapping[str, str]) -> bool:
    """Return whether the columns that the user set are of generation alone: messages of a chat, or translations."""
    text = given.get("text", "")
    return text.lower().startswith(_ITEMS) or (bool(text) and _are(rows, text, is_chat))


def may_be_classes(rows: Sequence[Row], column: str) -> bool:
    """Return whether answers may as well be classes or numbers: numbers throughout, or few that are distinct."""
    answers = [cell for row in rows if isinstance(cell := row.get(column), str) and cell.strip()]
    if any(isinstance(row.get(column), int | float) for row in rows):
        return True
    numbers = sum(text.strip().lstrip("+-").replace(".", "", 1).isdigit() for text in answers)
    if answers and numbers == len(answers):
        return True
    return bool(answers) and len(set(answers)) < MIN_DISTINCT_SHARE * len(answers)


def _named(
    rows: Sequence[Row],
    free: Sequence[str],
    found: Mapping[str, str],
    known: Sequence[tuple[Sequence[str], Sequence[str]]],
    is_set: bool,
) -> list[dict[str, str]]:
    """Return the pairs of an input and an answer among the columns, with the instruction."""
    least = MIN_SHARE_IF_SET if is_set else MIN_SHARE

    def named(names: Sequence[str], fits: Callable[[Any], bool], least: float) -> list[str]:
        return [name for name in free if name.lower() in names and _are(rows, name, fits, least)]

    pairs: dict[tuple[str, str], None] = {}
    for inputs, answers in known:
        texts = [found["text"]] if "text" in found else named(inputs, _is_input, least)
        labels = (
            [found["label"]]
            if "label" in found
            else named(answers, _is_answer, 0.0 if is_set else least)
        )
        pairs |= {(text, label): None for text in texts for label in labels if text != label}
    by_lower = {name.lower(): name for name in reversed(free)}
    instruction = found.get("text_pair", by_lower.get(_INSTRUCTION))
    if instruction is not None and instruction in free and not _are(rows, instruction, _is_input):
        instruction = None
    own = {label for text, label in pairs if text == instruction}
    beside = next((by_lower[n] for n in _TASK_INPUTS if n in by_lower), None)
    if own and beside is not None and _are(rows, beside, _is_input):
        # The instruction says what to do with the input that stands beside it.
        pairs |= {(beside, label): None for label in own}
        pairs = {pair: None for pair in pairs if pair[0] != instruction}
    several = []
    for text, label in pairs:
        paired = instruction if instruction not in (None, text, label) else None
        several.append({"text": text, **({"text_pair": paired} if paired else {}), "label": label})
    return several


def _are(
    rows: Sequence[Row], column: str, fits: Callable[[Any], bool], least: float = MIN_SHARE_IF_SET
) -> bool:
    """Return whether a column has cells, and at least a share of those that are not missing is of a kind."""
    cells = [cell for row in rows if (cell := _cell(row, column)) is not None]
    return bool(cells) and sum(map(fits, cells)) >= least * len(cells)


def _cell(row: Row, column: str) -> Any:
    try:
        return cell_of(row, column)
    except KeyError:
        return None


def _is_input(cell: Any) -> bool:
    return isinstance(cell, str) or is_chat(cell)


def _is_answer(cell: Any) -> bool:
    texts = cell.get("text") if isinstance(cell, Mapping) else cell
    return (
        isinstance(texts, str)
        or is_chat(texts)
        or (isinstance(texts, list) and all(isinstance(text, str) for text in texts))
    )
