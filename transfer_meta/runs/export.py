"""Export a run store to an outcomes table and a table of learning curves."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from transfer_meta.errors import InputError, unknown
from transfer_meta.files import save_table
from transfer_meta.records import Outcome
from transfer_meta.results import Result, plain_values
from transfer_meta.runs.open_plan import open_plan, open_store

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from transfer_meta.outcomes.tables import OutcomeTable
    from transfer_meta.records import Tell
    from transfer_meta.runs.plan_file import PlanSource
    from transfer_meta.runs.store.run_store import Store
    from transfer_meta.runs.store.schema import Run

OUTCOME_COLUMNS = (
    "source",
    "target",
    "method",
    "regime",
    "encoder",
    "seed",
    "baseline",
    "score",
    "gain",
    "metric",
    "settings",
)
RUN_COLUMNS = ("source", "target", "method", "regime", "encoder", "seed")


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """Settings of `export`.

    Parameters
    ----------
    store : str, Path or None
        Run store: a file (SQLite) or ``postgresql://USER@HOST/DATABASE``.  Default: ``$TRANSFER_META_STORE``, else
        ``runs.sqlite``.
    plan : path, mapping or None
        Export only the runs of this plan, scored by its metrics.
    """

    store: str | Path | None = field(default=None, repr=False)  # may hold a password
    plan: PlanSource | None = None


@dataclass(frozen=True)
class Exported(Result):
    """An outcomes table, and the number of finished transfers that it lacks.

    Parameters
    ----------
    table : DataFrame
        One row per outcome with columns `OUTCOME_COLUMNS`: scores on 0-1, gains as fractions; ``settings`` holds
        those of training and of how tasks are mixed or tied and examples ordered as JSON.
    without_baseline : int
        Transfers whose baseline run is not finished.
    zero_baseline : int
        Transfers whose baseline is 0, so that the relative gain is undefined.
    curves : DataFrame
        Learning curves, see `export_curves`; empty if they were not exported.
    """

    table: pd.DataFrame
    without_baseline: int
    zero_baseline: int
    curves: pd.DataFrame = field(default_factory=pd.DataFrame)

    def to_frame(self) -> pd.DataFrame:
        """Return the outcomes."""
        return self.table

    def to_outcomes(self) -> OutcomeTable:
        """Return the outcomes as a table for `transfer_meta.benchmark`."""
        from transfer_meta.outcomes.tables import build_table

        return build_table(self.table, name="runs")

    def to_dict(self) -> dict[str, Any]:
        """Return the outcomes and the numbers of transfers left out."""
        return plain_values(
            {
                "outcomes": self.table.astype(object).to_dict("records"),
                "without_baseline": self.without_baseline,
                "zero_baseline": self.zero_baseline,
            }
        )

    def save(self, path: str | Path, *, guard: bool = True) -> Path:
        """Write the outcomes to a file and the curves beside it; return the path of the curves.

        Parameters
        ----------
        path : str or path
            A name that ends in .csv or .parquet; the curves are written to NAME.curves.parquet.
        guard : bool
            CSV: an apostrophe before names that a spreadsheet would take for a formula; `load_outcomes` removes it.

        Raises
        ------
        InputError
            Another suffix, or the file cannot be written.
        """
        path = checked_table_path(path)
        curves_file = path.with_suffix(".curves.parquet")
        save_table(self.table, path, guard=guard)
        save_table(self.curves, curves_file)
        return curves_file

    def save_tensorboard(self, folder: str | Path) -> list[Path]:
        """Write the curves as TensorBoard event files, see `write_event_files`; return a folder for each run."""
        from transfer_meta.runs.tensorboard_files import write_event_files

        return write_event_files(self.curves, folder)

    def plot(self, axes: Axes | None = None) -> Axes:
        """Draw the gains of every source on every target, means over methods, regimes and seeds."""
        from transfer_meta.figures.axes import new_axes
        from transfer_meta.figures.charts import draw_gains, heatmap_size

        if self.table.empty:
            raise InputError("no outcomes to plot (expected finished transfers with their baselines)")
        gains = self.table.pivot_table(index="target", columns="source", values="gain", sort=False)
        width, height = heatmap_size(gains)
        axes = new_axes(axes, width=width, height=height)
        draw_gains(axes, gains)
        return axes

    @property
    def caption(self) -> str:
        """The numbers of outcomes and of transfers left out."""
        return "; ".join([f"{len(self.table)} outcomes", *self.left_out])

    @property
    def left_out(self) -> list[str]:
        """A line for each reason why finished transfers are left out."""
        lines = []
        if self.without_baseline:
            lines.append(
                f"{self.without_baseline} left out: their baseline is not done (same target, seed, encoder, "
                "settings and metric, no source)"
            )
        if self.zero_baseline:
            lines.append(
                f"{self.zero_baseline} left out: their baseline is 0, so there is no relative gain"
            )
        return lines


def export(settings: ExportSettings | None = None, *, tell: Tell = lambda _: None) -> Exported:
    """Return the finished transfers of a run store as outcomes, with the learning curves of the runs.

    Parameters
    ----------
    settings : ExportSettings, optional
    tell : callable
        Called with one line for each note on the tasks of the plan, and for each damaged curve.

    Raises
    ------
    InputError
        There is no store, it cannot be opened, or the plan cannot be used.
    """
    settings = settings or ExportSettings()
    keys: set[str] | None = None
    metrics = None
    if settings.plan is None:
        opened = open_store(settings.store)
    else:
        loaded, found = open_plan(settings.plan, settings.store, create=False, tell=tell)
        opened, keys, metrics = (
            found or open_store(settings.store),
            set(loaded.stages),
            loaded.file.metrics,
        )
    try:
        outcomes = export_outcomes(opened, keys=keys, metrics=metrics)
        return replace(outcomes, curves=export_curves(opened, keys=keys, tell=tell))
    finally:
        opened.close()


def checked_table_path(path: str | Path) -> Path:
    """Return the path of a table to write; an InputError if it ends neither in .csv nor in .parquet."""
    path = Path(path)
    if path.suffix not in (".csv", ".parquet"):
        raise InputError(f"--out '{path}' (expected a name that ends in .csv or .parquet)")
    return path


def export_outcomes(
    store: Store, *, keys: Collection[str] | None = None, metrics: Mapping[str, str] | None = None
) -> Exported:
    """Return the finished transfers of a store with their baselines.

    Parameters
    ----------
    store : Store
    keys : collection of str or None
        Keys of the runs to export; None for all.
    metrics : mapping of str to str or None
        Metric of a target, if other than its main one.
    """
    runs = {run.key: run for run in store.runs(statuses=("done",))}
    rows: list[dict[str, Any]] = []
    without_baseline = zero_baseline = 0
    for run in runs.values():
        if run.baseline_key is None or (keys is not None and run.key not in keys):
            continue
        metric, score = _score(run, metrics or {})
        baseline = runs.get(run.baseline_key)
        # A logged run may have another metric than its baseline.
        if baseline is None or metric not in {baseline.main_metric, *(baseline.scores or {})}:
            without_baseline += 1
            continue
        outcome = Outcome(
            source=run.source,
            target=run.target,
            score=score,
            baseline=_score(baseline, {run.target: metric})[1],
            method=run.method,
            regime=run.regime,
            encoder=run.encoder,
            seed=run.seed,
        )
        if outcome.baseline <= 0:
            zero_baseline += 1
            continue
        row = {name: getattr(outcome, name) for name in OUTCOME_COLUMNS[:-2]}
        rows.append({**row, "metric": metric, "settings": _settings(run)})
    table = pd.DataFrame(rows, columns=list(OUTCOME_COLUMNS))
    return Exported(table, without_baseline, zero_baseline)


def export_curves(
    store: Store, *, keys: Collection[str] | None = None, tell: Tell = lambda _: None
) -> pd.DataFrame:
    """Return the learning curves of finished runs, including baselines, one row per measurement.

    Columns: ``run`` (the run's id), `RUN_COLUMNS`, ``task`` (the target, or a source of multi-task training),
    ``split`` (train or dev), ``step``, ``loss`` (nats, mean per example), ``score`` (on 0-1; NaN on train).
    A damaged curve is left out, and `tell` is called with a line.
    """
    frames = []
    damaged: list[str] = []
    for run in store.runs(statuses=("done",), keys=keys):
        named = {"run": run.id, **{name: getattr(run, name) for name in RUN_COLUMNS}}
        for task, curve in store.curves(run.id, damaged=damaged).items():
            nothing = np.full(len(curve.steps), np.nan)
            parts = (
                ("train", curve.steps, curve.losses, nothing),
                ("dev", curve.dev_steps, curve.dev_losses, curve.dev_scores),
            )
            frames += [
                pd.DataFrame(
                    {
                        **named,
                        "task": task,
                        "split": split,
                        "step": steps,
                        "loss": losses,
                        "score": scores,
                    },
                    index=range(len(steps)),
                )
                for split, steps, losses, scores in parts
                if len(steps)
            ]
    for line in damaged:
        tell(line)
    columns = ["run", *RUN_COLUMNS, "task", "split", "step", "loss", "score"]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)


def _score(run: Run, metrics: Mapping[str, str]) -> tuple[str, float]:
    """Return name and value, on 0-1, of the metric to export."""
    metric = metrics.get(run.target)
    if metric is None or metric == run.main_metric:
        assert run.main_metric is not None
        assert run.score is not None
        return run.main_metric, run.score
    scores = run.scores or {}
    if metric not in scores:
        raise unknown(f"metric of task {run.target}", metric, scores)
    # Correlations below zero count as zero, as in a main metric.
    return metric, max(0.0, float(scores[metric] or 0.0))


def _settings(run: Run) -> str:
    """Return the settings of training and of how tasks are mixed or tied and examples ordered as JSON."""
    names = ("training", "mixing", "soft", "curriculum")
    settings = {name: run.settings.get(name) for name in names}
    return json.dumps({k: v for k, v in settings.items() if v is not None}, sort_keys=True)
