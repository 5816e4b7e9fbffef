"""Linear model of the gain: the target's mean gain plus how much a source differs from the target's other sources.

    expected gain of (s, t) = mean gain of t + slope · Σ coefficient · feature of s relative to t's known sources

The sum is a ridge regression of the gain standardised within the target (`predictors.ridge`).  The mean gain of a
target is a second, small ridge regression on the target's own features.  Since both are linear, the effect of a
feature is exactly its term of the sum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from transfer_meta.predictors.history import HISTORY_FEATURES
from transfer_meta.predictors.platt import fit_platt, platt_probability
from transfer_meta.predictors.ridge import RidgePredictor
from transfer_meta.predictors.within_target import (
    WithinTarget,
    group_codes,
    group_moments,
    standardised_gains,
)
from transfer_meta.records import FloatArray, signed_log

MEAN_GAIN_PENALTIES = (10.0, 30.0, 100.0, np.inf)
"""Ridge penalties that `MeanGainModel` chooses from; with an infinite one it predicts the mean."""


@dataclass(frozen=True)
class MeanGainModel:
    """Ridge regression of a target's mean gain over sources on the target's features.

    Parameters
    ----------
    mean : float
        Mean over the training targets.
    centre, scale, coef : array of shape (p,)
        Of the features, after sign(x)·ln(1 + |x|); scale 0 for a constant or unknown feature.
    penalty : float
        The one of `MEAN_GAIN_PENALTIES` with the least leave-one-target-out squared error.
    """

    mean: float
    centre: FloatArray
    scale: FloatArray
    coef: FloatArray
    penalty: float

    @classmethod
    def fit(cls, features: FloatArray, gain: FloatArray) -> tuple[Self, FloatArray]:
        """Fit on targets, and predict each from the others.

        Parameters
        ----------
        features : array of shape (n, p)
        gain : array of shape (n,)
            Mean gains, fractions.

        Returns
        -------
        model : MeanGainModel
        left_out : array of shape (n,)
            Leave-one-target-out predictions.
        """
        n = len(gain)
        left_out = np.empty((n, len(MEAN_GAIN_PENALTIES)))
        for i in range(n):
            rest = np.arange(n) != i
            for j, penalty in enumerate(MEAN_GAIN_PENALTIES):
                one = cls._fit_penalty(penalty, features[rest], gain[rest])
                left_out[i, j] = one.predict(features[i : i + 1])[0]
        best = int(np.argmin(((left_out - gain[:, None]) ** 2).sum(axis=0)))
        return cls._fit_penalty(MEAN_GAIN_PENALTIES[best], features, gain), left_out[:, best]

    @classmethod
    def _fit_penalty(cls, penalty: float, features: FloatArray, gain: FloatArray) -> Self:
        values = signed_log(features)
        mean, deviation = group_moments(values, np.zeros(len(values), dtype=np.intp))
        centre = mean[0]
        scale = np.where(deviation[0] > 1e-10 * np.maximum(1.0, np.abs(centre)), deviation[0], 0.0)
        coef = np.zeros(values.shape[1])
        if np.isfinite(penalty):
            z = _scaled(values, centre, scale)
            coef = np.linalg.solve(z.T @ z + penalty * np.eye(len(coef)), z.T @ (gain - gain.mean()))
        return cls(float(gain.mean()), centre, scale, coef, penalty)

    def predict(self, features: FloatArray) -> FloatArray:
        """Return the expected mean gains of targets, (n, p) -> (n,)."""
        return self.mean + _scaled(signed_log(features), self.centre, self.scale) @ self.coef


@dataclass(frozen=True)
class GainModel:
    """Expected gain and probability of gain of pairs, with the effect of each feature.

    Parameters
    ----------
    ridge : RidgePredictor
        Of the gain standardised within the target.
    mean_gain : MeanGainModel
    slope : float
        Gain (a fraction) per unit of the ridge regression's output.
    platt : array of shape (2,)
        Slope and intercept of the sigmoid from the expected gain, divided by `slope`, to the probability of gain.
    """

    ridge: RidgePredictor
    mean_gain: MeanGainModel
    slope: float
    platt: FloatArray

    @classmethod
    def fit(
        cls, X: pd.DataFrame, y: FloatArray, weight: FloatArray | None, target_features: pd.DataFrame
    ) -> Self:
        """Fit on pairs.

        Parameters
        ----------
        X, y, weight
            See `RidgePredictor.fit`.
        target_features : DataFrame
            Input of the mean gain model, indexed by target.
        """
        weight = np.ones(len(y)) if weight is None else weight
        ridge = RidgePredictor()
        ridge.fit(X, y, weight)
        ranking = ridge.inner_ranking(X, standardised_gains(y, group_codes(X)), weight)
        targets, place = np.unique(X["target"].to_numpy(dtype=object), return_inverse=True)
        means = np.bincount(place, y) / np.bincount(place)
        features = target_features.loc[targets].to_numpy(dtype=float)
        mean_gain, left_out = MeanGainModel.fit(features, means)
        power = float(ranking @ ranking)
        slope = max(0.0, float(ranking @ (y - means[place])) / power) if power > 0 else 0.0
        expected = left_out[place] + slope * ranking
        platt = fit_platt(expected / (slope or 1.0), y > 0)
        return cls(ridge, mean_gain, slope, platt)

    def effects(self, X: pd.DataFrame, reference: NDArray[np.bool_]) -> pd.DataFrame:
        """Return the effect of each feature on the expected gain, a fraction.

        Parameters
        ----------
        X : DataFrame
            Pairs of one target, all known sources among them.
        reference : array of shape (n,)
            Mask of the known sources; features are relative to these.

        Returns
        -------
        DataFrame of shape (n, n_features)
            One row per pair, columns as in `columns`.
        """
        raw = self.ridge.raw_features(X)
        relative = relative_to(raw, reference, self.ridge.centre_, self.ridge.scale_)
        return pd.DataFrame(self.slope * relative * self.ridge.coef_, columns=self.columns)

    @property
    def columns(self) -> list[str]:
        """Features of the regression: ``history.popularity``, … and those of the pair table."""
        of_table = [c for c in self.ridge.feature_names_in_ if not c.startswith("target.")]
        return [*(f"history.{name}" for name in HISTORY_FEATURES), *of_table]

    def expected(
        self, X: pd.DataFrame, target_features: FloatArray, reference: NDArray[np.bool_]
    ) -> FloatArray:
        """Return the expected gains of the pairs of one target, whose features have shape (p,)."""
        effects = self.effects(X, reference).to_numpy().sum(axis=1)
        return self.mean_gain.predict(target_features[None])[0] + effects

    def probability(self, expected: FloatArray, *, doubt: float = 1.0) -> FloatArray:
        """Return probabilities of gain.

        Their log-odds are divided by `doubt`, at least 1, for a target outside of the known tasks' range: the
        less is known, the nearer to one half.
        """
        return platt_probability(expected / (self.slope or 1.0), self.platt / doubt)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the ridge regression as plain values."""
        level = {k: np.asarray(v).tolist() for k, v in vars(self.mean_gain).items()}
        level["penalty"] = None if np.isinf(self.mean_gain.penalty) else self.mean_gain.penalty
        return {"level": level, "slope": self.slope, "platt": self.platt.tolist()}

    @classmethod
    def from_dict(cls, ridge: RidgePredictor, values: dict[str, Any]) -> Self:
        """Rebuild from a fitted ridge regression and the values of `to_dict`."""
        level = dict(values["level"])
        penalty = np.inf if level["penalty"] is None else float(level["penalty"])
        arrays = {k: np.array(level[k], dtype=float) for k in ("centre", "scale", "coef")}
        return cls(
            ridge,
            MeanGainModel(mean=float(level["mean"]), penalty=penalty, **arrays),
            float(values["slope"]),
            np.array(values["platt"], dtype=float),
        )


def relative_to(
    raw: FloatArray, reference: NDArray[np.bool_], centre: FloatArray, scale: FloatArray
) -> FloatArray:
    """Return features relative to the rows in `reference`; with every row in it, as `WithinTarget.transform`."""
    scaled = (raw - centre) / np.where(scale > 0, scale, np.inf)
    one_group = np.zeros(int(reference.sum()), dtype=np.intp)
    mean, deviation = group_moments(scaled[reference], one_group, prior=WithinTarget.PRIOR)
    if not len(mean):
        mean, deviation = np.zeros((1, raw.shape[1])), np.ones((1, raw.shape[1]))
    return np.clip(np.nan_to_num((scaled - mean[0]) / np.maximum(deviation[0], 1e-6)), -5.0, 5.0)


def _scaled(values: FloatArray, centre: FloatArray, scale: FloatArray) -> FloatArray:
    return np.clip(np.nan_to_num((values - centre) / np.where(scale > 0, scale, np.inf)), -3.0, 3.0)
