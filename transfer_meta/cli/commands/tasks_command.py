"""`transfer-meta tasks`: check how tasks are read."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

from typer import Option, Typer

from transfer_meta.cli.shared.console import print_json
from transfer_meta.cli.shared.options import AsJson, with_options
from transfer_meta.cli.shared.task_options import ReadOptions, TaskNames
from transfer_meta.errors import InputError

if TYPE_CHECKING:
    from transfer_meta.records import Example
    from transfer_meta.tasks.check import TaskReport

tasks_app = Typer(help="Check tasks before using them.", no_args_is_help=True)


@tasks_app.callback()
def _tasks() -> None:
    """Make `check` a subcommand although it is the only one."""


@tasks_app.command("check")
@with_options
def check_command(
    names: TaskNames,
    *,
    examples: Annotated[int, Option(min=0, help="Examples to show per task.")] = 2,
    as_json: AsJson = False,
    reading: ReadOptions,
) -> None:
    """Show how tasks are read, what is left out, mended and unused, and problems.

    Exit code 2 if there is a problem: an unreadable file, a single label in train, labels that train lacks, labels
    that look alike.

    Example: transfer-meta tasks check reviews.train.csv --column label=stars --type regression
    """
    from transfer_meta.tasks.check import TaskReport, check_task
    from transfer_meta.tasks.read import read_task
    from transfer_meta.tasks.resolve import find_tasks

    reports = []
    settings = reading.to_settings()
    for name in find_tasks(names):
        try:
            report = check_task(read_task(name, settings), examples=examples, verbose=settings.verbose)
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
    print(f"{report.name}: {report.type or 'cannot be read'}")
    if report.notes:
        print(f"  read as  {'; '.join(report.notes)}")
    for name, split in report.splits.items():
        common = sorted(split.labels, key=lambda label: (-split.labels[label], label))
        shown = ", ".join(f"{_short(label, 24)} {split.labels[label]:,}" for label in common[:6])
        labels = f", {len(common)} labels: {shown}{', …' if len(common) > 6 else ''}" if common else ""
        print(f"  {name:<7}  {split.examples:,} examples{labels}")
    for line in report.reading:
        print(f"  reading  {line}")
    for example in report.examples:
        print(f"  example  {_show(example)}")
    for problem in report.problems:
        print(f"  problem  {problem}")


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
