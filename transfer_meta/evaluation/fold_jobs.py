"""Fits and predictions of a benchmark, split into jobs for worker processes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from transfer_meta.errors import InputError
from transfer_meta.evaluation.benchmark_settings import BenchmarkSettings
from transfer_meta.metadataset import GROUPS, MetaDataset, build_metadataset
from transfer_meta.outcomes.tables import OutcomeTable
from transfer_meta.predictors import Prediction, TransferPredictor, make_predictor
from transfer_meta.predictors.base import Fold
from transfer_meta.records import FloatArray, OnProgress

PredictionKey = tuple[str, str]
"""Predictor and feature set; `NO_FEATURE_SET` for a predictor that uses no features."""
NO_FEATURE_SET = "–"

FOLDS_PER_JOB = 100
"""Enough folds for a batched solver, few enough to divide among workers."""
DEFAULT_FEATURE_SETS = ("all", "all-refit", *GROUPS)
"""Feature sets that ``logistic`` is run with unless others are named."""


@dataclass(frozen=True)
class FoldJob:
    """Some folds of one predictor.

    Parameters
    ----------
    key : tuple of str
        Predictor and feature set.
    predictor : TransferPredictor
        Not fitted.
    X : DataFrame
        All pairs with the feature set.
    folds : list of (int, Fold)
        Each fold with its repeat, or with its draw of a random control.
    drawn : bool
        Whether this is a draw of a random control.
    """

    key: PredictionKey
    predictor: TransferPredictor
    X: pd.DataFrame
    folds: list[tuple[int, Fold]]
    drawn: bool


def make_fold_jobs(
    table: OutcomeTable, whole: MetaDataset, folds: list[list[Fold]], settings: BenchmarkSettings
) -> tuple[list[FoldJob], dict[str, str]]:
    """Return the jobs of a benchmark, and the predictors that do not apply to its table, with the reason.

    Parameters
    ----------
    table, whole
        Outcomes, and their meta-dataset with all features.
    folds
        Folds of each repeat.
    settings : BenchmarkSettings

    Raises
    ------
    InputError
        A predictor named in the settings does not apply to the table.
    """
    jobs: list[FoldJob] = []
    skipped = {}
    flat = [(repeat, fold) for repeat, group in enumerate(folds) for fold in group]
    size = min(FOLDS_PER_JOB, math.ceil(len(flat) / settings.workers))
    for name in settings.chosen_predictors:
        predictor = make_predictor(name, random_state=settings.seed)
        for features in _feature_sets(table, whole, name, predictor, settings):
            try:
                X = whole.X if features == NO_FEATURE_SET else build_metadataset(table, features).X
                predictor.check(X)
            except InputError as error:
                if settings.predictors:
                    raise InputError(f"predictor '{name}' cannot be used: {error}") from error
                skipped[name] = str(error)
                continue
            key = (name, features)
            if predictor.stochastic:
                for draw in range(settings.draws):
                    drawn = make_predictor(name, random_state=settings.seed + draw)
                    of_draw = [(draw, fold) for fold in folds[draw % len(folds)]]
                    jobs.append(FoldJob(key, drawn, X, of_draw, True))
            else:
                parts = [flat[first : first + size] for first in range(0, len(flat), size)]
                jobs += [FoldJob(key, predictor, X, part, False) for part in parts]
    return jobs, skipped


def run_fold_jobs(
    jobs: list[FoldJob],
    y: FloatArray,
    weight: FloatArray | None,
    *,
    workers: int,
    on_progress: OnProgress,
) -> Iterator[tuple[FoldJob, list[Prediction]]]:
    """Yield each job, in order, with the predictions for the test rows of its folds."""
    from joblib import Parallel, delayed

    parallel = Parallel(n_jobs=workers, return_as="generator")
    results = parallel(delayed(_predict)(job, y, weight) for job in jobs)
    for done, (job, parts) in enumerate(zip(jobs, results, strict=True), start=1):
        on_progress(done, len(jobs))
        yield job, parts


def _predict(job: FoldJob, y: FloatArray, weight: FloatArray | None) -> list[Prediction]:
    from threadpoolctl import threadpool_limits

    # One thread per process: the matrices are small, and sums then do not depend on the number of cores.
    with threadpool_limits(1):
        return job.predictor.predict_folds(job.X, y, [fold for _, fold in job.folds], weight)


def _feature_sets(
    table: OutcomeTable,
    whole: MetaDataset,
    name: str,
    predictor: TransferPredictor,
    settings: BenchmarkSettings,
) -> list[str]:
    if not predictor.uses_features:
        return [NO_FEATURE_SET]
    if settings.features:
        return list(settings.features)
    if name != "logistic":
        return ["all"]
    groups = set(whole.features["group"])
    present = [s for s in DEFAULT_FEATURE_SETS if s == "all" or s in table.feature_sets or s in groups]
    return present if len(groups) > 1 else ["all"]
