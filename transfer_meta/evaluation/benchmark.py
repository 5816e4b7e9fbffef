"""The benchmark: predictors under a protocol, every figure with its spread."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from transfer_meta import __version__
from transfer_meta.errors import InputError, unknown
from transfer_meta.evaluation.bootstrap import bootstrap_over_targets, bootstrap_pooled
from transfer_meta.evaluation.metrics import METRICS, PairPredictions, PairTruth, evaluate
from transfer_meta.evaluation.splits import PROTOCOLS
from transfer_meta.metadataset import GROUPS, MetaDataset, build_metadataset
from transfer_meta.outcomes.tables import OutcomeTable
from transfer_meta.predictors import (
    BY_TARGET,
    PREDICTORS,
    UNTUNED,
    Prediction,
    TransferPredictor,
    make_predictor,
)
from transfer_meta.predictors.relative import RelativePredictor
from transfer_meta.records import FloatArray

DEFAULT_PROTOCOL = "leave-one-target-out"
SHUFFLES = 100
"""Repeats of a shuffled protocol, as in Bingel & Søgaard 2017."""
CONTROL_DRAWS = 20
"""How often random controls are drawn under a protocol that is not shuffled."""
UNEXPLAINED = 0.4
"""Share of a standardised gain's variance that remains when the seeds' noise is gone."""
# Folds of one predictor that a worker does at a time: many enough to batch, few enough to share out.
FOLDS_A_JOB = 100
FEATURE_SETS_SHOWN = ("all", "all-refit", *GROUPS)


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
    n_jobs : int
        Worker processes; results do not depend on it.
    """

    protocol: str = DEFAULT_PROTOCOL
    predictors: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    repeats: int | None = None
    seed: int = 0
    n_jobs: int = 1

    def __post_init__(self) -> None:
        for kind, given, valid in (
            ("protocol", (self.protocol,), PROTOCOLS),
            ("predictor", self.predictors, PREDICTORS),
            ("metric", self.metrics, METRICS),
        ):
            for name in given:
                if name not in valid:
                    raise unknown(kind, name, valid)
        if self.repeats is not None and self.repeats < 1:
            raise InputError(f"repeats must be at least 1, got {self.repeats}")
        if self.seed < 0:
            raise InputError(f"seed must not be negative, got {self.seed}")
        if self.n_jobs < 1:
            raise InputError(f"n_jobs must be at least 1, got {self.n_jobs}")

    @property
    def draws(self) -> int:
        """Number of repeats, or of draws of the random controls."""
        return self.repeats or (SHUFFLES if PROTOCOLS[self.protocol].repeated else CONTROL_DRAWS)


@dataclass(frozen=True)
class BenchmarkResult:
    """Figures of a benchmark.

    Parameters
    ----------
    rows : DataFrame
        ``predictor``, ``features``, ``metric``, ``value``, ``std`` (over repeats), ``ci_low`` and ``ci_high``
        (bootstrap over targets, 95 %), ``n`` (pairs, or targets where the metric is defined).
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
    skipped: dict[str, str] = field(default_factory=dict)
    predictions: dict[tuple[str, str], Prediction] = field(default_factory=dict, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain values, for JSON."""
        return {
            "version": __version__,
            "dataset": self.dataset,
            "protocol": self.settings.protocol,
            "repeats": self.settings.draws,
            "seed": self.settings.seed,
            "n_pairs": self.n_pairs,
            "n_targets": self.n_targets,
            "positive_rate": self.positive_rate,
            "seconds": round(self.seconds, 3),
            "rows": self.rows.to_dict("records"),
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
        The table does not suffice for the protocol, or a predictor asked for by name does not apply to it.
    """
    settings = settings or BenchmarkSettings()
    begin = time.perf_counter()
    whole = build_metadataset(table)
    _check(whole, settings)
    for features in settings.features:
        build_metadataset(
            table, features
        )  # a set that selects nothing is a mistake, not a predictor to skip
    y = training_truth(whole)
    protocol = PROTOCOLS[settings.protocol]
    repeats = settings.draws if protocol.repeated else 1
    folds = [
        list(protocol.folds(whole.source, whole.target, seed=settings.seed, repeat=repeat))
        for repeat in range(repeats)
    ]
    jobs, skipped = _jobs(table, whole, settings, folds)
    predictions: dict[tuple[str, str], Prediction] = {}
    weight = seed_weights(table.pairs, ranking_groups(whole))
    for job, parts in _run(jobs, y, weight, settings.n_jobs, on_progress):
        if job.key not in predictions:
            shape = (settings.draws if job.drawn else repeats, len(y))
            predictions[job.key] = Prediction(*(np.full(shape, np.nan) for _ in Prediction._fields))
        for (repeat, (_, test)), part in zip(job.folds, parts, strict=True):
            for whole_array, values in zip(predictions[job.key], part, strict=True):
                whole_array[repeat, test] = values
    truth = PairTruth(
        target=ranking_groups(whole),
        gain=whole.truth if whole.has_gain else None,
        score=table.pairs["score"].to_numpy(dtype=float) if "score" in table.pairs else None,
    )
    order = list(dict.fromkeys(job.key for job in jobs))
    metrics = settings.metrics or tuple(METRICS)
    rows = [
        row
        for key in order
        for row in _rows(key, truth, predictions[key], metrics, whole.target, settings.seed)
    ]
    return BenchmarkResult(
        dataset=table.name,
        settings=settings,
        n_pairs=len(y),
        n_targets=len(np.unique(whole.target)),
        positive_rate=float(whole.y.mean()) if whole.has_gain else np.nan,
        seconds=time.perf_counter() - begin,
        rows=pd.DataFrame(rows),
        truth=truth,
        skipped=skipped,
        predictions={key: predictions[key] for key in order},
    )


def training_truth(data: MetaDataset) -> FloatArray:
    """What predictors learn: the gain, or the score less its mean within the target and setting."""
    if data.has_gain:
        return data.truth
    scores = pd.Series(data.truth)
    return (scores - scores.groupby(ranking_groups(data)).transform("mean")).to_numpy()


def seed_weights(pairs: pd.DataFrame, groups: Any) -> FloatArray | None:
    """How far the mean over a pair's seeds is to be trusted, shape (n,): 1 without noise, towards 0 with much.

    v / (v + e² / s²) with the standard error e of the pair's mean gain (or score), the standard deviation s of
    the means within the group (the pair's target and setting), and v = `UNEXPLAINED`, the variance that a perfect
    measurement leaves unexplained.  A pair with one seed has the mean error of its group's others; None where no
    pair has two.
    """
    column = "gain_std" if "gain_std" in pairs else "score_std"
    square = (pairs[column] ** 2 / pairs["n_seeds"]).astype(float)
    if square.isna().all():
        return None
    within = square.groupby(groups)
    square = square.fillna(within.transform("mean")).fillna(square.mean())
    spread = pairs[column.removesuffix("_std")].groupby(groups).transform("var")
    noise = (square / spread.where(spread > 0)).fillna(1.0)
    return np.asarray(UNEXPLAINED / (UNEXPLAINED + noise), dtype=float)


def ranking_groups(data: MetaDataset) -> Any:
    """What sources are ranked within: the target, or the target in one setting where there are several."""
    if not data.X["setting"].astype(bool).any():
        return data.target
    return (data.X["target"] + " | " + data.X["setting"]).to_numpy(dtype=object)


def _check(data: MetaDataset, settings: BenchmarkSettings) -> None:
    if data.has_gain and data.y.all() == data.y.any():
        kind = "gains" if data.y.all() else "losses"
        raise InputError(
            f"all {len(data.y)} pairs of '{data.name}' are {kind}: with one class there is nothing to predict"
        )
    if not data.has_gain and PROTOCOLS[settings.protocol].repeated:
        raise InputError(
            f"'{data.name}' has scores without baselines: only ranking within a target is possible, which needs "
            f"a protocol that holds out targets (not {settings.protocol})"
        )


@dataclass(frozen=True)
class _Job:
    """Some folds of one predictor, with the repeat that each belongs to."""

    key: tuple[str, str]
    predictor: TransferPredictor
    X: pd.DataFrame
    folds: list[tuple[int, Any]]
    drawn: bool


def _jobs(
    table: OutcomeTable,
    whole: MetaDataset,
    settings: BenchmarkSettings,
    folds: list[list[Any]],
) -> tuple[list[_Job], dict[str, str]]:
    jobs: list[_Job] = []
    skipped = {}
    left_out = BY_TARGET if PROTOCOLS[settings.protocol].repeated else ()
    for name in settings.predictors or [n for n in UNTUNED if n not in left_out]:
        predictor = make_predictor(name, random_state=settings.seed)
        for features in _feature_sets(table, whole, name, predictor, settings.features):
            try:
                X = whole.X if features == "–" else build_metadataset(table, features).X
                # Inapplicable predictors say so at once, in the caller's process.
                predictor.check(X)
            except InputError as error:
                if name in settings.predictors:
                    raise InputError(f"predictor '{name}' cannot be used: {error}") from error
                skipped[name] = str(error)
                continue
            key = (name, features)
            if predictor.stochastic:
                for draw in range(settings.draws):
                    drawn = make_predictor(name, random_state=settings.seed + draw)
                    jobs.append(
                        _Job(key, drawn, X, [(draw, f) for f in folds[draw % len(folds)]], True)
                    )
            else:
                flat = [(repeat, fold) for repeat, group in enumerate(folds) for fold in group]
                size = min(FOLDS_A_JOB, math.ceil(len(flat) / settings.n_jobs))
                jobs += [
                    _Job(key, predictor, X, flat[i : i + size], False)
                    for i in range(0, len(flat), size)
                ]
    return jobs, skipped


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


def _run(
    jobs: list[_Job],
    y: FloatArray,
    weight: FloatArray | None,
    n_jobs: int,
    on_progress: Callable[[int, int], None],
) -> Iterator[tuple[_Job, list[Prediction]]]:
    from joblib import Parallel, delayed

    parallel = Parallel(n_jobs=n_jobs, return_as="generator")
    results = parallel(delayed(_work)(job, y, weight) for job in jobs)
    for done, (job, parts) in enumerate(zip(jobs, results, strict=True), start=1):
        on_progress(done, len(jobs))
        yield job, parts


def _work(job: _Job, y: FloatArray, weight: FloatArray | None) -> list[Prediction]:
    from threadpoolctl import threadpool_limits

    # One thread a process: the matrices are small, and the sums then do not depend on the number of cores.
    with threadpool_limits(1):
        folds = [fold for _, fold in job.folds]
        if isinstance(job.predictor, RelativePredictor):
            return job.predictor.predict_folds(job.X, y, folds, weight)
        return job.predictor.predict_folds(job.X, y, folds)


def _rows(
    key: tuple[str, str],
    truth: PairTruth,
    prediction: Prediction,
    metrics: Sequence[str],
    targets: Any,
    seed: int,
) -> Iterator[dict[str, Any]]:
    repeats = len(prediction.ranking)
    stacked = _pair_predictions(prediction)
    for metric, values in evaluate(truth, stacked, metrics).items():
        low, high, n = np.nan, np.nan, truth.target.size
        with warnings.catch_warnings():
            # A metric that is undefined throughout is NaN; that is its figure, not news.
            warnings.simplefilter("ignore", RuntimeWarning)
            if METRICS[metric].per_target:
                # The settings of one target are no independent draws: the bootstrap draws targets.
                by_group = np.nanmean(values, axis=0)
                owner = _targets_of(truth.target, targets)
                n = len(np.unique(owner[~np.isnan(by_group)]))
                low, high = bootstrap_over_targets(by_group, clusters=owner, seed=seed)
                values = np.nanmean(values, axis=1)
            elif repeats == 1:
                single = _pair_predictions(Prediction(*(array[0] for array in prediction)))
                low, high = bootstrap_pooled(metric, truth, single, clusters=targets, seed=seed)
            value = float(np.nanmean(values))
            std = float(np.nanstd(values)) if repeats > 1 else np.nan
        yield {
            "predictor": key[0],
            "features": key[1],
            "metric": metric,
            "value": value,
            "std": std,
            "ci_low": low,
            "ci_high": high,
            "n": n,
        }


def _targets_of(groups: Any, targets: Any) -> Any:
    """Target of each group of pairs, the groups sorted by name."""
    owner = dict(zip(groups, targets, strict=True))
    return np.array([owner[group] for group in np.unique(groups)], dtype=object)


def _pair_predictions(prediction: Prediction) -> PairPredictions:
    return PairPredictions(
        label=(prediction.probability > 0.5).astype(float),
        probability=prediction.probability,
        ranking=prediction.ranking,
    )
