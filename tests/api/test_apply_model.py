from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from result_checks import check_result
from tiny_tasks import ALL_TYPES, EXAMPLES, tiny
from trained_models import small_model

from transfer_meta.api import apply_model as module
from transfer_meta.api.apply_model import ApplySettings, apply_model
from transfer_meta.errors import InputError
from transfer_meta.records import TaskType
from transfer_meta.tasks import ReadSettings, Task
from transfer_meta.training.trained_model import TrainedModel


def model_of(type: TaskType) -> TrainedModel:
    """A model that knows the labels of `tiny_tasks`."""
    labels = tiny(type).labels()
    return TrainedModel(*small_model(type, labels=labels))


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
@pytest.mark.parametrize("type", ALL_TYPES)
def test_a_file_has_what_is_predicted_in_memory(tmp_path: Path, type: TaskType, suffix: str) -> None:
    model = model_of(type)
    inside = apply_model(model, tiny(type))
    assert inside.predictions is not None
    assert inside.predictions.predictions == model.predict(EXAMPLES[type]).predictions
    out = tmp_path / f"p{suffix}"
    written = apply_model(model, tiny(type), ApplySettings(out=out))
    assert written.predictions is None
    pd.testing.assert_frame_equal(written.to_frame(), inside.to_frame(), check_dtype=False)
    assert written.scores == inside.scores
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


@pytest.mark.parametrize("type", ALL_TYPES)
def test_what_was_applied_is_a_result(type: TaskType) -> None:
    found = apply_model(model_of(type), tiny(type))
    check_result(found, list(found.to_frame()))
    assert found.texts == found.labelled == len(EXAMPLES[type])
    assert found.scores
    values = found.to_dict()
    assert len(values["predictions"]) == found.texts
    assert next(iter(found.scores)) in str(found)


@pytest.mark.parametrize("type", ALL_TYPES)
def test_texts_without_labels_have_no_scores(type: TaskType) -> None:
    bare = [example._replace(label=None) for example in EXAMPLES[type]]
    found = apply_model(model_of(type), Task.from_iterable("t", type, {"test": bare}))
    assert (found.labelled, found.scores, found.notes) == (0, {}, ())
    labelled = apply_model(model_of(type), tiny(type))
    pd.testing.assert_frame_equal(found.to_frame(), labelled.to_frame())


def test_many_texts_are_done_in_parts_and_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [f"text y{'x' * (i % 7)}" for i in range(25)]
    (tmp_path / "t.txt").write_text("\n".join(texts))
    model = model_of(TaskType.CLASSIFICATION)
    whole = model.predict(texts).to_frame()
    monkeypatch.setattr(module, "TEXTS_AT_ONCE", 4)
    steps: list[tuple[int, int]] = []
    found = apply_model(
        model, tmp_path / "t.txt", on_progress=lambda done, total: steps.append((done, total))
    )
    frame = found.to_frame()
    assert list(frame["row"]) == list(range(1, 26))
    assert list(frame["label"]) == list(whole["label"])
    assert list(frame["probability"]) == pytest.approx(list(whole["probability"]), abs=1e-5)
    assert steps == [(4, 25), (8, 25), (12, 25), (16, 25), (20, 25), (24, 25), (25, 25)]


def test_labels_that_the_model_does_not_know_are_counted() -> None:
    model = model_of(TaskType.CLASSIFICATION)
    told: list[str] = []
    found = apply_model(model, (["x"] * 5, ["a", "z", "z", "y", "b"]), tell=told.append)
    assert dict(found.unknown_labels) == {"z": 2, "y": 1}
    line = "the model does not know 2 of the labels, 'z' (2), 'y' (1): they count as wrong"
    assert told == [line]
    assert found.notes == (line,)
    assert found.scores["accuracy"] <= 0.2
    found = apply_model(model, (["x", "y"], ["p", "q"]), tell=told.append)
    assert found.scores == {}
    assert told[-1].endswith(": there are no scores")


def test_rows_without_label_or_text_are_told(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('text,label\nfine,a\ndull,\n"",b\nnew,b\n')
    told: list[str] = []
    found = apply_model(model_of(TaskType.CLASSIFICATION), tmp_path / "t.csv", tell=told.append)
    assert list(found.to_frame()["row"]) == [2, 3, 5]
    assert found.labelled == 2
    assert told == [
        "1 of 4 rows left out: 1 without text (first t.csv:4)",
        "1 of 3 texts have no label",
    ]


def test_the_probabilities_of_all_classes(tmp_path: Path) -> None:
    model = model_of(TaskType.CLASSIFICATION)
    settings = ApplySettings(out=tmp_path / "p.csv", probabilities=True)
    frame = apply_model(model, ["one", "two"], settings).to_frame()
    assert list(frame)[3:] == ["probability_a", "probability_b", "probability_c"]
    out = tmp_path / "p.jsonl"
    apply_model(model, ["one"], ApplySettings(out=out, probabilities=True))
    assert list(json.loads(out.read_text())["probabilities"]) == ["a", "b", "c"]
    apply_model(model, ["one"], ApplySettings(out=out))
    assert list(json.loads(out.read_text())) == ["row", "label", "probability"]
    with pytest.raises(InputError, match="--probabilities has no effect: the model is for regression"):
        apply_model(model_of(TaskType.REGRESSION), ["one"], ApplySettings(probabilities=True))


def test_a_stream_gets_csv() -> None:
    stream = io.StringIO()
    found = apply_model(model_of(TaskType.CLASSIFICATION), ["one", "two"], stream=stream)
    assert stream.getvalue().splitlines()[0] == "row,label,probability"
    assert len(stream.getvalue().splitlines()) == 3
    with pytest.raises(InputError, match="written to a stream"):
        found.to_frame()


def test_nothing_is_written_if_the_data_cannot_be_read_to_the_end(tmp_path: Path) -> None:
    rows = [json.dumps({"text": "fine"})] * 3 + ["{not json"] * 9
    (tmp_path / "t.jsonl").write_text("\n".join(rows))
    out = tmp_path / "p.csv"
    for strict in (False, True):
        settings = ApplySettings(out=out, read=ReadSettings(strict=strict))
        with pytest.raises(InputError, match=r"t\.jsonl"):
            apply_model(model_of(TaskType.CLASSIFICATION), tmp_path / "t.jsonl", settings)
    assert [path.name for path in tmp_path.iterdir()] == ["t.jsonl"]


@pytest.mark.parametrize(
    ("model", "data", "settings", "message"),
    [
        ("no/such", ["a"], {}, "no model in 'no/such'"),
        (3, ["a"], {}, "expected a trained model or its folder, got int"),
        (None, [], {}, "the list: no texts"),
        (None, "t.txt", {"out": "p.txt"}, "--out: expected a file named .csv or .jsonl, got 'p.txt'"),
        (None, "t.csv", {"out": "t.csv"}, "is the file of the texts"),
        (None, "t.csv", {"out": "t.csv/p.csv"}, "cannot write"),
        (None, "n.csv", {}, "n.csv"),
    ],
)
def test_mistakes_are_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    model: Any,
    data: Any,
    settings: dict[str, Any],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text("id,text\n1,fine\n")
    with pytest.raises(InputError, match=message) as found:
        made = ApplySettings(**settings)
        apply_model(model_of(TaskType.CLASSIFICATION) if model is None else model, data, made)
    assert "\n" not in str(found.value)
    assert Path("t.csv").read_text() == "id,text\n1,fine\n"
