"""An option without effect is refused in one line that names it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from transfer_meta.cli.app import main

NAME = "bingel-soegaard-2017"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a task in several formats, and a table of outcomes in two."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRANSFER_META_CACHE", str(tmp_path / "cache"))
    task = pd.DataFrame({"text": ["good", "bad", "fine", "poor"], "label": ["pos", "neg"] * 2})
    task.to_csv("a.csv", index=False)
    task.to_json("b.jsonl", orient="records", lines=True)
    task.to_parquet("c.parquet")
    Path("d.conll").write_text("Mia\tB-PER\nis\tO\n\nTom\tB-PER\nran\tO\n")
    rows = [(s, t, 0.1 * (s < t)) for s in "abcde" for t in "abcde" if s != t]
    outcomes = pd.DataFrame(rows, columns=["source", "target", "gain"])
    outcomes.to_csv("o.csv", index=False)
    outcomes.to_parquet("o.parquet")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("tasks check a.csv --comment x", "--comment has no effect on csv"),
        ("tasks check a.csv --revision main", "--revision has no effect on csv"),
        ("tasks check a.csv --outside", "--outside has no effect on csv"),
        ("tasks check b.jsonl --separator ;", "--separator has no effect on jsonl"),
        ("profile b.jsonl --no-header", "--no-header has no effect on jsonl"),
        ("embed b.jsonl --no-quotes", "--quotes/--no-quotes has no effect on jsonl"),
        ("recommend c.parquet --encoding cp1252", "--encoding has no effect on parquet"),
        ("pairs --target b.jsonl --sources c.parquet --escape none", "no effect on jsonl and parquet"),
        ("tasks check d.conll --no-header", "--no-header has no effect on conll"),
        (f"outcomes show {NAME} --separator ;", "--separator has no effect on a table that ships"),
        (f"benchmark {NAME} --columns source=a", "--columns has no effect on a table that ships"),
        ("outcomes show o.parquet --encoding latin-1", "--encoding has no effect on Parquet"),
        ("outcomes show o.csv --lower-is-better", "no effect on a table without scores"),
        (f"benchmark {NAME} --predictors random --compare ndcg", "--compare has no effect with one"),
        (f"benchmark {NAME} --predictors random --vectors v.npz", "--vectors has no effect on these"),
        (
            "fit o.csv --predictor source-popularity --features all --out m",
            "--features has no effect on",
        ),
        ("run p.toml --engine ray --device auto", "--device is an option of --engine local"),
        ("run p.toml --cpus-per-run 1", "--cpus-per-run is an option of --engine ray"),
    ],
)
def test_it_is_refused(
    arguments: str, message: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments.split()) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("error: ") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        "tasks check a.csv b.jsonl --quotes",
        "tasks check demo:topic --encoding utf-8",
        "tasks check d.conll --separator tab",
        f"outcomes show {NAME}",
        "outcomes show o.parquet --decimal .",
    ],
)
def test_an_option_that_some_of_the_files_use_is_not(arguments: str, here: Path) -> None:
    assert main(arguments.split()) == 0
