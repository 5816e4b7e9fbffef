"""Options for reading tasks, shared by every command that takes tasks."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from transfer_meta.cli.shared.options import gathers


def _read_settings(
    type: Annotated[
        str | None,
        typer.Option(
            "--type",
            help="classification, regression, token-classification, question-answering or multiple-choice.",
        ),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            "--column",
            metavar="ROLE=NAME",
            help="Which column is what, for example text=sentence. Roles: text, text_pair, label, tokens,"
            " context, question, answers, answer_start, choices. A number (from 1) in CoNLL files."
            " May be repeated.",
        ),
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(
            "--format", help="csv, tsv, jsonl, json, parquet or conll, where the suffix does not say."
        ),
    ] = None,
    encoding: Annotated[
        str | None, typer.Option("--encoding", help="For example latin-1; default UTF-8.")
    ] = None,
    separator: Annotated[
        str | None, typer.Option("--separator", help="One character, or tab, between fields.")
    ] = None,
    quotes: Annotated[
        bool | None,
        typer.Option("--quotes/--no-quotes", help="Whether quotes enclose cells of CSV and TSV."),
    ] = None,
    header: Annotated[
        bool,
        typer.Option(
            "--header/--no-header", help="Whether the first row of CSV and TSV has the columns' names."
        ),
    ] = True,
    scheme: Annotated[str | None, typer.Option("--scheme", help="IOB1, IOB2, IOBES or plain.")] = None,
    repair_tags: Annotated[
        bool, typer.Option("--repair-tags", help="Make illegal tag sequences legal.")
    ] = False,
    comment: Annotated[
        str | None, typer.Option("--comment", help="What comments of CoNLL files begin with.")
    ] = None,
    revision: Annotated[
        str | None, typer.Option("--revision", help="Commit, tag or branch of a data set on the Hub.")
    ] = None,
    outside: Annotated[
        bool, typer.Option("--outside", help="Let a card name files outside its folder.")
    ] = False,
) -> Any:
    from transfer_meta.errors import InputError
    from transfer_meta.tasks.settings import ReadSettings

    columns: dict[str, str] = {}
    for pair in column or []:
        role, equals, name = pair.partition("=")
        if not (role and equals and name):
            raise InputError(f"--column: expected ROLE=NAME, for example label=class, got '{pair}'")
        if role in columns:
            raise InputError(f"--column: two columns for {role}: '{columns[role]}' and '{name}'")
        columns[role] = name
    return ReadSettings(
        type=type,  # type: ignore[arg-type]  # checked and converted there
        columns=columns,
        format=format,
        encoding=encoding,
        separator=separator,
        quoted=quotes,
        header=header,
        scheme=scheme,
        repair_tags=repair_tags,
        comment=comment,
        revision=revision,
        outside=outside,
    )


takes_tasks = gathers("settings", _read_settings)
"""Gives a command all options of reading tasks; it gets them as one keyword, ``settings``, a `ReadSettings`."""
