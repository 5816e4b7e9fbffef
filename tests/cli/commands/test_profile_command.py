from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from transfer_meta.cli.app import main


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRANSFER_META_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    for name, words in (("films", "a fine film"), ("rain", "rain at noon")):
        for split, n in (("train", 12), ("test", 4)):
            rows = [f'{{"text": "{words} {i}", "label": "{"yn"[i % 2]}"}}' for i in range(n)]
            (tasks / f"{name}.{split}.jsonl").write_text("\n".join(rows))
    return tasks


def curve(path: Path, *, task: str | None = None) -> Path:
    rows = [f"{step},{4 - 0.3 * np.log(step + 20)}" for step in range(10, 2001, 10)]
    header, start = ("task,step,loss", f"{task},") if task else ("step,loss", "")
    path.write_text("\n".join([header, *(start + row for row in rows)]))
    return path


def run_json(capsys: pytest.CaptureFixture[str], *arguments: object) -> list[dict[str, object]]:
    assert main(["profile", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    films, rain = run_json(capsys, folder)
    assert (films["name"], films["type"], rain["name"]) == ("films", "classification", "rain")
    assert films["features"]["size"] == 12  # type: ignore[index]
    assert films["features"]["subword_fertility"] is None  # type: ignore[index]
    assert films["missing"] == {"subword_fertility": "no tokenizer given"}


def test_tables(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", str(folder)]) == 0
    shown = capsys.readouterr()
    assert "films" in shown.out
    assert "tokens_types" in shown.out
    assert "films: classification" in shown.err
    assert "2 of 2 tasks: no subword_fertility (no tokenizer given)" in shown.err
    assert main(["profile", str(folder / "films.train.jsonl")]) == 0
    assert "near_duplicate_rate" in capsys.readouterr().out


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".json"])
def test_out(folder: Path, tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / f"profiles{suffix}"
    assert main(["profile", str(folder), "--out", str(out)]) == 0
    assert capsys.readouterr().out == ""
    if suffix == ".json":
        assert [p["name"] for p in json.loads(out.read_text())] == ["films", "rain"]
        return
    table = pd.read_csv(out) if suffix == ".csv" else pd.read_parquet(out)
    assert table["task"].tolist() == ["films", "rain"]
    assert table["size"].tolist() == [12, 12]
    assert set(table["missing"]) == {"subword_fertility"}


def test_cache(folder: Path, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = run_json(capsys, folder)
    entries = sorted(cache.rglob("*.profile"))
    assert len(entries) == 2
    written = [entry.stat().st_mtime_ns for entry in entries]
    assert run_json(capsys, folder) == first
    assert [entry.stat().st_mtime_ns for entry in entries] == written
    entries[0].write_bytes(b"broken")
    assert main(["profile", str(folder), "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out) == first
    assert "warning: broken cache entry" in shown.err
    assert entries[0].stat().st_size > 100


def test_no_cache(folder: Path, cache: Path) -> None:
    assert main(["profile", str(folder), "--no-cache"]) == 0
    assert not cache.exists()


def test_vocabulary_and_tokenizer(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = tmp_path / "words.txt"
    words.write_text("a\nfine\nfilm\n")
    films, rain = run_json(capsys, folder, "--vocabulary", words)
    assert films["features"]["oov_rate"] == pytest.approx(1 / 4)  # type: ignore[index]
    assert rain["features"]["oov_rate"] == 1  # type: ignore[index]

    tokenizer = Tokenizer(
        models.WordPiece({"fi": 0, "##ne": 1, "##lm": 2, "a": 3, "[UNK]": 4}, unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    films, _ = run_json(capsys, folder, "--vocabulary", tmp_path / "tokenizer.json")
    assert films["features"]["subword_fertility"] == pytest.approx(6 / 4)  # type: ignore[index]
    assert films["features"]["oov_rate"] == pytest.approx(3 / 4)  # type: ignore[index]
    films, _ = run_json(capsys, folder, "--tokenizer", tmp_path / "tokenizer.json")
    assert films["features"]["subword_fertility"] == pytest.approx(6 / 4)  # type: ignore[index]


def test_curves(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain, named = curve(tmp_path / "a.csv"), curve(tmp_path / "b.csv", task="films")
    (films,) = run_json(capsys, folder / "films.train.jsonl", "--curve", plain)
    assert films["features"]["log_fit_b"] == pytest.approx(-0.3, rel=1e-3)  # type: ignore[index]
    for given in (named, f"films={plain}", f"films={named}"):
        films, rain = run_json(capsys, folder, "--curve", given)
        assert films["features"]["log_fit_b"] == pytest.approx(-0.3, rel=1e-3)  # type: ignore[index]
        assert "log_fit_b" not in rain["features"]  # type: ignore[operator]
    assert main(["profile", str(folder), "--curve", f"wind={plain}"]) == 0
    assert "warning: learning curves of no task here: wind" in capsys.readouterr().err


def error_of(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main(["profile", *map(str, arguments)]) == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_errors(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    films, plain = folder / "films.train.jsonl", curve(tmp_path / "a.csv")
    error = "error: "
    assert error_of(capsys, films, "--out", "a.txt").startswith(
        error + "--out: expected a file named .csv"
    )
    assert "which task's learning curve" in error_of(capsys, folder, "--curve", plain)
    assert "two learning curves for task 'films'" in error_of(
        capsys, folder, "--curve", f"films={plain}", "--curve", f"films={plain}"
    )
    several = curve(tmp_path / "b.csv", task="wind")
    several.write_text(several.read_text() + "\nsnow,1,2\n")
    assert "has no curve of task 'films'" in error_of(capsys, folder, "--curve", f"films={several}")
    assert "no such file" in error_of(capsys, films, "--vocabulary", tmp_path / "no.txt")
    assert "no such file" in error_of(capsys, films, "--curve", tmp_path / "no.csv")
    assert "not a tokenizer" in error_of(capsys, films, "--tokenizer", plain)
    assert "nothing" in error_of(capsys, tmp_path / "nothing")


def test_one_bad_task_leaves_the_others(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "broken.train.jsonl").write_text('{"text": "a", "label": "y"}\n{"text": \n')
    assert main(["profile", str(folder), "--json", "--strict"]) == 2
    shown = capsys.readouterr()
    assert [p["name"] for p in json.loads(shown.out)] == ["films", "rain"]
    assert "broken.train.jsonl:2: not JSON" in shown.err
    assert "Traceback" not in shown.err


def test_the_demo_tasks_in_one_call(capsys: pytest.CaptureFixture[str]) -> None:
    profiles = run_json(
        capsys, *(f"demo:{name}" for name in ("topic", "urgency", "reviews", "questions"))
    )
    assert [p["name"] for p in profiles] == ["topic", "urgency", "reviews", "questions"]
    for profile in profiles:
        assert profile["missing"] == {"subword_fertility": "no tokenizer given"}


def test_all_real_tasks_in_one_call(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    profiles = run_json(capsys, shared / "tasks")
    assert len(profiles) == 26
    for profile in profiles:
        assert profile["missing"] == {"subword_fertility": "no tokenizer given"}


@pytest.mark.parametrize("options", [[], ["--no-cache"]])
def test_two_jobs_profile_as_one(
    folder: Path, cache: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "broken.train.jsonl").write_text('{"text": "a", "label": "y"}\n{"text": \n')
    shown = []
    for jobs in ("1", "2", "2"):
        assert main(["profile", str(folder), "--json", "--workers", jobs, "--strict", *options]) == 2
        shown.append(capsys.readouterr())
        if jobs == "1" and not options:
            assert len(list(cache.rglob("*.profile"))) == 2
            for entry in cache.rglob("*.profile"):
                entry.unlink()
    assert len(list(cache.rglob("*.profile"))) == (0 if options else 2)
    assert shown[0] == shown[1] == shown[2]


def test_what_workers_have_to_say_is_told(
    folder: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_json(capsys, folder)
    next(cache.rglob("*.profile")).write_bytes(b"broken")
    run = ["profile", str(folder), "--workers", "2"]
    assert main(run) == 0
    assert "warning: broken cache entry" in capsys.readouterr().err


def test_two_tasks_of_one_name(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = folder.parent / "films.train.jsonl"
    other.write_bytes((folder / "films.train.jsonl").read_bytes())
    for jobs in ("1", "2"):
        said = error_of(capsys, folder, other, "--workers", jobs)
        assert "two tasks are named 'films'" in said


def test_mistakes_about_workers(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean 'ray'" in error_of(capsys, folder, "--engine", "rayy")
    assert "an option of --engine ray" in error_of(capsys, folder, "--address", "local")
    assert "--workers 0 (expected at least 1)" in error_of(capsys, folder, "--workers", "0")
