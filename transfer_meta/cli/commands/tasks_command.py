"""`transfer-meta tasks`: looking at tasks; and the options that every command with tasks shares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from transfer_meta.cli.shared.options import gathers

if TYPE_CHECKING:
    from transfer_meta.records import Example
    from transfer_meta.tasks.check import TaskReport

tasks_app = typer.Typer(help="Look at tasks before using them.", no_args_is_help=True)


@tasks_app.callback()
def _tasks() -> None:
    """Keeps `check` a subcommand while it is the only one."""


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


@takes_tasks
def check(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="TASK...", help="A file, a task card (.toml), a folder of them, or hf:DATASET."
        ),
    ],
    *,
    examples: Annotated[
        int, typer.Option("--examples", min=0, help="Examples to show of each task.")
    ] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    settings: Any,
) -> None:
    """Read tasks to their end: what was detected, examples, problems.

    Ends with exit code 2 where there is a problem: what cannot be read, one label only in train, labels that
    train does not have.

    For example: transfer-meta tasks check reviews.train.csv --column label=stars --type regression
    """
    from dataclasses import asdict

    from transfer_meta.cli.shared.console import print_json
    from transfer_meta.errors import InputError
    from transfer_meta.tasks.check import TaskReport, check_task
    from transfer_meta.tasks.resolve import find_tasks, load_named

    reports = []
    for name in find_tasks(names):
        try:
            report = check_task(load_named(name, settings), examples=examples)
        except InputError as error:
            report = TaskReport(name=name, problems=(str(error),))
        reports.append(report)
        if not as_json:
            _print_report(report)
    if as_json:
        print_json([asdict(report) for report in reports])
    problems = [problem for report in reports for problem in report.problems]
    if len(problems) == 1:
        raise InputError(problems[0])
    if problems:
        bad = sum(bool(report.problems) for report in reports)
        raise InputError(
            f"{len(problems)} problems in {bad} of {len(reports)} tasks, the first: {problems[0]}"
        )


def _print_report(report: TaskReport) -> None:
    typer.echo(f"{report.name}: {report.type or 'cannot be read'}")
    if report.notes:
        typer.echo(f"  read as  {'; '.join(report.notes)}")
    for name, split in report.splits.items():
        common = sorted(split.labels, key=lambda label: (-split.labels[label], label))
        shown = ", ".join(f"{_short(label, 24)} {split.labels[label]:,}" for label in common[:6])
        labels = f", {len(common)} labels: {shown}{', …' if len(common) > 6 else ''}" if common else ""
        typer.echo(f"  {name:<7}  {split.examples:,} examples{labels}")
    for example in report.examples:
        typer.echo(f"  example  {_show(example)}")
    for problem in report.problems:
        typer.echo(f"  problem  {problem}")


def _show(example: Example) -> str:
    texts = " | ".join(_short(text, 60) for text in (example.text, example.text_pair) if text)
    if example.tokens and isinstance(example.label, tuple):
        texts = " ".join(
            f"{token}/{tag}" for token, tag in zip(example.tokens[:8], example.label, strict=False)
        )
        return texts + (" …" if len(example.tokens) > 8 else "")
    if example.choices:
        return f"{texts} | {' / '.join(_short(choice, 30) for choice in example.choices)} → {example.label}"
    if isinstance(example.label, tuple):
        answers = "; ".join(f"{_short(str(answer[0]), 40)} at {answer[1]}" for answer in example.label)
        return f"{texts} → {answers or 'no answer'}"
    return f"{texts} → {example.label}"


def _short(text: str, width: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= width else text[: width - 1] + "…"


tasks_app.command("check")(check)
