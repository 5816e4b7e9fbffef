"""Fitting a recommender to a library, judging it on targets that it did not see, and keeping it as a folder."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from transfer_meta import __version__
from transfer_meta.errors import InputError
from transfer_meta.evaluation.calibration import expected_calibration_error, reliability
from transfer_meta.evaluation.conformal import COVERAGE, Conformal, fit_conformal, interval_coverage
from transfer_meta.evaluation.metrics import PairPredictions, PairTruth, evaluate
from transfer_meta.evaluation.truth import seed_weights
from transfer_meta.metadataset import pair_features
from transfer_meta.model import FORMAT, Model, load_model, save_model
from transfer_meta.outcomes.shipped import find_shipped
from transfer_meta.predictors.ridge import RidgePredictor
from transfer_meta.recommender.advisor import Advisor
from transfer_meta.recommender.domain import Domain
from transfer_meta.recommender.features import MODES, USED, pair_columns, pair_table, task_features
from transfer_meta.recommender.library import Library, methods_of, open_library
from transfer_meta.records import ID_COLUMNS, FloatArray

OnProgress = Callable[[int, int], None]
METRICS = ("spearman", "regret@1", "regret@3", "auroc_within_target", "brier")
QUARTERS = 4
BASELINE = "baseline"
"""The target's own score, which a training run tells: the nearer the ceiling, the less there is to gain."""


@dataclass(frozen=True)
class Recommender:
    """A fitted recommender with all that its answers need.

    Parameters
    ----------
    advisor : Advisor
    conformal, conformal_new : Conformal
        Of held-out targets: for sources with outcomes, and for those without.
    domain : Domain
        What lies inside of what was learned from.
    card : mapping
        ``mode``, ``method``, ``regime``, ``dataset``, and under ``figures`` how it did on held-out targets.
    """

    advisor: Advisor
    conformal: Conformal
    conformal_new: Conformal
    domain: Domain
    card: dict[str, Any]


@dataclass(frozen=True)
class Training:
    """The pairs of a library as a recommender learns them; rows are those of `X`.

    Parameters
    ----------
    X : DataFrame
    y, weight : array of shape (n,)
        Mean gain over the seeds, and how far it is to be trusted.
    own : DataFrame
        By target, the features that its level is predicted from.
    tasks : DataFrame
        By task.
    """

    X: pd.DataFrame
    y: FloatArray
    weight: FloatArray
    own: pd.DataFrame
    tasks: pd.DataFrame

    @classmethod
    def of(cls, library: Library, mode: str) -> Training:
        """All pairs of a library."""
        pairs = library.outcomes.pairs
        tasks = task_features(list(library.profiles.values()), mode)
        blocks = []
        for target, sources in pairs.groupby("target", sort=True)["source"]:
            names = sorted(sources)
            blocks.append(
                pair_table(
                    target=library.profiles[str(target)],
                    sources=[library.profiles[name] for name in names],
                    vectors=library.vectors,
                    reference=[True] * len(names),
                    mode=mode,
                )
            )
        table = pd.concat(blocks, ignore_index=True)
        by_pair = pairs.set_index(["source", "target"])
        measured = by_pair.loc[list(zip(table["source"], table["target"], strict=True))]
        measured = measured.reset_index()
        weight = seed_weights(measured, measured["target"].to_numpy())
        return cls(
            X=used_columns(table, tasks, mode),
            y=measured["gain"].to_numpy(dtype=float),
            weight=np.ones(len(table)) if weight is None else weight,
            own=level_features(tasks, library.baselines, mode),
            tasks=tasks,
        )

    def without(self, task: str) -> Training:
        """The pairs that a task has no part in, neither as target nor as source."""
        keep = ((self.X["target"] != task) & (self.X["source"] != task)).to_numpy()
        X = self.X[keep].reset_index(drop=True)
        return Training(X, self.y[keep], self.weight[keep], self.own, self.tasks)

    @property
    def targets(self) -> list[str]:
        """Sorted."""
        return sorted(self.X["target"].unique())

    def fit(self) -> Advisor:
        """On all pairs."""
        return Advisor.fitted(self.X, self.y, self.weight, self.own)

    def held_out(self) -> FloatArray:
        """Expected gains and probabilities of each pair without its target in any role, shape (2, n)."""
        result = np.empty((2, len(self.y)))
        for target in self.targets:
            advisor = self.without(target).fit()
            rows = (self.X["target"] == target).to_numpy()
            every = np.ones(int(rows.sum()), dtype=bool)
            own = self.own.loc[target].to_numpy(dtype=float)
            result[0, rows] = advisor.expected(self.X[rows].reset_index(drop=True), own, every)
            result[1, rows] = advisor.probability(result[0, rows])
        return result

    def held_out_sources(self) -> FloatArray:
        """Expected gains of each pair from outcomes without its target and without its source, shape (n,).

        That is what a source without outcomes gets; a quarter of the sources is left out at a time.
        """
        result = np.empty(len(self.y))
        for target in self.targets:
            rows = np.flatnonzero(self.X["target"] == target)
            of_target = self.X.iloc[rows].reset_index(drop=True)
            for part in range(QUARTERS):
                new = np.arange(len(rows)) % QUARTERS == part
                if not new.any():
                    continue
                seen = self.without(target)
                for name in of_target["source"][new]:
                    seen = seen.without(str(name))
                advisor = seen.fit()
                own = self.own.loc[target].to_numpy(dtype=float)
                result[rows[new]] = advisor.expected(of_target, own, ~new)[new]
        return result


def used_columns(table: pd.DataFrame, tasks: pd.DataFrame, mode: str) -> pd.DataFrame:
    """The columns that are learned from, of pairs with their `pair_columns`."""
    X, _ = pair_features(table, tasks, pair_features=tuple(pair_columns(mode)))
    return X[[c for c in X if c in ID_COLUMNS or re.search(USED, str(c))]]


def level_features(tasks: pd.DataFrame, baselines: pd.Series, mode: str) -> pd.DataFrame:
    """Features of targets that their level is predicted from: the task's, and its score where that was measured."""
    if mode != "measured":
        return tasks
    return tasks.assign(**{BASELINE: baselines.reindex(tasks.index)})


def fit_recommender(
    library: Library, mode: str, *, on_progress: OnProgress = lambda *_: None
) -> Recommender:
    """Fit a recommender and judge it on held-out targets.

    Every figure of the card is of targets that had no part in the fit, in either role.  For the coverage the
    interval, too, is calibrated without the target: on the residuals that the other targets have when each of them
    is held out in turn from a table that lacks this one.
    """
    training = Training.of(library, mode)
    held_out = training.held_out()
    target = training.X["target"].to_numpy(dtype=object)
    conformal = fit_conformal(held_out[0], training.y, target, coverage=COVERAGE)
    covered, width = [], []
    for done, name in enumerate(training.targets):
        on_progress(done, len(training.targets))
        others = training.without(name)
        interval = fit_conformal(others.held_out()[0], others.y, others.X["target"], coverage=COVERAGE)
        own = target == name
        low, high = interval.interval(held_out[0, own])
        covered.append(float(((training.y[own] >= low) & (training.y[own] <= high)).mean()))
        width.append(interval.high_offset - interval.low_offset)
    new = training.held_out_sources()
    covered_new = interval_coverage(new, training.y, target, coverage=COVERAGE)["covered"]
    helped = (training.y > 0).astype(float)
    truth = PairTruth(target=target, gain=training.y, score=None)
    predicted = PairPredictions(
        label=(held_out[1] > 0.5).astype(float), probability=held_out[1], ranking=held_out[0]
    )
    figures = {name: float(np.nanmean(v)) for name, v in evaluate(truth, predicted, METRICS).items()}
    points = reliability(helped, held_out[1], n_bins=5)
    figures |= {
        "coverage_promised": conformal.coverage,
        "coverage": float(np.mean(covered)),
        "interval_width": float(np.mean(width)),
        "coverage_new_sources": float(covered_new.mean()),
        "calibration_error": expected_calibration_error(points),
        "share_gaining": float(helped.mean()),
        "mean_gain": float(training.y.mean()),
    }
    advisor = training.fit()
    card = {
        "mode": mode,
        "method": library.method,
        "regime": library.regime,
        "dataset": library.name,
        "data_digest": library.outcomes.digest,
        "n_pairs": len(training.y),
        "n_targets": len(training.targets),
        "n_outcomes": len(library.outcomes.runs),
        "protocol": "leave-one-task-out",
        "figures": {name: round(value, 6) for name, value in figures.items()},
        "reliability": points.round(6).to_dict("records"),
    }
    conformal_new = fit_conformal(new, training.y, target, coverage=COVERAGE)
    return Recommender(advisor, conformal, conformal_new, Domain.of(library, mode), card)


def save_recommender(recommender: Recommender, folder: Path | str, tasks: pd.DataFrame) -> None:
    """Write a recommender as `transfer_meta.model` writes models: JSON and a table, nothing that is code."""
    advisor = recommender.advisor
    card = {
        "format": FORMAT,
        "version": __version__,
        "predictor": "ridge",
        "columns": list(advisor.ridge.feature_names_in_),
        "pair_features": pair_columns(recommender.card["mode"]),
        "has_gain": True,
        **recommender.card,
        "advisor": advisor.to_dict(),
        "conformal": vars(recommender.conformal),
        "conformal_new": vars(recommender.conformal_new),
        "domain": vars(recommender.domain),
    }
    save_model(Model(predictor=advisor.ridge, tasks=tasks, card=card), folder)


def load_recommender(folder: Path | str) -> Recommender:
    """Read what `save_recommender` wrote; an InputError where it is missing, changed or something else."""
    model = load_model(folder)
    card = dict(model.card)
    if "advisor" not in card or not isinstance(model.predictor, RidgePredictor):
        raise InputError(f"the model in '{folder}' is not of a recommender")
    try:
        advisor = Advisor.from_dict(model.predictor, card.pop("advisor"))
        conformal = Conformal(**card.pop("conformal"))
        conformal_new = Conformal(**card.pop("conformal_new"))
        domain = Domain(**card.pop("domain"))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"the model in '{folder}' is corrupt: {type(error).__name__}: {error}"
        ) from error
    return Recommender(advisor, conformal, conformal_new, domain, card)


def model_name(mode: str, method: str) -> str:
    """Folder of a model among a table's models."""
    return mode if method == "intermediate" else f"{method}-{mode}"


def rebuild(
    dataset: str, out: Path | str, *, on_progress: OnProgress = lambda *_: None
) -> dict[str, Recommender]:
    """Fit the recommender of every mode, for every method that has outcomes, each into a folder of `out`.

    Same data, same predictions: nothing in it is drawn at random.
    """
    made = {}
    for method in methods_of(dataset):
        library = open_library(dataset, method=method)
        for mode in MODES:
            recommender = fit_recommender(library, mode, on_progress=on_progress)
            name = model_name(mode, method)
            tasks = task_features(list(library.profiles.values()), mode)
            save_recommender(recommender, Path(out) / name, tasks)
            made[name] = recommender
    return made


def shipped_recommender(library: Library, mode: str) -> Recommender:
    """The fitted recommender that ships with a library's table."""
    models = find_shipped(library.name).models
    name = model_name(mode, library.method)
    if name not in models:
        raise InputError(
            f"no recommender for method '{library.method}' and mode '{mode}' ships with '{library.name}'"
            f" (it has: {', '.join(models) or 'none'})"
        )
    return load_recommender(models[name])
