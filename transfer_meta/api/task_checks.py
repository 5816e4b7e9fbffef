"""Check of several tasks: how they are read, what is left out, mended and unused, and problems."""

from __future__ import annotations

import html
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from transfer_meta.errors import InputError
from transfer_meta.records import OnProgress
from transfer_meta.results import Result, frame_as_html
from transfer_meta.tasks.check import TaskReport, check_task
from transfer_meta.tasks.load import DEFAULT_NAME, expand_tasks, load_task
from transfer_meta.tasks.settings import ReadSettings
from transfer_meta.tasks.task import EXAMPLES_SHOWN, Task

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False)
class TaskReports(Result):
    """Reports on how tasks are read.

    Parameters
    ----------
    reports : tuple of TaskReport
    """

    reports: tuple[TaskReport, ...]

    @property
    def problems(self) -> list[str]:
        """The problems of all tasks."""
        return [problem for report in self.reports for problem in report.problems]

    def to_frame(self) -> pd.DataFrame:
        """Return one row per task and split: examples, labels, rows left out and mended, problems of the task."""
        columns = ["task", "type", "split", "examples", "labels", "left_out", "mended", "problems"]
        rows = [
            (
                report.name,
                report.type,
                name,
                split.examples,
                len(split.labels),
                sum(split.left_out.values()),
                sum(split.mended.values()),
                len(report.problems),
            )
            for report in self.reports
            for name, split in report.splits.items()
        ]
        return pd.DataFrame(rows, columns=columns)

    def to_dict(self) -> list[dict[str, Any]]:
        """Return one object per task, as plain values."""
        return [asdict(report) for report in self.reports]

    def plot(self, axes: Axes | None = None) -> Axes:
        """Draw the number of examples of each split."""
        from transfer_meta.figures.heatmap import value_bars

        rows = self.to_frame()
        names = rows["task"] + " " + rows["split"]
        axes = value_bars(dict(zip(names, rows["examples"].tolist(), strict=True)), axes)
        axes.set_xlabel("examples")
        return axes

    def raise_problems(self) -> None:
        """Raise an InputError if there is a problem."""
        problems = self.problems
        if len(problems) == 1:
            raise InputError(problems[0])
        if problems:
            bad = sum(bool(report.problems) for report in self.reports)
            raise InputError(
                f"{len(problems)} problems in {bad} of {len(self.reports)} tasks, the first: {problems[0]}"
            )

    def __str__(self) -> str:
        return "\n".join(map(str, self.reports))

    def _repr_html_(self) -> str:
        table = frame_as_html(self.to_frame())
        problems = "".join(f"<li>{html.escape(problem)}</li>" for problem in self.problems)
        return f"{table}<ul>{problems}</ul>" if problems else table


def check_tasks(
    tasks: Any,
    settings: ReadSettings | None = None,
    *,
    examples: int = EXAMPLES_SHOWN,
    on_progress: OnProgress = lambda done, total: None,
) -> TaskReports:
    """Read tasks to their end and report how they are read, what is left out, mended and unused, and problems.

    Problems are an unreadable file, a single label in train, labels that train lacks, labels that look alike, rows
    that repeat the header; see `transfer_meta.tasks.check.check_task`.

    Parameters
    ----------
    tasks : sequence, or what `load_task` takes
        One or several tasks, or folders of tasks; see `transfer_meta.tasks.load_tasks`.
    settings : ReadSettings, optional
    examples : int
        Number of examples to show per task.
    on_progress : callable
        Called with the number of finished tasks and of all tasks.

    Raises
    ------
    InputError
        No tasks, or a file that does not exist.

    Examples
    --------
    >>> found = check_tasks({"films": (["a fine film", "a dull film"], ["good", "good"])})
    >>> found.problems
    ["films[train]: one label only: 'good' in all 2 examples"]
    """
    items = expand_tasks(tasks)
    verbose = settings is not None and settings.verbose
    reports = []
    for done, (data, name) in enumerate(items):
        on_progress(done, len(items))
        shown = data if isinstance(data, str) else name or DEFAULT_NAME
        try:
            task = load_task(data, name=name, settings=None if isinstance(data, Task) else settings)
            report = check_task(task, examples=examples, verbose=verbose)
        except InputError as error:
            report = TaskReport(name=shown, problems=(str(error),))
        reports.append(report)
    return TaskReports(tuple(reports))
