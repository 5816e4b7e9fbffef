"""Rows of generation tasks: inputs, instructions and reference texts of columns, chats and translations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from transfer_meta.readers.jsonl import kind
from transfer_meta.readers.opening import shown
from transfer_meta.readers.rows import BadRow, Row
from transfer_meta.records import Example
from transfer_meta.tasks.class_names import class_name, is_missing
from transfer_meta.tasks.reading_log import HEADER_AGAIN, WITHOUT_LABEL

ASSISTANT, SYSTEM, USER = "assistant", "system", "user"
_ROLES = {"human": USER, "gpt": ASSISTANT, "model": ASSISTANT, "bot": ASSISTANT, "developer": SYSTEM}
"""Our name of a chat's role by another one in use."""
_KEYS = (("role", "content"), ("from", "value"))
"""Keys of a message: who says it, and what is said."""
_NO_MESSAGES = "with messages that cannot be read"


def cell_of(row: Row, name: str) -> Any:
    """Return the cell of a column; ``translation.en`` is the item ``en`` of the object ``translation``.

    Examples
    --------
    >>> cell_of({"translation": {"de": "Regen", "en": "rain"}}, "translation.en")
    'rain'
    """
    if name in row:
        return row[name]
    column, _, key = name.partition(".")
    inner = row.get(column)
    if isinstance(inner, Mapping) and key in inner:
        return inner[key]
    raise KeyError(name)


def is_chat(cell: Any) -> bool:
    """Return whether a cell holds the messages of a chat."""
    return isinstance(cell, list) and bool(cell) and all(_message_keys(item) for item in cell)


def references_of(raw: Any) -> tuple[str, ...]:
    """Return the reference texts of a cell: a text, a list of texts, or an object with a list ``text``.

    Texts that are empty or occurred before are left out.

    Examples
    --------
    >>> references_of(["rain", " ", "rain", "showers"]), references_of({"text": ["Ann"], "answer_start": [3]})
    (('rain', 'showers'), ('Ann',))
    """
    texts = raw.get("text") if isinstance(raw, Mapping) else raw
    found: list[str] = []
    for text in texts if isinstance(texts, list) else [texts]:
        if is_missing(text):
            continue
        name = class_name(text)
        if name is None:
            raise BadRow(
                "with an answer that is no text", f"the answer is {kind(text)}, expected a text"
            )
        found.append(name)
    return tuple(dict.fromkeys(found))


def convert_generation(
    columns: Mapping[str, str], *, labelled: bool = True
) -> Callable[[Row], Example]:
    """Return the converter of rows to examples of generation.

    Where the input is empty, as in rows of Alpaca, the instruction is the input.

    Parameters
    ----------
    columns : mapping of role to column
        ``text``, ``text_pair`` (the instruction) and ``label``; a column of messages is both text and label.
    labelled : bool
        Whether a row needs an answer; without, examples have none.
    """
    text, label, pair = columns["text"], columns.get("label"), columns.get("text_pair")

    def convert(row: Row) -> Example:
        given = cell_of(row, text)
        raw = cell_of(row, label) if label is not None and label != text and labelled else None
        if is_chat(given):
            added = list(raw) if is_chat(raw) and isinstance(raw, list) else []
            instruction, given, answer = split_chat([*given, *added])
            raw = answer if raw is None or added else raw
        else:
            instruction = _text_or_nothing(cell_of(row, pair), pair) if pair is not None else None
            given = _text_or_nothing(given, text) or ""
        if not given.strip():
            given, instruction = instruction or "", None
        if not given.strip():
            raise BadRow("without text", "the input is empty")
        if not labelled:
            return Example(given, None, instruction)
        if raw == label and given == text:
            raise BadRow(HEADER_AGAIN, "the row repeats the names of the columns")
        references = references_of(raw)
        if not references:
            raise BadRow(WITHOUT_LABEL, f"there is no answer ({label} is {shown(repr(raw), 60)})")
        return Example(given, references, instruction)

    return convert


def split_chat(messages: list[Any]) -> tuple[str | None, str, str | None]:
    """Return a chat's instruction, its input and its answer.

    The answer is the last turn of the assistant, what comes after it is dropped; the messages of the system are the
    instruction; the turns before the answer are the input: a single one of the user as it stands, several each in
    a line with its role.

    Examples
    --------
    >>> split_chat([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"},
    ...             {"role": "assistant", "content": "So."}])
    ('Be brief.', 'Why?', 'So.')
    """
    turns = [_turn(message) for message in messages]
    last = max((i for i, (role, _) in enumerate(turns) if role == ASSISTANT), default=None)
    answer = None if last is None else turns[last][1]
    before = turns if last is None else turns[:last]
    if last is not None and any(role == USER for role, _ in turns[last + 1 :]):
        # Nobody has answered the last turn yet: what stands before it is no answer to it.
        answer, before = None, turns
    system = [text for role, text in before if role == SYSTEM and text.strip()]
    said = [(role, text) for role, text in before if role != SYSTEM]
    if len(said) == 1 and said[0][0] == USER:
        given = said[0][1]
    else:
        given = "\n".join(f"{role}: {text}" for role, text in said)
    return "\n".join(system) or None, given, answer


def _turn(message: Any) -> tuple[str, str]:
    """Return the role and the text of a message."""
    keys = _message_keys(message)
    if keys is None:
        raise BadRow(_NO_MESSAGES, "expected messages with role and content")
    role, content = str(message[keys[0]]).lower(), message[keys[1]]
    if isinstance(content, list):
        parts = [part.get("text") if isinstance(part, Mapping) else part for part in content]
        texts = [part for part in parts if isinstance(part, str)]
        if len(texts) < len(parts):
            raise BadRow(_NO_MESSAGES, "the content of a message is no text alone")
        content = "\n".join(texts)
    if not isinstance(content, str | None):
        raise BadRow(_NO_MESSAGES, f"the content of a message is {kind(content)}, expected a string")
    return _ROLES.get(role, role), content or ""


def _message_keys(message: Any) -> tuple[str, str] | None:
    if not isinstance(message, Mapping):
        return None
    return next(
        (keys for keys in _KEYS if isinstance(message.get(keys[0]), str) and keys[1] in message), None
    )


def _text_or_nothing(value: Any, column: str) -> str | None:
    """Return a text, None for a cell that holds nothing; raise BadRow for anything else."""
    if is_missing(value):
        return None
    if not isinstance(value, str):
        raise BadRow("with a text that is no string", f"{column} is {kind(value)}, expected a string")
    return value
