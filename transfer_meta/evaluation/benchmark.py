"""The benchmark: figures of predictors under an evaluation protocol, with intervals and references."""

from __future__ import annotations

import html
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from transfer_meta._version import __version__
from transfer_meta.errors import InputError, unknown
from transfer_meta.evaluation.benchmark_settings import GROUP_SETS, BenchmarkSettings
from transfer_meta.evaluation.benchmark_text import (
    METRICS_SHOWN,
    benchmark_text,
    benchmark_title,
    metric_cells,
    predictor_label,
)
from transfer_meta.evaluation.ceiling import noise_ceiling
from transfer_meta.evaluation.comparisons import compare
from transfer_meta.evaluation.decisions import judge_decisions
from transfer_meta.evaluation.fold_jobs import PredictionKey, make_fold_jobs, run_fold_jobs
from transfer_meta.evaluation.metric_rows import metric_rows, target_values
from transfer_meta.evaluation.metrics import METRICS, PairTruth
from transfer_meta.evaluation.pair_values import pair_truth, seed_weights, training_values
from transfer_meta.evaluation.reliability_rows import calibration_rows, coverage_rows
from transfer_meta.evaluation.result_file import save_result
from transfer_meta.figures.svg import plain
from transfer_meta.metadataset import MetaDataset, ablation_sets, build_metadataset, open_table
from transfer_meta.outcomes.gain_definition import apply_gain_definition
from transfer_meta.outcomes.tables import OutcomeTable
from transfer_meta.predictors import Prediction, make_predictor
from transfer_meta.predictors.base import Fold
from transfer_meta.records import OnProgress
from transfer_meta.results import Result, frame_as_html

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FRAMES = (
    "rows", "ceiling", "calibration", "reliability", "coverage", "decisions", "comparisons",
)  # fmt: skip
"""Data frames of `BenchmarkResult`, in the order of the JSON output."""


@dataclass(frozen=True)
class BenchmarkResult(Result):
    """Figures of a benchmark; `str` gives the tables that the command prints.

    Every frame but `ceiling` has the columns ``predictor`` and ``features``.

    Parameters
    ----------
    dataset : str
        Name of the table.
    settings : BenchmarkSettings
    n_pairs, n_targets : int
    positive_rate : float
        Share of the pairs that gain.
    seconds : float
        Time that it took.
    rows : DataFrame
        ``metric``, ``value``, ``std`` (over repeats), ``ci_low`` and ``ci_high`` (bootstrap over targets, 95 %),
        ``n`` (pairs, or targets for which the metric is defined).
    truth : PairTruth
        Measured values of the pairs.
    ceiling : DataFrame
        See `ceiling.noise_ceiling`; empty if no pair has two seeds.
    calibration : DataFrame
        ``ece`` (expected calibration error) and ``ece_if_calibrated``, its value if every probability were true
        (`calibration.error_if_calibrated`).  Empty for scores without baselines.
    reliability : DataFrame
        Points of the reliability diagram: ``predicted``, ``observed``, ``n`` (pairs, over all repeats).
    coverage : DataFrame
        Coverage of the intervals of the expected gain, see `conformal.interval_coverage`: ``nominal``, ``covered``
        (mean over targets) with ``ci_low`` and ``ci_high``, ``width`` (mean, a fraction), ``n`` (targets).  Empty
        for scores without baselines and shuffled protocols.
    decisions : DataFrame
        Realised gain of following a predictor, see `decisions.judge_decisions`.  Empty as `coverage`.
    comparisons : DataFrame
        Every pair of predictors by `BenchmarkSettings.compared`, see `comparisons.compare`.
    skipped : dict of str to str
        Predictors that do not apply to the table, with the reason.
    pair_features, notes : tuple of str
        Columns of the table that are features of the pair, and its notes.
    predictions : dict
        By (predictor, features): out-of-fold `Prediction` with arrays of shape (repeats, n pairs).
    digest : str
        Of the table, see `OutcomeTable.digest`.
    """

    dataset: str
    settings: BenchmarkSettings
    n_pairs: int
    n_targets: int
    positive_rate: float
    seconds: float
    rows: pd.DataFrame
    truth: PairTruth = field(repr=False)
    ceiling: pd.DataFrame = field(default_factory=pd.DataFrame, repr=False)
    calibration: pd.DataFrame = field(default_factory=pd.DataFrame, repr=False)
    reliability: pd.DataFrame = field(default_factory=pd.DataFrame, repr=False)
    coverage: pd.DataFrame = field(default_factory=pd.DataFrame, repr=False)
    decisions: pd.DataFrame = field(default_factory=pd.DataFrame, repr=False)
    comparisons: pd.DataFrame = field(default_factory=pd.DataFrame, repr=False)
    skipped: dict[str, str] = field(default_factory=dict)
    pair_features: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    predictions: dict[PredictionKey, Prediction] = field(default_factory=dict, repr=False)
    digest: str = ""

    def __str__(self) -> str:
        return benchmark_text(self, self.shown_metrics)

    @property
    def shown_metrics(self) -> tuple[str, ...]:
        """Metrics of the main table: those chosen in the settings, else `METRICS_SHOWN`, as far as they apply."""
        known = set(self.rows["metric"])
        return tuple(m for m in self.settings.metrics or METRICS_SHOWN if m in known)

    @property
    def caption(self) -> str:
        """The table, the protocol and the number of pairs."""
        return benchmark_title(self)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per predictor and feature set, with the metrics of the main table.

        Returns
        -------
        DataFrame
            ``predictor``, ``features``, and of each metric ``METRIC``, ``METRIC_low`` and ``METRIC_high`` (95 %
            bootstrap interval over targets), ``METRIC_std`` (over repeats); columns without any value are left out.
            `rows` holds all metrics, one row each.
        """
        spread = {"value": "", "ci_low": "_low", "ci_high": "_high", "std": "_std"}
        tables = {suffix: self.table(column) for column, suffix in spread.items()}
        columns = {
            f"{metric}{suffix}": values[metric]
            for metric in self.shown_metrics
            for suffix, values in tables.items()
            if not suffix or values[metric].notna().any()
        }
        return pd.DataFrame(columns, index=tables[""].index).reset_index()

    def plot(self, axes: Axes | None = None, *, metric: str | None = None) -> Axes:
        """Draw a metric of each predictor with its interval, the best on top.

        Parameters
        ----------
        axes : Axes, optional
            By default new ones.
        metric : str, optional
            By default the one by which predictors are compared, else the first of the main table.

        Raises
        ------
        InputError
            The benchmark has no such metric.
        """
        from transfer_meta.figures.axes import new_axes
        from transfer_meta.figures.charts import dots_height, draw_dots

        protocol = self.settings.protocol.name
        metric = metric or self.settings.compared or self.shown_metrics[0]
        dots = self.dots(metric)
        predictors = list(dots["predictor"])
        axes = new_axes(axes, height=dots_height(predictors, [protocol]))
        draw_dots(axes, {protocol: dots}, predictors, chance=self.chance_level(metric))
        axes.set_xlabel(METRICS[metric].title)
        axes.set_title(plain(f"{self.dataset}, {protocol}"))
        return axes

    def dots(self, metric: str) -> pd.DataFrame:
        """Return a metric's ``predictor`` (label), ``value``, ``ci_low`` and ``ci_high``, the best first.

        Where there is no interval over targets, the ends are those of ± one standard deviation over repeats.
        """
        rows = self.rows[self.rows["metric"] == metric].dropna(subset=["value"])
        if rows.empty:
            raise unknown("metric", metric, self.rows["metric"].drop_duplicates())
        rows = rows.sort_values(
            "value", ascending=not METRICS[metric].higher_is_better, kind="stable", ignore_index=True
        )
        return pd.DataFrame(
            {
                "predictor": [
                    predictor_label(p, f)
                    for p, f in zip(rows["predictor"], rows["features"], strict=True)
                ],
                "value": rows["value"],
                "ci_low": rows["ci_low"].fillna(rows["value"] - rows["std"]),
                "ci_high": rows["ci_high"].fillna(rows["value"] + rows["std"]),
            }
        )

    def chance_level(self, metric: str) -> float | None:
        """Return what a predictor that knows nothing about the pair reaches in a metric, if that is known."""
        chance = {"auroc": 0.5, "auroc_within_target": 0.5, "spearman": 0.0}
        if metric == "accuracy":
            return max(self.positive_rate, 1 - self.positive_rate)
        return chance.get(metric)

    def _repr_html_(self) -> str:
        columns, rows = metric_cells(self, self.shown_metrics)
        return f"<p>{html.escape(self.caption)}</p>" + frame_as_html(
            pd.DataFrame(rows, columns=columns)
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain values, as ``--json`` prints them."""
        return {
            "version": __version__,
            "dataset": self.dataset,
            "protocol": self.settings.protocol.name,
            "repeats": self.settings.draws,
            "seed": self.settings.seed,
            "truth": self.settings.gain_definition.name,
            "compared_by": self.settings.compared,
            "n_pairs": self.n_pairs,
            "n_targets": self.n_targets,
            "positive_rate": self.positive_rate,
            "seconds": round(self.seconds, 3),
            **{name: getattr(self, name).to_dict("records") for name in FRAMES},
            "skipped": self.skipped,
            "pair_features": list(self.pair_features),
            "notes": list(self.notes),
        }

    def save(self, path: str | Path) -> None:
        """Write the figures as a file for `transfer_meta.leaderboard`, or add them to such a file.

        The file holds a table under a protocol; of predictors that it has already, the figures are replaced.

        Raises
        ------
        InputError
            The file is of another table, protocol or other settings, is no such file, or cannot be written.
        """
        save_result(self, path)

    def table(self, column: str = "value") -> pd.DataFrame:
        """Return one row per predictor and feature set, one column per metric."""
        wide = self.rows.pivot(index=["predictor", "features"], columns="metric", values=column)
        order = self.rows[["predictor", "features"]].drop_duplicates()
        return wide.loc[pd.MultiIndex.from_frame(order), list(self.rows["metric"].drop_duplicates())]


def benchmark(
    table: OutcomeTable | str | Path | pd.DataFrame,
    settings: BenchmarkSettings | None = None,
    *,
    on_progress: OnProgress = lambda done, total: None,
) -> BenchmarkResult:
    """Evaluate predictors on out-of-fold predictions under a protocol.

    Parameters
    ----------
    table : OutcomeTable, str, Path or DataFrame
        Outcomes, or what `load_outcomes` takes: the name of a shipped table, a file or a data frame.
    settings : BenchmarkSettings, optional
    on_progress : callable
        Called with the number of jobs done and of all jobs.

    Raises
    ------
    InputError
        The table does not suffice for the protocol or the gain definition, or a predictor named in the settings
        does not apply to it.

    Examples
    --------
    >>> chosen = BenchmarkSettings(predictors=("source-popularity", "ridge"), metrics=("spearman",))
    >>> benchmark("bingel-soegaard-2017", chosen).to_frame()["predictor"].tolist()
    ['source-popularity', 'ridge']
    """
    settings = settings or BenchmarkSettings()
    begin = time.perf_counter()
    named = settings.features[0] if len(settings.features) == 1 else None
    table = open_table(table, features=named, vectors=settings.vectors)
    table_digest = table.digest
    if settings.features == GROUP_SETS:
        settings = replace(settings, features=ablation_sets(table))
    table = apply_gain_definition(table, settings.gain_definition)
    whole = build_metadataset(table)
    _check(whole, settings)
    for features in settings.features:
        # A feature set that selects nothing is an error, not a predictor to skip.
        build_metadataset(table, features)
    y, truth = training_values(whole), pair_truth(whole, table.pairs)
    weight = seed_weights(table.pairs, truth.target)
    protocol = settings.protocol
    repeats = settings.draws if protocol.is_shuffled else 1
    folds = [
        list(protocol.folds(whole.source, whole.target, seed=settings.seed, repeat=repeat))
        for repeat in range(repeats)
    ]
    jobs, skipped = make_fold_jobs(table, whole, folds, settings)
    predictions: dict[PredictionKey, Prediction] = {}
    for job, parts in run_fold_jobs(jobs, y, weight, workers=settings.workers, on_progress=on_progress):
        if job.key not in predictions:
            predictions[job.key] = _empty((settings.draws if job.drawn else repeats, len(y)))
        _fill(predictions[job.key], job.folds, parts)
    frames = _figures(whole, truth, predictions, settings)
    if whole.has_gain and not protocol.is_shuffled:
        popular = _empty((1, len(y)))
        parts = make_predictor("source-popularity").predict_folds(whole.X, y, folds[0])
        _fill(popular, [(0, fold) for fold in folds[0]], parts)
        frames["decisions"] = judge_decisions(
            y, truth.target, whole.target, predictions, popular, seed=settings.seed
        )
    return BenchmarkResult(
        dataset=table.name,
        settings=settings,
        n_pairs=len(y),
        n_targets=len(np.unique(whole.target)),
        positive_rate=float(whole.helped.mean()) if whole.has_gain else np.nan,
        truth=truth,
        ceiling=noise_ceiling(table, settings.metrics or METRICS, seed=settings.seed),
        skipped=skipped,
        pair_features=table.pair_features,
        notes=table.notes,
        predictions=predictions,
        digest=table_digest,
        seconds=time.perf_counter() - begin,
        **frames,
    )


def _figures(
    data: MetaDataset,
    truth: PairTruth,
    predictions: dict[PredictionKey, Prediction],
    settings: BenchmarkSettings,
) -> dict[str, pd.DataFrame]:
    """Return the frames of `BenchmarkResult` that follow from the predictions alone."""
    targets, seed = data.target, settings.seed
    metrics = settings.metrics or tuple(METRICS)
    rows: dict[str, list[dict[str, Any]]] = {
        name: [] for name in ("rows", "calibration", "reliability", "coverage")
    }
    for (predictor, features), prediction in predictions.items():
        found = {"rows": list(metric_rows(truth, prediction, metrics, targets=targets, seed=seed))}
        if truth.gain is not None:
            found["calibration"], found["reliability"] = calibration_rows(truth, prediction, seed=seed)
            if not settings.protocol.is_shuffled:
                found["coverage"] = coverage_rows(truth, prediction, targets=targets, seed=seed)
        for name, figures in found.items():
            rows[name] += [{"predictor": predictor, "features": features} | row for row in figures]
    frames = {name: pd.DataFrame(figures) for name, figures in rows.items()}
    if metric := settings.compared:
        by_target = {
            key: target_values(truth, prediction, metric, targets=targets)
            for key, prediction in predictions.items()
        }
        better = METRICS[metric].higher_is_better
        frames["comparisons"] = compare(by_target, higher_is_better=better, seed=seed)
    return frames


def _empty(shape: tuple[int, int]) -> Prediction:
    return Prediction(*(np.full(shape, np.nan) for _ in Prediction._fields))


def _fill(whole: Prediction, folds: Sequence[tuple[int, Fold]], parts: list[Prediction]) -> None:
    """Write the predictions for the test rows of each (repeat, fold) into `whole`."""
    for (repeat, (_, test)), part in zip(folds, parts, strict=True):
        for array, values in zip(whole, part, strict=True):
            array[repeat, test] = values


def _check(data: MetaDataset, settings: BenchmarkSettings) -> None:
    if data.has_gain and data.helped.all() == data.helped.any():
        kind = "gains" if data.helped.all() else "losses"
        raise InputError(
            f"all {len(data.helped)} pairs of '{data.name}' are {kind}: with one class there is nothing to predict"
        )
    if not data.has_gain and settings.protocol.is_shuffled:
        raise InputError(
            f"'{data.name}' has scores without baselines: only ranking within a target is possible, which needs "
            f"a protocol that holds out targets (not {settings.protocol.name})"
        )
