from __future__ import annotations

import math
import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfer_meta.features.text import counts as counts_module
from transfer_meta.features.text.counts import SplitCounts, chunked, count_split
from transfer_meta.features.text.tokenize import tokenize
from transfer_meta.records import Answer, Example, TaskType

WORDS = ["a", "film", "rain", "the", "Film", ".", "日本"]
Texts = st.lists(st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join), min_size=1, max_size=30)


def by_type(split: SplitCounts) -> dict[str, tuple[int, int]]:
    return {t: (int(split.counts[k]), int(split.documents[k])) for t, k in split.types.items()}


def content(split: SplitCounts) -> tuple[object, ...]:
    return (
        split.n_examples,
        split.n_tokens,
        split.square_sum,
        by_type(split),
        split.lengths,
        split.labels,
        split.texts.hashes.tolist(),
        split.words.counts.tolist(),
    )


@settings(max_examples=60)
@given(Texts, st.integers(1, 5))
def test_counts_equal_obvious_ones(texts: list[str], size: int) -> None:
    examples = [Example(text, str(len(text) % 3)) for text in texts]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counts_module, "CHUNK_EXAMPLES", size)
        split = count_split(examples, TaskType.CLASSIFICATION)
    tokens = [tokenize(text) for text in texts]
    flat = [token for one in tokens for token in one]
    assert split.n_examples == len(texts)
    assert split.n_tokens == len(flat)
    assert split.square_sum == sum(n * n for one in tokens for n in Counter(one).values())
    assert by_type(split) == {t: (flat.count(t), sum(t in one for one in tokens)) for t in set(flat)}
    assert split.lengths == Counter(map(len, tokens))
    assert split.labels == Counter(e.label for e in examples)


@settings(max_examples=30)
@given(Texts, st.randoms())
def test_order_and_chunks_do_not_matter(texts: list[str], rng: random.Random) -> None:
    examples = [Example(text, "x") for text in texts]
    shuffled = rng.sample(examples, len(examples))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counts_module, "CHUNK_CHARACTERS", 20)
        parts = count_split(shuffled, TaskType.CLASSIFICATION)
    assert content(parts) == content(count_split(examples, TaskType.CLASSIFICATION))


def test_processes_count_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts_module, "CHUNK_EXAMPLES", 50)
    rng = random.Random(0)
    examples = [Example(" ".join(rng.choices(WORDS, k=9)), rng.choice("ab")) for _ in range(400)]
    said: list[int] = []
    one = count_split(examples, TaskType.CLASSIFICATION)
    two = count_split(examples, TaskType.CLASSIFICATION, workers=2, on_examples=said.append)
    assert content(one) == content(two)
    assert list(one.types) == list(two.types)
    assert said == list(range(50, 401, 50))


def test_all_texts_of_an_example_count() -> None:
    example = Example("one two", 1, text_pair="three", choices=("four", "five six"))
    split = count_split([example], TaskType.MULTIPLE_CHOICE)
    assert set(split.types) == {"one", "two", "three", "four", "five", "six"}
    assert split.lengths == Counter({6: 1})
    assert split.labels == Counter({"1": 1})


def test_given_tokens_are_kept() -> None:
    example = Example("New York U.S.", ("B-X", "I-X", "O"), tokens=("New York", "U.S.", "!"))
    split = count_split([example], TaskType.TOKEN_CLASSIFICATION)
    assert list(split.types) == ["new york", "u.s.", "!"]
    assert split.labels == Counter({"B-X": 1, "I-X": 1, "O": 1})


def test_targets_that_are_no_numbers_are_left_out() -> None:
    examples = [Example("a", label) for label in (1.5, math.nan, None, 2.5, math.inf)]
    assert count_split(examples, TaskType.REGRESSION).labels == Counter({1.5: 1, 2.5: 1})


def test_many_targets_are_rounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts_module, "MAX_EXACT_TARGETS", 100)
    targets = np.linspace(1, 2, 5000)
    split = count_split([Example("a", float(t)) for t in targets], TaskType.REGRESSION)
    assert len(split.labels) == 1001
    assert sum(split.labels.values()) == 5000
    mean = sum(float(t) * n for t, n in split.labels.items()) / 5000
    assert mean == pytest.approx(1.5, abs=1e-3)


@pytest.mark.parametrize(
    ("label", "unit"),
    [
        ((Answer("a", 0),), "0"),
        ((Answer("b", 55), Answer("c", 0)), "5"),
        ((Answer("d", 99),), "9"),
        ((), "none"),
    ],
)
def test_answers_are_counted_by_their_place(label: tuple[Answer, ...], unit: str) -> None:
    example = Example("question", label, text_pair="x" * 100)
    assert count_split([example], TaskType.QUESTION_ANSWERING).labels == Counter({unit: 1})


def test_examples_without_a_label() -> None:
    examples = [Example("a", None), Example("a", None, text_pair="b")]
    for type in TaskType:
        assert not count_split(examples, type).labels


@pytest.mark.parametrize(
    ("a", "b", "near"),
    [
        ("A fine film.", "a fine FILM", True),
        ("fine a film", "a fine film !", True),
        ("a fine film", "a film", False),
        ("a a film", "a film film", False),
        ("...", "...", True),
        ("...", "!!!", False),
    ],
)
def test_near_duplicates(a: str, b: str, near: bool) -> None:
    split = count_split([Example(a), Example(b)], TaskType.CLASSIFICATION)
    assert split.words.duplicate_rate() == (0.5 if near else 0)
    assert split.texts.duplicate_rate() == (0.5 if a == b else 0)


def test_chunks_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts_module, "CHUNK_CHARACTERS", 10)
    monkeypatch.setattr(counts_module, "CHUNK_EXAMPLES", 3)
    sizes = [len(c.texts) for c in chunked([Example("x" * n) for n in (1, 1, 1, 12, 4, 4, 4, 1)])]
    assert sizes == [3, 1, 3, 1]
    assert list(chunked([])) == []


def test_nothing() -> None:
    split = count_split([], TaskType.CLASSIFICATION)
    assert (split.n_examples, split.n_tokens, split.types) == (0, 0, {})
    blank = count_split([Example(""), Example("  ")], TaskType.CLASSIFICATION)
    assert (blank.n_examples, blank.n_tokens, blank.square_sum) == (2, 0, 0)
