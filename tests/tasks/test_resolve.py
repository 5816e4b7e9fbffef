"""Finding the tasks that a user names."""

from __future__ import annotations

from pathlib import Path

import pytest

from transfer_meta.errors import InputError
from transfer_meta.records import TaskType
from transfer_meta.tasks import ReadSettings, Task, resolve_tasks
from transfer_meta.tasks.resolve import find_tasks
from transfer_meta.tasks.siblings import find_siblings

ROWS = "text,label\na,x\nb,y\n"
REAL = {
    TaskType.CLASSIFICATION: "sst2 rotten_tomatoes mpqa subj trec cola sick_entailment rte snli scitail mrpc qnli"
    " qqp wic boolq atis_intent",
    TaskType.REGRESSION: "stsb sick_relatedness",
    TaskType.MULTIPLE_CHOICE: "copa cosmosqa winogrande",
    TaskType.QUESTION_ANSWERING: "squad",
    TaskType.TOKEN_CLASSIFICATION: "ewt_upos ewt_deprel wnut17 atis_slots",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "tasks"
    folder.mkdir()
    for name in ("one.train.csv", "one.test.csv", "two.train.csv", "two.validation.csv", "alone.csv"):
        (folder / name).write_text(ROWS)
    (folder / "README.md").write_text("no task")
    (folder / ".hidden.csv").write_text(ROWS)
    return folder


def splits(tasks: list[Task]) -> dict[str, list[str]]:
    return {task.name: list(task.splits) for task in tasks}


ALL = {"alone": ["train"], "one": ["train", "test"], "two": ["train", "dev"]}


def test_a_folder_a_file_and_a_common_beginning(folder: Path) -> None:
    assert splits(resolve_tasks([str(folder)])) == ALL
    for name in ("one.train.csv", "one.test.csv", "one"):
        assert splits(resolve_tasks([str(folder / name)])) == {"one": ["train", "test"]}
    everything = [str(path) for path in sorted(folder.glob("[!.]*.csv"))]
    assert splits(resolve_tasks(everything)) == ALL
    assert splits(resolve_tasks([*everything, str(folder), str(folder / "one")])) == ALL


def test_the_order_is_the_users(folder: Path) -> None:
    names = [str(folder / "two"), str(folder / "alone.csv"), str(folder / "one")]
    assert [task.name for task in resolve_tasks(names)] == ["two", "alone", "one"]


def test_what_was_detected_is_told_once_a_task(folder: Path) -> None:
    told: list[str] = []
    resolve_tasks([str(folder), str(folder / "one")], tell=told.append)
    assert [line.split(":")[0] for line in told] == ["alone", "one", "two"]
    assert told[0] == "alone: classification; text = text, label = label; separated by comma, quoted"


def test_packed_siblings_and_names_with_dots(tmp_path: Path) -> None:
    import gzip

    (tmp_path / "a.v1.0.train.csv.gz").write_bytes(gzip.compress(ROWS.encode()))
    (tmp_path / "a.v1.0.test.csv").write_text(ROWS)
    (task,) = resolve_tasks([str(tmp_path / "a.v1.0.test.csv")])
    assert (task.name, len(list(task.examples("train")))) == ("a.v1.0", 2)


def test_files_called_after_their_split_belong_to_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "RTE"
    folder.mkdir()
    for name in ("train.csv", "dev.csv"):
        (folder / name).write_text(ROWS)
    assert splits(resolve_tasks([str(folder / "train.csv")])) == {"RTE": ["train", "dev"]}


def test_two_files_for_one_split(folder: Path) -> None:
    (folder / "one.train.jsonl").write_text('{"text": "a", "label": "x"}\n')
    for name in ("one", "one.test.csv", "one.train.csv", ""):
        with pytest.raises(
            InputError, match=r"two files for the train split of one: .*\.csv and .*jsonl"
        ):
            resolve_tasks([str(folder / name)])
    (folder / "two.dev.csv").write_text(ROWS)
    with pytest.raises(InputError, match="two files for the dev split of two"):
        resolve_tasks([str(folder / "two.train.csv")])


def test_two_tasks_of_one_name(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "one.train.csv"
    other.write_text(ROWS)
    with pytest.raises(
        InputError, match=r"two tasks are named 'one': .* and .*; name one of them in a card"
    ):
        resolve_tasks([str(folder), str(other)])


def test_a_card_takes_the_files_it_names_out_of_the_folder(folder: Path) -> None:
    (folder / "mine.toml").write_text('name = "mine"\n[files]\ntrain = "alone.csv"\n')
    (folder / "pyproject.toml").write_text("[project]\n")
    assert splits(resolve_tasks([str(folder)])) == {
        "mine": ["train"],
        "one": ["train", "test"],
        "two": ["train", "dev"],
    }


def test_names_that_lead_nowhere(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such file, folder or task: .*; did you mean 'one\.train"):
        resolve_tasks([str(folder / "one.trian.csv")])
    with pytest.raises(InputError, match="no such file, folder or task: nowhere/at all"):
        resolve_tasks(["nowhere/at all"])
    with pytest.raises(InputError, match="no such file"):
        resolve_tasks(["nul\0byte"])
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="the folder holds no task card and no data file"):
        resolve_tasks([str(empty)])
    with pytest.raises(
        InputError, match=r"README\.md: cannot tell the format from the name; set --format"
    ):
        resolve_tasks([str(folder / "README.md")])


def test_a_suffix_that_says_nothing_needs_the_format(tmp_path: Path) -> None:
    path = tmp_path / "a.train.txt"
    path.write_text("Ann\tB-PER\n")
    (task,) = resolve_tasks([str(path)], ReadSettings(format="conll"))
    assert (task.name, task.type) == ("a", TaskType.TOKEN_CLASSIFICATION)


def test_find_tasks_loads_nothing(folder: Path) -> None:
    (folder / "one.train.csv").write_text("")
    assert len(find_tasks([str(folder), "hf:glue/sst2", "hf:glue/sst2"])) == 4
    assert list(find_siblings(folder / "one").splits) == ["train", "test"]


def test_all_real_tasks_in_one_call(shared: Path) -> None:
    tasks = {task.name: task for task in resolve_tasks([str(shared / "tasks")])}
    assert {name: task.type for name, task in tasks.items()} == {
        name: type for type, names in REAL.items() for name in names.split()
    }
    lines = (shared / "README.md").read_text(encoding="utf-8").splitlines()
    table = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.count("|") == 6
    ]
    counts = {row[0]: (int(row[2]), int(row[3])) for row in table if row[0] in tasks}
    assert len(counts) == 26
    for name, task in tasks.items():
        assert (
            sum(1 for _ in task.examples("train")),
            sum(1 for _ in task.examples("test")),
        ) == counts[name]
