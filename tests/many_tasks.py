"""Tables of pairs whose truth is known, for the tests of the predictors."""

from __future__ import annotations

import numpy as np
import pandas as pd


def grouped_tasks(
    n_tasks: int = 16, *, settings: tuple[str, ...] = ("",), noise: float = 0.3, seed: int = 0
) -> tuple[pd.DataFrame, np.ndarray]:
    """Tasks of two kinds: a source helps its own kind, and some sources help everybody."""
    random = np.random.default_rng(seed)
    kind = np.arange(n_tasks) % 2
    popularity = random.normal(size=n_tasks)
    rows, y = [], []
    for setting in settings:
        for t in range(n_tasks):
            for s in range(n_tasks):
                if s == t:
                    continue
                same = float(kind[s] == kind[t])
                rows.append(
                    (
                        setting,
                        f"k{s:02d}",
                        f"k{t:02d}",
                        float(kind[s]),
                        float(kind[t]),
                        same - 0.3 * (s % 3),
                    )
                )
                y.append(0.05 * (same + 0.5 * popularity[s] + noise * random.normal()) - 0.02)
    columns = ["setting", "source", "target", "source.kind", "target.kind", "pair.mean_textemb"]
    return pd.DataFrame(rows, columns=columns), np.array(y)


def by_target(X: pd.DataFrame) -> list[tuple[np.ndarray, np.ndarray]]:
    """Leave-one-target-out folds."""
    held = X["target"].to_numpy()
    return [(np.flatnonzero(held != t), np.flatnonzero(held == t)) for t in np.unique(held)]


def mean_spearman(predictor, X: pd.DataFrame, y: np.ndarray) -> float:
    """Mean rank correlation over left-out targets."""
    from scipy.stats import spearmanr

    folds = by_target(X)
    return float(
        np.mean(
            [
                spearmanr(p.ranking, y[test]).statistic
                for p, (_, test) in zip(predictor.predict_folds(X, y, folds), folds, strict=True)
            ]
        )
    )
