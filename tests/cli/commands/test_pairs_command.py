from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from transfer_meta.cli.app import main


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSFER_META_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    for name, words in (
        ("films", "a fine film"),
        ("rain", "rain at noon"),
        ("reviews", "a film and rain"),
    ):
        rows = [f'{{"text": "{words} {i}", "label": "{"yn"[i % 2]}"}}' for i in range(12)]
        (tasks / f"{name}.train.jsonl").write_text("\n".join(rows))
    return tasks


def test_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["pairs", "--target", str(folder / "films.train.jsonl"), "--sources"]
    assert main([*arguments, str(folder), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["source"] for row in rows] == ["rain", "reviews"]  # without the target itself
    assert {row["target"] for row in rows} == {"films"}
    assert rows[0]["pair.jsd"] > rows[1]["pair.jsd"] > 0
    assert rows[0]["target.jsd"] is None
    assert "target.jsd" in rows[0]["missing"].split(",")

    named = [str(folder / "reviews.train.jsonl"), str(folder / "rain.train.jsonl")]
    assert main([*arguments, *named, "--json"]) == 0
    assert [row["source"] for row in json.loads(capsys.readouterr().out)] == ["reviews", "rain"]


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".json"])
def test_out(folder: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"pairs{suffix}"
    target = str(folder / "films.train.jsonl")
    assert main(["pairs", "--target", target, "--sources", str(folder), "--out", str(out)]) == 0
    read = {".csv": pd.read_csv, ".parquet": pd.read_parquet, ".json": pd.read_json}[suffix]
    table = read(out)  # type: ignore[operator]
    assert table["source"].tolist() == ["rain", "reviews"]
    assert table["ratio.size"].tolist() == [1, 1]


def test_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pairs", "--target", str(folder / "films.train.jsonl"), "--sources", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert "target films" in shown
    assert "tfidf_cosine" in shown


def test_errors(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    films = str(folder / "films.train.jsonl")
    for arguments, message in (
        (["--target", str(folder), "--sources", films], "--target: expected one task, got 3"),
        (["--target", films, "--sources", films], "no source beside the target itself"),
        (["--target", films, "--sources", str(folder / "no.jsonl")], "no such file, folder or task"),
        (["--target", films], "sources"),
    ):
        assert main(["pairs", *arguments]) == 2
        assert message in capsys.readouterr().err.splitlines()[-1]


def test_the_demo_tasks_that_share_their_messages_show(capsys: pytest.CaptureFixture[str]) -> None:
    sources = ["demo:urgency", "demo:reviews"]
    assert main(["pairs", "--target", "demo:topic", "--sources", *sources, "--json"]) == 0
    rows = {row["source"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["urgency"]["pair.examples_covered_target"] == 1
    assert rows["reviews"]["pair.examples_covered_target"] == 0
    assert rows["urgency"]["pair.jsd"] < rows["reviews"]["pair.jsd"]


def test_near_duplicates_of_real_tasks_show(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(shared / "tasks" / f"{name}.train.{end}") for name, end in
             (("sst2", "jsonl"), ("rotten_tomatoes", "csv"), ("subj", "jsonl"), ("rte", "jsonl"))]  # fmt: skip
    assert main(["pairs", "--target", files[0], "--sources", *files[1:], "--json"]) == 0
    rows = {row["source"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["rotten_tomatoes"]["pair.examples_covered_target"] > 0.2
    assert rows["rte"]["pair.examples_covered_target"] == 0
    assert rows["rotten_tomatoes"]["pair.jsd"] < rows["subj"]["pair.jsd"] < rows["rte"]["pair.jsd"]
