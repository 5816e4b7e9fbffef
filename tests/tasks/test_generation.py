"""Generation tasks: columns, chats, translations and references, in all formats."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from transfer_meta.errors import InputError
from transfer_meta.readers.rows import BadRow
from transfer_meta.records import Answer, Example, TaskType
from transfer_meta.tasks import ReadSettings, Task, load_task
from transfer_meta.tasks.check import check_task
from transfer_meta.tasks.generation_columns import may_be_classes
from transfer_meta.tasks.generation_rows import cell_of, is_chat, references_of, split_chat
from transfer_meta.tasks.label_kinds import check_has_head, check_label
from transfer_meta.tasks.model_inputs import examples_of, read_inputs
from transfer_meta.tasks.task import example_as_text

Rows = list[dict[str, Any]]
SYSTEM = {"role": "system", "content": "Be brief."}


def turn(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


def chat(number: int) -> dict[str, Any]:
    return {"messages": [SYSTEM, turn("user", f"Why {number}?"), turn("assistant", f"So {number}.")]}


def write_jsonl(rows: Rows, path: Path) -> Path:
    path = path.with_suffix(".jsonl")
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


def write_json(rows: Rows, path: Path) -> Path:
    path = path.with_suffix(".json")
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


def write_csv(rows: Rows, path: Path) -> Path:
    path = path.with_suffix(".csv")
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def write_parquet(rows: Rows, path: Path) -> Path:
    path = path.with_suffix(".parquet")
    pd.DataFrame(rows).to_parquet(path)
    return path


def as_frame(rows: Rows, path: Path) -> pd.DataFrame:
    return pd.DataFrame(rows)


def as_dataset(rows: Rows, path: Path) -> Any:
    return pytest.importorskip("datasets").Dataset.from_list(rows)


NESTED = [write_jsonl, write_json, write_parquet, as_frame, as_dataset]
FLAT = [*NESTED, write_csv]

FLAT_FORMS: list[tuple[Rows, dict[str, str], Example]] = [
    (
        [{"id": i, "input": f"grey {i}", "target": f"rain {i}"} for i in range(3)],
        {"text": "input", "label": "target"},
        Example("grey 0", ("rain 0",)),
    ),
    (
        [{"prompt": f"grey {i}", "completion": f"rain {i}"} for i in range(3)],
        {"text": "prompt", "label": "completion"},
        Example("grey 0", ("rain 0",)),
    ),
    (
        [{"document": f"long {i}", "summary": f"short {i}", "id": i} for i in range(3)],
        {"text": "document", "label": "summary"},
        Example("long 0", ("short 0",)),
    ),
    (
        [{"article": f"long {i}", "highlights": f"short {i}"} for i in range(3)],
        {"text": "article", "label": "highlights"},
        Example("long 0", ("short 0",)),
    ),
    (
        [{"instruction": f"Do {i}.", "output": f"done {i}"} for i in range(3)],
        {"text": "instruction", "label": "output"},
        Example("Do 0.", ("done 0",)),
    ),
    (
        [
            {"instruction": f"Do {i}.", "input": f"this {i}", "output": f"done {i}", "text": "all"}
            for i in range(3)
        ],
        {"text": "input", "text_pair": "instruction", "label": "output"},
        Example("this 0", ("done 0",), "Do 0."),
    ),
    (
        [
            {"instruction": f"Do {i}.", "context": f"x {i}", "response": f"y {i}", "category": "a"}
            for i in range(3)
        ],
        {"text": "context", "text_pair": "instruction", "label": "response"},
        Example("x 0", ("y 0",), "Do 0."),
    ),
]
NESTED_FORMS: list[tuple[Rows, dict[str, str], Example]] = [
    (
        [chat(i) for i in range(3)],
        {"text": "messages", "label": "messages"},
        Example("Why 0?", ("So 0.",), "Be brief."),
    ),
    (
        [{"translation": {"de": f"Regen {i}", "en": f"rain {i}"}} for i in range(3)],
        {"text": "translation.de", "label": "translation.en"},
        Example("Regen 0", ("rain 0",)),
    ),
    (
        [{"input": f"grey {i}", "references": [f"rain {i}", "showers"]} for i in range(3)],
        {"text": "input", "label": "references"},
        Example("grey 0", ("rain 0", "showers")),
    ),
    (
        [
            {"prompt": [turn("user", f"q {i}")], "completion": [turn("assistant", f"a {i}")]}
            for i in range(3)
        ],
        {"text": "prompt", "label": "completion"},
        Example("q 0", ("a 0",)),
    ),
]


@pytest.mark.parametrize("write", FLAT)
@pytest.mark.parametrize("form", FLAT_FORMS, ids=lambda form: "-".join(form[1].values()))
def test_columns_of_texts_are_told_in_every_format(
    write: Callable[[Rows, Path], Any], form: tuple[Rows, dict[str, str], Example], tmp_path: Path
) -> None:
    rows, columns, first = form
    task = load_task(write(rows, tmp_path / "weather"))
    assert (task.type, task.columns) == (TaskType.GENERATION, columns)
    assert next(task.examples()) == first
    assert task.notes[0] == "generation"
    assert task.labels() == ()


@pytest.mark.parametrize("write", NESTED)
@pytest.mark.parametrize("form", NESTED_FORMS, ids=lambda form: "-".join(form[1].values()))
def test_chats_translations_and_references_are_told_in_every_format(
    write: Callable[[Rows, Path], Any], form: tuple[Rows, dict[str, str], Example], tmp_path: Path
) -> None:
    rows, columns, first = form
    task = load_task(write(rows, tmp_path / "weather"))
    assert (task.type, task.columns) == (TaskType.GENERATION, columns)
    assert next(task.examples()) == first
    assert task.unused == ()
    if columns["text"] in ("messages", "translation.de"):  # no other type has these
        again = load_task(write(rows, tmp_path / "weather"), settings=ReadSettings(columns=columns))
        assert (again.type, list(again.examples())) == (task.type, list(task.examples()))


@pytest.mark.parametrize(
    ("rows", "type"),
    [
        ([{"question": f"q {i}", "answer": f"a {i}"} for i in range(3)], TaskType.CLASSIFICATION),
        ([{"text": f"t {i}", "target": f"a {i}"} for i in range(3)], TaskType.CLASSIFICATION),
        ([{"text": f"t {i}", "label": f"a {i % 2}", "summary": "s"} for i in range(3)], TaskType.CLASSIFICATION),
        ([{"document": f"t {i}", "score": i + 0.5} for i in range(3)], TaskType.REGRESSION),
        (
            [
                {"context": "ab", "question": f"q {i}", "answers": {"text": ["a"], "answer_start": [0]}}
                for i in (1, 2)
            ],
            TaskType.QUESTION_ANSWERING,
        ),
        (
            [{"prompt": f"q {i}", "choices": ["a", "b"][:: 1 - 2 * i], "answer": i} for i in range(2)],
            TaskType.MULTIPLE_CHOICE,
        ),
    ],
)  # fmt: skip
def test_other_types_are_told_as_before(rows: Rows, type: TaskType) -> None:
    assert load_task(pd.DataFrame(rows)).type is type


@pytest.mark.parametrize(
    ("rows", "hint"),
    [
        ([{"input": f"i {i}", "target": "no" if i % 2 else "yes"} for i in range(9)], "--type generation if"),
        ([{"input": f"i {i}", "target": str(i)} for i in range(9)], "--type generation if target"),
        ([{"input": f"i {i}", "target": i} for i in range(9)], "--column text=input"),
        ([{"prompt": f"i {i}", "completion": f"c {i}", "label": i % 2} for i in range(9)], "--column text=prompt"),
        ([{"article": "a", "document": f"d {i}", "summary": f"s {i}"} for i in range(9)],
         "article → summary and document → summary may each be"),
        ([{"translation": {"de": "a", "en": "b", "fr": "c"}}] * 3,
         "several translations: translation.de, translation.en, translation.fr"),
    ],
)  # fmt: skip
def test_what_may_be_classes_or_is_ambiguous_is_refused(rows: Rows, hint: str) -> None:
    with pytest.raises(InputError, match=hint.replace("(", r"\(")) as error:
        load_task(pd.DataFrame(rows))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("rows", "columns", "first"),
    [
        ([{"question": "q", "answer": "a"}], {}, Example("q", ("a",))),
        ([{"text": "q", "label": "a"}], {}, Example("q", ("a",))),
        ([{"text": "q", "text_pair": "p", "label": "a"}], {}, Example("q", ("a",), "p")),
        ([{"input": "q", "target": 7}], {}, Example("q", ("7",))),
        ([{"body": "q", "gist": "a"}], {"text": "body", "label": "gist"}, Example("q", ("a",))),
        ([{"body": "q", "gist": "a"}], {"text": "body", "label": "gist", "text_pair": "body"},
         Example("q", ("a",), "q")),
        ([{"body": "q", "summary": "a"}], {"text": "body"}, Example("q", ("a",))),
        ([{"context": "cab", "question": "q", "answers": {"text": ["a"], "answer_start": [1]}}],
         {"text": "context", "text_pair": "question", "label": "answers"}, Example("cab", ("a",), "q")),
        ([{"translation": {"de": "a", "en": "b", "fr": "c"}}],
         {"text": "translation.fr", "label": "translation.de"}, Example("c", ("a",))),
    ],
)  # fmt: skip
def test_the_type_can_be_set(rows: Rows, columns: dict[str, str], first: Example) -> None:
    task = load_task(pd.DataFrame(rows * 3), settings=ReadSettings(type="generation", columns=columns))
    assert (task.type, next(task.examples())) == (TaskType.GENERATION, first)


def test_a_pair_of_texts_and_references_is_a_task() -> None:
    data = (["grey", "blue"], [["rain", "showers"], ["sun"]])
    task = load_task(data, settings=ReadSettings(type="generation"))
    assert [example.label for example in task.examples()] == [("rain", "showers"), ("sun",)]


def test_rows_that_cannot_be_used_are_left_out_and_counted(tmp_path: Path) -> None:
    good = [{"input": f"grey {i}", "target": f"rain {i}"} for i in range(9)]
    bad = [
        {"input": "", "target": "x"},
        {"input": "a", "target": " "},
        {"input": "a"},
        {"input": 3, "target": "x"},
        {"input": "a", "target": {"b": 1}},
        {"input": "input", "target": "target"},
    ]
    task = load_task(
        write_jsonl([*good, *bad], tmp_path / "a"), settings=ReadSettings(type="generation")
    )
    report = check_task(task)
    assert report.splits["train"].examples == 9
    assert dict(report.splits["train"].left_out) == {
        "without text": 1,
        "without label": 3,
        "with a text that is no string": 1,
        "equal to the header": 1,
    }
    assert report.splits["train"].labels == {}


def test_an_empty_input_gives_way_to_the_instruction() -> None:
    rows = [{"instruction": f"Do {i}.", "input": "x" * i, "output": f"y {i}"} for i in range(3)]
    first, second, _ = load_task(pd.DataFrame(rows)).examples()
    assert first == Example("Do 0.", ("y 0",))
    assert second == Example("x", ("y 1",), "Do 1.")


@pytest.mark.parametrize(
    ("messages", "found"),
    [
        ([turn("user", "q"), turn("assistant", "a")], (None, "q", "a")),
        ([SYSTEM, turn("developer", "No!"), turn("user", "q")], ("Be brief.\nNo!", "q", None)),
        (
            [turn("user", "q"), turn("assistant", "a"), turn("user", "r"), turn("assistant", "b")],
            (None, "user: q\nassistant: a\nuser: r", "b"),
        ),
        (
            [turn("user", "q"), turn("assistant", "a"), turn("tool", "log")],
            (None, "q", "a"),
        ),
        (
            [turn("user", "q"), turn("assistant", "a"), turn("user", "r")],
            (None, "user: q\nassistant: a\nuser: r", None),
        ),
        (
            [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}],
            (None, "q", "a"),
        ),
        ([turn("user", [{"type": "text", "text": "q"}]), turn("assistant", "a")], (None, "q", "a")),
        ([turn("user", "q"), turn("assistant", None)], (None, "q", "")),
    ],
)
def test_a_chat_is_split(messages: list[Any], found: tuple[str | None, str, str | None]) -> None:
    assert is_chat(messages)
    assert split_chat(messages) == found


@pytest.mark.parametrize("content", [7, [{"type": "image", "url": "x"}], {"a": 1}])
def test_a_message_that_is_no_text_is_a_bad_row(content: Any) -> None:
    with pytest.raises(BadRow, match="the content of a message is"):
        split_chat([turn("user", content)])


@pytest.mark.parametrize(
    "cell", ["text", [], None, [{"role": "user"}], [1], {"role": "user", "content": "a"}]
)
def test_what_is_no_chat(cell: Any) -> None:
    assert not is_chat(cell)


def test_chats_without_an_answer_are_left_out_and_read_for_a_model(tmp_path: Path) -> None:
    rows = [chat(i) for i in range(4)] + [{"messages": [turn("user", "Whither?")]}]
    path = write_jsonl(rows, tmp_path / "chats")
    task = load_task(path)
    assert len(list(task.examples())) == 4
    assert "1 without label" in task.reading_notes()[0]
    inputs = list(read_inputs(path, TaskType.GENERATION).examples)
    assert [example.text for example in inputs[3:]] == ["Why 3?", "Whither?"]
    assert [example.label for example in inputs[3:]] == [("So 3.",), None]


@pytest.mark.parametrize(
    ("rows", "texts"),
    [
        ([{"input": "a"}, {"input": "b"}], ["a", "b"]),
        ([{"instruction": "Do.", "input": "a"}], ["a"]),
        ([{"messages": [turn("user", "a")]}], ["a"]),
        ([{"translation": {"de": "a", "en": None}}], ["a"]),
    ],
)
def test_a_model_reads_inputs_without_answers(rows: Rows, texts: list[str]) -> None:
    settings = ReadSettings(columns={"text": "translation.de"} if "translation" in rows[0] else {})
    inputs = read_inputs(pd.DataFrame(rows), TaskType.GENERATION, settings)
    found = list(inputs.examples)
    assert [example.text for example in found] == texts
    assert {example.label for example in found} == {None}


def test_inputs_in_memory() -> None:
    messages = chat(1)["messages"][:2]
    found = examples_of(
        TaskType.GENERATION,
        ["a", ("a", "Do."), {"text": "a", "text_pair": "Do."}, {"messages": messages}],
    )
    assert found == [
        Example("a"),
        Example("a", None, "Do."),
        Example("a", None, "Do."),
        Example("Why 1?", None, "Be brief."),
    ]
    with pytest.raises(InputError, match="a model for generation takes a string"):
        examples_of(TaskType.GENERATION, [[turn("user", 7)]])


def test_inputs_alone_can_be_read() -> None:
    rows = pd.DataFrame([{"input": "a"}, {"input": "b"}])
    task = load_task(rows, settings=ReadSettings(type="generation"))
    assert not task.is_labelled
    assert [example.label for example in task.examples()] == [None, None]


def test_a_test_split_of_hidden_answers_is_not_used() -> None:
    train = pd.DataFrame([{"input": f"a {i}", "target": f"b {i}"} for i in range(5)])
    hidden = pd.DataFrame([{"input": f"a {i}", "target": "hidden"} for i in range(5)])
    task = load_task({"train": train, "test": hidden})
    assert list(task.splits) == ["train"]
    assert "all 'hidden', which train never has" in task.split_notes[0]


def test_cells_and_references() -> None:
    assert cell_of({"a.b": 1, "a": {"b": 2}}, "a.b") == 1
    with pytest.raises(KeyError, match=r"a\.c"):
        cell_of({"a": {"b": 2}}, "a.c")
    assert references_of(["a", None, "b", "a"]) == ("a", "b")
    assert references_of(7) == ("7",)
    assert references_of(None) == references_of([]) == ()
    with pytest.raises(BadRow, match="expected a text"):
        references_of([["a"]])


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (["1", "2"], True),
        (["a", "b", "c"], False),
        (["a"] * 3, True),
        ([["a"], ["a"]], False),
        ([1, 2], True),
    ],
)
def test_answers_that_may_be_classes(answers: list[Any], expected: bool) -> None:
    assert may_be_classes([{"target": answer} for answer in answers], "target") is expected


def test_an_example_in_one_line() -> None:
    assert example_as_text(Example("grey", ("rain", "showers"), "Say it.")) == (
        "grey | Say it. → rain (or 1 more)"
    )
    question = Example("what", (Answer("a", 1),), "cab")
    assert example_as_text(question) == "what | cab → a at 1"


@pytest.mark.parametrize("label", [None, (), "rain", (1,), ((),)])
def test_a_label_that_is_no_tuple_of_texts_cannot_be_learned_from(label: Any) -> None:
    with pytest.raises(Exception, match="expected reference texts, one at least"):
        check_label(TaskType.GENERATION, Example("a", label))
    check_label(TaskType.GENERATION, Example("a", ("rain",)))


def test_an_encoder_with_a_head_is_refused() -> None:
    with pytest.raises(
        InputError,
        match="generation task has texts as answers.*expected a decoder or .* a task of classification",
    ):
        check_has_head(TaskType.GENERATION)


def test_the_digest_tells_types_and_templates_apart() -> None:
    rows = pd.DataFrame([{"text": f"a {i}", "label": f"b {i}"} for i in range(3)])
    tasks = [
        load_task(rows, settings=ReadSettings(type=type)) for type in ("classification", "generation")
    ]
    assert tasks[0].digest != tasks[1].digest
    task = Task.from_iterable("t", "generation", {"train": [Example("a", ("b",))]})
    assert task.digest != replace(task, template="{text}").digest
