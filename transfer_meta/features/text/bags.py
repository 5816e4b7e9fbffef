"""Bags of words by hash, and comparisons of two of them."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from transfer_meta.features.text.counts import SplitCounts
from transfer_meta.features.text.hashing import NO_THRESHOLD, CountArray, HashArray, hash_strings

MAX_TYPES = 2**15
"""Number of types kept in a profile by frequency, and number kept by smallest hash."""

LN2 = math.log(2)


@dataclass(frozen=True)
class Bag:
    """Bag of words of one corpus.

    Parameters
    ----------
    hashes : array of shape (m,)
        Hashes of the types, sorted.
    counts, documents : array of shape (m,)
        Tokens of each type, and examples that contain it.
    n_tokens, n_documents : int
        Tokens and examples of the corpus, including those of types that were dropped.
    moments : tuple of float
        Σ c² ln(1 + df)^k over the kept types for k = 0, 1, 2, sufficient for TF-IDF norms.
    threshold : uint64
        All types with a smaller hash are kept.
    """

    hashes: HashArray
    counts: CountArray
    documents: CountArray
    n_tokens: int
    n_documents: int
    moments: tuple[float, float, float]
    threshold: np.uint64 = NO_THRESHOLD

    @classmethod
    def from_counts(cls, split: SplitCounts, *, limit: int | None = None) -> Bag:
        """Return the bag of a split, reduced to at most 2 · `limit` types."""
        hashes = hash_strings(split.types)
        keep = np.argsort(hashes)
        threshold = NO_THRESHOLD
        if limit is not None and len(keep) > limit:
            threshold = hashes[keep[limit]]
            # Break ties by hash, so that the order of the examples does not matter.
            frequent = np.lexsort([hashes, -split.counts])[:limit]
            keep = np.union1d(keep[:limit], frequent)
            keep = keep[np.argsort(hashes[keep])]
        counts, documents = split.counts[keep], split.documents[keep]
        weights, logs = counts.astype(float) ** 2, np.log(1.0 + documents)
        moments = (float(weights.sum()), float(weights @ logs), float(weights @ logs**2))
        return cls(
            hashes[keep], counts, documents, split.n_tokens, split.n_examples, moments, threshold
        )

    def find(self, hashes: HashArray) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return the positions of the common types in sorted `hashes` and in this bag."""
        bits, starts, depth = self._buckets
        padded = np.append(self.hashes, NO_THRESHOLD)
        columns = starts[hashes >> np.uint64(64 - bits)]
        for _ in range(depth):
            columns += padded[columns] < hashes
        rows = np.flatnonzero((padded[columns] == hashes) & (columns < len(self.hashes)))
        return rows, columns[rows]

    @functools.cached_property
    def _buckets(self) -> tuple[int, NDArray[np.intp], int]:
        """Return the table of bucket starts by leading bits of the hash, and the largest bucket.

        Hashes are evenly spread, so a few steps from a bucket's start find any of them; a binary search takes
        three times as long.
        """
        bits = len(self.hashes).bit_length() + 1
        firsts = np.arange(2**bits, dtype=np.uint64) << np.uint64(64 - bits)
        starts = np.searchsorted(self.hashes, firsts)
        return bits, starts, int(np.diff(starts, append=len(self.hashes)).max())

    def square_norm(self, L: float) -> float:
        """Return Σ c² (L - ln(1 + df))² over the types."""
        zeroth, first, second = self.moments
        return zeroth * L**2 - 2 * first * L + second


class Comparison(NamedTuple):
    """Relation of a source's bag of words to a target's; NaN if a bag is empty.

    Exact if both bags hold all their types.  Otherwise `types_covered_*` are estimated from the types below
    both thresholds (standard error at most ½ / √`MAX_TYPES`, 0.3 %), and the others count tokens of dropped
    types as not shared: `tokens_covered_*` are too low by at most the dropped share of the tokens, `jsd` too
    high by at most ½ ln 2 times the sum of both shares.

    Parameters
    ----------
    jsd : float
        Jensen-Shannon divergence in nats, ½ KL(p ‖ m) + ½ KL(q ‖ m) with m = (p + q) / 2; from 0 to ln 2.
    types_covered_target, types_covered_source : float
        Share of the target's (source's) types that occur in the other task.
    types_jaccard : float
        Shared types / types of either.
    tokens_covered_target, tokens_covered_source : float
        Share of the target's (source's) tokens whose type occurs in the other task.
    tfidf_cosine : float
        Cosine of the mean TF-IDF vectors: counts times ln((1 + N) / (1 + df)) + 1, with the number of examples
        N and the document frequency df over both corpora.
    """

    jsd: float = math.nan
    types_covered_target: float = math.nan
    types_covered_source: float = math.nan
    types_jaccard: float = math.nan
    tokens_covered_target: float = math.nan
    tokens_covered_source: float = math.nan
    tfidf_cosine: float = math.nan


def compare_bags(*, source: Bag, target: Bag) -> Comparison:
    """Compare two bags of words (see `Comparison`).

    References
    ----------
    Lin 1991, "Divergence measures based on the Shannon entropy".
    """
    if not source.n_tokens or not target.n_tokens:
        return Comparison()
    rows, columns = target.find(source.hashes)
    c, d = source.counts[rows].astype(float), target.counts[columns].astype(float)

    # Types of one side only add p ln 2 each, so only shared ones need a logarithm.
    p, q = c / source.n_tokens, d / target.n_tokens
    p_shared, q_shared = float(p.sum()), float(q.sum())
    middle = (p + q) / 2
    divergence = p @ np.log(p / middle) + q @ np.log(q / middle)
    jsd = (divergence + LN2 * ((1 - p_shared) + (1 - q_shared))) / 2

    threshold = min(source.threshold, target.threshold)
    n_source = int(np.searchsorted(source.hashes, threshold))
    n_target = int(np.searchsorted(target.hashes, threshold))
    n_shared = int(np.searchsorted(source.hashes[rows], threshold))

    # idf = L - ln(1 + df).  Norms come from each bag's moments, corrected for shared types.
    L = math.log(1 + source.n_documents + target.n_documents) + 1
    df_source, df_target = source.documents[rows], target.documents[columns]
    both = L - np.log(1.0 + df_source + df_target)
    norms = [
        bag.square_norm(L) + weights**2 @ (both**2 - (L - np.log(1.0 + df)) ** 2)
        for bag, weights, df in ((source, c, df_source), (target, d, df_target))
    ]
    cosine = (c * d) @ both**2 / math.sqrt(norms[0] * norms[1])

    return Comparison(
        jsd=min(max(float(jsd), 0.0), LN2),
        types_covered_target=n_shared / n_target if n_target else math.nan,
        types_covered_source=n_shared / n_source if n_source else math.nan,
        types_jaccard=n_shared / (n_source + n_target - n_shared) if n_source + n_target else math.nan,
        tokens_covered_target=min(q_shared, 1.0),
        tokens_covered_source=min(p_shared, 1.0),
        tfidf_cosine=min(float(cosine), 1.0),
    )
