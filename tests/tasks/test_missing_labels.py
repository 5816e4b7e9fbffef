"""Labels that are missing, in every spelling and format, and splits without labels."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transfer_meta.errors import InputError
from transfer_meta.tasks import ReadSettings, Task, read_frame, read_task
from transfer_meta.tasks.class_names import LabelRule, look_of, strip_name, written

NAMES = ["wet", "dry", "mild"] * 20
NUMBERS = [0, 1, 2] * 20
MISSING = ("", "NaN", "nan", "None", "null", "N/A", "-", "?", "-1", "<NA>", " ", "unlabeled")
FORMATS = ("csv", "tsv", "jsonl", "json", "parquet")


def write(path: Path, labels: list[Any], **more: list[Any]) -> Path:
    rows = [
        {"text": f"the cloud number {i}", "label": label, **{k: v[i] for k, v in more.items()}}
        for i, label in enumerate(labels)
    ]
    match path.suffix:
        case ".csv" | ".tsv":
            separator = "," if path.suffix == ".csv" else "\t"
            cells = [separator.join(str(cell) for cell in row.values()) for row in rows]
            path.write_text("\n".join([separator.join(rows[0]), *cells]) + "\n")
        case ".jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        case ".json":
            path.write_text(json.dumps(rows))
        case ".parquet":
            pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def labels_of(task: Task, split: str = "train") -> Counter[Any]:
    return Counter(example.label for example in task.examples(split))


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("spelling", MISSING)
def test_rows_without_a_label_are_left_out_and_counted(
    tmp_path: Path, spelling: str, format: str
) -> None:
    task = read_task(write(tmp_path / f"w.{format}", [*NAMES, spelling, spelling]))
    assert labels_of(task) == {"wet": 20, "dry": 20, "mild": 20}
    (line,) = task.reading_notes()
    assert line.startswith("train: 2 of 62 rows left out: 2 without label (first w.")
    strict = read_task(tmp_path / f"w.{format}", ReadSettings(strict=True))
    with pytest.raises(InputError, match="there is no label"):
        labels_of(strict)


@pytest.mark.parametrize("missing", [None, float("nan"), -1, -1.0])
def test_values_of_json_parquet_and_frames(tmp_path: Path, missing: Any) -> None:
    for labels in (NUMBERS, [float(n) for n in NUMBERS]):
        frame = pd.DataFrame(
            {"text": [f"t{i}" for i in range(62)], "label": [*labels, missing, missing]}
        )
        task = read_frame("w", frame, ReadSettings(type="classification"))
        assert labels_of(task) == {"0": 20, "1": 20, "2": 20}
        assert task.reading_notes() == [
            "train: 2 of 62 rows left out: 2 without label (first w[train] row 60)"
        ]
    table = write(tmp_path / "a.jsonl", [*NUMBERS, missing, missing])
    assert labels_of(read_task(table)) == {"0": 20, "1": 20, "2": 20}


def test_regression(tmp_path: Path) -> None:
    scores = [i / 7 for i in range(40)]
    for spelling in ("", "NaN", "None", "-", "N/A"):
        task = read_task(write(tmp_path / "r.csv", [*scores, spelling]))
        assert (str(task.type), sum(labels_of(task).values())) == ("regression", 40)
    task = read_task(write(tmp_path / "r.csv", [*scores, -1.5]))
    assert -1.5 in labels_of(task)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        ([-1, 0, 1] * 20, {"-1", "0", "1"}),
        ([-1, 1] * 20, {"-1", "1"}),
        ([-2, -1, 0, 1, 2] * 10 + [-2, 2] * 30, {"-2", "-1", "0", "1", "2"}),
        ([0, 1] * 30 + [-1] * 3, {"0", "1"}),
        ([0, 1, 2] * 30 + [-1], {"0", "1", "2"}),
        (["in favour", "against", "None"] * 10, {"in favour", "against", "None"}),
        (["in favour", "against"] * 20 + ["None"] * 2, {"in favour", "against"}),
        (["de", "en", "nan"] * 10, {"de", "en", "nan"}),
        (["good", "bad", "nan"] * 10, {"good", "bad"}),
        (["A", "B", "NA"] * 10, {"A", "B", "NA"}),
        ([0, 1, "nan"] * 10, {"0", "1"}),
    ],
)
def test_what_is_as_frequent_as_a_class_is_one(
    tmp_path: Path, labels: list[Any], classes: set[str]
) -> None:
    task = read_task(write(tmp_path / "c.csv", labels), ReadSettings(type="classification"))
    assert set(labels_of(task)) == classes


def test_a_spelling_that_is_a_class_is_told(tmp_path: Path) -> None:
    task = read_task(write(tmp_path / "c.csv", ["favour", "against", "None"] * 10))
    labels_of(task)
    assert task.reading_notes() == [
        "'None' is taken for a class (10 in train), not for a missing label"
    ]


def test_a_class_at_the_end_of_a_sorted_file_is_none_the_less_one(tmp_path: Path) -> None:
    path = write(tmp_path / "s.jsonl", ["against"] * 1500 + ["favour"] * 1500 + ["none"] * 1500)
    assert labels_of(read_task(path)) == {"against": 1500, "favour": 1500, "none": 1500}
    path = write(tmp_path / "s.jsonl", ["-"] * 3 + ["against"] * 1500 + ["favour"] * 1500)
    assert labels_of(read_task(path)) == {"against": 1500, "favour": 1500}


def test_train_is_counted_only_where_a_spelling_occurs(tmp_path: Path) -> None:
    task = read_task(write(tmp_path / "n.csv", NAMES))
    labels_of(task)
    rule = task.splits["train"].labels  # type: ignore[attr-defined]
    assert isinstance(rule, LabelRule)
    assert rule._counts is None


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("hidden", ["", "?", "-1", "hidden", "None"])
def test_a_split_without_labels_is_none(tmp_path: Path, format: str, hidden: str) -> None:
    for split, labels in (("train", NAMES), ("val", NAMES[:9]), ("test", [hidden] * 9)):
        write(tmp_path / f"w.{split}.{format}", labels)
    task = read_task(tmp_path / f"w.train.{format}")
    assert list(task.splits) == ["train", "dev"]
    (note,) = task.reading_notes()
    assert note.startswith("test is not used: its")
    assert note.endswith("dev is scored in its place")
    scored = task.with_test()
    assert (list(scored.splits), scored.test_from) == (["train", "test"], "dev")


def test_a_split_without_the_column_of_labels(tmp_path: Path) -> None:
    write(tmp_path / "w.train.jsonl", NUMBERS)
    (tmp_path / "w.test.jsonl").write_text('{"text": "a"}\n{"text": "b"}\n')
    task = read_task(tmp_path / "w")
    assert (list(task.splits), task.reading_notes()) == (
        ["train"], ["test is not used: its 2 rows have no label"],
    )  # fmt: skip


def test_hidden_numbers(tmp_path: Path) -> None:
    for value, splits in ((-1, ["train"]), (0, ["train", "test"]), (7, ["train"])):
        write(tmp_path / "n.train.jsonl", NUMBERS)
        write(tmp_path / "n.test.jsonl", [value] * 5)
        assert list(read_task(tmp_path / "n").splits) == splits
    write(tmp_path / "r.train.jsonl", [i / 7 for i in range(40)])
    write(tmp_path / "r.test.jsonl", [-1.0] * 5)
    assert read_task(tmp_path / "r").reading_notes() == [
        "test is not used: its labels are hidden (all '-1', which train never has)"
    ]


def test_one_example_or_two_labels_are_not_hidden(tmp_path: Path) -> None:
    write(tmp_path / "a.train.csv", NAMES)
    for labels in (["new"], ["new", "newer"], ["new", "wet"]):
        write(tmp_path / "a.test.csv", labels)
        assert list(read_task(tmp_path / "a").splits) == ["train", "test"]


def test_tags(tmp_path: Path) -> None:
    train = "Ann\tB-PER\nsaw\tO\n\nRome\tB-LOC\n\n" * 10
    (tmp_path / "t.train.conll").write_text(train + "over\t-\nhere\t-\n\n")
    (tmp_path / "t.test.conll").write_text("Ann\tO\nsaw\tO\n\n" * 12)
    (tmp_path / "t.dev.conll").write_text("Ann\t_\nsaw\t_\n\n" * 5)
    task = read_task(tmp_path / "t.train.conll", ReadSettings(scheme="IOB2"))
    assert list(task.splits) == ["train"]
    assert sum(1 for _ in task.examples()) == 20
    assert task.reading_notes() == [
        "dev is not used: its 5 rows have no label",
        "test is not used: its labels are hidden (all 'O')",
        "train: 1 of 21 rows left out: 1 without label (first t.train.conll:51)",
    ]


def test_answers(tmp_path: Path) -> None:
    row = {"context": "Ann saw Bob", "question": "Who?"}
    answer = {"text": ["Bob"], "answer_start": [8]}
    none = {"text": [], "answer_start": []}

    def save(split: str, answers: list[Any]) -> None:
        rows = [{**row, "answers": a} for a in answers]
        (tmp_path / f"q.{split}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))

    save("train", [answer] * 20)
    save("test", [none] * 3)
    assert list(read_task(tmp_path / "q").splits) == ["train"]
    save("train", [answer, none] * 10)
    assert list(read_task(tmp_path / "q").splits) == ["train", "test"]


def test_texts_alone(tmp_path: Path) -> None:
    path = tmp_path / "u.jsonl"
    path.write_text("".join(json.dumps({"id": i, "text": f"word {i}"}) + "\n" for i in range(20)))
    task = read_task(path)
    assert (task.is_labelled, task.unused) == (False, ("id",))
    assert {example.label for example in task.examples()} == {None}
    assert task.reading_notes() == ["no labels: only what texts tell can be computed"]
    empty = read_task(write(tmp_path / "e.csv", [""] * 10))
    assert not empty.is_labelled
    path.write_text('{"text": "a", "stuff": "b"}\n')
    with pytest.raises(InputError, match="cannot tell which column is the label"):
        read_task(path)


def test_more_than_half_lost_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"only 4 of 10 rows can be used: 6 without label \(first a\.csv"
    ):
        labels_of(read_task(write(tmp_path / "a.csv", ["x", "y"] * 2 + [""] * 6)))


@pytest.mark.parametrize("odd", [None, 3, ["a"]])
def test_texts_that_are_none_are_left_out(tmp_path: Path, odd: Any) -> None:
    rows = [{"text": f"t{i}", "label": "xy"[i % 2]} for i in range(20)]
    rows += [{"text": odd, "label": "x"}, {"text": "  ", "label": "y"}, {"label": "y"}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = read_task(tmp_path / "a.jsonl")
    assert labels_of(task) == {"x": 10, "y": 10}
    assert task.reading_notes()[0].startswith("train: 3 of 23 rows left out: ")


def test_numbers_beside_their_names_are_one_class(tmp_path: Path) -> None:
    rows = [{"text": "t", "label": label} for label in [0, 1] * 20 + ["1", 1.0, "x"]]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = read_task(tmp_path / "a.jsonl")
    assert labels_of(task) == {"0": 20, "1": 22}
    assert task.reading_notes() == [
        "train: 1 of 43 rows left out: 1 with a label of another type (first a.jsonl:43)",
        "train: mended: 1 with a label of another type (first a.jsonl:41)",
    ]


def test_white_space_around_a_class_is_mended(tmp_path: Path) -> None:
    labels = ["wet", "dry", "wet ", "dry\u200b", "\ufeffdry"]
    task = read_task(write(tmp_path / "a.jsonl", labels))
    assert labels_of(task) == {"wet": 2, "dry": 3}
    log = task.splits["train"].log  # type: ignore[attr-defined]
    assert log.forms == {"wet ": 1, "dry\u200b": 1, "\ufeffdry": 1}
    assert log.mended.total() == 3


def test_looks() -> None:
    assert strip_name("\u00a0a b\u200d\n") == "a b"
    assert look_of("Good") == look_of(" g\u200bood") != look_of("goo d")
    assert look_of("01") == look_of("1.0") != look_of("one")
    assert (written("a\u200b"), written("a\tb")) == ("'a\\u200b'", "'a\\tb'")


def test_places_are_kept_up_to_a_limit(tmp_path: Path) -> None:
    labels = ["x", "y"] * 2000 + [""] * 1500
    task = read_task(write(tmp_path / "a.csv", labels))
    labels_of(task)
    assert len(task.reading_notes()) == 1
    listed = task.reading_notes(verbose=True)[1:]
    assert (len(listed), listed[-1]) == (1001, "… and 500 more left out: without label")


def test_the_digest_tells_labels_that_are_read_otherwise_than_before(tmp_path: Path) -> None:
    def is_marked(labels: list[Any]) -> bool:
        rule = read_task(write(tmp_path / "a.csv", labels)).splits["train"].labels  # type: ignore[attr-defined]
        return bool(rule.changes_sample())

    assert not is_marked(["wet", "dry"] * 5)
    assert not is_marked([-1, 0, 1] * 5)
    assert is_marked([*["wet", "dry"] * 5, "-"])
    assert is_marked(["wet ", "dry"] * 5)
