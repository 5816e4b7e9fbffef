"""Fitting of a recommender and its evaluation on held-out targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from transfer_meta.evaluation.calibration import expected_calibration_error, reliability
from transfer_meta.evaluation.conformal import COVERAGE, Conformal, fit_conformal, interval_coverage
from transfer_meta.evaluation.metrics import PairPredictions, PairTruth, evaluate
from transfer_meta.recommender.domain import Domain
from transfer_meta.recommender.gain_model import GainModel
from transfer_meta.recommender.library import Library
from transfer_meta.recommender.training_pairs import TrainingPairs
from transfer_meta.records import OnProgress

CARD_FIGURES = ("spearman", "regret@1", "regret@3", "auroc_within_target", "brier")


@dataclass(frozen=True)
class Recommender:
    """A fitted recommender.

    Parameters
    ----------
    gain_model : GainModel
    conformal, conformal_new : Conformal
        Intervals for sources with outcomes and for those without, calibrated on held-out targets.
    domain : Domain
        Range of the known tasks.
    card : mapping
        ``mode``, ``method``, ``regime``, ``dataset``, and under ``figures`` the evaluation on held-out targets.
    """

    gain_model: GainModel
    conformal: Conformal
    conformal_new: Conformal
    domain: Domain
    card: dict[str, Any]


def fit_recommender(
    library: Library, mode: str, *, on_progress: OnProgress = lambda *_: None
) -> Recommender:
    """Fit a recommender and evaluate it on held-out targets.

    Every figure of the card is from targets that had no part in the fit, in either role.  For the coverage, the
    interval is calibrated without the target too: on held-out residuals within the table that lacks it.
    """
    pairs = TrainingPairs.from_library(library, mode)
    held_out = pairs.held_out()
    target = pairs.X["target"].to_numpy(dtype=object)
    conformal = fit_conformal(held_out[0], pairs.y, target, coverage=COVERAGE)
    covered, width = [], []
    for done, name in enumerate(pairs.targets):
        on_progress(done, len(pairs.targets))
        others = pairs.without(name)
        interval = fit_conformal(others.held_out()[0], others.y, others.X["target"], coverage=COVERAGE)
        rows = target == name
        low, high = interval.interval(held_out[0, rows])
        covered.append(float(((pairs.y[rows] >= low) & (pairs.y[rows] <= high)).mean()))
        width.append(interval.high_offset - interval.low_offset)
    new = pairs.held_out_sources()
    covered_new = interval_coverage(new, pairs.y, target, coverage=COVERAGE)["covered"]
    helped = (pairs.y > 0).astype(float)
    truth = PairTruth(target=target, gain=pairs.y, score=None)
    predicted = PairPredictions(
        label=(held_out[1] > 0.5).astype(float), probability=held_out[1], ranking=held_out[0]
    )
    figures = {
        name: float(np.nanmean(v)) for name, v in evaluate(truth, predicted, CARD_FIGURES).items()
    }
    points = reliability(helped, held_out[1], n_bins=5)
    figures |= {
        "coverage_promised": conformal.coverage,
        "coverage": float(np.mean(covered)),
        "interval_width": float(np.mean(width)),
        "coverage_new_sources": float(covered_new.mean()),
        "calibration_error": expected_calibration_error(points),
        "share_gaining": float(helped.mean()),
        "mean_gain": float(pairs.y.mean()),
    }
    card = {
        "mode": mode,
        "method": library.method,
        "regime": library.regime,
        "dataset": library.name,
        "data_digest": library.outcomes.digest,
        "n_pairs": len(pairs.y),
        "n_targets": len(pairs.targets),
        "n_outcomes": len(library.outcomes.runs),
        "protocol": "leave-one-task-out",
        "figures": {name: round(value, 6) for name, value in figures.items()},
        "reliability": points.round(6).to_dict("records"),
    }
    conformal_new = fit_conformal(new, pairs.y, target, coverage=COVERAGE)
    return Recommender(pairs.fit(), conformal, conformal_new, Domain.from_library(library, mode), card)
