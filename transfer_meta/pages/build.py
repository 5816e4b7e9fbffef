"""Contents of a report: benchmarks of a table under every protocol, and feature importances."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from transfer_meta.errors import InputError
from transfer_meta.evaluation.benchmark import BenchmarkResult, benchmark
from transfer_meta.evaluation.benchmark_settings import N_SHUFFLES, BenchmarkSettings
from transfer_meta.evaluation.calibration import reliability
from transfer_meta.evaluation.splits import PROTOCOLS, Protocol
from transfer_meta.feature_importance import feature_importance
from transfer_meta.features.vectors.similarities import Vectors
from transfer_meta.metadataset import MetaDataset, build_metadataset
from transfer_meta.outcomes.tables import OutcomeTable
from transfer_meta.pages.published_figures import PUBLISHED
from transfer_meta.predictors import BY_TARGET, UNTUNED, make_predictor
from transfer_meta.records import OnProgress

EXPLANATIONS = {
    ("coefficients", "feature"): "logistic",
    ("permutation", "feature"): "logistic",
    ("permutation", "role"): "logistic",
    ("permutation", "group"): "logistic",
    ("shap", "feature"): "lightgbm",
}
"""Method and level of each table of importances, and the predictor that it explains."""

SLOW_PREDICTORS = ("logistic-rfe", "logistic-rfe-optimistic", "lambdarank", "lambdarank-langrank")
"""Predictors that take longer than all others together; only for tables with published figures."""
N_REPORT_SHUFFLES = 10
"""Repeats of the shuffled protocol for a table without published figures."""
MAX_FOLDS = 100
"""A protocol with more folds, and more than one per target, is skipped."""
REPORT_METRICS = (
    "accuracy", "f1", "auroc", "auroc_within_target", "brier",
    "spearman", "ndcg", "ndcg_exp", "regret@1", "regret@3", "mean_rank", "hit@1",
)  # fmt: skip


@dataclass(frozen=True)
class Report:
    """Contents of the page.

    Parameters
    ----------
    table : OutcomeTable
    benchmarks : tuple of BenchmarkResult
        One per protocol.
    importances : dict of (method, level) to DataFrame
        Tables of `importance.feature_importance`, see `EXPLANATIONS`.
    skipped : dict of str to str
        Protocols, predictors and explanations left out, with the reason.
    seconds : float
        Run time.
    curves : DataFrame or None
        Learning curves of single-task runs, see `learning_curves.single_task_curves`.
    vectors, types : mapping
        Vectors and type of each task, for the map of the task space.
    """

    table: OutcomeTable
    benchmarks: tuple[BenchmarkResult, ...]
    importances: dict[tuple[str, str], pd.DataFrame]
    skipped: dict[str, str] = field(default_factory=dict)
    seconds: float = float("nan")
    curves: pd.DataFrame | None = None
    vectors: Mapping[str, Vectors] = field(default_factory=dict)
    types: Mapping[str, str] = field(default_factory=dict)


def build_report(
    table: OutcomeTable,
    *,
    repeats: int | None = None,
    seed: int = 0,
    workers: int = 1,
    on_progress: OnProgress = lambda *_: None,
) -> Report:
    """Benchmark a table under every protocol, and compute the tables of `EXPLANATIONS`.

    Parameters
    ----------
    table : OutcomeTable
    repeats : int, optional
        Repeats of the shuffled protocol and splits for the coefficients.
    seed, workers : int
        See `BenchmarkSettings`.
    on_progress : callable
        Called with the hundredths of stages done and their total.

    Raises
    ------
    InputError
        The table has too few pairs for any protocol.
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
    usable, left_out = _choose(data, () if published else SLOW_PREDICTORS, seed)
    for number, protocol in enumerate(PROTOCOLS.values()):
        try:
            _check_folds(data, protocol)
            settings = BenchmarkSettings(
                protocol=protocol,
                predictors=tuple(n for n in usable if not (protocol.is_shuffled and n in BY_TARGET)),
                metrics=REPORT_METRICS,
                repeats=(repeats or (N_SHUFFLES if published else N_REPORT_SHUFFLES))
                if protocol.is_shuffled
                else None,
                seed=seed,
                workers=workers,
            )
            benchmarks.append(benchmark(table, settings, on_progress=stage(number)))
        except InputError as error:
            skipped[protocol.name] = str(error)
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
    """Return the names of the predictors to run, and those left out with the reason."""
    usable, left_out = [], {}
    for name in UNTUNED:
        if name in slow:
            left_out[name] = f"slow (run `benchmark --predictors {name}`)"
            continue
        try:
            make_predictor(name, random_state=seed).check(data.X)
        except InputError as error:
            left_out[name] = str(error)
        else:
            usable.append(name)
    return usable, left_out


def _check_folds(data: MetaDataset, protocol: Protocol) -> None:
    """Raise an InputError if a protocol would take minutes."""
    if not protocol.is_shuffled:
        n_folds = sum(1 for _ in protocol.folds(data.source, data.target))
        if n_folds > max(MAX_FOLDS, len(np.unique(data.target))):
            raise InputError(
                f"{n_folds} folds, more than {MAX_FOLDS} (`benchmark --protocol {protocol.name}` runs it)"
            )


def figure_of(result: BenchmarkResult, predictor: str, features: str, metric: str) -> pd.Series | None:
    """Return one row of a benchmark, or None if it has no such row."""
    rows = result.rows
    found = rows[
        (rows["predictor"] == predictor) & (rows["features"] == features) & (rows["metric"] == metric)
    ]
    return None if found.empty else found.iloc[0]


def reliability_points(result: BenchmarkResult, predictor: str, features: str) -> pd.DataFrame:
    """Return the reliability table of out-of-fold probabilities over all repeats.

    Five bins, or ten for at least 500 pairs, so that every bin has enough pairs.
    """
    probability = result.predictions[predictor, features].probability
    truth = result.truth.values("label")
    if truth is None:
        raise InputError(f"'{result.dataset}' has no gains: there is no probability to check")
    n_bins = 10 if len(truth) >= 500 else 5
    return reliability(
        np.broadcast_to(truth, probability.shape).ravel(), probability.ravel(), n_bins=n_bins
    )
