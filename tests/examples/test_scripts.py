"""The scripts of ``examples/`` from a clone: all have a help, those that need no other data do their work."""

from __future__ import annotations

import gzip
import json
import runpy
import sys
from itertools import product
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "examples"
SCRIPTS = sorted(path.name for path in FOLDER.glob("*.py"))


def run(script: str, *arguments: str, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sys, "argv", [script, *arguments])
    patch.syspath_prepend(FOLDER)  # as Python does for a script
    runpy.run_path(str(FOLDER / script), run_name="__main__")


@pytest.mark.parametrize("script", SCRIPTS)
def test_help(script: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(script, "--help", patch=monkeypatch)
    assert stopped.value.code == 0
    assert f"python examples/{script}" in capsys.readouterr().out


def test_the_schedule_of_a_large_grid(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run("scaling.py", "--gpus", "1", "64", patch=monkeypatch)
    out = capsys.readouterr().out
    assert "16170 runs" in out.replace(",", "")


def test_scores_on_more_examples_are_predicted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "scores.csv"
    rows = [
        f"{target},{size},{seed},{limit - 1.5 * size**-0.5 + 0.01 * ((seed * size) % 3 - 1):.4f}"
        for target, limit in (("one", 0.9), ("two", 0.8))
        for size, seed in product((25, 50, 100, 200, 400), range(3))
    ]
    table.write_text("\n".join(["target,size,seed,score", *rows]) + "\n")
    run("label_equivalents.py", str(table), patch=monkeypatch)
    out = capsys.readouterr().out
    assert "Development tasks: one" in out
    assert "3 cases on the other tasks" in out
    assert "coverage" in out


def test_a_search_is_replayed_on_the_grid_that_ships(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--draws", "1", "--budgets", "0", "3")
    run("search_replay.py", "minilm-grid", *options, patch=monkeypatch)
    out = capsys.readouterr().out
    assert "16 targets and settings, 15 sources each" in out
    assert "random search" in out


def test_published_checkpoints_are_ranked_for_left_out_targets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run("checkpoint_evaluation.py", "--quick", "--bases", "t5-v1_1-base", patch=monkeypatch)
    out = capsys.readouterr().out
    assert "Paired differences" in out
    assert "roberta-base" not in out


def test_sources_of_the_right_kind_are_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run("find_sources.py", "--encoders", "none", patch=monkeypatch)
    # The figures of docs/how-to/sources.md.
    assert capsys.readouterr().out == "--encoder none: 0.50 of the first five, 14 of 20 first\n"


def test_the_space_of_the_demo_tasks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--examples", "8", "--encoder", "random:1x16", "--vectors", str(tmp_path / "v.npz"))
    run("task_space.py", str(FOLDER.parent / "data" / "demo"), *options, patch=monkeypatch)
    first = capsys.readouterr().out
    # Two tasks of the same messages are nearest to each other.
    assert "halves nearest to each other" in first
    run("task_space.py", "nowhere", *options, patch=monkeypatch)
    assert capsys.readouterr().out == first


def test_a_decoder_of_the_texts_of_tasks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    demo, out = str(FOLDER.parent / "data" / "demo"), str(tmp_path / "decoder")
    run("text_decoder.py", demo, out, "--skip", "2", "--minutes", "0.01", patch=monkeypatch)
    assert "weights" in capsys.readouterr().out
    options = ("--examples", "2", "--max-length", "16", "--steps", "1", "--kinds", "lastemb,loraemb")
    run("task_space.py", demo, "--encoder", out, *options, patch=monkeypatch)
    assert "loraemb centred" in capsys.readouterr().out


def test_a_corpus_as_taskweb_is_laid_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus, names = tmp_path / "corpus", ["rte", "boolq", "cola", "mrpc"]
    (corpus / "text").mkdir(parents=True)
    for number, name in enumerate(names):
        rows = [
            {"text": f"{name} {i} " + "word " * (i + number), "label": "no", "choices": ["no", "yes"]}
            for i in range(4 + number)
        ]
        with gzip.open(corpus / "text" / f"{name}.jsonl.gz", "wt", encoding="utf-8") as stream:
            stream.writelines(json.dumps(row) + "\n" for row in rows)
    lines = ["source,target,model,adaptation,seed,score,baseline"]
    for s, t in product(range(4), range(4)):
        scores = [(seed, 0.5 + 0.01 * (s - t) + seed / 1e4) for seed in (1, 2)]
        lines += [f"{names[s]},{names[t]},t5,finetune,{seed},{score},0.5" for seed, score in scores]
    with gzip.open(corpus / "outcomes.csv.gz", "wt", encoding="utf-8") as stream:
        stream.write("\n".join(lines) + "\n")
    options = ("--out", str(tmp_path / "out"), "--encoder", "none", "--workers", "1")
    run(
        "taskweb.py",
        str(corpus),
        *options,
        "--predictors",
        "random,source-popularity",
        patch=monkeypatch,
    )
    out = capsys.readouterr().out
    assert "leave-one-task-out" in out
    assert "source-popularity" in out
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "outcomes.csv",
        "tasks.csv",
        "vectors.npz",
    }
