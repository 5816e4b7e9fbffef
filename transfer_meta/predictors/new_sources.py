"""What to expect of a source that no training target has tried.

A few dozen tasks are too few to learn which features make a source a good one: a dozen sources seen give a dozen
independent examples of that, whatever the number of pairs.  Three things are therefore expected beforehand: that a
source helps the more, the larger it is, the nearer its vectors are to the target's, and the more of the target's
words it has.

Sources: Vu et al. 2020, "Exploring and Predicting Transferability across NLP Tasks" (size, task vectors); Dai
et al. 2019, "Using Similarity Measures to Select Pretraining Data for NER" (words covered).
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd

from transfer_meta.predictors.within_target import group_codes, group_means
from transfer_meta.records import FloatArray

EXPECTED: tuple[dict[str, float], ...] = (
    {"source.size": 1.0},
    {"pair.mean_textemb": 1.0, "pair.mean_descemb": 1.0, "pair.mean_taskemb": 1.0},
    {"pair.types_covered_target": 1.0, "pair.tfidf_cosine": 1.0, "pair.jsd": -1.0},
)
"""The three, each by the columns that may speak for it, with the sign of what is expected of them."""

SLOPE = 0.2
"""Standardised gain expected for one standard deviation of their mean.  Not tuned: a correlation of 0.2."""


def expectation(X: pd.DataFrame, columns: Collection[str]) -> FloatArray:
    """Standardised gain expected of each pair beforehand, shape (n,).

    Each column is standardised within the target and setting (sizes on a logarithmic scale); their mean is taken
    within each group of `EXPECTED`, then over the groups that the table has, times `SLOPE`.

    Parameters
    ----------
    X : DataFrame
        n pairs; what is expected is relative to the target's other sources among them.
    columns : collection of str
        The features that count; 0 is expected where none of `EXPECTED` is among them.

    Examples
    --------
    >>> X = pd.DataFrame({"source": ["a", "b"], "target": "t", "source.size": [100, 10_000]})
    >>> expectation(X, ["source.size"]).round(6).tolist()
    [-0.2, 0.2]
    """
    groups = group_codes(X)
    parts = []
    for signs in EXPECTED:
        present = [c for c in signs if c in columns and X[c].notna().any()]
        if not present:
            continue
        raw = X[present].to_numpy(dtype=float)
        values = np.sign(raw) * np.log1p(np.abs(raw))
        mean, deviation = group_means(values, groups)
        relative = (values - mean) / np.where(deviation > 1e-9, deviation, np.inf)
        parts.append(np.nan_to_num(relative) @ np.array([signs[c] for c in present]) / len(present))
    return SLOPE * np.mean(parts, axis=0) if parts else np.zeros(len(X))
