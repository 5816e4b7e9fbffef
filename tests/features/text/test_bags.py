from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer

from transfer_meta.features.text.bags import LN2, Bag, Comparison, compare_bags
from transfer_meta.features.text.counts import count_split
from transfer_meta.features.text.hashing import NO_THRESHOLD
from transfer_meta.records import Example, TaskType

Texts = st.lists(
    st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=9).map(" ".join), min_size=1, max_size=9
)


def bag_of(texts: list[str], limit: int | None = None) -> Bag:
    return Bag.from_counts(count_split(map(Example, texts), TaskType.CLASSIFICATION), limit=limit)


@given(Texts, Texts)
def test_comparison_equals_obvious_ones(source: list[str], target: list[str]) -> None:
    found = compare_bags(source=bag_of(source), target=bag_of(target))
    X = CountVectorizer(token_pattern=r"\w").fit_transform(source + target)
    # Centroids of the TF-IDF matrix over both corpora, its rows not scaled.
    weights = TfidfTransformer(norm=None, smooth_idf=True).fit_transform(X).toarray()
    u, v = weights[: len(source)].mean(axis=0), weights[len(source) :].mean(axis=0)
    s, t = X[: len(source)].toarray().sum(axis=0), X[len(source) :].toarray().sum(axis=0)
    shared = (s > 0) & (t > 0)
    assert found == pytest.approx(
        Comparison(
            jsd=jensenshannon(s, t) ** 2,
            types_covered_target=shared.sum() / (t > 0).sum(),
            types_covered_source=shared.sum() / (s > 0).sum(),
            types_jaccard=shared.sum() / len(s),
            tokens_covered_target=t[shared].sum() / t.sum(),
            tokens_covered_source=s[shared].sum() / s.sum(),
            tfidf_cosine=u @ v / np.sqrt(u @ u * (v @ v)),
        ),
        abs=1e-12,
    )


@given(Texts, Texts)
def test_swapping_source_and_target(source: list[str], target: list[str]) -> None:
    one = compare_bags(source=bag_of(source), target=bag_of(target))
    other = compare_bags(source=bag_of(target), target=bag_of(source))
    assert 0 <= one.jsd <= LN2
    assert one.jsd == pytest.approx(other.jsd, abs=1e-12)
    assert one.tfidf_cosine == pytest.approx(other.tfidf_cosine, abs=1e-12)
    assert one.tokens_covered_target == pytest.approx(other.tokens_covered_source)
    assert one.types_covered_target == other.types_covered_source


def test_an_empty_bag() -> None:
    empty, other = bag_of([""]), bag_of(["a b"])
    for source, target in ((empty, other), (other, empty), (empty, empty)):
        assert all(map(math.isnan, compare_bags(source=source, target=target)))


def zipf_texts(seed: int, offset: int) -> list[str]:
    rng = np.random.default_rng(seed)
    ranks = np.minimum(rng.zipf(1.3, 60_000), 20_000)
    return [" ".join(f"w{r + (offset if r > 50 else 0)}" for r in row) for row in ranks.reshape(-1, 20)]


def test_reduced_bags_are_near_whole_ones() -> None:
    source, target = zipf_texts(0, 0), zipf_texts(1, 300)
    whole = compare_bags(source=bag_of(source), target=bag_of(target))
    limit = 1000
    small = bag_of(source, limit), bag_of(target, limit)
    found = compare_bags(source=small[0], target=small[1])
    left_out = [1 - bag.counts.sum() / bag.n_tokens for bag in small]
    assert all(limit <= len(bag.hashes) <= 2 * limit for bag in small)
    assert all(0 < share < 0.2 for share in left_out)
    assert all(bag.threshold < NO_THRESHOLD for bag in small)
    # What the documentation promises: bounds for tokens and divergence, five standard errors for types.
    for name, share in (("tokens_covered_target", left_out[1]), ("tokens_covered_source", left_out[0])):
        assert getattr(whole, name) - share <= getattr(found, name) <= getattr(whole, name) + 1e-12
    assert whole.jsd - 1e-12 <= found.jsd <= whole.jsd + LN2 / 2 * sum(left_out)
    for name in ("types_covered_target", "types_covered_source", "types_jaccard"):
        assert getattr(found, name) == pytest.approx(getattr(whole, name), abs=5 * 0.5 / limit**0.5)
    assert found.tfidf_cosine == pytest.approx(whole.tfidf_cosine, abs=0.01)


def test_a_bag_below_the_limit_is_whole() -> None:
    texts = ["a b c", "a"]
    assert len(bag_of(texts, 3).hashes) == 3
    assert bag_of(texts, 3).threshold == NO_THRESHOLD
    reduced = bag_of(texts, 2)
    assert "a" not in texts or len(reduced.hashes) in (2, 3)
    assert reduced.counts.max() == 2


def test_the_order_of_examples_does_not_matter_to_a_reduced_bag() -> None:
    texts = zipf_texts(0, 0)[:500]
    a, b = bag_of(texts, 100), bag_of(texts[::-1], 100)
    assert a.hashes.tolist() == b.hashes.tolist()
    assert a.counts.tolist() == b.counts.tolist()


@given(st.sets(st.integers(0, 2**64 - 2), max_size=60), st.sets(st.integers(0, 2**64 - 2), max_size=60))
def test_find(mine: set[int], others: set[int]) -> None:
    def bag(values: set[int]) -> Bag:
        hashes = np.array(sorted(values), dtype=np.uint64)
        ones = np.ones(len(hashes), dtype=np.int64)
        return Bag(hashes, ones, ones, len(ones), 1, (0.0, 0.0, 0.0))

    a, b = bag(mine | {0}), bag(others | {0, 2**64 - 2})
    rows, columns = a.find(b.hashes)
    assert (
        b.hashes[rows].tolist()
        == a.hashes[columns].tolist()
        == sorted((mine | {0}) & (others | {0, 2**64 - 2}))
    )
