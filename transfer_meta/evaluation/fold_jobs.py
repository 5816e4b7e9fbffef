"""Fits and predictions of a benchmark, split into jobs for worker processes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from transfer_meta.errors import InputError
from transfer_meta.evaluation.benchmark_settings import BenchmarkSettings
from transfer_meta.metadataset import MetaDataset, build_metadataset
from transfer_meta.outcomes.tables import OutcomeTable
from transfer_meta.predictors import Prediction, TransferPredictor, make_predictor
from transfer_meta.predictors.base import Fold
from transfer_meta.predictors.feature_groups import GROUPS
from transfer_meta.records import FloatArray, OnProgress
from transfer_meta.tasks.source_sets import has_sets

PredictionKey = tuple[str, str]
"""Predictor and feature set; `NO_FEATURE_SET` for a predictor that uses no features."""
NO_FEATURE_SET = "–"

FOLDS_PER_JOB = 100
"""Enough folds for a batched solver, few enough to divide among workers."""
JOBS_OF_PREDICTOR = 8
"""Jobs of a predictor that fits its folds one by one: more take longer, with fewer the progress jumps."""
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
    small = min(size, math.ceil(len(flat) / JOBS_OF_PREDICTOR))
    with_sets = has_sets(whole.source, known=set(whole.target))
    for name in settings.chosen_predictors(with_sets=with_sets):
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
                is_batched = type(predictor).predict_folds is not TransferPredictor.predict_folds
                step = size if is_batched else small
                parts = [flat[first : first + step] for first in range(0, len(flat), step)]
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

    on_progress(0, len(jobs))
    # As they end: otherwise a slow job would hide the progress of those after it.
    parallel = Parallel(n_jobs=workers, return_as="generator_unordered")
    results = parallel(delayed(_predict)(place, job, y, weight) for place, job in enumerate(jobs))
    waiting: dict[int, list[Prediction]] = {}
    following = 0
    for done, (place, parts) in enumerate(results, start=1):
        on_progress(done, len(jobs))
        waiting[place] = parts
        while following in waiting:
            yield jobs[following], waiting.pop(following)
            following += 1


def _predict(
    place: int, job: FoldJob, y: FloatArray, weight: FloatArray | None
) -> tuple[int, list[Prediction]]:
    from threadpoolctl import threadpool_limits

    # One thread per process: the matrices are small, and sums then do not depend on the number of cores.
    with threadpool_limits(1):
        folds = [fold for _, fold in job.folds]
        return place, job.predictor.predict_folds(job.X, y, folds, weight)


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
