from __future__ import annotations

import importlib.util
import json

import pytest
from result_checks import check_result

from transfer_meta.api.source_list import FindSettings, find_sources, list_sources
from transfer_meta.cli.app import main
from transfer_meta.errors import InputError
from transfer_meta.tasks.catalogue import SourceFilter, load_catalogue

COLUMNS = ["name", "type", "classes", "train_size", "licence", "address", "description"]
LIST_COLUMNS = [*COLUMNS[:-1], "encoder", "description"]


def test_the_command_prints_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    found = list_sources()
    assert main(["sources", "list"]) == 0
    assert capsys.readouterr().out == f"{found}\n"
    assert main(["sources", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == found.to_dict()
    check_result(found, LIST_COLUMNS)
    assert found.to_frame()["name"].tolist() == [source.name for source in load_catalogue()]


def test_filters(capsys: pytest.CaptureFixture[str]) -> None:
    given = [
        "--types",
        "question-answering,regression",
        "--licence",
        "cc-by-sa-4.0, MIT",
        "--max-size",
        "90000",
    ]
    assert main(["sources", "list", *given, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows
    for row in rows:
        assert row["type"] in ("question-answering", "regression")
        assert row["licence"] in ("cc-by-sa-4.0", "mit")
        assert row["train_size"] <= 90000
    found = list_sources(SourceFilter(types=["regression"], max_size=10_000))
    sizes = [s.train_size for s in load_catalogue() if s.type == "regression"]
    assert found.caption == (
        f"{len(found.rows)} of {len(load_catalogue())} sources; {sizes.count(None)} of unknown size left out"
    )
    assert str(list_sources(SourceFilter(max_size=1))).startswith("0 of ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["list", "--types", "clasification"], "did you mean 'classification'"),
        (["list", "--licence", "cc-by-4"], "did you mean 'cc-by-4.0'"),
        (["list", "--max-size", "0"], "--max-size 0 (expected at least 1)"),
        (["find", "names", "--top", "0"], "--top 0 (expected at least 1)"),
        (["find", " "], "an empty description"),
        (["find", "…", "--encoder", "none"], "no description has a word of '…'"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sources", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("names of diseases in medical abstracts", {"ncbi_disease", "bc5cdr"}),
        ("spam in text messages", {"sms_spam"}),
        ("questions to a bank", {"banking77"}),
    ],
)
def test_the_nearest_are_found_by_words(text: str, names: set[str]) -> None:
    found = find_sources(text, FindSettings(top=3, encoder="none"))
    assert names <= set(found.to_frame()["name"])
    similarities = found.to_frame()["similarity"].tolist()
    assert similarities == sorted(similarities, reverse=True)


def test_the_command_prints_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    text = "movie reviews"
    found = find_sources(text, FindSettings(top=4, encoder="none"))
    check_result(found, [*COLUMNS, "similarity"])
    given = ["sources", "find", text, "--top", "4", "--encoder", "none"]
    assert main(given) == 0
    assert capsys.readouterr().out == f"{found}\n"
    assert main([*given, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == found.to_dict()


def test_an_encoder_is_used() -> None:
    pytest.importorskip("torch")
    found = find_sources("movie reviews", FindSettings(top=2, encoder="random:1x16"))
    assert found.caption == "nearest by sentence vectors of encoder random:1x16: movie reviews"
    assert found.to_frame()["similarity"].between(-1, 1).all()


def test_without_the_encoder_words_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert find_sources("movie reviews").caption.startswith("nearest by words")
    with pytest.raises(InputError, match="needs torch"):
        find_sources("movie reviews", FindSettings(encoder="offline"))
