"""Prior expectation for sources without training outcomes.

A few dozen sources are too few to learn which features make a good source, whatever the number of pairs.  The prior
therefore assumes that larger sources, sources with more similar task vectors, and sources that cover more of the
target's vocabulary help more.

References
----------
Vu et al. 2020, "Exploring and Predicting Transferability across NLP Tasks" (size, task vectors).
Dai et al. 2019, "Using Similarity Measures to Select Pretraining Data for NER" (vocabulary covered).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from transfer_meta.predictors.within_target import group_codes, group_moments
from transfer_meta.records import FloatArray, signed_log

EXPECTED_SIGNS: tuple[dict[str, float], ...] = (
    {"source.size": 1.0},
    {"pair.mean_textemb": 1.0, "pair.mean_descemb": 1.0, "pair.mean_taskemb": 1.0},
    {"pair.types_covered_target": 1.0, "pair.tfidf_cosine": 1.0, "pair.jsd": -1.0},
)
"""Columns of size, task vectors and vocabulary, with the sign of their expected effect."""

SLOPE = 0.2
"""Standardised gain per standard deviation of the standardised columns, that is, their correlation; not tuned."""


def expectation(X: pd.DataFrame, columns: Collection[str]) -> FloatArray:
    """Return the prior expectation of the standardised gain of each pair, shape (n,).

    Each column is transformed by `signed_log` and standardised within the target and setting; the result is `SLOPE`
    times the mean over the groups of `EXPECTED_SIGNS` in the table of the mean within each group.

    Parameters
    ----------
    X : DataFrame
        n pairs; the expectation is relative to the target's other sources among them.
    columns : collection of str
        Features to use; without any of `EXPECTED_SIGNS` the expectation is 0.

    Examples
    --------
    >>> X = pd.DataFrame({"source": ["a", "b"], "target": "t", "source.size": [100, 10_000]})
    >>> expectation(X, ["source.size"]).round(6).tolist()
    [-0.2, 0.2]
    """
    present = [c for signs in EXPECTED_SIGNS for c in signs if c in columns and X[c].notna().any()]
    values = signed_log(X[present].to_numpy(dtype=float))
    mean, deviation = group_moments(values, group_codes(X))
    relative = (values - mean) / np.where(deviation > 1e-9, deviation, np.inf)
    return np.asarray(SLOPE * np.nan_to_num(relative) @ expected_weights(present))


def expected_weights(columns: Sequence[str]) -> FloatArray:
    """Return the weight of each standardised column in the mean over groups, shape (columns,), 0 for others."""
    signs = np.array([[group.get(c, 0.0) for c in columns] for group in EXPECTED_SIGNS])
    size = np.abs(signs).sum(axis=1)
    known = size > 0
    return np.asarray((signs[known] / size[known, None]).sum(axis=0) / max(1, int(known.sum())))
