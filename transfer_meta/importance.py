"""Which features a predictor goes by: coefficients, permutation and SHAP values, in one tidy table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone

from transfer_meta.errors import InputError, unknown
from transfer_meta.evaluation.classification import auroc
from transfer_meta.evaluation.splits import PROTOCOLS, Fold
from transfer_meta.metadataset import MetaDataset
from transfer_meta.predictors.base import TransferPredictor
from transfer_meta.records import FloatArray, OnProgress

IMPORTANCE_COLUMNS = ("feature", "role", "group", "value", "std")
LEVELS = ("feature", "role", "group")

# Share of the pairs that a coefficient split leaves out, as in the paper's Table 4.
LEFT_OUT = 0.2

Level = Literal["feature", "role", "group"]


class Block(NamedTuple):
    """Features that are weighed together: one, or all of a role or of a group."""

    label: tuple[str, str, str]
    positions: NDArray[np.intp]


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
    """Importance of features, or of whole roles or groups of them.

    Parameters
    ----------
    data
        The pairs; gains must be known.
    predictor
        It is cloned and fitted anew, never changed.
    method
        ``coefficients``, ``permutation`` or ``shap``; see the functions of those names.
    by
        ``feature``; or ``role`` (target, source, ratio, pair) or ``group`` (data, curve, embedding,
        pair), which weigh all features of a role or group together.
    repeats
        How often splits are drawn; by default 100 for coefficients and 10 for the others, which refit
        the predictor five times a repeat.
    seed
        Seed of the splits and permutations.

    Returns
    -------
    DataFrame
        ``feature``, ``role``, ``group`` (``*`` where it stands for all), ``value``, and ``std``, the
        standard deviation over repeats (NaN with one); the largest absolute value first.

    Raises
    ------
    InputError
        An unknown method or level; a predictor that has no coefficients, no trees, or uses no features;
        a table without features, without gains or with one class only.
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
    values = IMPORTANCE_METHODS[method](
        data,
        predictor,
        blocks,
        repeats=repeats or DEFAULT_REPEATS[method],
        seed=seed,
        on_progress=on_progress or (lambda *_: None),
    )
    table = pd.DataFrame([block.label for block in blocks], columns=list(IMPORTANCE_COLUMNS[:3]))
    table["value"] = values.mean(axis=0)
    table["std"] = values.std(axis=0, ddof=1) if len(values) > 1 else np.nan
    return table.sort_values("value", key=np.abs, ascending=False, kind="stable", ignore_index=True)


def coefficients(
    data: MetaDataset,
    predictor: TransferPredictor,
    blocks: list[Block],
    *,
    repeats: int,
    seed: int,
    on_progress: OnProgress,
) -> FloatArray:
    """Coefficients on scaled features over random 80/20 splits, shape (repeats, blocks).

    A single feature keeps its sign: above 0 it speaks for a gain.  A block's value is Σ|coefficient|.
    Source: Bingel & Søgaard 2017, Table 4.
    """
    if not hasattr(predictor, "fold_coefficients"):
        raise InputError(
            f"{type(predictor).__name__} has no coefficients (method coefficients needs a logistic"
            f" regression; the others: permutation, shap)"
        )
    n = len(data.value)
    n_left_out = max(1, round(LEFT_OUT * n))
    splits = []
    for repeat in range(repeats):
        order = np.random.default_rng([seed, repeat]).permutation(n)
        splits.append((np.sort(order[n_left_out:]), np.sort(order[:n_left_out])))
    coefficient = predictor.fold_coefficients(data.X, data.value, splits)
    on_progress(repeats, repeats)
    return np.stack(
        [
            np.abs(coefficient[:, at]).sum(axis=1) if len(at) > 1 else coefficient[:, at[0]]
            for _, at in blocks
        ],
        axis=1,
    )


def permutation(
    data: MetaDataset,
    predictor: TransferPredictor,
    blocks: list[Block],
    *,
    repeats: int,
    seed: int,
    on_progress: OnProgress,
) -> FloatArray:
    """AUROC that held-out pairs lose when a block's values are permuted, shape (repeats, blocks).

    Five shuffled folds; the predictor is fitted on four with all features intact.  In the fifth the
    features of one block at a time are replaced by those of randomly drawn pairs (the same pairs for all
    columns of the block), and the AUROC over all held-out pairs of the repeat is compared.
    Source: Breiman 2001, "Random Forests"; Fisher, Rudin & Dominici 2019.
    """
    columns = data.features["column"].tolist()
    lost = np.empty((repeats, len(blocks)))
    for repeat, folds in _repeated_folds(data, repeats, seed):
        others = np.random.default_rng([seed, repeat, 1]).permutation(len(data.value))
        probability = np.empty((len(blocks) + 1, len(data.value)))
        for train, test in folds:
            model = clone(predictor).fit(data.X.iloc[train], data.value[train])
            # One call for all: the intact pairs first, then a copy of them for each block.
            copies = data.X.iloc[np.tile(test, len(blocks) + 1)].reset_index(drop=True)
            values = copies[columns].to_numpy(copy=True).reshape(len(blocks) + 1, len(test), -1)
            replaced = data.X[columns].to_numpy()[others[test]]
            for copy, block in zip(values[1:], blocks, strict=True):
                copy[:, block.positions] = replaced[:, block.positions]
            copies[columns] = values.reshape(-1, len(columns))
            probability[:, test] = model.predict_pairs(copies).probability.reshape(-1, len(test))
        area = auroc(data.helped, probability)
        lost[repeat] = area[0] - area[1:]
        on_progress(repeat + 1, repeats)
    return lost


def shap(
    data: MetaDataset,
    predictor: TransferPredictor,
    blocks: list[Block],
    *,
    repeats: int,
    seed: int,
    on_progress: OnProgress,
) -> FloatArray:
    """Mean |SHAP value| of held-out pairs, in units of the trees' raw output, shape (repeats, blocks).

    The raw output is the log-odds of a gain for a classifier and the predicted gain for a regressor.
    SHAP values add up: a block's value is the mean of |Σ SHAP over its features|.
    Source: Lundberg et al. 2020, "From local explanations to global understanding with explainable AI
    for trees" (LightGBM's own implementation).
    """
    values = np.empty((repeats, len(blocks)))
    for repeat, folds in _repeated_folds(data, repeats, seed):
        contribution = np.empty((len(data.value), len(data.features)))
        for train, test in folds:
            model = clone(predictor).fit(data.X.iloc[train], data.value[train])
            contribution[test] = _contributions(model, data.X.iloc[test])
        values[repeat] = [np.abs(contribution[:, at].sum(axis=1)).mean() for _, at in blocks]
        on_progress(repeat + 1, repeats)
    return values


IMPORTANCE_METHODS: dict[str, Callable[..., FloatArray]] = {
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


def _repeated_folds(data: MetaDataset, repeats: int, seed: int) -> Iterator[tuple[int, Iterator[Fold]]]:
    for repeat in range(repeats):
        yield repeat, PROTOCOLS["pairs-5fold"].folds(data.source, data.target, seed=seed, repeat=repeat)


def _contributions(model: Any, X: pd.DataFrame) -> FloatArray:
    """SHAP values of shape (n, p), without the expected value that LightGBM appends."""
    model = getattr(model, "predictor_", model)  # what a tuned predictor ended up with
    if not hasattr(model, "booster_"):
        raise InputError(
            f"{type(model).__name__} has no trees (method shap needs lightgbm; the others: coefficients,"
            f" permutation)"
        )
    booster = model.booster_
    if booster is None:  # one class in the training rows: a constant
        return np.zeros((len(X), model.n_features_in_))
    return np.asarray(booster.predict(model.matrix(X, reset=False), pred_contrib=True))[:, :-1]
