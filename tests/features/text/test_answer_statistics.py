"""Statistics of the answers of generation tasks."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_tasks import ALL_TYPES, tiny

from transfer_meta.features.missing import MissingError
from transfer_meta.features.pair_features import compare_profiles
from transfer_meta.features.task_profile import profile_task
from transfer_meta.features.text import counts as counts_module
from transfer_meta.features.text.answer_statistics import (
    ANSWER_STATISTIC_UNITS,
    ANSWER_STATISTICS,
    statistics_of,
)
from transfer_meta.features.text.counts import count_split
from transfer_meta.features.text.statistics import STATISTICS, Corpus
from transfer_meta.records import Example, Label, TaskProfile, TaskType
from transfer_meta.tasks import Task

EXAMPLES = [
    Example("the cat sat on the mat", ("a cat sat", "the cat")),
    Example("rain fell", ("rain",), "Say it"),
    Example("x y", ("the end",)),
    Example("x y", ("the end",)),
]
WORDS = st.lists(st.sampled_from("abcdef"), max_size=6).map(" ".join)
TASKS = st.lists(st.tuples(WORDS, st.none() | WORDS, st.none() | WORDS), min_size=1, max_size=8)


def corpus_of(examples: list[Example], type: TaskType = TaskType.GENERATION) -> Corpus:
    return Corpus(type, count_split(examples, type))


def values(examples: list[Example]) -> dict[str, float]:
    found = {}
    for name, function in ANSWER_STATISTICS.items():
        try:
            found[name] = function(corpus_of(examples))
        except MissingError:
            found[name] = math.nan
    return found


def grams_of(words: list[str], n: int) -> set[tuple[str, ...]]:
    return {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}


def slow(examples: list[Example]) -> dict[str, float]:
    """The same numbers, from their definitions."""
    pairs = [
        (f"{e.text}\n{e.text_pair or ''}".split(), str(e.label[0]).split())
        for e in examples
        if isinstance(e.label, tuple)
    ]
    grams = {n: [(grams_of(a, n), grams_of(g, n)) for g, a in pairs] for n in (1, 2)}
    first = np.array(list(Counter(a[0] for _, a in pairs if a).values()), dtype=float)

    def ratio(a: float, b: float) -> float:
        return a / b if b else math.nan

    answers = [str(e.label[0]) for e in examples if isinstance(e.label, tuple)]
    return {
        "answer_length_ratio": ratio(sum(len(a) for _, a in pairs), sum(len(g) for g, _ in pairs)),
        **{
            f"answer_novelty_{n}": ratio(
                sum(len(a - g) for a, g in grams[n]), sum(len(a) for a, _ in grams[n])
            )
            for n in (1, 2)
        },
        "answer_start_entropy": float(-sum(p * np.log(p) for p in first / first.sum()))
        if len(first)
        else math.nan,
        "answer_distinct_share": ratio(len(set(answers)), len(answers)),
    }


def test_by_hand() -> None:
    found = values(EXAMPLES)
    assert found["answer_length_ratio"] == (3 + 1 + 2 + 2) / (6 + 4 + 2 + 2)
    assert found["answer_novelty_1"] == (1 + 0 + 2 + 2) / (3 + 1 + 2 + 2)
    assert found["answer_novelty_2"] == (1 + 1 + 1) / (2 + 1 + 1)
    assert found["answer_start_entropy"] == pytest.approx(1.5 * math.log(2))
    assert found["answer_distinct_share"] == 3 / 4


@given(TASKS)
@settings(max_examples=100, deadline=None)
def test_as_their_definitions_say(rows: list[tuple[str, str | None, str | None]]) -> None:
    examples = [
        Example(text, None if answer is None else (answer,), pair) for text, answer, pair in rows
    ]
    assert values(examples) == pytest.approx(slow(examples), nan_ok=True)


def test_chunks_and_processes_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    task = Task.from_iterable("t", "generation", {"train": EXAMPLES * 3})
    one = profile_task(task)
    monkeypatch.setattr(counts_module, "CHUNK_EXAMPLES", 2)
    assert dict(profile_task(task).features) == pytest.approx(dict(one.features), nan_ok=True)
    two = profile_task(task, workers=2)
    assert dict(two.features) == pytest.approx(dict(one.features), nan_ok=True)


@pytest.mark.parametrize("label", [None, ()])
def test_without_answers_they_are_missing(label: Label) -> None:
    task = Task.from_iterable("t", "generation", {"train": [Example("a b", label)]})
    found = profile_task(task)
    assert {found.missing[name] for name in ANSWER_STATISTICS} == {"no answers in the train split"}


def test_generation_has_no_statistics_of_classes() -> None:
    found = profile_task(Task.from_iterable("t", "generation", {"train": EXAMPLES}))
    assert list(found.features) == [*STATISTICS, *ANSWER_STATISTICS]
    reasons = {name: why for name, why in found.missing.items() if "no classes" in why}
    assert set(reasons) == {"n_labels", "label_entropy", "majority_share", "label_entropy_normalised"}
    assert TaskProfile.from_json(found.to_json()).to_json() == found.to_json()


@pytest.mark.parametrize("type", ALL_TYPES)
def test_other_types_have_the_columns_that_shipped_tables_have(type: TaskType) -> None:
    assert statistics_of(type) is STATISTICS
    assert list(profile_task(tiny(type)).features) == list(STATISTICS)
    for function in ANSWER_STATISTICS.values():
        with pytest.raises(MissingError, match="are no texts"):
            function(corpus_of([Example("a b")], type))


def test_a_pair_with_another_type_is_compared_in_what_both_have() -> None:
    target = profile_task(Task.from_iterable("t", "generation", {"train": EXAMPLES}))
    frame = compare_profiles(sources=[profile_task(tiny(TaskType.CLASSIFICATION))], target=target)
    assert frame["target.answer_length_ratio"].notna().all()
    assert frame["source.answer_length_ratio"].isna().all()
    assert frame["pair.same_type"].tolist() == [0.0]


def test_units_and_definitions_are_stated() -> None:
    assert list(ANSWER_STATISTIC_UNITS) == list(ANSWER_STATISTICS)
    assert all(
        function.__doc__ and len(function.__doc__) > 25 for function in ANSWER_STATISTICS.values()
    )
