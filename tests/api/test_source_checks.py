"""The check against the Hub, with a stand-in for it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from result_checks import check_result

from transfer_meta.api.source_checks import check_sources
from transfer_meta.cli.app import main
from transfer_meta.errors import InputError

datasets = pytest.importorskip("datasets")


def rows(size: int, *columns: str, classes: int = 2) -> Any:
    features = {name: datasets.Value("string") for name in columns}
    features["label"] = datasets.ClassLabel(num_classes=classes)
    split = datasets.Dataset.from_dict(
        {name: ["0"] for name in features}, features=datasets.Features(features)
    )
    stream = split.to_iterable_dataset()
    info = datasets.SplitInfo(name="train", num_examples=size)
    stream.info.splits = datasets.SplitDict({"train": info})
    return stream


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the Hub has of each id."""
    held: dict[str, Any] = {}

    def load(path: str, name: str | None = None, *, revision: str | None, streaming: bool) -> Any:
        assert streaming
        if isinstance(held[path], Exception):
            raise held[path]
        return held[path]

    monkeypatch.setattr(datasets, "load_dataset", load)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", False)
    return held


@pytest.mark.parametrize(
    ("splits", "differences"),
    [
        ({"train": rows(25000, "text"), "test": rows(1, "text")}, []),
        ({"train": rows(25000, "text")}, ["no split test (there are: train)"]),
        (
            {"train": rows(24000, "sentence", classes=3), "test": rows(1, "sentence")},
            [
                "no column text (there are: sentence, label)",
                "24,000 training examples (catalogue: 25,000)",
                "3 classes (catalogue: 2)",
            ],
        ),
        (
            RuntimeError("Dataset scripts are no longer supported"),
            ["cannot be read: Dataset scripts are no longer supported"],
        ),
    ],
)
def test_differences_are_told(hub: dict[str, Any], splits: Any, differences: list[str]) -> None:
    hub["stanfordnlp/imdb"] = splits
    found = check_sources("imdb")
    assert found.to_dict() == [{"name": "imdb", "differences": differences}]
    check_result(found, ["name", "differences", "found"])
    assert found.problems == [f"imdb: {each}" for each in differences]


def test_the_command_prints_the_result(hub: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    hub["stanfordnlp/imdb"] = {"train": rows(25000, "text"), "test": rows(1, "text")}
    hub["SetFit/subj"] = {"train": rows(8000, "sentence")}
    assert main(["sources", "check", "imdb", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == check_sources("imdb").to_dict()
    assert main(["sources", "check", "imdb", "subj"]) == 2
    captured = capsys.readouterr()
    assert captured.out == f"{check_sources(['imdb', 'subj'])}\n"
    assert captured.err == "error: 1 of 2 sources differ from the catalogue\n"


def test_offline_is_one_line(
    hub: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hub["stanfordnlp/imdb"] = ConnectionError(
        "Couldn't reach 'stanfordnlp/imdb' on the Hub\nfor a reason"
    )
    with pytest.raises(
        InputError,
        match=r"the Hub cannot be reached: .* \(Couldn't reach 'stanfordnlp/imdb' on the Hub\)",
    ):
        check_sources("imdb")
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    assert main(["sources", "check"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "HF_HUB_OFFLINE is set" in captured.err
