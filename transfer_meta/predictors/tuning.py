"""Hyperparameter search with Optuna inside the training rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from sklearn.base import clone
from sklearn.model_selection import GroupKFold, KFold
from sklearn.utils.validation import check_is_fitted

from transfer_meta.predictors.base import VALIDATED_COLUMNS, Fold, Prediction, TransferPredictor
from transfer_meta.predictors.state_kinds import ByName, InnerPredictor, Kind, Number, Parameters
from transfer_meta.predictors.within_target import WithinTargetPredictor, group_codes, group_rows
from transfer_meta.records import FloatArray

TREE_SPACE = {
    "n_estimators": ("int", 20, 150),
    "learning_rate": ("log", 0.02, 0.3),
    "num_leaves": ("int", 2, 16),
    "min_child_samples": ("int", 2, 20),
    "colsample": ("float", 0.2, 1.0),
    "reg_lambda": ("log", 1e-2, 1e2),
}
SPACES: dict[str, dict[str, tuple[str, float, float]]] = {
    "LogisticPredictor": {"C": ("log", 1e-3, 1e2)},
    "RelativeLogisticPredictor": {"C": ("log", 1e-4, 1e1)},
    "LightGBMPredictor": TREE_SPACE,
    "LambdaRankPredictor": TREE_SPACE | {"subsample": ("float", 0.4, 1.0)},
}
"""Search space by class of predictor; for each parameter its kind (``int``, ``float`` or ``log``) and range."""


class TunedPredictor(TransferPredictor):
    """A predictor with the hyperparameters that do best in an inner cross-validation.

    The criterion is the log loss of the probability of gain, or, for a `WithinTargetPredictor`, the rank
    correlation within targets and settings.  The inner folds hold out whole targets if there are at least two.

    Parameters
    ----------
    predictor : TransferPredictor
        Predictor to tune, of a class in `SPACES`.
    n_trials : int
        Number of trials; the first one has the predictor's own hyperparameters.
    timeout : float or None
        Seconds after which no new trial starts; results then depend on the machine's speed.
    n_splits : int
        Number of inner folds.
    random_state : int
        Seed of the search.
    """

    stored: ClassVar[Mapping[str, Kind]] = {
        "predictor": Parameters(),
        "n_trials": Number(whole=True),
        "timeout": Number(may_be_none=True),
        "n_splits": Number(whole=True),
        "random_state": Number(whole=True),
        **VALIDATED_COLUMNS,
        "best_params_": ByName(Number()),
        "predictor_": InnerPredictor(None),
    }

    def __init__(
        self,
        predictor: TransferPredictor,
        n_trials: int = 20,
        timeout: float | None = None,
        n_splits: int = 4,
        random_state: int = 0,
    ) -> None:
        self.predictor = predictor
        self.n_trials = n_trials
        self.timeout = timeout
        self.n_splits = n_splits
        self.random_state = random_state

    @property
    def uses_names(self) -> bool:  # type: ignore[override]
        """See `TransferPredictor.uses_names`."""
        return self.predictor.uses_names

    def fit(self, X: Any, y: Any) -> Self:
        return self.fit_weighted(X, y, None)

    def fit_weighted(self, X: Any, y: Any, sample_weight: FloatArray | None) -> Self:
        import optuna

        matrix, y = self.matrix_and_gain(X, y)
        X = X if isinstance(X, pd.DataFrame) else pd.DataFrame(matrix)
        space = SPACES[type(self.predictor).__name__]
        folds = inner_folds(X, self.n_splits, self.random_state)

        def loss(trial: optuna.Trial) -> float:
            candidate = clone(self.predictor).set_params(
                **{n: _suggest(trial, n, *s) for n, s in space.items()}
            )
            if isinstance(candidate, WithinTargetPredictor):
                return -mean_spearman(candidate.rank_folds(X, y, folds, sample_weight), X, y, folds)
            return mean_log_loss(candidate.predict_folds(X, y, folds, sample_weight), y, folds)

        if not folds:
            self.best_params_ = {name: getattr(self.predictor, name) for name in space}
            self.predictor_ = clone(self.predictor).fit_weighted(X, y, sample_weight)
            return self
        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        try:
            study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=self.random_state))
            study.enqueue_trial({name: getattr(self.predictor, name) for name in space})
            study.optimize(loss, n_trials=self.n_trials, timeout=self.timeout)
        finally:
            optuna.logging.set_verbosity(verbosity)
        self.best_params_ = dict(study.best_params)
        tuned = clone(self.predictor).set_params(**self.best_params_)
        self.predictor_ = tuned.fit_weighted(X, y, sample_weight)
        return self

    def predict_pairs(self, X: Any) -> Prediction:
        check_is_fitted(self)
        matrix = self.matrix(X, reset=False)
        X = X if isinstance(X, pd.DataFrame) else pd.DataFrame(matrix)
        return self.predictor_.predict_pairs(X)


def inner_folds(X: pd.DataFrame, n_splits: int, random_state: int) -> list[Fold]:
    """Return folds over whole targets, or over pairs if there is one target; none for a single pair."""
    if len(X) < 2:
        return []
    targets = X["target"] if "target" in X else np.zeros(len(X))
    n_targets = len(np.unique(targets))
    if n_targets >= 2:
        splitter = GroupKFold(min(n_splits, n_targets), shuffle=True, random_state=random_state)
        return list(splitter.split(X, groups=targets))
    return list(KFold(min(n_splits, len(X)), shuffle=True, random_state=random_state).split(X))


def mean_log_loss(predictions: list[Prediction], y: FloatArray, folds: list[Fold]) -> float:
    """Return the mean log loss (nats) of out-of-fold probabilities, clipped to [1e-6, 1 − 1e-6]."""
    total = 0.0
    for prediction, (_, test) in zip(predictions, folds, strict=True):
        p = np.clip(prediction.probability, 1e-6, 1 - 1e-6)
        total -= float(np.where(y[test] > 0, np.log(p), np.log1p(-p)).sum())
    return total / len(y)


def mean_spearman(
    rankings: list[FloatArray], X: pd.DataFrame, y: FloatArray, folds: list[Fold]
) -> float:
    """Return the mean rank correlation of out-of-fold rankings within targets and settings; 0 if undefined."""
    found = []
    for ranking, (_, test) in zip(rankings, folds, strict=True):
        for rows in group_rows(group_codes(X.iloc[test])):
            ranks = rankdata(y[test][rows]), rankdata(ranking[rows])
            if all(np.ptp(r) > 0 for r in ranks):
                found.append(float(np.corrcoef(*ranks)[0, 1]))
    return float(np.mean(found)) if found else 0.0


def _suggest(trial: Any, name: str, kind: str, low: float, high: float) -> float | int:
    if kind == "int":
        return int(trial.suggest_int(name, int(low), int(high)))
    return float(trial.suggest_float(name, low, high, log=kind == "log"))
