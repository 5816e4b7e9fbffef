"""`transfer-meta tasks`: check how tasks are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from transfer_meta.cli.shared.task_options import takes_tasks

if TYPE_CHECKING:
    from transfer_meta.records import Example
    from transfer_meta.tasks.check import TaskReport

tasks_app = typer.Typer(help="Look at tasks before using them.", no_args_is_help=True)


@tasks_app.callback()
def _tasks() -> None:
    """Keeps `check` a subcommand while it is the only one."""


@takes_tasks
def check_command(
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


tasks_app.command("check")(check_command)
