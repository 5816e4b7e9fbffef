"""Split and shard names of files and folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from transfer_meta.errors import InputError
from transfer_meta.tasks import read_task, resolve_tasks
from transfer_meta.tasks.resolve import find_tasks, is_same_task
from transfer_meta.tasks.siblings import find_siblings

ROWS = "text,label\na,x\nb,y\n"


def make(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(ROWS)
    return folder


LAYOUTS: dict[str, tuple[tuple[str, ...], dict[str, list[str]]]] = {
    "hyphens": (("sea-train.csv", "sea-dev.csv", "sea-test.csv"), {"sea": ["train", "dev", "test"]}),
    "underscores": (("sea_train.csv", "sea_valid.csv"), {"sea": ["train", "dev"]}),
    "before": (("train_sea.csv", "test_sea.csv"), {"sea": ["train", "test"]}),
    "points": (("sea.TRAIN.csv", "sea.eval.csv", "sea.testing.csv"), {"sea": ["train", "dev", "test"]}),
    "versions": (("train-v2.0.csv", "dev-v2.0.csv"), {"box": ["train", "dev"]}),
    "alone": (("train.csv", "validation.csv"), {"box": ["train", "dev"]}),
    "shards": (
        ("train-00000-of-00002.csv", "train-00001-of-00002.csv", "test-00000-of-00001-0123456789abcdef.csv"),
        {"box": ["train", "test"]},
    ),
    "named shards": (("sea-train-00000-of-00001.csv", "sea_test-00000-of-00001.csv"), {"sea": ["train", "test"]}),
    "data": (("data/train-00000-of-00001.csv", "data/test-00000-of-00001.csv"), {"box": ["train", "test"]}),
    "folders": (
        ("default/train/0000.csv", "default/train/0001.csv", "default/validation/0000.csv"),
        {"box": ["train", "dev"]},
    ),
    "configurations": (
        ("calm/train-00000-of-00001.csv", "rough/train-00000-of-00001.csv"),
        {"calm": ["train"], "rough": ["train"]},
    ),
    "matched": (
        (
            "train-00000-of-00001.csv",
            "validation_matched-00000-of-00001.csv",
            "validation_mismatched-00000-of-00001.csv",
        ),
        {"box": ["train", "dev"]},
    ),
    "train alone": (("sea_train.csv",), {"sea": ["train"]}),
    "words that are names": (
        ("stress_test.csv", "train_times.csv", "dev_tools.csv"),
        {"dev_tools": ["train"], "stress_test": ["train"], "train_times": ["train"]},
    ),
    "descriptions": (("train.csv", "test.csv"), {"box": ["train", "test"]}),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_in_use(tmp_path: Path, layout: str) -> None:
    files, tasks = LAYOUTS[layout]
    box = make(tmp_path / "box", *files)
    (box / "dataset_infos.json").write_text("{}")
    (box / "README.md").write_text("# Box\n")
    found = {task.name: list(task.splits) for task in resolve_tasks([str(box)])}
    assert found == tasks
    for file in files:
        task = find_siblings(box / file)
        assert list(task.splits) == tasks[task.name]


def test_shards_are_read_in_order_and_named_by_their_place(tmp_path: Path) -> None:
    for i in (1, 0, 2):
        (tmp_path / f"train-0000{i}-of-00003.csv").write_text(f"text,label\na{i},x\nb{i},y\nc{i},\n")
    task = read_task(tmp_path / "train-00001-of-00003.csv")
    assert [e.text for e in task.examples()] == ["a0", "b0", "a1", "b1", "a2", "b2"]
    assert task.reading_notes(verbose=True)[1:] == [
        f"{tmp_path}/train-0000{i}-of-00003.csv:4: left out: without label" for i in range(3)
    ]
    one = make(tmp_path / "one", "train-00000-of-00001.csv", "other.csv")
    assert read_task(one / "other.csv").digest == read_task(one / "train-00000-of-00001.csv").digest


def test_a_task_is_one_whichever_file_names_it(tmp_path: Path, monkeypatch) -> None:
    make(tmp_path, "train-00000-of-00001.csv", "test-00000-of-00001.csv", "other.csv")
    monkeypatch.chdir(tmp_path)
    assert len(find_tasks([".", "test-00000-of-00001.csv", str(tmp_path), "other.csv"])) == 2
    assert is_same_task("test-00000-of-00001.csv", str(tmp_path / "train-00000-of-00001.csv"))
    assert not is_same_task("other.csv", "train-00000-of-00001.csv")


def test_two_files_for_a_split_in_two_spellings(tmp_path: Path) -> None:
    make(tmp_path, "sea.train.csv", "sea_train.csv", "land.train.csv")
    with pytest.raises(InputError, match="two files for the train split of sea"):
        find_siblings(tmp_path / "sea.train.csv")
    assert find_siblings(tmp_path / "land.train.csv").name == "land"


def test_files_of_a_format_that_the_user_names(tmp_path: Path) -> None:
    make(tmp_path, "eng.train", "eng.testa", "eng.testb")
    assert list(find_siblings(tmp_path / "eng.train").splits) == ["train", "dev", "test"]
    make(tmp_path / "b", "train.txt", "valid.txt", "test.txt")
    assert list(find_siblings(tmp_path / "b" / "train.txt").splits) == ["train", "dev", "test"]
