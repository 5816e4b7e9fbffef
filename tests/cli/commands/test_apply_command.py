from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from trained_models import small_folder

from transfer_meta.cli.app import main
from transfer_meta.records import TaskType


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(small_folder(tmp_path_factory.mktemp("apply") / "model", TaskType.CLASSIFICATION))


@pytest.fixture
def texts(tmp_path: Path) -> str:
    path = tmp_path / "t.csv"
    path.write_text("text,label\nfine film,a\ndull film,b\nnew film,a\n")
    return str(path)


def test_predictions_are_csv_on_stdout_and_scores_on_stderr(
    folder: str, texts: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["apply", folder, texts, "--device", "cpu"]) == 0
    captured = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(captured.out)))
    assert [row["row"] for row in rows] == ["2", "3", "4"]
    assert {row["label"] for row in rows} <= {"a", "b", "c"}
    assert "3 predictions for" in captured.err
    assert "accuracy" in captured.err
    assert "(on 3 labels)" in captured.err


def test_predictions_are_written_to_a_file_and_summed_up_as_json(
    folder: str, texts: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "p.jsonl"
    assert main(["apply", folder, texts, "--out", str(out), "--json", "--probabilities"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["texts"] == summary["labelled"] == sum(summary["predicted"].values()) == 3
    assert summary["out"] == str(out)
    assert list(summary["scores"]) == ["accuracy", "macro_f1", "matthews"]
    found = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["row"] for row in found] == [2, 3, 4]
    assert sum(found[0]["probabilities"].values()) == pytest.approx(1, abs=1e-5)


def test_options_of_reading_apply(
    folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a;b\nfine film;1\ndull film;2\n")
    arguments = ["apply", folder, str(path), "--separator", ";", "--column", "text=a"]
    assert main(arguments) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--json"], "--json prints a summary on stdout; name a file"),
        (["--out", "p.parquet"], "expected a file named .csv or .jsonl"),
        (["--type", "regression"], "--type regression: the model is for classification"),
        (["--device", "cuda:99"], "no device 'cuda:99' here"),
        (["--column", "label=nothing"], "unknown column of"),
        (["--comment", "#"], "--comment has no effect on csv"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_two(
    folder: str,
    texts: str,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["apply", folder, texts, *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1


def test_what_is_no_model_is_refused(
    tmp_path: Path, texts: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["apply", str(tmp_path), texts]) == 2
    assert "expected a folder with transfer_meta.json or config.json" in capsys.readouterr().err
