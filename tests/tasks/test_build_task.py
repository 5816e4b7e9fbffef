"""Opening by format, and building tasks of tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from transfer_meta.errors import InputError
from transfer_meta.records import TaskType
from transfer_meta.tasks import ReadSettings, read_task
from transfer_meta.tasks.build_task import file_format


@pytest.mark.parametrize(
    ("name", "format"),
    [("a.csv", "csv"), ("a.CSV.GZ", "csv"), ("a.tsv.zst", "tsv"), ("a.ndjson", "jsonl"), ("a.conllu", "conll"),
     ("a.txt", None), ("a", None), ("a.gz", None), ("a.csv.txt", None)],
)  # fmt: skip
def test_formats_by_suffix(name: str, format: str | None) -> None:
    assert file_format(Path(name)) == format


def write(folder: Path, **splits: str) -> Path:
    for split, text in splits.items():
        (folder / f"t.{split}.csv").write_text(text)
    return folder / "t"


def test_all_splits_are_read_as_train_is(tmp_path: Path) -> None:
    # Alone, the test split's whole numbers would be asked for.
    path = write(tmp_path, train="text,score\na,1.5\nb,2\n", test="score,text\n3,c\n")
    task = read_task(path)
    assert task.type is TaskType.REGRESSION
    assert next(task.examples("test")).label == 3.0


def test_every_split_is_looked_at_before_the_first_use(tmp_path: Path) -> None:
    good = "text,label\na,x\n"
    with pytest.raises(InputError, match=r"t\.test\.csv:2: there is no 'label'"):
        read_task(write(tmp_path, train=good, test="text,other\na,x\n"), ReadSettings(strict=True))
    with pytest.raises(InputError, match=r"t\.test\.csv: the file is empty"):
        read_task(write(tmp_path, train=good, test=""))


def test_what_was_detected_is_noted(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("text;label\né;x\n".encode("utf-16"))
    assert read_task(path).notes == (
        "classification", "text = text, label = label", "separated by ';', quoted", "utf-16",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"scheme": "IOB2"},
            "--scheme has no effect: the task is classification, not token-classification",
        ),
        ({"repair_tags": True}, "--repair-tags has no effect"),
        (
            {"choices_from": "1"},
            "--choices-from has no effect: the task is classification, not multiple-choice",
        ),
    ],
)
def test_a_setting_for_another_type_is_said_to_have_no_effect(
    tmp_path: Path, given: dict, message: str
) -> None:
    path = write(tmp_path, train="text,label\na,x\nb,y\n")
    assert message in "; ".join(read_task(path, ReadSettings(**given)).reading_notes())
    assert read_task(path).reading_notes() == []
