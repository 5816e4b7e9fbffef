"""The fitted recommender: how much a source helps a target beyond what its other sources do, and how much they do.

    expected gain of (s, t) = level of t + slope · Σ coefficient · feature of s relative to t's known sources

The sum is a ridge regression of the gain standardised within the target (`predictors.ridge`).  The level, what the
target gains from its sources on average, is a second, small ridge regression on the target's own features; where
these say nothing of held-out targets it is one number for all.  Both parts are linear: what a feature speaks for or
against is its term of the sum, exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from transfer_meta.predictors.history import FEATURES as HISTORY
from transfer_meta.predictors.platt import fit_platt, platt_probability
from transfer_meta.predictors.ridge import RidgePredictor
from transfer_meta.predictors.within_target import group_codes, group_means, relative_value
from transfer_meta.records import FloatArray

BASELINE_PENALTIES = (10.0, 30.0, 100.0, np.inf)
"""Of the level's regression on standardised features; with the last one it is the mean."""


@dataclass(frozen=True)
class BaselineLevelModel:
    """What a target gains from its sources on average, from its own features.

    Parameters
    ----------
    mean : float
        Of the training targets' mean gains.
    centre, scale, coef : array of shape (p,)
        Of the features, after sign(x)·ln(1 + |x|); scale 0: constant or unknown.
    penalty : float
        The one of `BASELINE_PENALTIES` with the least squared error on left-out targets.
    """

    mean: float
    centre: FloatArray
    scale: FloatArray
    coef: FloatArray
    penalty: float

    @classmethod
    def fitted(cls, features: FloatArray, level: FloatArray) -> tuple[Self, FloatArray]:
        """From features, shape (n, p), and mean gains, (n,), of targets; also each one's level without it."""
        n = len(level)
        left_out = np.empty((n, len(BASELINE_PENALTIES)))
        for i in range(n):
            rest = np.arange(n) != i
            for j, penalty in enumerate(BASELINE_PENALTIES):
                one = cls._with(penalty, features[rest], level[rest])
                left_out[i, j] = one(features[i : i + 1])[0]
        best = int(np.argmin(((left_out - level[:, None]) ** 2).sum(axis=0)))
        return cls._with(BASELINE_PENALTIES[best], features, level), left_out[:, best]

    @classmethod
    def _with(cls, penalty: float, features: FloatArray, level: FloatArray) -> Self:
        values = _log(features)
        mean, deviation = group_means(values, np.zeros(len(values), dtype=np.intp))
        centre = mean[0]
        scale = np.where(deviation[0] > 1e-10 * np.maximum(1.0, np.abs(centre)), deviation[0], 0.0)
        coef = np.zeros(values.shape[1])
        if np.isfinite(penalty):
            z = _scaled(values, centre, scale)
            coef = np.linalg.solve(z.T @ z + penalty * np.eye(len(coef)), z.T @ (level - level.mean()))
        return cls(float(level.mean()), centre, scale, coef, penalty)

    def __call__(self, features: FloatArray) -> FloatArray:
        """Expected mean gain of targets, (n, p) -> (n,), a fraction."""
        return self.mean + _scaled(_log(features), self.centre, self.scale) @ self.coef


@dataclass(frozen=True)
class GainModel:
    """A fitted recommender.

    Parameters
    ----------
    ridge : RidgePredictor
        Of the standardised gain.
    level : Level
    slope : float
        Gain (a fraction) for one standard deviation of a target's gains.
    platt : array of shape (2,)
        Slope and intercept of the sigmoid from the expected gain, in units of `slope`, to the probability of gain.
    """

    ridge: RidgePredictor
    level: BaselineLevelModel
    slope: float
    platt: FloatArray

    @classmethod
    def fitted(
        cls, X: pd.DataFrame, y: FloatArray, weight: FloatArray | None, own: pd.DataFrame
    ) -> Self:
        """Fit on pairs.

        Parameters
        ----------
        X, y, weight
            As `RidgePredictor.fit` takes them.
        own : DataFrame
            A row a target (its index): the features that its level is predicted from.
        """
        weight = np.ones(len(y)) if weight is None else weight
        ridge = RidgePredictor()
        ridge.fit(X, y, weight)
        groups = group_codes(X)
        ranking = ridge.inner_ranking(X, relative_value(y, groups), weight)
        targets, place = np.unique(X["target"].to_numpy(dtype=object), return_inverse=True)
        means = np.bincount(place, y) / np.bincount(place)
        level, left_out = BaselineLevelModel.fitted(own.loc[targets].to_numpy(dtype=float), means)
        power = float(ranking @ ranking)
        slope = max(0.0, float(ranking @ (y - means[place])) / power) if power > 0 else 0.0
        expected = left_out[place] + slope * ranking
        platt = fit_platt(expected / (slope or 1.0), y > 0)
        return cls(ridge, level, slope, platt)

    def effects(self, X: pd.DataFrame, reference: NDArray[np.bool_]) -> pd.DataFrame:
        """What each feature adds to the expected gain of each pair of one target, a fraction.

        Parameters
        ----------
        X : DataFrame
            Pairs of one target, among them all known sources.
        reference : array of shape (n,)
            The known sources, which a feature is relative to.

        Returns
        -------
        DataFrame
            A row a pair; columns ``history.popularity``, … and those of `X`.
        """
        raw = self.ridge.raw_features(X)
        relative = relative_to(raw, reference, self.ridge.centre_, self.ridge.scale_)
        return pd.DataFrame(self.slope * relative * self.ridge.coef_, columns=self.columns)

    @property
    def columns(self) -> list[str]:
        """The features of the regression."""
        of_table = [c for c in self.ridge.feature_names_in_ if not c.startswith("target.")]
        return [*(f"history.{name}" for name in HISTORY), *of_table]

    def expected(self, X: pd.DataFrame, own: FloatArray, reference: NDArray[np.bool_]) -> FloatArray:
        """Expected gain of the pairs of one target with the features `own`, shape (p,)."""
        return self.level(own[None])[0] + self.effects(X, reference).to_numpy().sum(axis=1)

    def probability(self, expected: FloatArray, *, doubt: float = 1.0) -> FloatArray:
        """Probability of gain.

        Its log-odds are divided by `doubt`, 1 or more, for a target that is unlike those learned from: what is
        not known leaves one source as likely to help as not.
        """
        return platt_probability(expected / (self.slope or 1.0), self.platt / doubt)

    def to_dict(self) -> dict[str, Any]:
        """All but the ridge regression, as plain values."""
        level = {k: np.asarray(v).tolist() for k, v in vars(self.level).items()}
        level["penalty"] = None if np.isinf(self.level.penalty) else self.level.penalty
        return {"level": level, "slope": self.slope, "platt": self.platt.tolist()}

    @classmethod
    def from_dict(cls, ridge: RidgePredictor, values: dict[str, Any]) -> Self:
        """What `to_dict` gave, with its ridge regression."""
        level = dict(values["level"])
        penalty = np.inf if level["penalty"] is None else float(level["penalty"])
        arrays = {k: np.array(level[k], dtype=float) for k in ("centre", "scale", "coef")}
        return cls(
            ridge,
            BaselineLevelModel(mean=float(level["mean"]), penalty=penalty, **arrays),
            float(values["slope"]),
            np.array(values["platt"], dtype=float),
        )


def relative_to(
    raw: FloatArray, reference: NDArray[np.bool_], centre: FloatArray, scale: FloatArray
) -> FloatArray:
    """Features relative to those of the rows in `reference`: `relative.WithinTarget`, if that is every row."""
    from transfer_meta.predictors.within_target import WithinTarget

    scaled = (raw - centre) / np.where(scale > 0, scale, np.inf)
    one = np.zeros(int(reference.sum()), dtype=np.intp)
    mean, deviation = group_means(scaled[reference], one, prior=WithinTarget.PRIOR)
    if not len(mean):
        mean, deviation = np.zeros((1, raw.shape[1])), np.ones((1, raw.shape[1]))
    return np.clip(np.nan_to_num((scaled - mean[0]) / np.maximum(deviation[0], 1e-6)), -5.0, 5.0)


def _log(values: FloatArray) -> FloatArray:
    return np.sign(values) * np.log1p(np.abs(values))


def _scaled(values: FloatArray, centre: FloatArray, scale: FloatArray) -> FloatArray:
    return np.clip(np.nan_to_num((values - centre) / np.where(scale > 0, scale, np.inf)), -3.0, 3.0)
