"""The main job on one table of outcomes: benchmark under every protocol, importance, calibration."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from transfer_meta.errors import InputError
from transfer_meta.evaluation.benchmark import SHUFFLES, BenchmarkResult, BenchmarkSettings, benchmark
from transfer_meta.evaluation.calibration import reliability
from transfer_meta.evaluation.splits import PROTOCOLS
from transfer_meta.features.vectors.similarities import Vectors
from transfer_meta.importance import IMPORTANCE_COLUMNS, feature_importance
from transfer_meta.metadataset import MetaDataset, build_metadataset
from transfer_meta.outcomes.tables import OutcomeTable
from transfer_meta.predictors import BY_TARGET, UNTUNED, make_predictor
from transfer_meta.records import OnProgress
from transfer_meta.report.published_figures import PUBLISHED

# What explains the predictions: (method, level) and the predictor that it explains.
EXPLANATIONS = {
    ("coefficients", "feature"): "logistic",
    ("permutation", "feature"): "logistic",
    ("permutation", "role"): "logistic",
    ("permutation", "group"): "logistic",
    ("shap", "feature"): "lightgbm",
}

SLOW = ("logistic-rfe", "logistic-rfe-optimistic", "lambdarank", "lambdarank-langrank", "ensemble")
"""Predictors that take longer than all others together: for tables with a paper to compare with."""
REPEATS = 10
"""Shuffles of the repeated protocol, where no paper is to be compared with; there, as many as the paper's."""
MOST_FOLDS = 100
"""A protocol that has more folds, and more than one a target, is left to the benchmark."""
REPORT_METRICS = (
    "accuracy", "f1", "auroc", "auroc_within_target", "brier",
    "spearman", "ndcg", "ndcg_exp", "regret@1", "regret@3", "mean_rank", "hit@1",
)  # fmt: skip


@dataclass(frozen=True)
class Report:
    """What the page shows.

    Parameters
    ----------
    table : OutcomeTable
    benchmarks : tuple of BenchmarkResult
        One a protocol.
    importances : dict of (method, level) to DataFrame
        Tables of `importance.feature_importance`, see `EXPLANATIONS`.
    skipped : dict of str to str
        Protocols and explanations that the table does not suffice for, with the reason.
    seconds : float
        What it took.
    curves : DataFrame or None
        Learning curves of single-task runs, see `learning_curves.single_task_curves`; None: not at hand.
    vectors, types : mapping
        Vectors and type of each task for the map of the task space; empty: no map.
    """

    table: OutcomeTable
    benchmarks: tuple[BenchmarkResult, ...]
    importances: dict[tuple[str, str], pd.DataFrame]
    skipped: dict[str, str] = field(default_factory=dict)
    seconds: float = float("nan")
    curves: pd.DataFrame | None = None
    vectors: Mapping[str, Vectors] = field(default_factory=dict)
    types: Mapping[str, str] = field(default_factory=dict)

    @property
    def importance(self) -> pd.DataFrame:
        """The logistic regression's coefficients, the largest first; no rows where there are none."""
        return self.importances.get(
            ("coefficients", "feature"), pd.DataFrame(columns=list(IMPORTANCE_COLUMNS))
        )


def build_report(
    table: OutcomeTable,
    *,
    repeats: int | None = None,
    seed: int = 0,
    workers: int = 1,
    on_progress: OnProgress = lambda *_: None,
) -> Report:
    """Run the benchmark under every protocol and the explanations of `EXPLANATIONS`.

    Parameters
    ----------
    repeats
        Shuffles of the repeated protocol and splits for the coefficients; None: `REPEATS` or as many as the
        paper's, and 100.
    seed, workers
        As in `BenchmarkSettings`.
    on_progress
        Called with hundredths of a stage: done, and in all.

    Raises
    ------
    InputError
        The table does not suffice for any protocol.
    """
    begin = time.perf_counter()
    benchmarks: list[BenchmarkResult] = []
    importances: dict[tuple[str, str], pd.DataFrame] = {}
    skipped: dict[str, str] = {}
    stages = len(PROTOCOLS) + len(EXPLANATIONS)

    def stage(number: int) -> OnProgress:
        return lambda done, total: on_progress(100 * number + 100 * done // max(total, 1), 100 * stages)

    published = table.name in PUBLISHED
    data = build_metadataset(table)
    usable, left_out = _choose(data, () if published else SLOW, seed)
    for number, (name, protocol) in enumerate(PROTOCOLS.items()):
        try:
            _check_folds(data, name)
            settings = BenchmarkSettings(
                protocol=name,
                predictors=tuple(n for n in usable if not (protocol.repeated and n in BY_TARGET)),
                metrics=REPORT_METRICS,
                repeats=(repeats or (SHUFFLES if published else REPEATS))
                if protocol.repeated
                else None,
                seed=seed,
                workers=workers,
            )
            benchmarks.append(benchmark(table, settings, on_progress=stage(number)))
        except InputError as error:
            skipped[name] = str(error)
    if not benchmarks:
        raise InputError(f"no protocol applies to '{table.name}': {next(iter(skipped.values()))}")
    for number, ((method, level), predictor) in enumerate(EXPLANATIONS.items(), start=len(PROTOCOLS)):
        try:
            importances[method, level] = feature_importance(
                data,
                make_predictor(predictor, random_state=seed),
                method=method,
                by=level,
                repeats=repeats if method == "coefficients" else None,
                seed=seed,
                on_progress=stage(number),
            )
        except InputError as error:
            skipped[f"{method} by {level}"] = str(error)
    on_progress(100 * stages, 100 * stages)
    return Report(
        table, tuple(benchmarks), importances, skipped | left_out, time.perf_counter() - begin
    )


def _choose(data: MetaDataset, slow: tuple[str, ...], seed: int) -> tuple[list[str], dict[str, str]]:
    """The predictors of the report, and by name why the others are none."""
    usable, left_out = [], {}
    for name in UNTUNED:
        if name in slow:
            left_out[name] = f"takes its time (`benchmark --predictors {name}` has it)"
            continue
        try:
            make_predictor(name, random_state=seed).check(data.X)
        except InputError as error:
            left_out[name] = str(error)
        else:
            usable.append(name)
    return usable, left_out


def _check_folds(data: MetaDataset, name: str) -> None:
    """Raise InputError where a protocol would take minutes."""
    if not PROTOCOLS[name].repeated:
        n_folds = sum(1 for _ in PROTOCOLS[name].folds(data.source, data.target))
        if n_folds > max(MOST_FOLDS, len(np.unique(data.target))):
            raise InputError(
                f"{n_folds} folds, more than {MOST_FOLDS} (`benchmark --protocol {name}` runs them)"
            )


def figure_of(result: BenchmarkResult, predictor: str, features: str, metric: str) -> pd.Series | None:
    """One row of a benchmark's figures, or None where it is not there."""
    rows = result.rows
    found = rows[
        (rows["predictor"] == predictor) & (rows["features"] == features) & (rows["metric"] == metric)
    ]
    return None if found.empty else found.iloc[0]


def reliability_points(result: BenchmarkResult, predictor: str, features: str) -> pd.DataFrame:
    """The reliability table of out-of-fold probabilities, all repeats together.

    Five bins, or ten from 500 pairs on: a point of a handful of pairs says nothing.
    """
    probability = result.predictions[predictor, features].probability
    truth = result.truth.values("label")
    if truth is None:
        raise InputError(f"'{result.dataset}' has no gains: there is no probability to check")
    n_bins = 10 if len(truth) >= 500 else 5
    return reliability(
        np.broadcast_to(truth, probability.shape).ravel(), probability.ravel(), n_bins=n_bins
    )
