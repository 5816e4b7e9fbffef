"""Options that name tasks and say how to read them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from transfer_meta.cli.shared.options import parse_pairs
from transfer_meta.errors import InputError

if TYPE_CHECKING:
    from transfer_meta.tasks.settings import ReadSettings

TaskNames = Annotated[
    list[str],
    Argument(
        metavar="TASK...",
        help="A file, a task card (.toml), a folder of them, demo:NAME or hf:DATASET.",
    ),
]
TargetTask = Annotated[str, Option("--target", metavar="TASK", help="The task to be helped.")]
SourceTasks = Annotated[
    list[str],
    Option(
        "--sources",
        metavar="TASK...",
        help="Tasks that may help: files, task cards, folders, demo:NAME, hf:DATASET.",
    ),
]
MoreSources = Annotated[list[str] | None, Argument(metavar="[SOURCE]...", help="Further sources.")]


FORMATS_OF_OPTION: dict[str, tuple[str, tuple[str, ...]]] = {
    "separator": ("--separator", ("csv", "tsv", "conll")),
    "quoted": ("--quotes/--no-quotes", ("csv", "tsv")),
    "escape": ("--escape", ("csv", "tsv")),
    "header": ("--no-header", ("csv", "tsv")),
    "encoding": ("--encoding", ("csv", "tsv", "jsonl", "json", "conll")),
    "comment": ("--comment", ("conll",)),
    "revision": ("--revision", ("hub",)),
    "outside": ("--outside", ()),
}
"""Options of reading by field: the name on the command line, and the formats of files that they are for."""


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """How to read tasks; what is not given is detected. The fields are those of `ReadSettings`."""

    type: Annotated[
        str | None,
        Option(
            help="classification, regression, token-classification, question-answering, multiple-choice or"
            " generation."
        ),
    ] = None
    columns: Annotated[
        list[str] | None,
        Option(
            "--column",
            metavar="ROLE=NAME",
            help="Column of a role, for example text=sentence. Roles: text, text_pair, label, tokens, context,"
            " question, answers, answer_start, choices. In CoNLL files NAME is a number, from 1. Repeatable.",
        ),
    ] = None
    format: Annotated[
        str | None,
        Option(help="csv, tsv, jsonl, json, parquet or conll; default: by the file's suffix."),
    ] = None
    encoding: Annotated[
        str | None, Option(help="For example cp1252; default: UTF-8, or UTF-16 where it is.")
    ] = None
    separator: Annotated[str | None, Option(help="Separator of fields: one character, or tab.")] = None
    quoted: Annotated[
        bool | None, Option("--quotes/--no-quotes", help="Whether cells of CSV and TSV may be quoted.")
    ] = None
    escape: Annotated[
        str | None,
        Option(
            help="Character before a quote inside a quoted cell of CSV and TSV: backslash, for example; none for"
            " doubled quotes only."
        ),
    ] = None
    header: Annotated[
        bool, Option("--header/--no-header", help="Whether CSV and TSV begin with a row of names.")
    ] = True
    scheme: Annotated[
        str | None, Option(help="Tagging scheme: IOB1, IOB2, IOBES, BILOU, BMES, IO or plain.")
    ] = None
    repair_tags: Annotated[bool, Option("--repair-tags", help="Repair illegal tag sequences.")] = False
    comment: Annotated[str | None, Option(help="Prefix of comment lines in CoNLL files.")] = None
    revision: Annotated[str | None, Option(help="Commit, tag or branch of a data set on the Hub.")] = (
        None
    )
    outside: Annotated[
        bool, Option("--outside", help="Allow task cards to name files outside their folder.")
    ] = False
    choices_from: Annotated[
        str | None,
        Option(
            "--choices-from",
            help="Labels of multiple choice in digits: 0 or 1 (where the index starts) or text (of the choice).",
        ),
    ] = None
    strict: Annotated[
        bool,
        Option("--strict", help="Stop at the first row that cannot be used; default: leave it out."),
    ] = False
    verbose: Annotated[
        bool, Option("--verbose", help="List the rows that were left out or mended.")
    ] = False

    def refuse_unused(self, addresses: Iterable[str]) -> None:
        """Raise an InputError for an option that has no effect on any of the files of the named tasks."""
        from transfer_meta.tasks.build_task import file_format
        from transfer_meta.tasks.hub import is_hub_address
        from transfer_meta.tasks.resolve import find_tasks

        given = {
            option: formats
            for name, (option, formats) in FORMATS_OF_OPTION.items()
            if getattr(self, name) != getattr(type(self), name)
        }
        if not given:
            return
        try:
            found = find_tasks(addresses)
        except InputError:  # the command itself says what cannot be found
            return
        kinds = set()
        for address in found:
            if is_hub_address(address):
                kinds.add("hub")
            elif Path(address).suffix == ".toml":
                kinds.add("card")
            else:
                kinds.add(self.format or file_format(Path(address)) or "")
        for option, formats in given.items():
            # A card, or a file whose format is told from its content, may be of any kind.
            if kinds and not kinds & {"card", "", *formats}:
                raise InputError(f"{option} has no effect on {' and '.join(sorted(kinds))}")

    def to_settings(self) -> ReadSettings:
        """Return the library's settings."""
        from transfer_meta.tasks.settings import ReadSettings

        form = "ROLE=NAME, for example label=class"
        values: dict[str, Any] = {**vars(self)}
        values["columns"] = parse_pairs("--column", self.columns or (), form=form)
        return ReadSettings(**values)
