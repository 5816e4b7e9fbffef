"""Count sketch: a fixed random projection without a matrix."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from transfer_meta.records import FloatArray


def count_sketch(vector: NDArray[np.floating], *, dimension: int, seed: int = 0) -> FloatArray:
    """Project a vector to `dimension` numbers, preserving inner products in expectation.

    Each coordinate is added, with a sign, to one bucket; bucket and sign are a hash of its index and the
    seed.  The hash is implemented here, so that sketches do not depend on the machine or on NumPy.

    Parameters
    ----------
    vector : array of shape (d,)
    dimension : int
        Length of the result; vectors that are not longer are returned unchanged.
    seed : int
        Only sketches with equal seeds are comparable.

    Returns
    -------
    array of shape (min(d, dimension),)

    Notes
    -----
    For unit vectors u, v of cosine c the error of <sketch u, sketch v> has mean 0 and a variance of at most
    (1 + c²) / dimension; errors of similar vectors largely cancel in a cosine.

    References
    ----------
    Charikar, Chen & Farach-Colton 2002, "Finding frequent items in data streams"; Weinberger et al.
    2009, "Feature hashing for large scale multitask learning".

    Examples
    --------
    >>> a, b = np.sin(np.arange(9000.0)), np.sin(np.arange(9000.0) + 0.5)
    >>> x, y = (count_sketch(v, dimension=1000) for v in (a, b))
    >>> abs(x @ y / np.sqrt(x @ x * (y @ y)) - np.cos(0.5)) < 0.02
    np.True_
    """
    values: FloatArray = np.asarray(vector, dtype=np.float64)
    if len(values) <= dimension:
        return values
    hashes = _splitmix64(np.arange(len(values), dtype=np.uint64), seed)
    signed = np.where(hashes & np.uint64(1), values, -values)
    buckets = (hashes >> np.uint64(1)) % np.uint64(dimension)
    sums = np.bincount(buckets.astype(np.intp), weights=signed, minlength=dimension)
    return sums.astype(np.float64)


def _splitmix64(values: NDArray[np.uint64], seed: int) -> NDArray[np.uint64]:
    """Apply the finaliser of SplitMix64 (Steele, Lea & Flood 2014) to `values`, offset by the seed."""
    start = (seed * 0xD1342543DE82EF95 + 1) % 2**64
    mixed = (values + np.uint64(start)) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
