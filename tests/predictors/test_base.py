"""Weights of pairs: those who use them, those who do not, and one way to hand them over."""

from __future__ import annotations

import inspect

import numpy as np
import pandas as pd
import pytest

from transfer_meta.predictors import UNTUNED, make_predictor
from transfer_meta.predictors.registry import SIMILARITIES

FEW = [name for name in UNTUNED if name not in ("logistic-rfe-optimistic", *list(SIMILARITIES)[1:])]


def pairs() -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    names = [f"t{i}" for i in range(6)]
    rows = [(s, t) for t in names for s in names if s != t]
    X = pd.DataFrame({"setting": "", "source": [s for s, _ in rows], "target": [t for _, t in rows]})
    for feature in ("size", "grad_30"):
        values = dict(zip(names, random.normal(size=6), strict=True))
        X[f"target.{feature}"], X[f"source.{feature}"] = (
            X["target"].map(values),
            X["source"].map(values),
        )
    for feature, *_ in SIMILARITIES.values():
        X[f"pair.{feature}"] = random.normal(size=len(X))
    return X, random.normal(size=len(X)), random.uniform(0.05, 1.0, size=len(X))


@pytest.mark.parametrize("name", FEW)
def test_weights_reach_those_who_use_them_and_nobody_else(name: str) -> None:
    X, y, weight = pairs()
    uses = "sample_weight" in inspect.signature(make_predictor(name).fit).parameters
    plain, same, weighted = (
        make_predictor(name).fit_weighted(X, y, w).predict_pairs(X)
        for w in (None, np.ones(len(y)), weight)
    )
    for a, b in zip(plain, same, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-9)
    changed = any(not np.allclose(a, b) for a, b in zip(plain, weighted, strict=True))
    assert changed == uses or name == "lambdarank-langrank"


@pytest.mark.parametrize("name", FEW)
def test_folds_hand_over_the_training_rows_weights(name: str) -> None:
    X, y, weight = pairs()
    target = X["target"].to_numpy()
    folds = [(np.flatnonzero(target != t), np.flatnonzero(target == t)) for t in ("t0", "t3")]
    parts = make_predictor(name).predict_folds(X, y, folds, weight)
    for (train, test), part in zip(folds, parts, strict=True):
        fitted = make_predictor(name).fit_weighted(X.iloc[train], y[train], weight[train])
        for a, b in zip(part, fitted.predict_pairs(X.iloc[test]), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
