"""Load a task of whatever is at hand: a file, a data frame, texts and labels, a data set."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfer_meta.errors import InputError, list_names, unknown
from transfer_meta.readers.data_frame import FrameRows
from transfer_meta.readers.rows import Rows
from transfer_meta.records import Tell
from transfer_meta.tasks.build_task import open_splits
from transfer_meta.tasks.demo import expand_demo
from transfer_meta.tasks.hub import HubRows, build_dataset_task, dataset_rows, is_hub_address
from transfer_meta.tasks.read import read_task
from transfer_meta.tasks.resolve import find_tasks, is_same_task
from transfer_meta.tasks.settings import ReadSettings
from transfer_meta.tasks.siblings import SPLIT_WORDS, find_siblings
from transfer_meta.tasks.task import Task

if TYPE_CHECKING:
    import pandas as pd

TaskItem = tuple[Any, str | None]
"""What `load_task` takes, and the name that was given for it."""
DEFAULT_NAME = "task"
"""Name of a task made of data in memory."""
EXPECTED = (
    "a file, a task card, hf:DATASET, a Task, a pandas DataFrame, a pair (texts, labels), a Dataset,"
    " or a mapping of splits to any of these"
)

HOW_TO_NAME = "name one of them: in a card, by load_task(..., name=NAME), or {NAME: data, ...}"


def load_task(
    data: Any,
    *,
    name: str | None = None,
    test: Any = None,
    settings: ReadSettings | None = None,
) -> Task:
    """Return the task of a file, of data in memory or of a data set.

    Parameters
    ----------
    data : str, Path, Task, DataFrame, Dataset, DatasetDict, pair or mapping
        - a data file, with its siblings (``sst2.train.csv``, ``sst2.test.csv``), a task card (``.toml``), a folder
          that holds one task, a task that ships (``demo:topic``), a data set of the Hub (``hf:glue/sst2``);
        - a pandas data frame, or a data set of the library ``datasets``: the train split;
        - a pair ``(texts, labels)`` of equally long sequences: the train split. A text is a string, a pair of
          strings, or, where labels are sequences of tags, a sequence of tokens; None for ``labels`` means texts
          without labels;
        - a mapping of splits (train, dev, test) to files, data frames, pairs or data sets;
        - a task, which is returned as it is.
    name : str, optional
        Name of the task; by default that of the files or of the card, else ``task``.
    test : optional
        The test split, in any form that `data` may have for one split.
    settings : ReadSettings, optional
        What cannot be detected. For data in memory `type`, `columns`, `scheme`, `repair_tags`, `choices_from`,
        `strict` and `verbose` apply.

    Raises
    ------
    InputError
        Data of another type, empty data, sequences of unequal length, and what `read_task` raises.

    Examples
    --------
    >>> task = load_task((["a fine film", "a dull film"], ["pos", "neg"]), name="films")
    >>> task.type, task.labels()
    (<TaskType.CLASSIFICATION: 'classification'>, ('neg', 'pos'))
    """
    if isinstance(data, Task):
        _refuse(test is not None, "test= has no effect on a Task, which has its own splits")
        _refuse(settings is not None, "settings= has no effect on a Task, which is read already")
        return data if name is None else replace(data, name=name)
    read = settings or ReadSettings()
    if isinstance(data, str | Path):
        data = expand_demo(str(data))
        if is_hub_address(str(data)) or Path(data).suffix == ".toml":
            what = "a task card" if Path(data).suffix == ".toml" else "a data set of the Hub"
            _refuse(
                test is not None, f"test= has no effect on {what} ('{data}'), which has its own splits"
            )
            return read_task(data, read, name=name)
        path = _one_task(Path(data))
        if test is None:
            return read_task(path, read, name=name)
        found = find_siblings(path)
        by_split: dict[str, Any] = {**found.splits, "test": test}
        name = name or found.name
    elif _is_dataset(data, "DatasetDict"):
        return _of_dataset_dict(data, name or DEFAULT_NAME, test, read)
    elif isinstance(data, Mapping):
        by_split = _named_splits(data)
        _refuse(
            test is not None and "test" in by_split, "two test splits: one in the mapping, and test="
        )
        by_split |= {} if test is None else {"test": test}
    else:
        by_split = {"train": data} if test is None else {"train": data, "test": test}
    name = name or DEFAULT_NAME
    notes: list[str] = []
    rows = {
        split: rows_of(part, f"{name}[{split}]", split, read, notes) for split, part in by_split.items()
    }
    return build_dataset_task(name, rows, read, notes=notes)


def load_tasks(data: Any, *, settings: ReadSettings | None = None) -> list[Task]:
    """Return the tasks of one or several of what `load_task` takes; a folder stands for all of its tasks.

    Parameters
    ----------
    data : sequence, or what `load_task` takes
        A list is several tasks; a tuple of texts and labels is one; a mapping whose keys are no splits is tasks
        by name.
    settings : ReadSettings, optional
        For those that are not a `Task`.

    Raises
    ------
    InputError
        No task, two tasks of one name, and what `load_task` raises.
    """
    return _load_all(expand_tasks(data), settings)


def _load_all(items: Iterable[TaskItem], settings: ReadSettings | None) -> list[Task]:
    tasks: dict[str, Task] = {}
    for item, name in items:
        task = load_task(item, name=name, settings=None if isinstance(item, Task) else settings)
        before = tasks.setdefault(task.name, task)
        same = isinstance(item, str | Path) and before.origin == task.origin
        if before is not task and not same:
            places = [next(iter(t.origin.values()), t.name) for t in (before, task)]
            raise InputError(
                f"two tasks are named '{task.name}': {' and '.join(places)}; {HOW_TO_NAME}"
            )
    return list(tasks.values())


def expand_tasks(data: Any) -> list[TaskItem]:
    """Return each of several tasks as `load_task` takes it, with its name if it was given; see `load_tasks`."""
    if isinstance(data, Mapping) and not _is_dataset(data, "DatasetDict"):
        if not any(str(key).lower() in SPLIT_WORDS for key in data):
            return [(value, str(key)) for key, value in data.items()] or _no_tasks()
        return [(data, None)]
    if not isinstance(data, list | tuple) or (isinstance(data, tuple) and _is_pair(data)):
        data = [data]
    found: list[TaskItem] = []
    paths = [str(item) for item in data if isinstance(item, str | Path)]
    if len(paths) == len(data):
        return [(path, None) for path in find_tasks(paths)] or _no_tasks()
    for item in data:
        if isinstance(item, str | Path):
            found += [(path, None) for path in find_tasks([str(item)])]
        else:
            found.append((item, None))
    return found


def expand_target_and_sources(target: Any, sources: Any) -> tuple[Any, list[TaskItem]]:
    """Return the target, and the sources without it, each as `load_task` takes it; see `expand_tasks`.

    Raises
    ------
    InputError
        The target is not exactly one task.
    """
    if isinstance(target, str | Path):
        found = find_tasks([str(target)])
        _refuse(len(found) != 1, f"--target: expected one task, got {len(found)} in '{target}'")
        (target,) = found
    return target, [(item, name) for item, name in expand_tasks(sources) if not _is_same(item, target)]


def load_target_and_sources(
    target: Any, sources: Any, settings: ReadSettings | None = None
) -> tuple[Task, list[Task]]:
    """Return the target and the sources without it; see `load_tasks`."""
    target, others = expand_target_and_sources(target, sources)
    goal = load_task(target, settings=None if isinstance(target, Task) else settings)
    return goal, _load_all(others, settings)


def tell_reading(tasks: Iterable[Task], tell: Tell, *, verbose: bool = False) -> None:
    """Pass on a line for every split of which rows were left out or mended; with `verbose` their places."""
    for task in tasks:
        for line in task.reading_notes(verbose=verbose):
            tell(f"{task.name}: {line}")


def _is_same(item: Any, target: Any) -> bool:
    both_paths = isinstance(item, str | Path) and isinstance(target, str)
    return is_same_task(str(item), target) if both_paths else item is target


def _no_tasks() -> Any:
    raise InputError(f"no tasks: expected one or several of: {EXPECTED}")


def _refuse(condition: bool, message: str) -> None:
    if condition:
        raise InputError(message)


def _one_task(path: Path) -> Path:
    """Return the first file of a folder's only task, or the path itself where it is no folder."""
    if not path.is_dir():
        return path
    found = find_tasks([str(path)])
    if len(found) > 1:
        raise InputError(
            f"{path}: the folder holds {len(found)} tasks, expected one ({list_names(found, limit=4)})"
        )
    return Path(found[0])


def _named_splits(data: Mapping[Any, Any]) -> dict[str, Any]:
    """Return a mapping's values by our names of splits."""
    if not data:
        raise InputError(
            "an empty mapping: expected splits, for example {'train': frame, 'test': frame}"
        )
    by_split: dict[str, Any] = {}
    for key, part in data.items():
        split = SPLIT_WORDS.get(str(key).lower())
        if split is None:
            known = unknown("split", str(key), ("train", "dev", "test"))
            raise InputError(f"{known}; columns of a table are to be a pandas DataFrame or a pair")
        if split in by_split:
            raise InputError(f"two {split} splits among {list_names(data)}")
        by_split[split] = part
    return by_split


def _of_dataset_dict(data: Any, name: str, test: Any, settings: ReadSettings) -> Task:
    """Return the task of a `datasets.DatasetDict`."""
    rows: dict[str, Rows] = dict(
        dataset_rows(data, name, remedy="name them: {'train': data[...], 'test': data[...]}")
    )
    known = [row.origin for row in rows.values()]
    unused = [str(split) for split in data if f"{name}[{split}]" not in known]
    notes = [f"splits not used: {', '.join(unused)}"] if unused else []
    if test is not None:
        _refuse("test" in rows, "two test splits: one in the DatasetDict, and test=")
        rows["test"] = rows_of(test, f"{name}[test]", "test", settings, notes)
    return build_dataset_task(name, rows, settings, notes=notes)


def rows_of(data: Any, where: str, split: str, settings: ReadSettings, notes: list[str]) -> Rows:
    """Return the rows of one split: a file or several, a data frame, a data set, or a pair (texts, labels)."""
    if isinstance(data, str | Path):
        _refuse(
            is_hub_address(str(data)), f"{where}: '{data}' has splits of its own, expected one split"
        )
        data = [Path(data)]
    if isinstance(data, list) and data and all(isinstance(file, Path) for file in data):
        opened = open_splits({split: data}, settings, notes)
        if split not in opened:
            raise InputError(f"{data[0]}: no column of tags")
        return opened[split]
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(data, pandas.DataFrame):
        return FrameRows(data, where)
    if _is_dataset(data, "Dataset"):
        return HubRows.of(data, where)
    if _is_pair(data):
        return FrameRows(_frame_of_pair(data[0], data[1], where), where)
    raise InputError(f"{where}: expected {EXPECTED}; got {_described(data)}")


def _frame_of_pair(texts: Any, labels: Any, where: str) -> pd.DataFrame:
    """Return a table with the columns text, text_pair and label, or tokens and tags."""
    import pandas as pd

    texts = _sequence(texts, "texts", where)
    if not texts:
        raise InputError(f"{where}: no texts")
    first = next((text for text in texts if text is not None), None)
    columns: dict[str, Sequence[Any]] = {"text": texts}
    if labels is not None:
        labels = _sequence(labels, "labels", where)
        if len(texts) != len(labels):
            raise InputError(
                f"{where}: {len(texts):,} texts and {len(labels):,} labels (expected as many)"
            )
        label = next((label for label in labels if label is not None), None)
        if _is_sequence(label) and _is_sequence(first):
            columns = {"tokens": texts, "tags": labels}
        else:
            columns["label"] = labels
    if "text" in columns and _is_sequence(first):
        if not all(_is_sequence(text) and len(text) == 2 for text in texts):
            raise InputError(f"{where}: expected each text to be a string or a pair of two strings")
        columns["text"] = [text for text, _ in texts]
        columns["text_pair"] = [pair for _, pair in texts]
    elif "text" in columns and not isinstance(first, str):
        raise InputError(f"{where}: expected texts to be strings, got {_described(first)}")
    # Objects: a column of integers with a None would become one of floats.
    return pd.DataFrame({key: pd.Series(list(values), dtype=object) for key, values in columns.items()})


def _sequence(values: Any, what: str, where: str) -> list[Any]:
    """Return texts or labels as a list; anything but a one-dimensional sequence is an InputError."""
    shape = getattr(values, "shape", None)
    if shape is not None and len(shape) != 1:
        raise InputError(
            f"{where}: {what} are an array of shape {tuple(shape)} (expected one dimension: one per text)"
        )
    if shape is None and not _is_sequence(values) and not _is_column(values):
        raise InputError(f"{where}: expected {what} to be a sequence, got {_described(values)}")
    listed = values.tolist() if hasattr(values, "tolist") else list(values)
    return [value.tolist() if hasattr(value, "tolist") else value for value in listed]


def _is_pair(data: Any) -> bool:
    """Return whether data are texts and labels, whatever else may be wrong with them."""
    frame = getattr(sys.modules.get("pandas"), "DataFrame", Task)
    return (
        isinstance(data, list | tuple)
        and len(data) == 2
        and not isinstance(data[0], (str, Path, Task, frame))
        and not _is_dataset(data[0], "Dataset")
    )


def _is_sequence(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _is_column(value: Any) -> bool:
    """Return whether a value is a column of `datasets`, which has a length but is no `Sequence`."""
    return (
        hasattr(value, "__len__")
        and hasattr(value, "__getitem__")
        and not isinstance(value, str | bytes | Mapping)
    )


def _is_dataset(data: Any, kind: str) -> bool:
    """Return whether data are a Dataset or DatasetDict; `datasets` is not imported for it."""
    module = sys.modules.get("datasets")
    return module is not None and isinstance(data, getattr(module, kind))


def _described(data: Any) -> str:
    """Return the type of a value, with its shape or length."""
    if data is None:
        return "None"
    name = type(data).__name__
    if hasattr(data, "shape"):
        return f"{name} of shape {tuple(data.shape)}"
    if isinstance(data, list | tuple) and data:
        return f"{name} of {len(data):,}, the first {type(data[0]).__name__}"
    return f"{name} {data!r}" if isinstance(data, int | float) else name
