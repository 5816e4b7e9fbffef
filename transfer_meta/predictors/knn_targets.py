"""Collaborative filtering over similar targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import pandas as pd

from transfer_meta.predictors.history import HISTORY_FEATURES, history_features
from transfer_meta.predictors.outcome_tensor import STORED_TENSOR, OutcomeTensor
from transfer_meta.predictors.state_kinds import AsMade, Kind, Number
from transfer_meta.predictors.task_kernel import STORED_KERNEL, TaskKernel, kernel_columns
from transfer_meta.predictors.within_target import WithinTargetPredictor
from transfer_meta.records import FloatArray


class NearestTargetsPredictor(WithinTargetPredictor):
    """Mean standardised gain of the source over the training targets, weighted by their nearness.

    Targets are compared by `TaskKernel.kernel`; the mean in the pair's setting and the mean over all settings have
    equal weight.  Without features all targets are equally near, and the prediction is source popularity.

    Parameters
    ----------
    shrinkage : float
        Number of targets without effect that are added to each mean.
    sharp : bool
        Weight by the fourth power of nearness, so that the nearest targets dominate.
    """

    stored: ClassVar[Mapping[str, Kind]] = {
        "shrinkage": Number(low=0),
        "sharp": AsMade("sharp"),
        **WithinTargetPredictor.stored,
        "space_": STORED_KERNEL,
        "grid_": STORED_TENSOR,
    }

    def __init__(self, shrinkage: float = 1.0, sharp: bool = False) -> None:
        self.shrinkage = shrinkage
        self.sharp = sharp

    def fit_ranking(self, X: pd.DataFrame, z: FloatArray, weight: FloatArray) -> None:
        outcomes = OutcomeTensor.from_pairs(X, z, weight)
        kernel = TaskKernel.fit(X, list(self.feature_names_in_), outcomes, z)
        self.space_, self.grid_ = dict(vars(kernel)), dict(vars(outcomes))

    def ranking(self, X: pd.DataFrame) -> FloatArray:
        kernel = TaskKernel(**self.space_).extended(X)
        features = history_features(OutcomeTensor(**self.grid_), X, kernel, shrinkage=self.shrinkage)
        name = "nearest" if self.sharp else "near"
        columns = [HISTORY_FEATURES.index(name), HISTORY_FEATURES.index(f"{name}_all")]
        return features[:, columns].mean(axis=1)

    def stored_names(self, features: Sequence[str]) -> dict[str, Sequence[str]]:
        return super().stored_names(features) | kernel_columns(features)

    def inner_ranking(self, X: pd.DataFrame, z: FloatArray, weight: FloatArray) -> FloatArray:
        # A row's own target never enters its features: the rankings of the training rows are out of fold.
        return self.ranking(X)
