"""Controls: predictors that know nothing about the tasks, or only their names.

Their figures show what a protocol gives away without any feature.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd

from transfer_meta.predictors.base import (
    CLASS_MEANS,
    Prediction,
    TransferPredictor,
    class_means,
    expected_gain,
    id_column,
)
from transfer_meta.predictors.logistic import COEFFICIENTS, LogisticPredictor
from transfer_meta.predictors.state_kinds import AsMade, ByName, Kind, Names, Number, Numbers
from transfer_meta.records import FloatArray


class ConstantPredictor(TransferPredictor):
    """Constant probability: every source helps, or none does.

    Parameters
    ----------
    probability : float
        1 for always-gain, 0 for always-loss.
    """

    uses_features: ClassVar[bool] = False

    stored: ClassVar[Mapping[str, Kind]] = {"probability": AsMade("probability"), "means_": CLASS_MEANS}

    def __init__(self, probability: float = 1.0) -> None:
        self.probability = probability

    def fit(self, X: Any, y: Any) -> Self:
        self.means_ = class_means(np.asarray(y, dtype=float))
        return self

    def predict_pairs(self, X: Any) -> Prediction:
        probability = np.full(len(X), float(self.probability))
        return Prediction(probability, expected_gain(probability, self.means_), np.zeros(len(X)))


class RandomPredictor(TransferPredictor):
    """Random probability for each pair.

    Parameters
    ----------
    random_state : int
        Seed of the draw.
    """

    uses_features: ClassVar[bool] = False
    stochastic: ClassVar[bool] = True
    stored: ClassVar[Mapping[str, Kind]] = {
        "random_state": Number(whole=True),
        "means_": CLASS_MEANS,
        "seed_": Numbers("seed", low=0, whole=True, plain=True),
    }

    def __init__(self, random_state: int = 0) -> None:
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:
        self.means_ = class_means(np.asarray(y, dtype=float))
        # The gains are part of the seed, so that folds get different draws.
        self.seed_ = [
            int(self.random_state),
            *(int(v) for v in np.frombuffer(np.asarray(y, float).tobytes(), np.uint32)),
        ]
        return self

    def predict_pairs(self, X: Any) -> Prediction:
        probability = np.random.default_rng(self.seed_).random(len(X))
        return Prediction(probability, expected_gain(probability, self.means_), probability)


class TargetIdentityPredictor(LogisticPredictor):
    """Logistic regression on the one-hot name of the target; an unknown target gets the intercept alone."""

    uses_features: ClassVar[bool] = False
    stored: ClassVar[Mapping[str, Kind]] = {
        "C": Number(),
        "targets_": Names("inputs", ordered=True, plain=True),
        **COEFFICIENTS,
    }

    def matrix(self, X: Any, *, reset: bool) -> FloatArray:
        if reset:
            self.targets_ = sorted(set(id_column(X, "target")))
        known = np.array(self.targets_, dtype=object)
        return (id_column(X, "target")[:, None] == known[None, :]).astype(float)

    def matrix_and_gain(self, X: Any, y: Any) -> tuple[FloatArray, FloatArray]:
        return self.matrix(X, reset=True), np.asarray(y, dtype=float)

    def stored_sizes(self, sizes: Mapping[str, int]) -> dict[str, int]:
        return {}


class RandomFingerprintsPredictor(LogisticPredictor):
    """Logistic regression on random task features: those of the target, of the source, and their ratio.

    Parameters
    ----------
    n_features : int
        Random numbers per task, uniform on 0.5-1.5.
    random_state : int
        Seed of the draw.
    C : float
        As in `LogisticPredictor`.
    """

    uses_features: ClassVar[bool] = False
    stochastic: ClassVar[bool] = True
    stored: ClassVar[Mapping[str, Kind]] = {
        "C": Number(),
        "n_features": AsMade("n_features"),
        "random_state": Number(low=0, whole=True),
        **COEFFICIENTS,
    }

    def __init__(self, n_features: int = 14, random_state: int = 0, C: float = 1.0) -> None:
        super().__init__(C)
        self.n_features = n_features
        self.random_state = random_state

    def matrix(self, X: Any, *, reset: bool) -> FloatArray:
        blocks = {column: self._fingerprints(id_column(X, column)) for column in ("target", "source")}
        return np.hstack([blocks["target"], blocks["source"], blocks["target"] / blocks["source"]])

    def matrix_and_gain(self, X: Any, y: Any) -> tuple[FloatArray, FloatArray]:
        return self.matrix(X, reset=True), np.asarray(y, dtype=float)

    def stored_sizes(self, sizes: Mapping[str, int]) -> dict[str, int]:
        return {"inputs": 3 * self.n_features}

    def _fingerprints(self, tasks: np.ndarray) -> FloatArray:
        # Seeded by the name: a task has the same numbers as source and target and in every fold.
        names, place = np.unique(tasks, return_inverse=True)
        seeds = [[self.random_state, *name.encode()] for name in names]
        drawn = [np.random.default_rng(seed).uniform(0.5, 1.5, self.n_features) for seed in seeds]
        return np.array(drawn)[place]


class TargetGainRatePredictor(TransferPredictor):
    """Share of the target's other sources that helped: (gains + ½) / (pairs + 1) over its training pairs.

    An unknown target gets the share over all training pairs.
    """

    uses_features: ClassVar[bool] = False
    stored: ClassVar[Mapping[str, Kind]] = {
        "rate_": ByName(Number(0, 1)),
        "gain_": ByName(Number()),
        "overall_": Numbers(2, plain=True),
    }

    def fit(self, X: Any, y: Any) -> Self:
        y = np.asarray(y, dtype=float)
        table = pd.DataFrame({"target": id_column(X, "target"), "helped": y > 0, "gain": y})
        groups = table.groupby("target")
        rate = (groups["helped"].sum() + 0.5) / (groups.size() + 1)
        self.rate_ = {str(task): float(value) for task, value in rate.items()}
        self.gain_ = {str(task): float(value) for task, value in groups["gain"].mean().items()}
        self.overall_ = [float((table["helped"].sum() + 0.5) / (len(table) + 1)), float(y.mean())]
        return self

    def predict_pairs(self, X: Any) -> Prediction:
        targets = id_column(X, "target")
        probability = np.array([self.rate_.get(t, self.overall_[0]) for t in targets])
        gain = np.array([self.gain_.get(t, self.overall_[1]) for t in targets])
        return Prediction(probability, gain, probability)
