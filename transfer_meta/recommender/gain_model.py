"""Linear model of the gain: the target's mean gain plus how much a source differs from the target's other sources.

    expected gain of (s, t) in setting k
        = mean_k + unit_k · (level of t + slope · Σ coefficient · feature of s relative to t's known sources)

The sum is a ridge regression, over all settings together, of the gain standardised within target and setting
(`predictors.ridge`).  The level of a target is a second, small ridge regression on the target's own features.
Since both are linear, the effect of a feature is exactly its term of the sum.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from transfer_meta.predictors.base import id_column
from transfer_meta.predictors.group_ridge import GroupRidgePredictor
from transfer_meta.predictors.history import HISTORY_FEATURES
from transfer_meta.predictors.platt import fit_platt, platt_probability
from transfer_meta.predictors.ridge import RidgePredictor
from transfer_meta.predictors.within_target import (
    MAX_RELATIVE_FEATURE,
    WithinTarget,
    group_codes,
    group_moments,
    setting_column,
    standardised_gains,
)
from transfer_meta.recommender.inputs import (
    BASES,
    DESCRIPTION,
    NEW_SOURCE_COLUMNS,
    OUTCOMES,
    SCORE_FEATURES,
    SCORES,
)
from transfer_meta.records import FloatArray, signed_log

MAX_NEW_SIMILARITY = 2.0
"""Standard deviations above the typical from which a description is no nearer: farther out nothing was measured."""
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
    def fit(
        cls, features: FloatArray, gain: FloatArray, targets: NDArray[np.object_]
    ) -> tuple[Self, FloatArray]:
        """Fit on targets, and predict each from the others.

        Parameters
        ----------
        features : array of shape (n, p)
        gain : array of shape (n,)
            Mean gains of the targets, each in one or several settings.
        targets : array of shape (n,)
            Names; all rows of a target are left out together.

        Returns
        -------
        model : MeanGainModel
        left_out : array of shape (n,)
            Leave-one-target-out predictions.
        """
        n = len(gain)
        left_out = np.full((n, len(MEAN_GAIN_PENALTIES)), gain.mean())
        for name in np.unique(targets):
            here, rest = targets == name, targets != name
            for j, penalty in enumerate(MEAN_GAIN_PENALTIES if rest.any() else ()):
                one = cls._fit_penalty(penalty, features[rest], gain[rest])
                left_out[here, j] = one.predict(features[here])
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
class GainScale:
    """Scale of the gains of a setting.

    Parameters
    ----------
    mean : float
        Mean gain over the targets, a fraction.
    unit : float
        Mean over the targets of the standard deviation of the gains of their sources.
    platt : dict of str to array of shape (2,)
        By basis (`inputs.BASES`): slope and intercept of the sigmoid from the expected gain, divided by `unit`, to
        the probability of gain.
    """

    mean: float
    unit: float
    platt: dict[str, FloatArray]


@dataclass(frozen=True)
class GainModel:
    """Expected gain and probability of gain of pairs, with the effect of each feature.

    Parameters
    ----------
    ridge : RidgePredictor
        Of the gain standardised within target and setting.
    mean_gain : MeanGainModel
        Of a target's mean gain relative to the setting's, in its units.
    slope : float
        Units of gain per unit of the ridge regression's output.
    scales : dict of str to GainScale
        By setting.
    unknown : GainScale
        Of a setting without outcomes: the mean of the others.
    untried : dict of str to array of shape (n_features,)
        Coefficients of `columns`, in units of gain, for sources without outcomes, by basis: of the descriptions
        (`NEW_SOURCE_COLUMNS`), and of what `predictors.group_ridge` learns from the scores of source encoders.
    """

    ridge: RidgePredictor
    mean_gain: MeanGainModel
    slope: float
    scales: dict[str, GainScale]
    unknown: GainScale
    untried: dict[str, FloatArray] = field(default_factory=dict)

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
        codes = group_codes(X)
        ranking = ridge.inner_ranking(X, standardised_gains(y, codes), weight)
        first = np.unique(codes, return_index=True)[1]
        targets, settings = id_column(X, "target")[first], setting_column(X)[first]
        means, deviations = (v[first, 0] for v in group_moments(y[:, None], codes))
        names, place = np.unique(settings, return_inverse=True)
        n_targets = np.bincount(place)
        mean = np.bincount(place, means) / n_targets
        unit = np.bincount(place, deviations) / n_targets
        unit = np.where(unit > 0, unit, unit[unit > 0].mean() if (unit > 0).any() else 1.0)
        features = target_features.loc[targets.tolist()].to_numpy(dtype=float)
        mean_gain, level = MeanGainModel.fit(features, (means - mean[place]) / unit[place], targets)
        z = (y - means[codes]) / unit[place][codes]
        slope = _slope(ranking, z)
        # The setting's mean without the target, of which there may be one only.
        others = np.where(
            n_targets[place] > 1,
            (mean[place] * n_targets[place] - means) / np.maximum(n_targets[place] - 1, 1),
            mean[place],
        )
        score = (others / unit[place] + level)[codes] + slope * ranking
        scales = {
            str(name): _new_scale(mean[i], unit[i], fit_platt(score[rows], y[rows] > 0))
            for i, name in enumerate(names)
            for rows in [place[codes] == i]
        }
        unknown = _new_scale(mean.mean(), unit.mean(), fit_platt(score, y > 0))
        relative = WithinTarget(ridge.centre_, ridge.scale_).transform(ridge.raw_features(X), codes)
        fitted = cls(ridge, mean_gain, slope, scales, unknown)
        weights = fitted.new_source_weights
        untried = {DESCRIPTION: _slope(relative @ weights, z) * weights}
        scored = X.reindex(columns=[f"pair.{name}" for name in SCORE_FEATURES]).notna().any(axis=1)
        if scored.any():
            # Of these pairs alone: the others' gains would be told by the other features.
            rows = np.flatnonzero(scored)
            part = X.iloc[rows].reset_index(drop=True)
            learned = GroupRidgePredictor(expected=False).fit(part, y[rows], weight[rows])
            z_part = standardised_gains(y[rows], group_codes(part))
            inner = learned.inner_ranking(part, z_part, weight[rows])
            known = np.isfinite(inner)
            # Features are standardised within the target, so that coefficients hold for either's scales.
            coefficients = np.concatenate([np.zeros(len(HISTORY_FEATURES)), learned.coef_])
            untried[SCORES] = _slope(inner[known], z[rows][known]) * coefficients
        return replace(fitted, untried=untried)

    def with_calibration(self, other: GainModel, *, borrowed: Collection[str] = ()) -> GainModel:
        """Return the model with the sigmoids of another one for new sources and for unknown settings.

        Settings that `other` lacks have those of its unknown one; settings in `borrowed`, of too few targets to
        measure a scale, also that one's scale.
        """
        scales = {}
        for name in (*self.scales, *(name for name in other.scales if name not in self.scales)):
            mine, theirs = self.scales.get(name), other.scales.get(name, other.unknown)
            if mine is None or name in borrowed:
                scales[name] = other.unknown
            else:
                scales[name] = replace(mine, platt={**theirs.platt, OUTCOMES: mine.platt[OUTCOMES]})
        return replace(self, scales=scales, unknown=other.unknown)

    def scale(self, setting: str | None) -> GainScale:
        """Return the scale of a setting, or that of an unknown one."""
        return self.unknown if setting is None else self.scales[setting]

    @property
    def new_source_weights(self) -> FloatArray:
        """Weights of `columns` in the ranking of sources by descriptions, shape (n_features,), of sum 1 or 0."""
        chosen = np.array([name in NEW_SOURCE_COLUMNS for name in self.columns], dtype=float)
        chosen *= self.ridge.scale_ > 0
        return chosen / max(1.0, chosen.sum())

    def effects(
        self,
        X: pd.DataFrame,
        reference: NDArray[np.bool_],
        setting: str | None,
        basis: NDArray[np.object_] | None = None,
    ) -> pd.DataFrame:
        """Return the effect of each feature on the expected gain, a fraction.

        What the regression learns of a few dozen sources does not hold for others (see `fitting.fit_recommender`,
        which measures it): sources without outcomes have coefficients of their own, `untried`.

        Parameters
        ----------
        X : DataFrame
            Pairs of one target, all known sources among them.
        reference : array of shape (n,)
            Mask of the known sources; features are relative to these.
        setting : str, optional
            A setting of the training pairs; by default the mean over all of them.
        basis : array of shape (n,), optional
            One of `inputs.BASES` for each source; by default outcomes.

        Returns
        -------
        DataFrame of shape (n, n_features)
            One row per pair, columns as in `columns`.
        """
        relative = np.zeros((len(X), len(self.columns)))
        settings = list(self.scales) if setting is None else [setting]
        for name in settings:
            raw = self.ridge.raw_features(X.assign(setting=name))
            relative += relative_to(raw, reference, self.ridge.centre_, self.ridge.scale_) / len(
                settings
            )
        effect = self.slope * relative * self.ridge.coef_
        for name, coefficients in self.untried.items() if basis is not None else ():
            rows = basis == name
            limit = MAX_NEW_SIMILARITY if name == DESCRIPTION else MAX_RELATIVE_FEATURE
            effect[rows] = np.clip(relative[rows], -limit, limit) * coefficients
        return pd.DataFrame(self.scale(setting).unit * effect, columns=self.columns)

    @property
    def columns(self) -> list[str]:
        """Features of the regression: ``history.popularity``, … and those of the pair table."""
        of_table = [c for c in self.ridge.feature_names_in_ if not c.startswith("target.")]
        return [*(f"history.{name}" for name in HISTORY_FEATURES), *of_table]

    def level(self, target_features: FloatArray, setting: str | None) -> float:
        """Return the expected mean gain of a target, whose features have shape (p,)."""
        scale = self.scale(setting)
        return scale.mean + scale.unit * float(self.mean_gain.predict(target_features[None])[0])

    def expected(
        self,
        X: pd.DataFrame,
        target_features: FloatArray,
        reference: NDArray[np.bool_],
        setting: str | None,
        basis: NDArray[np.object_] | None = None,
    ) -> FloatArray:
        """Return the expected gains of the pairs of one target, whose features have shape (p,)."""
        effects = self.effects(X, reference, setting, basis).to_numpy().sum(axis=1)
        return self.level(target_features, setting) + effects

    def probability(
        self,
        expected: FloatArray,
        setting: str | None,
        *,
        basis: str = OUTCOMES,
        doubt: float = 1.0,
    ) -> FloatArray:
        """Return probabilities of gain of sources of one basis.

        Their log-odds are divided by `doubt`, at least 1, for a target outside of the known tasks' range: the
        less is known, the nearer to one half.
        """
        scale = self.scale(setting)
        platt = scale.platt[basis]
        if basis != OUTCOMES and setting is None:
            # Sources and encoders were held out one at a time: the flatter sigmoid of the two.
            platt = min(scale.platt[OUTCOMES], platt, key=lambda found: float(found[0]))
        return platt_probability(expected / scale.unit, platt / doubt)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the ridge regression as plain values."""
        level = {k: np.asarray(v).tolist() for k, v in vars(self.mean_gain).items()}
        level["penalty"] = None if np.isinf(self.mean_gain.penalty) else self.mean_gain.penalty
        return {
            "level": level,
            "slope": self.slope,
            "scales": {name: _scale_values(scale) for name, scale in self.scales.items()},
            "unknown": _scale_values(self.unknown),
            "untried": {name: coef.tolist() for name, coef in self.untried.items()},
        }

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
            {str(name): _read_scale(scale) for name, scale in values["scales"].items()},
            _read_scale(values["unknown"]),
            {str(k): np.array(v, dtype=float) for k, v in values["untried"].items()},
        )


def _scale_values(scale: GainScale) -> dict[str, Any]:
    return {
        "mean": scale.mean,
        "unit": scale.unit,
        "platt": {name: found.tolist() for name, found in scale.platt.items()},
    }


def _read_scale(values: dict[str, Any]) -> GainScale:
    return GainScale(
        float(values["mean"]),
        float(values["unit"]),
        {str(k): np.array(v, dtype=float) for k, v in values["platt"].items()},
    )


def _new_scale(mean: float, unit: float, platt: FloatArray) -> GainScale:
    """Return a scale with one sigmoid for every basis, before those of untried sources are fitted."""
    return GainScale(float(mean), float(unit), dict.fromkeys(BASES, platt))


def _slope(ranking: FloatArray, z: FloatArray) -> float:
    """Return the least-squares slope of a line through the origin, at least 0."""
    power = float(ranking @ ranking)
    return max(0.0, float(ranking @ z) / power) if power > 0 else 0.0


def relative_to(
    raw: FloatArray, reference: NDArray[np.bool_], centre: FloatArray, scale: FloatArray
) -> FloatArray:
    """Return features relative to the rows in `reference`; with every row in it, as `WithinTarget.transform`."""
    scaled = (raw - centre) / np.where(scale > 0, scale, np.inf)
    one_group = np.zeros(int(reference.sum()), dtype=np.intp)
    mean, deviation = group_moments(scaled[reference], one_group, prior=WithinTarget.PRIOR)
    if not len(mean):
        mean, deviation = np.zeros((1, raw.shape[1])), np.ones((1, raw.shape[1]))
    return np.clip(
        np.nan_to_num((scaled - mean[0]) / np.maximum(deviation[0], 1e-6)),
        -MAX_RELATIVE_FEATURE,
        MAX_RELATIVE_FEATURE,
    )


def _scaled(values: FloatArray, centre: FloatArray, scale: FloatArray) -> FloatArray:
    return np.clip(np.nan_to_num((values - centre) / np.where(scale > 0, scale, np.inf)), -3.0, 3.0)
