"""Fitting a recommender to a library, and judging it on targets that it did not see."""

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
from transfer_meta.recommender.training_pairs import Training
from transfer_meta.records import OnProgress

CARD_FIGURES = ("spearman", "regret@1", "regret@3", "auroc_within_target", "brier")


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

    advisor: GainModel
    conformal: Conformal
    conformal_new: Conformal
    domain: Domain
    card: dict[str, Any]


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
