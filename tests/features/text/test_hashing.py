from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer_meta.features.text.hashing import NO_THRESHOLD, HashSample, count_common, hash_strings


def test_hashes_are_the_same_everywhere() -> None:
    # BLAKE2b of 8 bytes, least byte first, as its reference implementation gives it.
    import hashlib

    expected = int.from_bytes(hashlib.blake2b(b"film", digest_size=8).digest(), "little")
    assert hash_strings(["rain", "film"])[1] == expected
    assert hash_strings([]).shape == (0,)
    assert len(hash_strings(["\ud800"])) == 1


Pairs = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 3)), min_size=1, max_size=60)


def sample_of(pairs: list[tuple[int, int]], *, limit: int = 2**18, chunk: int = 7) -> HashSample:
    sample = HashSample(limit)
    texts = hash_strings([f"text {text}" for text, _ in pairs])
    labels = hash_strings([f"label {label}" for _, label in pairs])
    for start in range(0, len(pairs), chunk):
        sample.add(texts[start : start + chunk], labels[start : start + chunk])
    return sample


@given(Pairs, Pairs)
def test_shares_are_exact_below_the_limit(
    pairs: list[tuple[int, int]], others: list[tuple[int, int]]
) -> None:
    sample, other = sample_of(pairs), sample_of(others)
    texts = [text for text, _ in pairs]
    labels = {text: {b for a, b in pairs if a == text} for text in texts}
    assert sample.duplicate_rate() == pytest.approx(1 - len(set(texts)) / len(texts))
    assert sample.conflict_rate() == pytest.approx(np.mean([len(labels[t]) > 1 for t in texts]))
    assert sample.share_in(other) == pytest.approx(
        np.mean([t in {o for o, _ in others} for t in texts])
    )
    assert sample.counts.sum() == len(pairs)
    assert len(sample.distinct) == len(set(texts))


@given(Pairs, st.integers(1, 8))
def test_the_order_does_not_matter(pairs: list[tuple[int, int]], limit: int) -> None:
    shuffled = random.Random(0).sample(pairs, len(pairs))
    a, b = sample_of(pairs, limit=limit, chunk=5), sample_of(shuffled, limit=limit, chunk=11)
    assert a.threshold == b.threshold
    assert a.hashes.tolist() == b.hashes.tolist()
    assert a.counts.tolist() == b.counts.tolist()
    assert len(a.distinct) <= limit


def test_shares_beyond_the_limit_are_near() -> None:
    rng = np.random.default_rng(0)
    numbers = rng.integers(0, 40_000, 100_000).tolist()
    sample = sample_of([(n, n % 2) for n in numbers], limit=4000, chunk=10_000)
    other = sample_of([(n, 0) for n in range(10_000)], limit=4000, chunk=10_000)
    assert len(sample.distinct) <= 4000
    assert sample.threshold < NO_THRESHOLD
    # Five standard errors of a sample of at least 2,000.
    error = 5 * 0.5 / 2000**0.5
    counts = Counter(numbers)
    assert sample.duplicate_rate() == pytest.approx(1 - len(counts) / len(numbers), abs=error)
    shared = sum(n for text, n in counts.items() if text < 10_000) / len(numbers)
    assert sample.share_in(other) == pytest.approx(shared, abs=error)
    assert sample.conflict_rate() == 0


def test_nothing_shared_of_nothing() -> None:
    empty = HashSample()
    assert np.isnan(empty.share_in(empty))


@given(st.sets(st.integers(0, 50)), st.sets(st.integers(0, 50)))
def test_common_values(a: set[int], b: set[int]) -> None:
    arrays = [np.array(sorted(values), dtype=np.uint64) for values in (a, b)]
    assert count_common(*arrays) == len(a & b)
