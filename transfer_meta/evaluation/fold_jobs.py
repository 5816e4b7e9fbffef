"""What a benchmark has to compute: folds of predictors, shared out to worker processes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from transfer_meta.errors import InputError
from transfer_meta.metadataset import GROUPS, MetaDataset, build_metadataset
from transfer_meta.outcomes.tables import OutcomeTable
from transfer_meta.predictors import Prediction, TransferPredictor, make_predictor
from transfer_meta.records import FloatArray

PredictionKey = tuple[str, str]
"""Predictor and feature set; ``–`` for a predictor to which the choice of features makes no difference."""

# Folds of one predictor that a worker does at a time: many enough to batch, few enough to share out.
FOLDS_A_JOB = 100
FEATURE_SETS_SHOWN = ("all", "all-refit", *GROUPS)


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
    folds : list of (repeat, fold)
        The repeat that each fold belongs to, or the draw of a random control.
    drawn : bool
        Whether it is a draw of a random control.
    """

    key: PredictionKey
    predictor: TransferPredictor
    X: pd.DataFrame
    folds: list[tuple[int, Any]]
    drawn: bool


def make_fold_jobs(
    table: OutcomeTable,
    whole: MetaDataset,
    folds: list[list[Any]],
    *,
    predictors: Sequence[str],
    required: bool,
    feature_sets: Sequence[str],
    draws: int,
    seed: int,
    workers: int,
) -> tuple[list[FoldJob], dict[str, str]]:
    """The jobs of a benchmark, and the predictors that do not apply to its table, with the reason.

    Parameters
    ----------
    table, whole
        Outcomes, and their meta-dataset with all features.
    folds
        Folds by repeat.
    predictors
        Keys of `PREDICTORS`.
    required : bool
        Whether a predictor that does not apply is a mistake.
    feature_sets
        For the predictors that use features; empty: ``all``, and for ``logistic`` every set at hand.
    draws : int
        Draws of a random control.

    Raises
    ------
    InputError
        A required predictor does not apply to the table.
    """
    jobs: list[FoldJob] = []
    skipped = {}
    flat = [(repeat, fold) for repeat, group in enumerate(folds) for fold in group]
    size = min(FOLDS_A_JOB, math.ceil(len(flat) / workers))
    for name in predictors:
        predictor = make_predictor(name, random_state=seed)
        for features in _feature_sets(table, whole, name, predictor, feature_sets):
            try:
                X = whole.X if features == "–" else build_metadataset(table, features).X
                # Inapplicable predictors say so at once, in the caller's process.
                predictor.check(X)
            except InputError as error:
                if required:
                    raise InputError(f"predictor '{name}' cannot be used: {error}") from error
                skipped[name] = str(error)
                continue
            key = (name, features)
            if predictor.stochastic:
                for draw in range(draws):
                    drawn = make_predictor(name, random_state=seed + draw)
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
    on_progress: Callable[[int, int], None],
) -> Iterator[tuple[FoldJob, list[Prediction]]]:
    """Each job with the predictions for its folds' test rows, in the order of the jobs."""
    from joblib import Parallel, delayed

    parallel = Parallel(n_jobs=workers, return_as="generator")
    results = parallel(delayed(_work)(job, y, weight) for job in jobs)
    for done, (job, parts) in enumerate(zip(jobs, results, strict=True), start=1):
        on_progress(done, len(jobs))
        yield job, parts


def _work(job: FoldJob, y: FloatArray, weight: FloatArray | None) -> list[Prediction]:
    from threadpoolctl import threadpool_limits

    # One thread a process: the matrices are small, and the sums then do not depend on the number of cores.
    with threadpool_limits(1):
        return job.predictor.predict_folds(job.X, y, [fold for _, fold in job.folds], weight)


def _feature_sets(
    table: OutcomeTable,
    whole: MetaDataset,
    name: str,
    predictor: TransferPredictor,
    asked: Sequence[str],
) -> list[str]:
    if not predictor.uses_features:
        return ["–"]
    if asked:
        return list(asked)
    if name != "logistic":
        return ["all"]
    groups = set(whole.features["group"])
    at_hand = [s for s in FEATURE_SETS_SHOWN if s == "all" or s in table.feature_sets or s in groups]
    return at_hand if len(groups) > 1 else ["all"]
