"""Preview of a plan: its runs by status, and their estimated cost."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from transfer_meta.results import Result, format_bytes, format_duration, frame_as_text, plain_values
from transfer_meta.runs.open_plan import open_plan

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from transfer_meta.records import Tell
    from transfer_meta.runs.cost import Estimate
    from transfer_meta.runs.plan_file import PlanSource


@dataclass(frozen=True, kw_only=True)
class PlanPreview(Result):
    """The runs of a plan and their estimated cost.

    Parameters
    ----------
    runs : DataFrame
        A row for each run: ``method``, ``source``, ``target``, ``examples`` (the regime), ``seed``, ``status``
        (``new``: not in the store yet).
    left : int
        Number of runs that are still to be done.
    cost : Estimate
        Estimated time and disk space of these runs.
    notes : tuple of str
        How the tasks were read: rows left out, targets without a test split.
    shared : int
        Number of runs that several others start from; each is trained once.
    """

    runs: pd.DataFrame
    left: int
    cost: Estimate
    notes: tuple[str, ...] = ()
    shared: int = 0

    def to_frame(self) -> pd.DataFrame:
        """Return the numbers of runs by method and examples, a column for each status that occurs."""
        from transfer_meta.runs.store.schema import STATUSES

        shown = [status for status in ("new", *STATUSES) if (self.runs["status"] == status).any()]
        rows = [
            {"method": m, "examples": r, "runs": counts.total(), **{s: counts[s] for s in shown}}
            for (m, r), counts in self._groups().items()
        ]
        return pd.DataFrame(rows)

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers of runs, those of each group, and the estimates."""
        groups = [{"method": m, "regime": r, **counts} for (m, r), counts in self._groups().items()]
        return plain_values(
            {
                "runs": len(self.runs),
                "left": self.left,
                "shared": self.shared,
                "groups": groups,
                "estimated_seconds": self.cost.seconds,
                "measured": self.cost.measured,
                "estimated_gpu_hours": self.cost.gpu_hours,
                "basis": self.cost.basis,
                "checkpoint_bytes": self.cost.disk_bytes,
            }
        )

    def plot(self, axes: Axes | None = None) -> Axes:
        """Draw a bar for each method and number of examples, divided by status."""
        from transfer_meta.figures.axes import new_axes
        from transfer_meta.figures.run_charts import draw_status_bars

        frame = self.to_frame()
        frame.index = pd.Index(frame["method"] + " " + frame["examples"])
        axes = new_axes(axes, height=1.5 + 0.4 * len(frame))
        draw_status_bars(axes, frame)
        return axes

    def __str__(self) -> str:
        table = frame_as_text(self.to_frame(), title=f"{len(self.runs)} runs")
        disk = f"checkpoints: at most about {format_bytes(self.cost.disk_bytes)} at a time"
        shared = f"\nstarts that several runs share: {self.shared}" if self.shared else ""
        return f"{table}\n{self._to_do}\n{disk}{shared}"

    @property
    def caption(self) -> str:
        """Number of runs, and the time that those to do will take."""
        return f"{len(self.runs)} runs; {self._to_do}"

    @property
    def _to_do(self) -> str:
        time = format_duration(self.cost.seconds)
        return f"{self.left} to do: about {time} for one worker ({self.cost.basis})"

    def _groups(self) -> dict[tuple[str, str], Counter[str]]:
        """Return the numbers of runs by status, by method and regime."""
        groups: dict[tuple[str, str], Counter[str]] = {}
        columns = ("method", "examples", "status")
        for method, regime, status in zip(*(self.runs[c] for c in columns), strict=True):
            groups.setdefault((method, regime), Counter())[status] += 1
        return groups


def plan(
    plan: PlanSource, store: str | Path | None = None, *, tell: Tell = lambda _: None
) -> PlanPreview:
    """Return the runs of a plan and their estimated cost; nothing is started or written.

    Parameters
    ----------
    plan : path or mapping
        A plan file (TOML), or a mapping of the same structure; its relative paths start from the current folder.
    store : str or path, optional
        Run store: a file (SQLite) or ``postgresql://USER@HOST/DATABASE``; it need not exist.  Default:
        ``$TRANSFER_META_STORE``, else ``runs.sqlite``.
    tell : callable
        Called with one line for each note on how the tasks were read.

    Raises
    ------
    InputError
        With all problems of the plan, its tasks and the store, one a line.
    """
    loaded, opened = open_plan(plan, store, create=False, tell=tell)
    from transfer_meta.runs.cost import estimate

    there = opened.statuses() if opened else {}
    done = opened.runs(statuses=("done",)) if opened else []
    if opened is not None:
        opened.close()
    left = [run.key for run in loaded.runs if there.get(run.key, "pending") in ("pending", "running")]
    starts = Counter(run.start_key for run in loaded.runs if run.start_key)
    columns = ["method", "source", "target", "examples", "seed", "status"]
    rows = [
        (r.method, r.source, r.target, r.regime, r.seed, there.get(r.key, "new")) for r in loaded.runs
    ]
    return PlanPreview(
        runs=pd.DataFrame(rows, columns=columns),
        left=len(left),
        cost=estimate(loaded, done, left),
        notes=loaded.notes,
        shared=sum(count > 1 for count in starts.values()),
    )
