"""The benchmark: predictors under a protocol, every figure with its spread and what it is to be compared with."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from transfer_meta._version import __version__
from transfer_meta.errors import InputError, unknown
from transfer_meta.evaluation.ceiling import noise_ceiling
from transfer_meta.evaluation.comparisons import compare
from transfer_meta.evaluation.decisions import judge_decisions
from transfer_meta.evaluation.fold_jobs import PredictionKey, make_fold_jobs, run_fold_jobs
from transfer_meta.evaluation.metric_rows import metric_rows, target_values
from transfer_meta.evaluation.metrics import METRICS, PairTruth
from transfer_meta.evaluation.pair_values import pair_truth, seed_weights, training_values
from transfer_meta.evaluation.reliability_rows import calibration_rows, coverage_rows
from transfer_meta.evaluation.splits import PROTOCOLS
from transfer_meta.metadataset import MetaDataset, build_metadataset
from transfer_meta.outcomes.gain_definition import GAIN_DEFINITIONS, apply_gain_definition
from transfer_meta.outcomes.tables import OutcomeTable
from transfer_meta.predictors import BY_TARGET, PREDICTORS, UNTUNED, Prediction, make_predictor

DEFAULT_PROTOCOL = "leave-one-target-out"
SHUFFLES = 100
"""Repeats of a shuffled protocol, as in Bingel & Søgaard 2017."""
CONTROL_DRAWS = 20
"""How often random controls are drawn under a protocol that is not shuffled."""


@dataclass(frozen=True)
class BenchmarkSettings:
    """What a benchmark runs.

    Parameters
    ----------
    protocol : str
        A key of `evaluation.splits.PROTOCOLS`.
    predictors : tuple of str
        Keys of `predictors.PREDICTORS`; empty: all untuned ones, under a shuffled protocol without those that
        learn from whole targets.
    features : tuple of str
        Feature sets for the predictors that use features; empty: ``all``, and for ``logistic`` every set at hand.
    metrics : tuple of str
        Keys of `evaluation.metrics.METRICS`; empty: all.
    repeats : int or None
        Shuffles of a repeated protocol, draws of random controls elsewhere; None: 100 and 20.
    seed : int
        Seed of shuffles, controls and predictors.
    workers : int
        Worker processes; results do not depend on it.
    compare : str or None
        Metric, scored within targets, by which predictors are compared with each other; None: Spearman's
        correlation, or the first such metric there is, and nothing under a shuffled protocol.
    gain_definition : str
        Definition of a pair's gain, in training and in every figure: one of
        `outcomes.gain_definition.GAIN_DEFINITIONS`.
    """

    protocol: str = DEFAULT_PROTOCOL
    predictors: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    repeats: int | None = None
    seed: int = 0
    workers: int = 1
    compare: str | None = None
    gain_definition: str = "mean-gain"

    def __post_init__(self) -> None:
        for kind, given, valid in (
            ("protocol", (self.protocol,), PROTOCOLS),
            ("predictor", self.predictors, PREDICTORS),
            ("metric", (*self.metrics, *filter(None, [self.compare])), METRICS),
            ("gain definition", (self.gain_definition,), GAIN_DEFINITIONS),
        ):
            for name in given:
                if name not in valid:
                    raise unknown(kind, name, valid)
        if self.compare and not METRICS[self.compare].per_target:
            within = ", ".join(name for name, metric in METRICS.items() if metric.per_target)
            raise InputError(
                f"'{self.compare}' is a figure of all pairs together, predictors are compared target by target: "
                f"expected one of {within}"
            )
        if self.repeats is not None and self.repeats < 1:
            raise InputError(f"repeats must be at least 1, got {self.repeats}")
        if self.seed < 0:
            raise InputError(f"seed must not be negative, got {self.seed}")
        if self.workers < 1:
            raise InputError(f"workers must be at least 1, got {self.workers}")

    @property
    def draws(self) -> int:
        """Number of repeats, or of draws of the random controls."""
        return self.repeats or (SHUFFLES if PROTOCOLS[self.protocol].repeated else CONTROL_DRAWS)

    @property
    def compared(self) -> str | None:
        """The metric that predictors are compared by, if any."""
        if self.compare or PROTOCOLS[self.protocol].repeated:
            return self.compare
        within = [name for name in self.metrics or METRICS if METRICS[name].per_target]
        return "spearman" if "spearman" in within else next(iter(within), None)


@dataclass(frozen=True)
class BenchmarkResult:
    """Figures of a benchmark.

    Every frame but `ceiling` has the columns ``predictor`` and ``features``.

    Parameters
    ----------
    rows : DataFrame
        ``metric``, ``value``, ``std`` (over repeats), ``ci_low`` and ``ci_high`` (bootstrap over targets, 95 %),
        ``n`` (pairs, or targets where the metric is defined).
    ceiling : DataFrame
        What other seeds of the same pairs reach, see `ceiling.noise_ceiling`: ``n_seeds``, ``how``, ``metric``,
        ``value``, ``ci_low``, ``ci_high``, ``n``.  Empty where no pair has two seeds.
    calibration : DataFrame
        ``ece`` (expected calibration error) and ``ece_if_calibrated``, what it would be were every probability
        true, see `calibration.error_if_calibrated`.  Empty for scores without baselines.
    reliability : DataFrame
        The points behind it: ``predicted``, ``observed``, ``n`` (pairs, over all repeats).
    coverage : DataFrame
        Intervals of the expected gain, each target's calibrated on the others, see `conformal.interval_coverage`:
        ``nominal`` (share of pairs promised inside), ``covered`` (share found, mean over targets) with ``ci_low``
        and ``ci_high``, ``width`` (mean, a fraction), ``n`` (targets).  Empty for scores and shuffled protocols.
    decisions : DataFrame
        Realised gain of "transfer or not, and from which", see `decisions.judge_decisions`.  Empty as `coverage`.
    comparisons : DataFrame
        Every pair of predictors by `BenchmarkSettings.compared`, see `comparisons.compare`.
    skipped : dict of str to str
        Predictors that do not apply to the table, with the reason.
    predictions : dict
        By (predictor, features): out-of-fold `Prediction` with arrays of shape (repeats, n pairs).
    truth : PairTruth
        What was measured.
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
    predictions: dict[PredictionKey, Prediction] = field(default_factory=dict, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain values, for JSON."""
        frames = (
            "rows",
            "ceiling",
            "calibration",
            "reliability",
            "coverage",
            "decisions",
            "comparisons",
        )
        return {
            "version": __version__,
            "dataset": self.dataset,
            "protocol": self.settings.protocol,
            "repeats": self.settings.draws,
            "seed": self.settings.seed,
            "truth": self.settings.gain_definition,
            "compared_by": self.settings.compared,
            "n_pairs": self.n_pairs,
            "n_targets": self.n_targets,
            "positive_rate": self.positive_rate,
            "seconds": round(self.seconds, 3),
            **{name: getattr(self, name).to_dict("records") for name in frames},
            "skipped": self.skipped,
        }

    def table(self, column: str = "value") -> pd.DataFrame:
        """One row a predictor and feature set, one column a metric."""
        wide = self.rows.pivot(index=["predictor", "features"], columns="metric", values=column)
        order = self.rows[["predictor", "features"]].drop_duplicates()
        return wide.loc[pd.MultiIndex.from_frame(order), list(self.rows["metric"].drop_duplicates())]


def benchmark(
    table: OutcomeTable,
    settings: BenchmarkSettings | None = None,
    *,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> BenchmarkResult:
    """Out-of-fold predictions of every predictor under a protocol, and their figures.

    Parameters
    ----------
    table
        Outcomes, see `load_outcomes`.
    settings
        See `BenchmarkSettings`.
    on_progress
        Called with the number of jobs done and in all.

    Raises
    ------
    InputError
        The table does not suffice for the protocol or the truth, or a predictor asked for by name does not apply
        to it.
    """
    settings = settings or BenchmarkSettings()
    begin = time.perf_counter()
    table = apply_gain_definition(table, settings.gain_definition)
    whole = build_metadataset(table)
    _check(whole, settings)
    for features in settings.features:
        # A set that selects nothing is a mistake, not a predictor to skip.
        build_metadataset(table, features)
    y, truth = training_values(whole), pair_truth(whole, table.pairs)
    weight = seed_weights(table.pairs, truth.target)
    protocol = PROTOCOLS[settings.protocol]
    repeats = settings.draws if protocol.repeated else 1
    folds = [
        list(protocol.folds(whole.source, whole.target, seed=settings.seed, repeat=repeat))
        for repeat in range(repeats)
    ]
    left_out = BY_TARGET if protocol.repeated else ()
    jobs, skipped = make_fold_jobs(
        table,
        whole,
        folds,
        predictors=settings.predictors or [name for name in UNTUNED if name not in left_out],
        required=bool(settings.predictors),
        feature_sets=settings.features,
        draws=settings.draws,
        seed=settings.seed,
        workers=settings.workers,
    )
    predictions: dict[PredictionKey, Prediction] = {}
    for job, parts in run_fold_jobs(jobs, y, weight, workers=settings.workers, on_progress=on_progress):
        if job.key not in predictions:
            predictions[job.key] = _empty((settings.draws if job.drawn else repeats, len(y)))
        _fill(predictions[job.key], job.folds, parts)
    frames = _figures(whole, truth, predictions, settings)
    if whole.has_gain and not protocol.repeated:
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
        predictions=predictions,
        seconds=time.perf_counter() - begin,
        **frames,
    )


def _figures(
    data: MetaDataset,
    truth: PairTruth,
    predictions: dict[PredictionKey, Prediction],
    settings: BenchmarkSettings,
) -> dict[str, pd.DataFrame]:
    """The frames of `BenchmarkResult` that follow from the predictions."""
    targets, seed = data.target, settings.seed
    metrics = settings.metrics or tuple(METRICS)
    rows: dict[str, list[dict[str, Any]]] = {
        name: [] for name in ("rows", "calibration", "reliability", "coverage")
    }
    for (predictor, features), prediction in predictions.items():
        found = {"rows": list(metric_rows(truth, prediction, metrics, targets=targets, seed=seed))}
        if truth.gain is not None:
            found["calibration"], found["reliability"] = calibration_rows(truth, prediction, seed=seed)
            if not PROTOCOLS[settings.protocol].repeated:
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


def _fill(whole: Prediction, folds: list[tuple[int, Any]], parts: list[Prediction]) -> None:
    """Write the predictions for each fold's test rows where they belong."""
    for (repeat, (_, test)), part in zip(folds, parts, strict=True):
        for array, values in zip(whole, part, strict=True):
            array[repeat, test] = values


def _check(data: MetaDataset, settings: BenchmarkSettings) -> None:
    if data.has_gain and data.helped.all() == data.helped.any():
        kind = "gains" if data.helped.all() else "losses"
        raise InputError(
            f"all {len(data.helped)} pairs of '{data.name}' are {kind}: with one class there is nothing to predict"
        )
    if not data.has_gain and PROTOCOLS[settings.protocol].repeated:
        raise InputError(
            f"'{data.name}' has scores without baselines: only ranking within a target is possible, which needs "
            f"a protocol that holds out targets (not {settings.protocol})"
        )
