"""Ranks with ties over the last axis: what the metrics are counted from."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transfer_meta.records import FloatArray


def tie_span(values: FloatArray) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The places, counted from 0 at the highest value, that each value shares with its equals.

    Parameters
    ----------
    values : array of shape (..., n)

    Returns
    -------
    first, last : array of shape (..., n)
        Number of values that are greater, and number of values that are not smaller, less one.

    Examples
    --------
    >>> first, last = tie_span(np.array([0.5, 0.9, 0.5]))
    >>> first.tolist(), last.tolist()
    ([1, 0, 1], [2, 0, 2])
    """
    order = np.argsort(-values, axis=-1)
    ranked = np.take_along_axis(values, order, axis=-1)
    place = np.arange(values.shape[-1])
    changes = ranked[..., 1:] != ranked[..., :-1]
    edge = np.ones_like(ranked[..., :1], dtype=bool)
    starts = np.concatenate([edge, changes], axis=-1)
    ends = np.concatenate([changes, edge], axis=-1)
    first, last = np.empty_like(order), np.empty_like(order)
    run_start = np.maximum.accumulate(np.where(starts, place, 0), axis=-1)
    run_end = np.minimum.accumulate(np.where(ends, place, len(place))[..., ::-1], axis=-1)[..., ::-1]
    np.put_along_axis(first, order, run_start, axis=-1)
    np.put_along_axis(last, order, run_end, axis=-1)
    return first, last


def average_rank(values: ArrayLike) -> FloatArray:
    """Ranks from the highest value (1) to the lowest (n), ties taking their average.

    Examples
    --------
    >>> average_rank([0.5, 0.9, 0.5]).tolist()
    [2.5, 1.0, 2.5]
    """
    first, last = tie_span(np.asarray(values, dtype=float))
    return (first + last) / 2 + 1


def ratio(above: ArrayLike, below: ArrayLike) -> FloatArray:
    """The quotient; NaN where below is not positive."""
    above, below = np.broadcast_arrays(np.asarray(above, float), np.asarray(below, float))
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)
