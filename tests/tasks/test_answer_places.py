"""Answers that stand elsewhere than said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from transfer_meta.errors import InputError
from transfer_meta.records import Answer
from transfer_meta.tasks import ReadSettings, Task, read_task
from transfer_meta.tasks.answer_places import find_answers, move_answer

CONTEXT = "In 1902 the baker Jon Lund opened a shop in Vik. In 1930 he sold the shop."


@pytest.mark.parametrize(
    ("text", "start", "moved", "reason"),
    [
        ("1902", 4, Answer("1902", 3), "with an answer moved by -1"),
        ("1902", 2, Answer("1902", 3), "with an answer moved by +1"),
        ("1902", 10, Answer("1902", 3), "with an answer moved to where it stands"),
        # The only one in the context, however far.
        ("Vik", 2, Answer("Vik", 44), "with an answer moved to where it stands"),
        # Twice in the context, once nearby.
        ("shop", 33, Answer("shop", 36), "with an answer moved to where it stands"),
        ("shop", 60, Answer("shop", 69), "with an answer moved to where it stands"),
        ("he", 7, Answer("he", 9), "with an answer moved to where it stands"),
        # The same distance to both, or far from both.
        ("In", 25, None, None),
        ("shop", 0, None, None),
        ("Oslo", 44, None, None),
        (" Jon Lund ", 18, Answer("Jon Lund", 18), "with white space around an answer"),
        (
            "Jon  Lund",
            18,
            Answer("Jon Lund", 18),
            "with an answer written otherwise than in its context",
        ),
        ("   ", 3, None, None),
    ],
)
def test_moving(text: str, start: int, moved: Answer | None, reason: str | None) -> None:
    assert move_answer(Answer(text, start), CONTEXT) == ((moved, reason) if moved else None)


def test_bytes_and_composed_letters() -> None:
    context = "Füße, Größe, Brot — “Öl” und noch einmal Brot"
    start = len(context[: context.rindex("Brot")].encode())
    assert move_answer(Answer("Brot", start), context) == (
        Answer("Brot", context.rindex("Brot")),
        "with an offset in bytes",
    )
    decomposed = "Gro\u0308ße"
    place = context.index("Größe")
    found = move_answer(Answer(decomposed, place), context)
    assert found == (Answer("Größe", place), "with an answer written otherwise than in its context")
    assert move_answer(Answer('"Öl"', 20), context)[0] == Answer("“Öl”", context.index("“"))


@pytest.fixture
def task(tmp_path: Path):
    def make(*answers: Any, **options: Any) -> Task:
        path = tmp_path / "shop.train.jsonl"
        rows = [{"context": CONTEXT, "question": "?", "answers": cell} for cell in answers]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return read_task(path, ReadSettings(**options))

    return make


def flat(*pairs: tuple[str, Any]) -> dict[str, Any]:
    return {"text": [text for text, _ in pairs], "answer_start": [start for _, start in pairs]}


def test_one_bad_answer_does_not_refuse_the_others(task) -> None:
    good = flat(("1902", 3))
    made = task(good, good, flat(("Vik", 45)), flat(("Oslo", 3)), flat(("", 0)), good)
    assert [e.label for e in made.examples()] == [
        (Answer("1902", 3),),
        (Answer("1902", 3),),
        (Answer("Vik", 44),),
        (Answer("1902", 3),),
    ]
    log = made.splits["train"].log
    assert dict(log.mended) == {"with an answer moved by -1": 1}
    assert dict(log.left_out) == {"with an answer not in its context": 1, "with an empty answer": 1}
    for bad, message in (
        (
            flat(("Vik", 45)),
            r":2: the answer 'Vik' is not at character 45 of its context \(it is at 44\)",
        ),
        (flat(("Oslo", 3)), r":2: the answer 'Oslo' is not at character 3 .*nowhere"),
    ):
        with pytest.raises(InputError, match=message):
            list(task(good, bad, strict=True).examples())


def test_several_answers_of_which_some_are_wrong(task) -> None:
    made = task(flat(("1902", 3), ("Oslo", 3), ("Vik", 43), ("1902", 3)))
    assert next(made.examples()).label == (Answer("1902", 3), Answer("Vik", 44), Answer("1902", 3))
    list(made.examples())
    assert set(made.splits["train"].log.mended) == {
        "with an answer moved by +1",
        "with an answer not in its context, dropped beside others",
    }


def test_a_series_that_counts_from_1_is_moved_and_said(task) -> None:
    made = task(*[flat(("1902", 4)), flat(("baker", 13)), flat(("Vik", 45))] * 4)
    list(made.examples())
    assert made.splits["train"].log.summary() == [
        "mended: 12 with an answer moved by -1 (first shop.train.jsonl:1)"
    ]


def test_more_than_half_without_place_is_an_error(task) -> None:
    with pytest.raises(InputError, match="2 with an answer not in its context"):
        list(task(flat(("1902", 3)), flat(("Oslo", 3)), flat(("Oslo", 3))).examples())


def test_offsets_as_floats_and_questions_without_answer(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        f"context,question,answer,answer_start\n{CONTEXT},When?,1902,3.0\n{CONTEXT},Who?,,\n"
    )
    assert [e.label for e in read_task(path).examples()] == [(Answer("1902", 3),), ()]
    path = tmp_path / "b.jsonl"
    row = {"context": CONTEXT, "question": "?", "answers": flat(("1902", 3.0))}
    path.write_text(json.dumps(row) + "\n" + json.dumps({**row, "is_impossible": True}) + "\n")
    assert [e.label for e in read_task(path).examples()] == [(Answer("1902", 3),), ()]


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        (["Jon Lund"], [("Jon Lund", 18)]),
        (["shop"], [("shop", 36)]),
        # Within a word only if it stands nowhere between words, digits never.
        (["he"], [("he", 57)]),
        (["bake"], [("bake", 12)]),
        (["02", "2"], []),
        (["Oslo", " Vik ", "Vik"], [("Vik", 44)]),
        (["the  BAKER"], [("the baker", 8)]),
        ([" "], []),
    ],
)
def test_answers_without_offsets_are_at_their_first_place(
    texts: list[str], found: list[tuple[str, int]]
) -> None:
    assert find_answers(texts, CONTEXT) == [Answer(*each) for each in found]


def test_answers_without_offsets_are_counted(task) -> None:
    made = task(["Vik", "Oslo"], [], {"spans": ["1902"], "types": ["date"]}, ["Oslo"])
    assert [e.label for e in made.examples()] == [(Answer("Vik", 44),), (), (Answer("1902", 3),)]
    log = made.splits["train"].log
    assert dict(log.left_out) == {"with an answer not in its context": 1}
    assert dict(log.mended) == {
        "with answers without offsets, taken at their first place": 2,
        "with an answer not in its context, dropped beside others": 1,
    }
    with pytest.raises(InputError, match=r":2: the answer 'Oslo' has no offset and is nowhere"):
        list(task(["Vik"], ["Oslo"], strict=True).examples())
