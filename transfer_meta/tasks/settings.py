"""Settings of reading tasks: what cannot be detected from the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from transfer_meta.errors import unknown
from transfer_meta.records import TaskType
from transfer_meta.tasks.choice_labels import CHOICES_FROM
from transfer_meta.tasks.iob import PLAIN
from transfer_meta.tasks.tag_notation import SCHEME_NAMES

TASK_FORMATS = ("csv", "tsv", "jsonl", "json", "parquet", "conll")


@dataclass(frozen=True)
class ReadSettings:
    """How to read a task; what is None or empty is detected.

    Parameters
    ----------
    type : TaskType or str, optional
    columns : mapping of role to column
        Roles: text, text_pair, label, tokens, context, question, answers, answer_start, choices.  In generation the
        label is the column of answers, the text_pair that of instructions.
    format : str, optional
        One of `TASK_FORMATS`, for files with another suffix.
    encoding : str, optional
        Name of the encoding in Python; only UTF-8, UTF-16, UTF-32 and byte order marks are detected.
    separator : str, optional
        The character between the fields of CSV, TSV and CoNLL, or its name (``tab``).
    quoted : bool, optional
        Whether ``"`` encloses cells of CSV and TSV.
    escape : str, optional
        The character before a quote inside a quoted cell, such as a backslash; empty for ``""`` only.
    header : bool
        Whether the first row of CSV and TSV holds the names of the columns, which are otherwise 1, 2, 3, …
    scheme : str, optional
        Tagging scheme: IOB1, IOB2 (BIO), IOBES (BILOU, BMES), IO or plain.
    repair_tags : bool
        Whether to repair illegal tag sequences instead of refusing them.
    comment : str, optional
        Beginning of a comment line of CoNLL.
    revision : str, optional
        Commit, tag or branch of a data set on the Hub.
    outside : bool
        Whether a card may name files outside its folder.
    choices_from : str, optional
        What labels of multiple choice in digits are: an index from ``0`` or ``1``, or the ``text`` of the choice.
    strict : bool
        Whether the first row that cannot be used is an error; otherwise such rows are left out and counted.
    verbose : bool
        Whether to list the rows that were left out or mended.
    """

    type: TaskType | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    format: str | None = None
    encoding: str | None = None
    separator: str | None = None
    quoted: bool | None = None
    escape: str | None = None
    header: bool = True
    scheme: str | None = None
    repair_tags: bool = False
    comment: str | None = None
    revision: str | None = None
    outside: bool = False
    choices_from: str | None = None
    strict: bool = False
    verbose: bool = False

    def __post_init__(self) -> None:
        if self.type is not None and not isinstance(self.type, TaskType):
            if self.type not in set(TaskType):
                raise unknown("task type", str(self.type), TaskType)
            object.__setattr__(self, "type", TaskType(self.type))
        if self.format is not None and self.format not in TASK_FORMATS:
            raise unknown("format", self.format, TASK_FORMATS)
        if self.scheme is not None and self.scheme not in (*SCHEME_NAMES, PLAIN):
            raise unknown("tagging scheme", self.scheme, (*SCHEME_NAMES, PLAIN))
        if self.choices_from is not None and self.choices_from not in CHOICES_FROM:
            raise unknown("way to count choices", self.choices_from, CHOICES_FROM)
        if self.separator is not None:
            named = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "space": " ", "bar": "|"}
            object.__setattr__(self, "separator", named.get(self.separator, self.separator))
        if self.escape is not None:
            named = {"backslash": "\\", "none": ""}
            object.__setattr__(self, "escape", named.get(self.escape, self.escape))
