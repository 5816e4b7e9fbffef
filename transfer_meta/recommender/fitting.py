"""Fitting of a recommender and its evaluation on held-out targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from transfer_meta.evaluation.calibration import expected_calibration_error, reliability
from transfer_meta.evaluation.conformal import COVERAGE, Conformal, fit_conformal, interval_coverage
from transfer_meta.evaluation.metrics import PairPredictions, PairTruth, evaluate
from transfer_meta.predictors.platt import fit_platt
from transfer_meta.recommender.domain import Domain
from transfer_meta.recommender.gain_model import GainModel, GainScale
from transfer_meta.recommender.inputs import OUTCOMES
from transfer_meta.recommender.library import Library
from transfer_meta.recommender.training_pairs import TrainingPairs, encoder_of
from transfer_meta.records import FloatArray, OnProgress

CARD_FIGURES = ("spearman", "regret@1", "regret@3", "auroc_within_target", "brier")
UNKNOWN_SETTING = "another encoder"
"""Key of the interval and the figures for an encoder without outcomes."""


@dataclass(frozen=True)
class Recommender:
    """A fitted recommender.

    Parameters
    ----------
    gain_model : GainModel
    conformal : dict of str to dict of str to Conformal
        By basis (`inputs.BASES`) and setting: intervals calibrated on held-out targets, and under `UNKNOWN_SETTING`
        those for an encoder without outcomes, calibrated on held-out encoders.
    domain : Domain
        Range of the known tasks.
    card : mapping
        ``mode``, ``method``, ``dataset``, and by setting under ``figures`` and ``reliability`` the evaluation on
        held-out targets.
    """

    gain_model: GainModel
    conformal: dict[str, dict[str, Conformal]]
    domain: Domain
    card: dict[str, Any]

    def figures(self, setting: str | None) -> dict[str, float]:
        """Return the evaluation in a setting, or for an encoder without outcomes or with too few."""
        name = setting if self.measures(setting) else UNKNOWN_SETTING
        return dict(self.card["figures"][name])

    def measures(self, setting: str | None) -> bool:
        """Return whether there are figures of a setting, from its targets held out."""
        return setting in self.card["figures"]

    def interval(self, setting: str | None, *, basis: str = OUTCOMES) -> Conformal:
        """Return the interval for a setting, of sources of one basis."""
        by_setting = self.conformal[basis]
        # Without scored pairs in a setting: the one of all settings.
        found = by_setting.get(setting or UNKNOWN_SETTING, by_setting[UNKNOWN_SETTING])
        if setting is None and basis != OUTCOMES:
            # Both are unknown here, and held out one at a time: the wider interval of the two.
            return max(found, self.conformal[OUTCOMES][UNKNOWN_SETTING], key=_width)
        return found


def fit_recommender(
    library: Library, mode: str, *, on_progress: OnProgress = lambda *_: None
) -> Recommender:
    """Fit a recommender and evaluate it on held-out targets, encoders and sources.

    Every figure of the card is from targets that had no part in the fit, in either role; an interval's coverage is
    that of a target by the interval calibrated on all others (`evaluation.conformal.interval_coverage`).
    The calibration error of `UNKNOWN_SETTING` is flattered a little: its sigmoid, of two parameters, is fitted to
    the predictions for held-out encoders that it is then evaluated on.
    """
    pairs = TrainingPairs.from_library(library, mode)
    held_out = pairs.held_out()
    on_progress(1, 4)
    other_encoders = pairs.held_out_encoders()
    on_progress(2, 4)
    new = pairs.held_out_sources()
    on_progress(3, 4)
    gain_model = _with_untried(pairs.fit(), pairs, new)
    setting = pairs.X["setting"].to_numpy(dtype=object)
    conformal: dict[str, dict[str, Conformal]] = {basis: {} for basis in (OUTCOMES, *new)}
    figures: dict[str, dict[str, float]] = {}
    points: dict[str, list[dict[Any, Any]]] = {}
    for name in pairs.settings:
        rows = setting == name
        conformal[OUTCOMES][name] = fit_interval(pairs, held_out[0], rows)
        figures[name], points[name] = evaluate_setting(pairs, held_out, rows)
        for basis, expected in new.items():
            known = rows & np.isfinite(expected)
            if not known.any():
                continue
            conformal[basis][name] = fit_interval(pairs, expected, known)
            covered = interval_coverage(
                expected[known], pairs.y[known], _targets(pairs, known), coverage=COVERAGE
            )
            figures[name][f"coverage_{basis}"] = float(covered["covered"].mean())
            figures[name][f"spearman_{basis}"] = _spearman(pairs, expected, known)
    every = np.ones(len(pairs.y), dtype=bool)
    if np.isfinite(other_encoders).any():
        sigmoid = _recalibrated(gain_model, pairs, other_encoders[0])
        platt = {**gain_model.unknown.platt, OUTCOMES: sigmoid}
        unknown = replace(gain_model.unknown, platt=platt)
        gain_model = replace(gain_model, unknown=unknown)
        other_encoders[1] = gain_model.probability(other_encoders[0], None)
        widest = widest_interval(pairs, other_encoders[0], pairs.settings)
        conformal[OUTCOMES][UNKNOWN_SETTING] = widest
        figures[UNKNOWN_SETTING], points[UNKNOWN_SETTING] = evaluate_setting(
            pairs, other_encoders, every
        )
        shares = list(left_out_coverage(pairs, other_encoders[0]).values())
        figures[UNKNOWN_SETTING] |= {
            "coverage": float(np.mean(shares)),
            "coverage_least": float(np.min(shares)),
            "interval_width": _width(widest),
        }
    else:
        only = pairs.settings[0]
        conformal[OUTCOMES][UNKNOWN_SETTING] = conformal[OUTCOMES][only]
        figures[UNKNOWN_SETTING], points[UNKNOWN_SETTING] = dict(figures[only]), points[only]
    for basis, expected in new.items():
        known = np.isfinite(expected)
        conformal[basis][UNKNOWN_SETTING] = fit_interval(pairs, expected, known)
        # No encoder was held out together with sources: the least of the settings' figures, if all have one.
        figure = f"spearman_{basis}"
        if all(figure in figures[name] for name in pairs.settings):
            figures[UNKNOWN_SETTING][figure] = min(figures[name][figure] for name in pairs.settings)
    card = {
        "mode": mode,
        "method": library.method,
        "dataset": library.name,
        "settings": [vars(found) for found in library.settings],
        "data_digest": library.digest,
        "n_pairs": len(pairs.y),
        "n_targets": len(library.targets),
        "n_outcomes": library.n_outcomes,
        "protocol": "leave-one-task-out",
        "figures": {k: {n: round(v, 6) for n, v in of.items()} for k, of in figures.items()},
        "reliability": points,
    }
    on_progress(4, 4)
    return Recommender(gain_model, conformal, Domain.from_library(library, mode), card)


def _with_untried(gain_model: GainModel, pairs: TrainingPairs, new: dict[str, FloatArray]) -> GainModel:
    """Return the model with the sigmoids of sources without outcomes, fitted to predictions for held-out ones."""
    setting = pairs.X["setting"].to_numpy(dtype=object)

    def scaled(scale: GainScale, rows: NDArray[np.bool_]) -> GainScale:
        platt = dict(scale.platt)
        for basis, expected in new.items():
            known = rows & np.isfinite(expected)
            if not known.any():
                continue
            platt[basis] = fit_platt(expected[known] / scale.unit, pairs.y[known] > 0)
        return replace(scale, platt=platt)

    scales = {name: scaled(scale, setting == name) for name, scale in gain_model.scales.items()}
    unknown = scaled(gain_model.unknown, np.ones(len(pairs.y), dtype=bool))
    return replace(gain_model, scales=scales, unknown=unknown)


def _recalibrated(gain_model: GainModel, pairs: TrainingPairs, expected: FloatArray) -> FloatArray:
    """Return the sigmoid of an unknown setting, fitted to predictions for held-out encoders."""
    known = np.isfinite(expected)
    return fit_platt(expected[known] / gain_model.unknown.unit, pairs.y[known] > 0)


def widest_interval(pairs: TrainingPairs, expected: FloatArray, settings: Sequence[str]) -> Conformal:
    """Return the widest of the intervals calibrated in each setting.

    How far the gains of another encoder spread is not known beforehand.
    """
    setting = pairs.X["setting"].to_numpy(dtype=object)
    return max((fit_interval(pairs, expected, setting == name) for name in settings), key=_width)


def left_out_coverage(pairs: TrainingPairs, expected: FloatArray) -> dict[str, float]:
    """Return, for each setting, the coverage of its gains by `widest_interval` of the other encoders' settings.

    Parameters
    ----------
    pairs : TrainingPairs
        Of several encoders.
    expected : array of shape (n,)
        Expected gains from pairs without the encoder and the target, see `TrainingPairs.held_out_encoders`.
    """
    found = {}
    for name in pairs.settings:
        others = [other for other in pairs.settings if encoder_of(other) != encoder_of(name)]
        rows = (pairs.X["setting"] == name).to_numpy()
        low, high = widest_interval(pairs, expected, others).interval(expected[rows])
        inside = (pairs.y[rows] >= low) & (pairs.y[rows] <= high)
        found[name] = float(pd.Series(inside).groupby(_targets(pairs, rows)).mean().mean())
    return found


def _width(interval: Conformal) -> float:
    return interval.high_offset - interval.low_offset


def fit_interval(pairs: TrainingPairs, expected: FloatArray, rows: NDArray[np.bool_]) -> Conformal:
    """Return the interval calibrated on some pairs, given held-out predictions of all."""
    return fit_conformal(expected[rows], pairs.y[rows], _targets(pairs, rows), coverage=COVERAGE)


def _targets(pairs: TrainingPairs, rows: NDArray[np.bool_]) -> NDArray[np.object_]:
    return pairs.X.loc[rows, "target"].map(pairs.group_of).to_numpy(dtype=object)


def evaluate_setting(
    pairs: TrainingPairs, predicted: FloatArray, rows: NDArray[np.bool_]
) -> tuple[dict[str, float], list[dict[Any, Any]]]:
    """Return figures and the reliability diagram of held-out predictions."""
    expected, probability = predicted[:, rows]
    gain = pairs.y[rows]
    helped = (gain > 0).astype(float)
    X = pairs.X[rows]
    groups = (X["target"] + " | " + X["setting"]).to_numpy(dtype=object)
    truth = PairTruth(target=groups, gain=gain, score=None)
    label = (probability > 0.5).astype(float)
    found = evaluate(
        truth, PairPredictions(label=label, probability=probability, ranking=expected), CARD_FIGURES
    )
    points = reliability(helped, probability, n_bins=5)
    coverage = interval_coverage(expected, gain, _targets(pairs, rows), coverage=COVERAGE)
    # With gains of one sign alone some figures are not defined on any target.
    figures = {
        name: float(np.nanmean(value)) if np.isfinite(value).any() else float("nan")
        for name, value in found.items()
    } | {
        "coverage_promised": COVERAGE,
        "coverage": float(coverage["covered"].mean()),
        "interval_width": float(coverage["width"].mean()),
        "calibration_error": expected_calibration_error(points),
        "share_gaining": float(helped.mean()),
        "mean_gain": float(gain.mean()),
    }
    return figures, points.round(6).to_dict("records")


def _spearman(pairs: TrainingPairs, expected: FloatArray, rows: NDArray[np.bool_]) -> float:
    truth = PairTruth(
        target=pairs.X.loc[rows, "target"].to_numpy(dtype=object), gain=pairs.y[rows], score=None
    )
    ranking = np.nan_to_num(expected[rows], nan=float(np.nanmean(expected[rows])))
    predicted = PairPredictions(label=ranking, probability=ranking, ranking=ranking)
    found = evaluate(truth, predicted, ("spearman",))["spearman"]
    # Without descriptions nothing tells new sources apart: no order, no correlation.
    return float(np.nanmean(found)) if np.isfinite(found).any() else 0.0
