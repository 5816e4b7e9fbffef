"""Ranks with ties along the last axis."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from transfer_meta.predictors.base import IntArray
from transfer_meta.records import FloatArray


def tie_span(values: FloatArray) -> tuple[IntArray, IntArray]:
    """Return the first and last place, from 0 at the highest value, of each value and its ties.

    Parameters
    ----------
    values : array of shape (..., n)
        NaN ranks last.

    Returns
    -------
    first, last : array of shape (..., n)
        Number of greater values, and number of values not smaller, less one.

    Examples
    --------
    >>> first, last = tie_span(np.array([0.5, 0.9, 0.5]))
    >>> first.tolist(), last.tolist()
    ([1, 0, 1], [2, 0, 2])
    """
    descending = np.nan_to_num(-values, nan=np.inf, posinf=np.inf, neginf=-np.inf)
    ranks = (rankdata(descending, method=method, axis=-1) for method in ("min", "max"))
    first, last = (rank.astype(np.intp) - 1 for rank in ranks)
    return first, last


def average_rank(values: ArrayLike) -> FloatArray:
    """Return ranks from the highest value (1) to the lowest (n), average rank for ties.

    Examples
    --------
    >>> average_rank([0.5, 0.9, 0.5]).tolist()
    [2.5, 1.0, 2.5]
    """
    first, last = tie_span(np.asarray(values, dtype=float))
    return (first + last) / 2 + 1


def ratio(above: ArrayLike, below: ArrayLike) -> FloatArray:
    """Return the quotient; NaN where `below` is not positive."""
    above, below = np.broadcast_arrays(np.asarray(above, float), np.asarray(below, float))
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)
