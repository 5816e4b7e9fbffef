"""Machine-independent hashes of strings, and samples drawn by hash.

Tasks are compared by 64-bit hashes of words, labels and examples, so that a profile needs no texts.  Among n
different strings two share a hash with a probability of about n² / 2⁶⁵: 3e-8 for a million.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

HashArray = NDArray[np.uint64]
CountArray = NDArray[np.int64]

NO_THRESHOLD = np.uint64(2**64 - 1)
"""Threshold of a sample that holds everything."""


def hash_strings(strings: Iterable[str]) -> HashArray:
    """Return the 64-bit BLAKE2b hashes of strings, in order.

    Examples
    --------
    >>> hash_strings(["film", "rain", "film"]).argmax() == hash_strings(["film", "rain"]).argmax()
    np.True_
    """
    digests = [blake2b(s.encode("utf-8", "surrogatepass"), digest_size=8).digest() for s in strings]
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64, copy=False)


def count_common(a: HashArray, b: HashArray) -> int:
    """Return the number of values common to two sorted arrays of distinct values."""
    small, large = sorted((a, b), key=len)
    if not len(small):
        return 0
    places = np.minimum(np.searchsorted(large, small), len(large) - 1)
    return int(np.count_nonzero(large[places] == small))


class HashSample:
    """Counts of the distinct strings of a stream, in bounded memory and independent of its order.

    Distinct sampling: all strings with a hash below a threshold are counted, and the threshold is halved
    whenever they exceed `limit`.  Exact up to `limit` different strings; beyond, a share has a standard error
    of at most ½ / √(limit / 2), 0.14 % by default.

    Parameters
    ----------
    limit : int
        Maximum number of different strings kept.

    References
    ----------
    Gibbons 2001, "Distinct sampling for highly-accurate answers to distinct values queries and event
    reports".
    """

    def __init__(self, limit: int = 2**18) -> None:
        self._limit = limit
        self._threshold = NO_THRESHOLD
        # Rows: hash, hash of the label, occurrences; sorted and distinct, except for `_added`.
        self._rows = np.empty((3, 0), dtype=np.uint64)
        self._added: list[NDArray[np.uint64]] = []
        self._n_added = 0

    def add(self, hashes: HashArray, labels: HashArray) -> None:
        """Count strings, each with the hash of its label."""
        rows = np.stack([hashes, labels, np.ones_like(hashes)])
        self._added.append(rows[:, hashes < self._threshold])
        self._n_added += self._added[-1].shape[1]
        if self._n_added > self._limit:  # sorting in batches is cheaper
            self._settle()

    def _settle(self) -> None:
        if not self._added:
            return
        rows = np.concatenate([self._rows, *self._added], axis=1)
        self._added, self._n_added = [], 0
        rows = rows[:, np.lexsort(rows[1::-1])]
        first = np.flatnonzero(_starts(rows[0]) | _starts(rows[1]))
        counts = np.add.reduceat(rows[2], first) if len(first) else rows[2]
        self._rows = np.stack([*rows[:2, first], counts])
        while np.count_nonzero(_starts(self._rows[0])) > self._limit:
            self._threshold = self._threshold // np.uint64(2)
            self._rows = self._rows[:, self._rows[0] < self._threshold]

    @property
    def threshold(self) -> np.uint64:
        """Strings with a hash of at least this value are not sampled."""
        self._settle()
        return self._threshold

    @property
    def hashes(self) -> HashArray:
        """Hashes of the strings of the distinct (string, label) pairs, sorted; shape (m,)."""
        self._settle()
        return self._rows[0]

    @property
    def counts(self) -> CountArray:
        """Occurrences of these pairs; shape (m,)."""
        self._settle()
        return self._rows[2].astype(np.int64)

    @property
    def distinct(self) -> HashArray:
        """Hashes of the distinct strings, sorted."""
        return self.hashes[_starts(self.hashes)]

    def duplicate_rate(self) -> float:
        """Return the share of strings that occurred before: 1 - distinct / all."""
        return 1 - len(self.distinct) / int(self.counts.sum())

    def conflict_rate(self) -> float:
        """Return the share of strings that occur with two or more labels."""
        starts, counts = _starts(self.hashes), self.counts
        labels_of = np.diff(np.flatnonzero(starts), append=len(starts))
        return float(counts[np.repeat(labels_of > 1, labels_of)].sum() / counts.sum())

    def share_in(self, other: HashSample) -> float:
        """Return the share of strings that also occur in `other`; NaN if none is sampled."""
        end = int(np.searchsorted(self.hashes, min(self.threshold, other.threshold)))
        counts = self.counts[:end]
        shared = np.isin(self.hashes[:end], other.hashes)
        return float(counts[shared].sum() / counts.sum()) if counts.sum() else float("nan")


def _starts(values: HashArray) -> NDArray[np.bool_]:
    """Return True where a value of a sorted array differs from the previous one."""
    starts = np.ones(len(values), dtype=bool)
    starts[1:] = values[1:] != values[:-1]
    return starts
