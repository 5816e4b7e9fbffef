"""Tagging schemes."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfer_meta.errors import InputError
from transfer_meta.tasks import ReadSettings, Task, read_task
from transfer_meta.tasks.iob import (
    SCHEMES,
    detect_scheme,
    find_illegal,
    find_spans,
    repair,
    write_spans,
)
from transfer_meta.tasks.reading_log import ReadingLog

LETTERS = sorted({letter for letters in SCHEMES.values() for letter in letters})
TAGS = st.lists(
    st.just("O")
    | st.builds("{}-{}".format, st.sampled_from(LETTERS), st.sampled_from(["PER", "LOC", "A-B"]))
)
SCHEME = st.sampled_from(sorted(SCHEMES))


@st.composite
def spans(draw: st.DrawFn) -> tuple[list[tuple[int, int, str]], int]:
    """Spans that do not overlap, and the sentence's length."""
    found, position = [], 0
    for gap, length, kind in draw(
        st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3), st.sampled_from("AB")), max_size=5)
    ):
        found.append((position + gap, position + gap + length, kind))
        position += gap + length
    return found, position + draw(st.integers(0, 2))


@given(spans(), SCHEME)
def test_spans_written_in_any_scheme_are_legal_and_found_again(sentence, scheme: str) -> None:
    expected, length = sentence
    tags = write_spans(expected, length, scheme)
    assert len(tags) == length
    assert find_illegal(tags, scheme) is None
    assert find_spans(tags) == expected


@given(TAGS, SCHEME)
def test_repairing_gives_legal_tags_of_the_same_spans_and_leaves_legal_ones(
    tags: list[str], scheme: str
) -> None:
    mended = repair(tags, scheme)
    assert find_illegal(mended, scheme) is None
    assert find_spans(mended) == find_spans(tags)
    if find_illegal(tags, scheme) is None:
        assert list(mended) == tags


@settings(deadline=None)  # the first call imports the reference
@given(TAGS)
def test_spans_are_those_of_seqeval(tags: list[str]) -> None:
    sequence_labeling = pytest.importorskip("seqeval.metrics.sequence_labeling")
    reference = [(start, end + 1, kind) for kind, start, end in sequence_labeling.get_entities(tags)]
    assert find_spans(tags) == reference


def legal_pairs(scheme: str) -> set[tuple[str, str]]:
    """The neighbours that each scheme allows, by its definition; ^ and $ are the ends; types A and B."""
    other = {"A": "B", "B": "A"}
    pairs = {("O", "O"), ("^", "O"), ("O", "$"), ("^", "$")}
    for kind in "AB":
        b, i, e, s = (f"{letter}-{kind}" for letter in "BIES")
        if scheme == "IOB2":
            pairs |= {(x, b) for x in ("^", "O", b, i, f"B-{other[kind]}", f"I-{other[kind]}")}
            pairs |= {(b, i), (i, i), (b, "O"), (i, "O"), (b, "$"), (i, "$")}
        elif scheme == "IOB1":
            pairs |= {(x, i) for x in ("^", "O", b, i, f"B-{other[kind]}", f"I-{other[kind]}")}
            pairs |= {(i, b), (b, b), (b, "O"), (i, "O"), (b, "$"), (i, "$")}
        else:
            ends = ("^", "O", e, s, f"E-{other[kind]}", f"S-{other[kind]}")
            pairs |= {(x, y) for x in ends for y in (b, s)}
            pairs |= {(b, i), (b, e), (i, i), (i, e), (e, "O"), (s, "O"), (e, "$"), (s, "$")}
    return pairs


@given(
    st.lists(st.just("O") | st.builds("{}-{}".format, st.sampled_from(LETTERS), st.sampled_from("AB"))),
    SCHEME,
)
def test_legal_is_what_the_definition_allows(tags: list[str], scheme: str) -> None:
    around = ["^", *tags, "$"]
    expected = all(pair in legal_pairs(scheme) for pair in itertools.pairwise(around))
    assert (find_illegal(tags, scheme) is None) == expected


@pytest.mark.parametrize(
    ("sentences", "scheme"),
    [
        ([["B-A", "I-A"], ["O"]], "IOB2"),
        ([["I-A", "O"], ["I-A", "B-A"]], "IOB1"),
        ([["I-A", "I-A"]], "IOB1"),
        ([["B-A", "E-A"], ["S-B"]], "IOBES"),
        ([["S-B", "O"]], "IOBES"),
        ([["B-A", "O", "I-A"]], "IOB2"),
        ([["O", "O"]], "plain"),
        ([], "plain"),
        ([["NOUN", "VERB"]], "plain"),
        ([["B-A", "NOUN"]], "plain"),
        ([["B", "I"]], "IOB2"),
        ([["I", "O"]], "IOB1"),
        ([["B", "E"], ["S", "O"]], "IOBES"),
        ([["B", "I-A"]], "plain"),
        ([["S", "O"]], "plain"),
        ([["B", "B"]], "plain"),
        ([["X-A"]], "plain"),
        ([["B-"]], "plain"),
    ],
)
def test_schemes_are_told(sentences: list[list[str]], scheme: str) -> None:
    assert detect_scheme(sentences) == scheme


BROKEN = "Ann\tB-PER\n\nin\tO\nNew\tI-LOC\nYork\tI-LOC\n"


def task_log(task: Task) -> ReadingLog:
    """What a pass over train left out and mended."""
    list(task.examples())
    log = task.splits["train"].log
    assert log is not None
    return log


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    path = tmp_path / "a.conll"
    path.write_text(BROKEN)
    return path


def test_illegal_tags_are_refused_with_their_line(broken: Path) -> None:
    with pytest.raises(
        InputError,
        match=r"a\.conll:4: tag 2 .* illegal in IOB2: I-LOC after O; set --repair-tags .* or --scheme plain",
    ):
        list(read_task(broken, ReadSettings(strict=True)).examples())


def test_illegal_tags_are_repaired(broken: Path) -> None:
    for options in ({}, {"repair_tags": True}, {"repair_tags": True, "strict": True}):
        task = read_task(broken, ReadSettings(**options))
        assert [e.label for e in task.examples()] == [("B-PER",), ("O", "B-LOC", "I-LOC")]
    assert dict(task_log(read_task(broken)).mended) == {"with illegal tags": 1}
    assert [e.label for e in read_task(broken, ReadSettings(scheme="plain")).examples()][1] == (
        "O",
        "I-LOC",
        "I-LOC",
    )


def test_a_scheme_that_the_user_names_is_held_to(tmp_path: Path) -> None:
    path = tmp_path / "a.conll"
    path.write_text("New\tI-LOC\nYork\tI-LOC\n")
    assert "tags IOB1" in read_task(path).notes
    with pytest.raises(
        InputError, match=r"a\.conll:1: tag 1 of the sentence is illegal in IOB2: I-LOC at the start"
    ):
        list(read_task(path, ReadSettings(scheme="IOB2", strict=True)).examples())
    with pytest.raises(InputError, match=r"unknown tagging scheme 'iob2' .*did you mean 'IOB2'"):
        read_task(path, ReadSettings(scheme="iob2"))


@pytest.mark.parametrize("name", ["wnut17", "atis_slots"])
def test_real_taggers_are_told_and_legal(shared: Path, name: str) -> None:
    task = read_task(shared / "tasks" / f"{name}.train.conll")
    assert "tags IOB2" in task.notes
    for split in task.splits:
        assert all(find_illegal(e.label, "IOB2") is None for e in task.examples(split))
