"""Data frames."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from transfer_meta.errors import InputError
from transfer_meta.readers.data_frame import FrameRows
from transfer_meta.records import Example, TaskType
from transfer_meta.tasks import ReadSettings, read_frame

STRICT = ReadSettings(strict=True)


def test_one_frame_is_the_train_split() -> None:
    task = read_frame("t", pd.DataFrame({"text": ["a", "b"], "label": [0, 1]}))
    assert list(task.splits) == ["train"]
    assert list(task.examples()) == [Example("a", "0"), Example("b", "1")]
    assert list(task.examples()) == list(task.examples())


def test_one_frame_a_split() -> None:
    frame = pd.DataFrame({"text": ["a"], "label": ["x"]})
    task = read_frame("t", {"train": frame, "test": frame.assign(label="y")})
    assert next(task.examples("test")).label == "y"


def test_arrays_and_scalars_of_numpy_become_pythons() -> None:
    frame = pd.DataFrame({"tokens": [np.array(["a", "b"])], "tags": [np.array([0, 1])]})
    task = read_frame("t", frame)
    assert (task.type, next(task.examples()).label) == (TaskType.TOKEN_CLASSIFICATION, ("0", "1"))
    ((_, row),) = FrameRows(pd.DataFrame({"a": [np.float64(1.5)], "b": [{"c": np.array([1])}]}), "f")
    assert [type(row["a"]), type(row["b"]["c"][0])] == [float, int]


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, pd.NaT])
def test_missing_labels_of_any_kind_name_their_row(missing: object) -> None:
    frame = pd.DataFrame({"text": ["a", "b"], "label": pd.Series(["x", missing], dtype=object)})
    with pytest.raises(InputError, match=r"t\[train\] row 1: there is no label"):
        list(read_frame("t", frame, STRICT).examples())
    numbers = pd.DataFrame({"text": ["a", "b"], "label": [0.5, None]})
    with pytest.raises(InputError, match=r"t\[train\] row 1: there is no label"):
        list(read_frame("t", numbers, STRICT).examples())


def test_categories_and_string_types() -> None:
    frame = pd.DataFrame({"text": ["a", "b"], "label": ["x", "y"]}).astype(
        {"text": "string", "label": "category"}
    )
    assert read_frame("t", frame).labels() == ("x", "y")


def test_frames_that_are_no_task() -> None:
    with pytest.raises(InputError, match=r"t\[train\]: no rows"):
        read_frame("t", pd.DataFrame({"text": [], "label": []}))
    with pytest.raises(InputError, match="two columns of one name"):
        read_frame("t", pd.DataFrame([["a", "b"]], columns=["text", "text"]))
