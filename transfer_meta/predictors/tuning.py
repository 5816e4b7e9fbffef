"""Settings chosen by Optuna inside the training rows."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from sklearn.base import clone
from sklearn.model_selection import GroupKFold, KFold
from sklearn.utils.validation import check_is_fitted

from transfer_meta.predictors.base import Fold, Prediction, TransferPredictor
from transfer_meta.predictors.within_target import RelativePredictor, group_codes, group_rows
from transfer_meta.records import FloatArray

# For each tunable parameter of each family: kind, low, high; "log" spreads trials over orders of magnitude.
TREES = {
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
    "LightGBMPredictor": TREES,
    "LambdaRankPredictor": TREES | {"subsample": ("float", 0.4, 1.0)},
}


class TunedPredictor(TransferPredictor):
    """A predictor whose settings do best in an inner cross-validation.

    That is the lowest log loss of the probability of gain, or, for predictors of whole targets, the highest rank
    correlation within targets and settings.
    The inner folds hold out whole targets where the training pairs have at least two of them, since it is new ones
    that the predictor will meet; plain folds otherwise.

    Parameters
    ----------
    predictor : TransferPredictor
        What is tuned; its class has an entry in `SPACES`.
    n_trials : int
        Settings to try, the predictor's own first.
    timeout : float or None
        Seconds after which no new trial starts.  With it results depend on the machine's speed.
    n_splits : int
        Inner folds.
    random_state : int
        Seed of the search.
    """

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
        """As the predictor that is tuned."""
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
            if isinstance(candidate, RelativePredictor):
                return -mean_spearman_of(candidate.rank_folds(X, y, folds, sample_weight), X, y, folds)
            return log_loss_of(candidate.predict_folds(X, y, folds, sample_weight), y, folds)

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
    """Folds over whole targets, or over pairs where there are no two targets; none of a single pair."""
    if len(X) < 2:
        return []
    targets = X["target"] if "target" in X else np.zeros(len(X))
    n_targets = len(np.unique(targets))
    if n_targets >= 2:
        splitter = GroupKFold(min(n_splits, n_targets), shuffle=True, random_state=random_state)
        return list(splitter.split(X, groups=targets))
    return list(KFold(min(n_splits, len(X)), shuffle=True, random_state=random_state).split(X))


def log_loss_of(predictions: list[Prediction], y: FloatArray, folds: list[Fold]) -> float:
    """Mean log loss (nats) of out-of-fold probabilities, cut off at 1e-6 from certainty."""
    total = 0.0
    for prediction, (_, test) in zip(predictions, folds, strict=True):
        p = np.clip(prediction.probability, 1e-6, 1 - 1e-6)
        total -= float(np.where(y[test] > 0, np.log(p), np.log1p(-p)).sum())
    return total / len(y)


def mean_spearman_of(
    rankings: list[FloatArray], X: pd.DataFrame, y: FloatArray, folds: list[Fold]
) -> float:
    """Mean rank correlation of out-of-fold rankings within targets and settings; 0 where none is defined."""
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
