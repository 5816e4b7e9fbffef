"""Export a run store to an outcomes table and a table of learning curves."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from transfer_meta.errors import unknown
from transfer_meta.records import Outcome
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


@dataclass(frozen=True)
class Exported:
    """An outcomes table, and the number of finished transfers that it lacks.

    Parameters
    ----------
    table : DataFrame
        One row per outcome with columns `OUTCOME_COLUMNS`: scores on 0-1, gains as fractions; ``settings`` holds
        those of training and mixture as JSON.
    without_baseline : int
        Transfers whose baseline run is not finished.
    zero_baseline : int
        Transfers whose baseline is 0, so that the relative gain is undefined.
    """

    table: pd.DataFrame
    without_baseline: int
    zero_baseline: int


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
        baseline = runs.get(run.baseline_key)
        if baseline is None:
            without_baseline += 1
            continue
        metric, score = _score(run, metrics or {})
        outcome = Outcome(
            source=run.source,
            target=run.target,
            score=score,
            baseline=_score(baseline, metrics or {})[1],
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


def export_curves(store: Store, *, keys: Collection[str] | None = None) -> pd.DataFrame:
    """Return the learning curves of finished runs, including baselines, one row per measurement.

    Columns: ``run`` (the run's id), `RUN_COLUMNS`, ``task`` (the target, or a source of multi-task training),
    ``split`` (train or dev), ``step``, ``loss`` (nats, mean per example), ``score`` (on 0-1; NaN on train).
    """
    frames = []
    for run in store.runs(statuses=("done",), keys=keys):
        named = {"run": run.id, **{name: getattr(run, name) for name in RUN_COLUMNS}}
        for task, curve in store.curves(run.id).items():
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
    """Return training and mixture settings as JSON."""
    settings = {name: run.settings.get(name) for name in ("training", "mixing")}
    return json.dumps({k: v for k, v in settings.items() if v is not None}, sort_keys=True)
