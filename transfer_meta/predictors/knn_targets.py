"""Similar-target collaborative filtering: what helped the targets nearest to this one."""

from __future__ import annotations

from typing import ClassVar

import pandas as pd

from transfer_meta.predictors.history import FEATURES, history_features
from transfer_meta.predictors.outcome_tensor import OutcomeTensor
from transfer_meta.predictors.task_kernel import TaskKernel, space_state
from transfer_meta.predictors.within_target import RelativePredictor
from transfer_meta.records import FloatArray


class NearestTargetsPredictor(RelativePredictor):
    """The source's mean standardised gain over the training targets, weighted by their nearness.

    Targets are compared by `TaskKernel.kernel`; the mean in the pair's setting and the mean over all settings count
    half each.  Without features all targets are equally near, and it is source popularity.

    Parameters
    ----------
    shrinkage : float
        So many targets without effect are counted in.
    sharp : bool
        Weights are the fourth power of nearness: a few nearest targets decide.
    """

    uses_features: ClassVar[bool] = True

    def __init__(self, shrinkage: float = 1.0, sharp: bool = False) -> None:
        self.shrinkage = shrinkage
        self.sharp = sharp

    def fit_ranking(self, X: pd.DataFrame, z: FloatArray, weight: FloatArray) -> None:
        grid = OutcomeTensor.fitted(X, z, weight)
        self.space_ = space_state(TaskKernel.fitted(X, list(self.feature_names_in_), grid, z))
        self.grid_ = dict(vars(grid))

    def ranking(self, X: pd.DataFrame) -> FloatArray:
        space = TaskKernel(**self.space_).located(X)
        features = history_features(OutcomeTensor(**self.grid_), X, space, shrinkage=self.shrinkage)
        name = "nearest" if self.sharp else "near"
        columns = [FEATURES.index(name), FEATURES.index(f"{name}_all")]
        return features[:, columns].mean(axis=1)

    def inner_ranking(self, X: pd.DataFrame, z: FloatArray, weight: FloatArray) -> FloatArray:
        # A row's own target never enters its features: the rankings of the training rows are out of fold.
        return self.ranking(X)
