"""Numbers of runs by status, and why runs failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pandas as pd

from transfer_meta.results import Result, frame_as_text, plain_values
from transfer_meta.runs.open_plan import open_store

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from transfer_meta.runs.store.run_store import Store

STATUS_COLUMNS = (
    "id", "key", "method", "source", "target", "regime", "encoder", "seed", "status", "reason", "score", "seconds",
)  # fmt: skip
"""Fields of a run in the JSON of ``runs status``."""
_NAMED = ["id", "source", "target", "regime", "seed"]


@dataclass(frozen=True, kw_only=True)
class RunStatus(Result):
    """Status of runs in a store.

    Parameters
    ----------
    store : str
        Address of the store, without its password.
    runs : DataFrame
        A row for each run: ``id``, ``key``, ``method``, ``source``, ``target``, ``regime``, ``encoder``, ``seed``,
        ``status``, ``reason`` (of a failure), ``score`` (on 0-1), ``seconds``, ``worker``, ``started`` (seconds
        since 1970), ``is_logged`` (whether another program did it, see `log_run`).
    """

    store: str
    runs: pd.DataFrame

    @property
    def counts(self) -> dict[str, int]:
        """Numbers of runs by status."""
        return dict(Counter(self.runs["status"]))

    @property
    def failed(self) -> pd.DataFrame:
        """Failed runs with their reasons."""
        return self.runs.loc[self.runs["status"] == "failed", [*_NAMED, "reason"]]

    def to_frame(self) -> pd.DataFrame:
        """Return the numbers of runs by method and status; the last row is ``all``."""
        from transfer_meta.runs.store.schema import STATUSES

        methods = list(dict.fromkeys(self.runs["method"]))
        groups = [(m, self.runs[self.runs["method"] == m]) for m in methods]
        return pd.DataFrame(
            {"method": method, **{s: int((runs["status"] == s).sum()) for s in STATUSES}}
            for method, runs in [*groups, ("all", self.runs)]
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers by status, and every run."""
        runs = self.runs[list(STATUS_COLUMNS)].astype(object)
        return plain_values({"counts": self.counts, "runs": runs.to_dict("records")})

    def plot(self, axes: Axes | None = None) -> Axes:
        """Draw a bar for each method, divided by status."""
        from transfer_meta.figures.axes import new_axes
        from transfer_meta.figures.run_charts import draw_status_bars

        frame = self.to_frame().set_index("method").drop(index="all")
        axes = new_axes(axes, height=1.5 + 0.4 * len(frame))
        draw_status_bars(axes, frame)
        return axes

    def __str__(self) -> str:
        parts = [frame_as_text(self.to_frame(), title=self.store)]
        running = self.runs[self.runs["status"] == "running"]
        if len(running):
            shown = running[[*_NAMED, "worker"]].assign(since=running["started"].map(format_time))
            parts.append(frame_as_text(shown, title="running"))
        logged = self.runs.loc[self.failed.index, "is_logged"].astype(bool)
        for failed, title in (
            (self.failed[~logged], "failed (`transfer-meta runs retry --failed` tries them again)"),
            (
                self.failed[logged],
                "failed, logged (only the program that logged them can try them again)",
            ),
        ):
            if len(failed):
                parts.append(frame_as_text(failed, title=title))
        return "\n".join(parts)

    @property
    def caption(self) -> str:
        """The store, and the numbers of runs by status."""
        return f"{self.store}: " + (", ".join(f"{n} {s}" for s, n in self.counts.items()) or "no runs")


def run_status(store: str | Path | None = None) -> RunStatus:
    """Return the status of all runs in a store.

    Parameters
    ----------
    store : str or path, optional
        Run store: a file (SQLite) or ``postgresql://USER@HOST/DATABASE``.  Default: ``$TRANSFER_META_STORE``, else
        ``runs.sqlite``.

    Raises
    ------
    InputError
        There is no store, or it cannot be opened.
    """
    opened = open_store(store)
    try:
        return RunStatus(store=opened.name, runs=run_table(opened))
    finally:
        opened.close()


def run_table(store: Store, keys: Collection[str] | None = None) -> pd.DataFrame:
    """Return a row for each run, see `RunStatus`."""
    columns = [*STATUS_COLUMNS, "worker", "started", "is_logged"]
    rows = [[getattr(run, column) for column in columns] for run in store.runs(keys=keys)]
    return pd.DataFrame(rows, columns=columns)


def format_time(seconds: float | None) -> str | None:
    """Return a time, given in seconds since 1970, in UTC.

    Examples
    --------
    >>> format_time(0.0)
    '1970-01-01 00:00:00 UTC'
    """
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%F %T UTC")
