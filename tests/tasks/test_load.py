"""`load_task`: every form of data, and errors that say what is expected."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pytest

from transfer_meta.errors import InputError
from transfer_meta.records import Example, TaskType
from transfer_meta.tasks import ReadSettings, Task, load_task, load_tasks, read_task
from transfer_meta.tasks.load import load_target_and_sources, tell_reading

FRAME = pd.DataFrame({"text": ["a", "b"], "label": ["x", "y"]})
FEATURES = datasets.Features(
    {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["x", "y"])}
)
DATASET = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [0, 1]}, features=FEATURES)
TASK = Task.from_iterable("t", "classification", {"train": [Example("a", "x"), Example("b", "y")]})


def write(path: Path, frame: pd.DataFrame = FRAME) -> Path:
    frame.to_csv(path, index=False)
    return path


FORMS: dict[str, Callable[[Path], Any]] = {
    "file": lambda folder: write(folder / "t.csv"),
    "file as text": lambda folder: str(write(folder / "t.csv")),
    "folder of one task": lambda folder: write(folder / "t.csv").parent,
    "task": lambda _: TASK,
    "frame": lambda _: FRAME,
    "lists": lambda _: (["a", "b"], ["x", "y"]),
    "list of lists": lambda _: [["a", "b"], ("x", "y")],
    "arrays": lambda _: (np.array(["a", "b"]), np.array(["x", "y"], dtype=object)),
    "series": lambda _: (FRAME["text"], FRAME["label"].astype("category")),
    "dataset": lambda _: DATASET,
    "columns of a dataset": lambda _: (DATASET["text"], ["x", "y"]),
    "dataset dict": lambda _: datasets.DatasetDict(train=DATASET),
    "mapping of files": lambda folder: {"train": str(write(folder / "t.csv"))},
    "mapping of frames": lambda _: {"training": FRAME},
    "mapping of pairs": lambda _: {"train": (["a", "b"], ["x", "y"])},
    "mapping of datasets": lambda _: {"train": DATASET},
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_task(form: str, tmp_path: Path) -> None:
    task = load_task(FORMS[form](tmp_path), name="named")
    assert (task.name, task.type, task.labels()) == ("named", TaskType.CLASSIFICATION, ("x", "y"))
    assert [tuple(e)[:2] for e in task.examples()] == [("a", "x"), ("b", "y")] == [
        tuple(e)[:2] for e in task.examples()
    ]  # fmt: skip


@pytest.mark.parametrize("form", [form for form in FORMS if form != "task"])
def test_a_test_split_beside_it(form: str, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    more = write(tmp_path / "other" / "held_out.csv", FRAME.assign(text=["c", "d"]))
    task = load_task(FORMS[form](tmp_path), test=more)
    assert [e.text for e in task.examples("test")] == ["c", "d"]


def test_names(tmp_path: Path) -> None:
    path = write(tmp_path / "sea.csv")
    assert load_task(path).name == load_task(path, test=FRAME).name == "sea"
    assert load_task(FRAME).name == "task"
    assert load_task(TASK) is TASK
    assert (load_task(TASK, name="u").name, TASK.name) == ("u", "t")


@pytest.mark.parametrize(
    ("texts", "labels", "type", "first"),
    [
        (["a", "b"], [0, 1], TaskType.CLASSIFICATION, Example("a", "0")),
        (["a", "b"], np.array([0.5, 1]), TaskType.REGRESSION, Example("a", 0.5)),
        ([("a", "c"), ("b", "d")], ["x", "y"], TaskType.CLASSIFICATION, Example("a", "x", "c")),
        (
            [["Ann", "saw"], ["it"]],
            [["B-PER", "O"], ["O"]],
            TaskType.TOKEN_CLASSIFICATION,
            Example("Ann saw", ("B-PER", "O"), tokens=("Ann", "saw")),
        ),
        (["a", "b"], None, TaskType.CLASSIFICATION, Example("a")),
    ],
)
def test_pairs_of_every_type(texts: Any, labels: Any, type: TaskType, first: Example) -> None:
    task = load_task((texts, labels))
    assert (task.type, next(task.examples())) == (type, first)
    assert task.is_labelled is (labels is not None)


def test_a_missing_label_stays_missing() -> None:
    task = load_task((["a", "b", "c"], [1, None, 0]))
    assert [e.label for e in task.examples()] == ["1", "0"]
    assert task.reading_notes()


def test_settings_reach_the_reader() -> None:
    frame = pd.DataFrame({"said": ["a", "b"], "stars": [1, 5]})
    columns = {"text": "said", "label": "stars"}
    task = load_task(frame, settings=ReadSettings(type="regression", columns=columns))
    assert [e.label for e in task.examples()] == [1.0, 5.0]


def test_the_splits_of_a_dataset_dict() -> None:
    hidden = datasets.Dataset.from_dict({"text": ["c"], "label": [-1]}, features=FEATURES)
    data = datasets.DatasetDict(train=DATASET, validation=DATASET, test=hidden, unsupervised=hidden)
    task = load_task(data)
    assert (list(task.splits), task.test_from) == (["train", "test"], "dev")
    assert "splits not used: unsupervised" in task.notes
    assert task.origin["test"] == "task[validation]"
    with pytest.raises(InputError, match=r"no train split \(there are: all\); name them: \{'train'"):
        load_task(datasets.DatasetDict(all=DATASET))


def test_choices_of_a_dataset_are_indices() -> None:
    features = datasets.Features(
        {
            "premise": datasets.Value("string"),
            "choice1": datasets.Value("string"),
            "choice2": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["choice1", "choice2"]),
        }
    )
    row = {"premise": ["p"], "choice1": ["x"], "choice2": ["y"], "label": [1]}
    task = load_task(datasets.Dataset.from_dict(row, features=features))
    assert (task.type, next(task.examples()).label) == (TaskType.MULTIPLE_CHOICE, 1)


EXPECTED = "expected a file, a task card, hf:DATASET, a Task, a pandas DataFrame, a pair"
BAD: dict[str, tuple[Any, str]] = {
    "number": (3, rf"{EXPECTED}.*; got int 3$"),
    "nothing": (None, rf"{EXPECTED}.*; got None$"),
    "texts alone": (["a", "b"], rf"{EXPECTED}.*; got list of 2, the first str$"),
    "tuple of one": ((["a"],), rf"{EXPECTED}.*; got tuple of 1, the first list$"),
    "array": (np.zeros((3, 2)), rf"{EXPECTED}.*; got ndarray of shape \(3, 2\)$"),
    "stream": (DATASET.to_iterable_dataset(), rf"{EXPECTED}.*; got IterableDataset$"),
    "lengths differ": (
        (["a"], ["x", "y"]),
        r"task\[train\]: 1 texts and 2 labels \(expected as many\)$",
    ),
    "no texts": (([], []), r"task\[train\]: no texts$"),
    "labels of two dimensions": ((["a"], np.zeros((1, 2))), r"labels are an array of shape \(1, 2\)"),
    "texts of two dimensions": (
        (np.array([["a", "b"]]), ["x"]),
        r"texts are an array of shape \(1, 2\)",
    ),
    "labels are a string": ((["a"], "x"), "expected labels to be a sequence, got str"),
    "texts are a mapping": (({"a": 1}, ["x"]), "expected texts to be a sequence, got dict"),
    "texts are numbers": (([1, 2], ["x", "y"]), "expected texts to be strings, got int 1"),
    "three texts": (([("a", "b", "c")], ["x"]), "to be a string or a pair of two strings"),
    "empty frame": (FRAME[:0], r"task\[train\]: no rows"),
    "empty mapping": ({}, "an empty mapping: expected splits"),
    "columns": ({"text": ["a"], "label": ["x"]}, "unknown split 'text'.*are to be a pandas DataFrame"),
    "split unknown": ({"tarin": FRAME}, "unknown split 'tarin'.*did you mean 'train'"),
    "split twice": ({"dev": FRAME, "validation": FRAME}, "two dev splits among dev, validation"),
    "split from the Hub": ({"train": "hf:glue/sst2"}, "'hf:glue/sst2' has splits of its own"),
    "no such file": ("nosuch.csv", "no such file, folder or task: nosuch.csv"),
}


@pytest.mark.parametrize("case", BAD)
def test_data_of_no_task_are_refused_in_one_line(case: str) -> None:
    data, message = BAD[case]
    with pytest.raises(InputError, match=message) as raised:
        load_task(data)
    assert "\n" not in str(raised.value)


def test_a_folder_of_several_tasks(tmp_path: Path) -> None:
    write(tmp_path / "a.csv")
    write(tmp_path / "b.csv")
    with pytest.raises(InputError, match="the folder holds 2 tasks, expected one"):
        load_task(tmp_path)
    assert [task.name for task in load_tasks(tmp_path)] == ["a", "b"]


@pytest.mark.parametrize(
    ("data", "settings", "message"),
    [
        (TASK, {"test": FRAME}, "test= has no effect on a Task"),
        (TASK, {"settings": ReadSettings()}, "settings= has no effect on a Task"),
        ("hf:glue/sst2", {"test": FRAME}, "test= has no effect on a data set of the Hub"),
        ("a.toml", {"test": FRAME}, "test= has no effect on a task card"),
        ({"train": FRAME, "test": FRAME}, {"test": FRAME}, "two test splits"),
        (datasets.DatasetDict(train=DATASET, test=DATASET), {"test": FRAME}, "two test splits"),
    ],
)
def test_nothing_is_ignored(data: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_task(data, **settings)


def test_several_tasks(tmp_path: Path) -> None:
    path = write(tmp_path / "sea.csv")
    assert [t.name for t in load_tasks([path, TASK, path, TASK])] == ["sea", "t"]
    assert [t.name for t in load_tasks({"a": FRAME, "b": (["c"], ["x"])})] == ["a", "b"]
    assert [t.name for t in load_tasks({"train": FRAME, "test": FRAME})] == ["task"]
    assert [t.name for t in load_tasks((["a"], ["x"]))] == ["task"]
    assert [t.name for t in load_tasks((path, TASK))] == ["sea", "t"]
    none: Any
    for none in ([], (), {}):
        with pytest.raises(InputError, match="no tasks: expected one or several of: a file"):
            load_tasks(none)
    with pytest.raises(InputError, match="two tasks are named 'task': .*; name one of them"):
        load_tasks([FRAME, (["a"], ["x"])])


def test_the_target_is_none_of_its_sources(tmp_path: Path) -> None:
    files = [write(tmp_path / f"{name}.train.csv") for name in ("a", "b", "c")]
    goal, sources = load_target_and_sources(files[1], [str(tmp_path), files[2], TASK])
    assert (goal.name, [source.name for source in sources]) == ("b", ["a", "c", "t"])
    goal, sources = load_target_and_sources(TASK, [TASK, files[0]])
    assert (goal.name, [source.name for source in sources]) == ("t", ["a"])
    with pytest.raises(InputError, match="--target: expected one task, got 3"):
        load_target_and_sources(tmp_path, [])


def test_a_demo_task() -> None:
    assert load_task("demo:topic").labels() == read_task("demo:topic").labels()


def test_what_reading_left_out_is_told(tmp_path: Path) -> None:
    task = load_task((["a", "b", "c"], ["x", None, "y"]))
    list(task.examples())
    told: list[str] = []
    tell_reading([task], told.append)
    assert told == ["task: train: 1 of 3 rows left out: 1 without label (first task[train] row 1)"]


def test_datasets_is_not_imported_for_a_file(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv")
    code = f"import sys, transfer_meta; transfer_meta.load_task({str(path)!r}); print('datasets' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"
