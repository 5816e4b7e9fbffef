"""Speed of the predictors: python tests/performance/predictors.py [TASKWEB_OUT]

Closed forms against refits, the cost of a table of 1,000 targets × 200 sources, and, with the folder that
``examples/taskweb.py`` wrote, the whole of leave-one-target-out on TaskWeb.  One thread throughout.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from many_tasks import grouped_tasks

from transfer_meta.evaluation.benchmark import BenchmarkSettings, benchmark
from transfer_meta.metadataset import with_similarities
from transfer_meta.predictors import BY_TARGET, make_predictor
from transfer_meta.predictors.gp import GaussianProcessPredictor
from transfer_meta.predictors.ridge import RIDGE_PENALTIES, leave_group_out_ridge
from transfer_meta.predictors.within_target import group_codes, standardised_gains


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds and result."""
    begin = time.perf_counter()
    result = call()
    return time.perf_counter() - begin, result


def ridge_against_refits() -> None:
    """All left-out targets and penalties, with and without refits."""
    random = np.random.default_rng(0)
    X, y, groups = random.normal(size=(2205, 60)), random.normal(size=2205), np.arange(2205) % 21

    def refits() -> np.ndarray:
        predicted = np.empty(len(y))
        for penalty in RIDGE_PENALTIES:
            for g in range(21):
                rest = groups != g
                gram = X[rest].T @ X[rest] + penalty * np.eye(X.shape[1])
                predicted[~rest] = X[~rest] @ np.linalg.solve(gram, X[rest].T @ y[rest])
        return predicted

    slow, expected = timed(refits)
    fast, found = timed(lambda: leave_group_out_ridge(X, y, groups, penalties=RIDGE_PENALTIES)[-1])
    off = float(np.abs(found - expected).max())
    print(f"ridge, 21 left-out targets × {len(RIDGE_PENALTIES)} penalties: refits {slow:.2f} s, "
          f"closed form {fast:.2f} s, {slow / fast:.1f} ×, largest difference {off:.1e}")  # fmt: skip


def gp_against_refits() -> None:
    """Left-out targets of five settings: all at once against a fit and a prediction for each."""
    X, y = grouped_tasks(21, settings=("a", "b", "c", "d", "e"))
    z, ones = standardised_gains(y, group_codes(X)), np.ones(len(X))
    targets = X["target"].to_numpy()

    def fitted(rows: np.ndarray) -> GaussianProcessPredictor:
        predictor = GaussianProcessPredictor()
        predictor.feature_names_in_ = np.array(list(X.columns[3:]), dtype=object)
        predictor.fit_ranking(X[rows], z[rows], ones[rows])
        return predictor

    def refits() -> None:
        for target in np.unique(targets):
            fitted(targets != target).ranking(X[targets == target])

    slow, _ = timed(refits)
    whole = fitted(targets != "")
    fast, _ = timed(lambda: whole.inner_ranking(X, z, ones))
    dense, _ = timed(lambda: np.linalg.inv(np.eye(len(z)) + 0.1))
    print(f"gp, {len(z)} outcomes, 21 left-out targets: refits {slow:.2f} s, all at once {fast:.2f} s, "
          f"{slow / fast:.1f} ×; the inverse that the textbook's closed form needs {dense:.2f} s")  # fmt: skip


def against_langrank() -> None:
    """The default's leave-one-target-out against LangRank's ranker, scores only."""
    for n_tasks in (9, 21, 54):
        X, y = grouped_tasks(n_tasks)
        y = y - pd.Series(y).groupby(X["target"]).transform("mean").to_numpy()
        random = np.random.default_rng(0)
        X = X.assign(**{f"pair.noise_{k}": random.normal(size=len(X)) for k in range(12)})
        targets = X["target"].to_numpy()
        folds = [
            (np.flatnonzero(targets != t), np.flatnonzero(targets == t)) for t in np.unique(targets)
        ]
        seconds = {
            name: timed(
                lambda args=(name, X, y, folds): make_predictor(args[0]).predict_folds(*args[1:])
            )[0]
            for name in ("lambdarank-langrank", "default")
        }
        print(f"{n_tasks} tasks, 9 folds: " + ", ".join(f"{n} {t:.2f} s" for n, t in seconds.items())
              + f", {seconds['lambdarank-langrank'] / seconds['default']:.1f} ×")  # fmt: skip


def large_table() -> None:
    """1,000 targets × 200 sources."""
    random = np.random.default_rng(0)
    features = random.normal(size=(1200, 12))
    t, s = (a.ravel() for a in np.meshgrid(np.arange(1000), 1000 + np.arange(200), indexing="ij"))
    X = pd.DataFrame(
        {"setting": "", "source": [f"s{i:04d}" for i in s], "target": [f"t{i:04d}" for i in t]}
    )
    columns = {f"target.f{k}": features[t, k] for k in range(12)}
    columns |= {f"source.f{k}": features[s, k] for k in range(12)}
    columns["pair.jsd"] = ((features[t] - features[s]) ** 2).mean(axis=1)
    X = pd.concat([X, pd.DataFrame(columns)], axis=1)
    y = -0.1 * columns["pair.jsd"] + 0.05 * features[s, 0] + 0.05 * random.normal(size=len(X)) + 0.15
    for name in ("source-popularity", "knn-targets", "ridge", "gp", "default"):
        half, _ = timed(lambda name=name: make_predictor(name).fit(X[::2], y[::2]))
        fit, fitted = timed(lambda name=name: make_predictor(name).fit(X, y))
        predict, _ = timed(lambda fitted=fitted: fitted.predict(X))
        print(f"{name:18} 1,000 × 200: fit {fit:5.1f} s ({fit / half:.1f} × half of it), "
              f"predict 200,000 pairs {predict:5.1f} s")  # fmt: skip


def taskweb(folder: Path) -> None:
    """Leave-one-target-out on TaskWeb."""
    from transfer_meta.features.vectors.vector_files import load_vectors
    from transfer_meta.outcomes.tables import load_outcomes

    table = load_outcomes(folder / "outcomes.csv", tasks=folder / "tasks.csv")
    table = with_similarities(table, load_vectors(folder / "vectors.npz")[0])
    for name in ("source-popularity", *BY_TARGET):
        settings = BenchmarkSettings(predictors=(name,), metrics=("spearman",), workers=2)
        seconds, result = timed(lambda settings=settings: benchmark(table, settings))
        print(f"{name:20} TaskWeb leave-one-target-out, 2 processes: {seconds:6.1f} s, "
              f"Spearman {result.rows['value'][0]:.3f}")  # fmt: skip


if __name__ == "__main__":
    ridge_against_refits()
    gp_against_refits()
    against_langrank()
    large_table()
    if len(sys.argv) > 1:
        taskweb(Path(sys.argv[1]))
