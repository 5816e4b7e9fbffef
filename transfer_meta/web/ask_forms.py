"""Forms of the pages that ask for sources: what a browser sent, checked, as plain values."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from transfer_meta.errors import InputError, list_names, unknown
from transfer_meta.readers.opening import shown
from transfer_meta.records import TaskType
from transfer_meta.tasks.detect import ROLES
from transfer_meta.tasks.iob import PLAIN
from transfer_meta.tasks.settings import TASK_FORMATS, ReadSettings
from transfer_meta.tasks.siblings import split_name
from transfer_meta.tasks.tag_notation import SCHEME_NAMES

Values = Mapping[str, Sequence[str]]
"""Values of a form's fields by name; a field that a browser did not send has none."""

MAX_TITLE = 120
"""Characters of a task's name."""
MAX_DESCRIPTION = 5000
MAX_OPTION = 200
"""Characters of a column's name, of an encoding and the like."""
MAX_TOP = 100
SEPARATORS = {"comma": ",", "tab": "tab", "semicolon": ";", "bar": "|", "space": "space"}
"""Names of separators and how they are written in the form."""
TYPE_WORDS = {
    TaskType.CLASSIFICATION: "classification: a class for a text or a pair of texts",
    TaskType.REGRESSION: "regression: a number for a text or a pair of texts",
    TaskType.TOKEN_CLASSIFICATION: "token classification: a tag for every word",
    TaskType.QUESTION_ANSWERING: "question answering: a span of a context",
    TaskType.MULTIPLE_CHOICE: "multiple choice: one of several answers",
    TaskType.GENERATION: "generation: a text for a text",
}
ROLE_WORDS = {
    "text": "Text",
    "text_pair": "Second text",
    "label": "Label",
    "tokens": "Words",
    "context": "Context",
    "question": "Question",
    "choices": "Choices",
    "answers": "Answers",
    "answer_start": "Offset of the answer",
}
TYPES_OF_ROLE = {
    role: [str(type) for type, roles in ROLES.items() if {role, f"{role}?"} & set(roles)]
    for role in ROLE_WORDS
}
"""Types of tasks that have a role."""
MODE_WORDS = (
    ("text", "Texts", "a second or two", "Counts and words of the examples, and the description."),
    (
        "encoder",
        "Texts and an encoder",
        "about ten seconds",
        "A small encoder compares the meaning of texts and descriptions as well.",
    ),
    (
        "sources",
        "Encoders of the sources",
        "up to a minute",
        "Models trained on the known sources read the examples: the best ranking short of training.",
    ),
    (
        "measured",
        "A training run",
        "several minutes",
        "A model is trained on the task alone: its learning curve, scores by number of examples, and how"
        " many labels bring as much as a source.",
    ),
)
"""Modes of the recommender with label, time and what each adds."""
SCHEME_CHOICES = (*SCHEME_NAMES, PLAIN)
_TEXT_FIELDS = {
    "format": TASK_FORMATS,
    "encoding": None,
    "separator": None,
    "escape": ("backslash", "none"),
    "scheme": SCHEME_CHOICES,
    "comment": None,
    "choices_from": ("0", "1", "text"),
}
"""Fields of `ReadSettings` that are texts, with their values where there is a closed list."""
FORM_WORDS = {
    "types": TYPE_WORDS,
    "roles": ROLE_WORDS,
    "types_of_role": TYPES_OF_ROLE,
    "formats": [(name, name) for name in TASK_FORMATS],
    "schemes": [(name, name) for name in SCHEME_CHOICES],
    "modes": MODE_WORDS,
}
"""What the forms of a task's page show beside its own values."""
PASTED_KINDS = {
    "detect": "Tell it from the first line",
    "lines": "One text per line, its label after a tab",
    "csv": "CSV with a header",
    "jsonl": "JSON lines",
}
"""How pasted samples are written."""


def first_value(values: Values, name: str, most: int = MAX_OPTION) -> str:
    """Return the value of a field without white space around it; empty without one.

    Raises
    ------
    InputError
        It is longer than `most` characters.
    """
    text = next(iter(values.get(name, ())), "").strip()
    if len(text) > most:
        raise InputError(f"{name} has {len(text):,} characters (expected at most {most:,})")
    return text


def reading_values(values: Values) -> dict[str, Any]:
    """Return the keywords of `ReadSettings` that a form sets; what is to be detected is not among them.

    Raises
    ------
    InputError
        A value that is none of the field's.
    """
    found: dict[str, Any] = {}
    if type := first_value(values, "type"):
        found["type"] = type
    columns = {}
    for role in ROLE_WORDS:
        names = [name for name in values.get(f"column-{role}", ()) if name]
        if names and (not type or type in TYPES_OF_ROLE[role]):
            columns[role] = ",".join(names) if role == "choices" else names[0]
    if any(len(name) > 10 * MAX_OPTION for name in columns.values()):
        raise InputError("the name of a column is too long")
    if columns:
        found["columns"] = columns
    for name, valid in _TEXT_FIELDS.items():
        if given := first_value(values, name):
            if valid is not None and given not in valid:
                raise unknown(name, given, valid)
            found[name] = given
    separator = found.get("separator", ",")
    if len(separator) > 1 and separator not in SEPARATORS:
        raise InputError(f"separator '{shown(separator)}' (expected one character)")
    if quoted := first_value(values, "quoted"):
        found["quoted"] = quoted == "yes"
    if first_value(values, "header") == "no":
        found["header"] = False
    for name in ("repair_tags", "strict"):
        if first_value(values, name):
            found[name] = True
    ReadSettings(**found)
    return found


def ranking_values(values: Values, offers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keywords of `RecommendSettings` that a form sets.

    Parameters
    ----------
    values
    offers : mapping
        What can be chosen, see `ask_work.find_offers`.

    Raises
    ------
    InputError
        A value that is not offered, or no number.
    """
    mode = first_value(values, "mode") or "text"
    installed = [name for name, is_there in offers["modes"].items() if is_there]
    if mode not in installed:
        raise unknown("mode", mode, installed)
    found: dict[str, Any] = {"mode": mode}
    method, encoder = first_value(values, "method"), first_value(values, "encoder")
    if method:
        found["method"] = _one_of("method", method, offers["methods"])
    if encoder:
        found["encoder"] = _one_of("encoder", encoder, offers["encoders"])
    for name, least, most in (
        ("top", 1, MAX_TOP),
        ("sources_at_once", 1, 5),
        ("examples", 1, 10**9),
        ("max_size", 1, 10**9),
        ("checkpoints", 0, MAX_TOP),
    ):
        if text := first_value(values, name):
            found[name] = _whole_number(name, text, least, most)
    if "encoder" not in found:
        found.pop("checkpoints", None)  # they stand in for an encoder that is named
    usual = {"method": "intermediate", "sources_at_once": 1, "checkpoints": 3}
    found = {name: value for name, value in found.items() if usual.get(name) != value}
    for name, valid in (("types", list(TYPE_WORDS)), ("licence", offers["licences"])):
        chosen = [_one_of(name, given, valid) for given in values.get(name, ()) if given]
        if chosen and len(chosen) < len(valid):
            found[name] = chosen
    return found


def default_name(file: str) -> str:
    """Return the name of a task of a file, the same as on the command line.

    Examples
    --------
    >>> default_name("reviews.csv"), default_name("sst2.train.jsonl.gz"), default_name("train.csv")
    ('reviews', 'sst2', 'task')
    """
    return split_name(Path("/task") / file.replace("/", "_")).name or "task"


def paste_as_file(text: str, kind: str) -> tuple[str, bytes, dict[str, Any]]:
    r"""Return a file's name and content for pasted samples, and how to read them.

    Parameters
    ----------
    text : str
    kind : str
        One of `PASTED_KINDS`.

    Raises
    ------
    InputError
        Nothing was pasted.

    Examples
    --------
    >>> paste_as_file("a fine film\tgood\na dull film\tbad\n", "detect")[::2]
    ('pasted.tsv', {'header': False, 'columns': {'text': '1', 'label': '2'}})
    >>> paste_as_file('{"text": "a", "label": "b"}', "detect")[0]
    'pasted.jsonl'
    """
    if kind not in PASTED_KINDS:
        raise unknown("way to write samples", kind, PASTED_KINDS)
    # Browsers send the ends of lines as \r\n.
    text = text.replace("\r\n", "\n").strip("\n\ufeff")
    if not text.strip():
        raise InputError("no samples: paste at least one line")
    content = (text + "\n").encode("utf-8", "replace")
    first = text.partition("\n")[0]
    cells = first.split("\t")
    if kind == "detect":
        kind = _kind_of(text, first)
    if kind == "jsonl":
        return ("pasted.json" if text.startswith("[") else "pasted.jsonl"), content, {}
    if kind == "csv":
        return "pasted.csv", content, {}
    if "\t" not in text:
        # A table of one column is refused, texts without labels are not.
        lines = [json.dumps({"text": line}) for line in text.split("\n") if line.strip()]
        return "pasted.jsonl", "".join(f"{line}\n" for line in lines).encode(), {}
    if len(cells) > 1 and _is_header(cells):
        return "pasted.tsv", content, {}
    columns = {"text": "1"} | ({"label": "2"} if len(cells) == 2 else {})
    return "pasted.tsv", content, {"header": False, "columns": columns}


def _kind_of(text: str, first: str) -> str:
    if text.lstrip()[0] in "{[":
        return "jsonl"
    if "\t" not in first and "," in first and _is_header(first.split(",")):
        return "csv"
    return "lines"


def _is_header(cells: Iterable[str]) -> bool:
    """Return whether cells are names of columns: single words, one of them a common one."""
    names = [cell.strip().strip('"').lower() for cell in cells]
    common = {"text", "label", "sentence", "class", "review", "tokens", "tags", "question", "context"}
    return all(re.fullmatch(r"[\w .-]{1,40}", name) for name in names) and bool(common & set(names))


def _one_of(what: str, given: str, valid: Iterable[str]) -> str:
    if given not in list(valid):
        raise InputError(f"{what} '{shown(given)}' (expected one of: {list_names(valid)})")
    return given


def _whole_number(name: str, text: str, least: int, most: int) -> int:
    if not (text.isascii() and text.isdecimal()) or not least <= int(text[:12]) <= most:
        raise InputError(f"{name} = {shown(text)} (expected a whole number, {least} to {most:,})")
    return int(text)
