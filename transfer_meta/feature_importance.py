"""Importance of features by coefficients, permutation and SHAP values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone

from transfer_meta.errors import InputError, unknown
from transfer_meta.evaluation.classification import auroc
from transfer_meta.evaluation.splits import pairs_5fold
from transfer_meta.metadataset import MetaDataset
from transfer_meta.predictors.base import Fold, TransferPredictor
from transfer_meta.records import FloatArray, OnProgress

IMPORTANCE_COLUMNS = ("feature", "role", "group", "value", "std")
LEVELS = ("feature", "role", "group")
HELD_OUT_SHARE = 0.2
"""Share of the pairs held out from the fit of coefficients, as in Bingel & Søgaard 2017, Table 4."""


class Block(NamedTuple):
    """Features that are evaluated together: one, or all of a role or of a group."""

    label: tuple[str, str, str]
    positions: NDArray[np.intp]


@dataclass(frozen=True)
class ImportanceRun:
    """Arguments of an importance method.

    Parameters
    ----------
    data : MetaDataset
    predictor : TransferPredictor
        Cloned before it is fitted.
    blocks : list of Block
    repeats, seed : int
        Number and seed of the random splits.
    on_progress : callable
        Called with the number of repeats done and of all repeats.
    """

    data: MetaDataset
    predictor: TransferPredictor
    blocks: list[Block]
    repeats: int
    seed: int
    on_progress: OnProgress

    def shuffled_folds(self) -> Iterator[tuple[int, Iterator[Fold]]]:
        """Yield each repeat with its five folds."""
        for repeat in range(self.repeats):
            yield repeat, pairs_5fold(self.data.source, self.data.target, seed=self.seed, repeat=repeat)


def feature_importance(
    data: MetaDataset,
    predictor: TransferPredictor,
    *,
    method: str = "coefficients",
    by: str = "feature",
    repeats: int | None = None,
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> pd.DataFrame:
    """Return the importance of features, or of roles or groups of features.

    Parameters
    ----------
    data : MetaDataset
        Pairs with known gains.
    predictor : TransferPredictor
        Cloned before it is fitted.
    method : {"coefficients", "permutation", "shap"}
        See the functions of those names.
    by : {"feature", "role", "group"}
        Whether features are evaluated one by one, or together by role or by group.
    repeats : int, optional
        Number of random splits; default: 100 for coefficients, 10 for the others, which fit five times per repeat.
    seed : int
        Seed of the splits and permutations.

    Returns
    -------
    DataFrame
        ``feature``, ``role``, ``group`` (``*`` for all), ``value``, and ``std``, the standard deviation over
        repeats (NaN for one repeat); sorted by decreasing absolute value.

    Raises
    ------
    InputError
        An unknown method or level; a predictor without coefficients, trees or features; a table without features,
        without gains or with one class only.
    """
    if method not in IMPORTANCE_METHODS:
        raise unknown("method", method, IMPORTANCE_METHODS)
    if by not in LEVELS:
        raise unknown("level", by, LEVELS)
    if len(np.unique(data.helped)) < 2:
        raise InputError(
            f"'{data.name}' has one class only ({'gain' if data.helped[0] else 'no gain'}) throughout"
        )
    if not predictor.uses_features:
        raise InputError(f"{type(predictor).__name__} uses no features, so none has an importance")
    if data.features.empty:
        raise InputError(f"'{data.name}' has no features (give a tasks file with --tasks)")
    if repeats is not None and repeats < 1:
        raise InputError(f"repeats must be at least 1, got {repeats}")
    blocks = _blocks(data.features, by)
    run = ImportanceRun(
        data,
        predictor,
        blocks,
        repeats or DEFAULT_REPEATS[method],
        seed,
        on_progress or (lambda *_: None),
    )
    values = IMPORTANCE_METHODS[method](run)
    table = pd.DataFrame([block.label for block in blocks], columns=list(IMPORTANCE_COLUMNS[:3]))
    table["value"] = values.mean(axis=0)
    table["std"] = values.std(axis=0, ddof=1) if len(values) > 1 else np.nan
    return table.sort_values("value", key=np.abs, ascending=False, kind="stable", ignore_index=True)


def coefficients(run: ImportanceRun) -> FloatArray:
    """Return coefficients on scaled features over random 80/20 splits, shape (repeats, blocks).

    Positive for a feature that rises with the probability of gain; Σ|coefficient| for a block of several features.

    References
    ----------
    Bingel & Søgaard 2017, Table 4.
    """
    if not hasattr(run.predictor, "fold_coefficients"):
        raise InputError(
            f"{type(run.predictor).__name__} has no coefficients (method coefficients needs a logistic"
            f" regression; the others: permutation, shap)"
        )
    n = len(run.data.value)
    n_left_out = max(1, round(HELD_OUT_SHARE * n))
    splits = []
    for repeat in range(run.repeats):
        order = np.random.default_rng([run.seed, repeat]).permutation(n)
        splits.append((np.sort(order[n_left_out:]), np.sort(order[:n_left_out])))
    coefficient = run.predictor.fold_coefficients(run.data.X, run.data.value, splits)
    run.on_progress(run.repeats, run.repeats)
    columns = [
        np.abs(coefficient[:, at]).sum(axis=1) if len(at) > 1 else coefficient[:, at[0]]
        for _, at in run.blocks
    ]
    return np.stack(columns, axis=1)


def permutation(run: ImportanceRun) -> FloatArray:
    """Return the loss of out-of-fold AUROC when a block's values are permuted, shape (repeats, blocks).

    In five shuffled folds the predictor is fitted to the training pairs; in the test pairs the features of one
    block at a time are replaced by those of other pairs, the same pairs for all columns of the block.

    References
    ----------
    Breiman 2001, "Random Forests".
    Fisher, Rudin & Dominici 2019, "All Models are Wrong, but Many are Useful".
    """
    columns = run.data.features["column"].tolist()
    lost = np.empty((run.repeats, len(run.blocks)))
    for repeat, folds in run.shuffled_folds():
        others = np.random.default_rng([run.seed, repeat, 1]).permutation(len(run.data.value))
        probability = np.empty((len(run.blocks) + 1, len(run.data.value)))
        for train, test in folds:
            model = clone(run.predictor).fit(run.data.X.iloc[train], run.data.value[train])
            # The original pairs first, then a copy of them for each block.
            copies = run.data.X.iloc[np.tile(test, len(run.blocks) + 1)].reset_index(drop=True)
            values = copies[columns].to_numpy(copy=True).reshape(len(run.blocks) + 1, len(test), -1)
            replaced = run.data.X[columns].to_numpy()[others[test]]
            for copy, block in zip(values[1:], run.blocks, strict=True):
                copy[:, block.positions] = replaced[:, block.positions]
            copies[columns] = values.reshape(-1, len(columns))
            probability[:, test] = model.predict_pairs(copies).probability.reshape(-1, len(test))
        area = auroc(run.data.helped, probability)
        lost[repeat] = area[0] - area[1:]
        run.on_progress(repeat + 1, run.repeats)
    return lost


def shap(run: ImportanceRun) -> FloatArray:
    """Return the mean |Σ SHAP values of a block's features| of held-out pairs, shape (repeats, blocks).

    The unit is the raw output of the trees: log odds for a classifier, predicted gain for a regressor.

    References
    ----------
    Lundberg et al. 2020, "From local explanations to global understanding with explainable AI for trees".
    """
    values = np.empty((run.repeats, len(run.blocks)))
    for repeat, folds in run.shuffled_folds():
        contribution = np.empty((len(run.data.value), len(run.data.features)))
        for train, test in folds:
            model = clone(run.predictor).fit(run.data.X.iloc[train], run.data.value[train])
            contribution[test] = _contributions(model, run.data.X.iloc[test])
        values[repeat] = [np.abs(contribution[:, at].sum(axis=1)).mean() for _, at in run.blocks]
        run.on_progress(repeat + 1, run.repeats)
    return values


IMPORTANCE_METHODS: dict[str, Callable[[ImportanceRun], FloatArray]] = {
    "coefficients": coefficients,
    "permutation": permutation,
    "shap": shap,
}
DEFAULT_REPEATS = {"coefficients": 100, "permutation": 10, "shap": 10}


def _blocks(features: pd.DataFrame, by: str) -> list[Block]:
    if by == "feature":
        labels = zip(features["feature"], features["role"], features["group"], strict=True)
        return [Block(label, np.array([position])) for position, label in enumerate(labels)]
    return [
        Block(
            ("*", name, "*") if by == "role" else ("*", "*", name), np.flatnonzero(features[by] == name)
        )
        for name in features[by].unique()
    ]


def _contributions(model: Any, X: pd.DataFrame) -> FloatArray:
    """Return SHAP values, shape (n, p), without the expected value that LightGBM appends."""
    model = getattr(model, "predictor_", model)  # of a TunedPredictor
    if not hasattr(model, "booster_"):
        raise InputError(
            f"{type(model).__name__} has no trees (method shap needs lightgbm; the others: coefficients,"
            f" permutation)"
        )
    booster = model.booster_
    if booster is None:  # one class in the training rows: a constant
        return np.zeros((len(X), model.n_features_in_))
    return np.asarray(booster.predict(model.matrix(X, reset=False), pred_contrib=True))[:, :-1]
