from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from transfer_meta.cli.app import main
from transfer_meta.encoding.encoders import load_encoder, save_encoder
from transfer_meta.features.scores.transferability_scores import SCORES
from transfer_meta.outcomes.tables import load_outcomes

ENCODER = ("--encoder", "random:1x32", "--steps", "2")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    for name, labels in (("films", "yn"), ("rain", "abc"), ("ratings", (1.5, 2.0, 4.0))):
        rows = [{"text": f"{name} number {i}", "label": labels[i % len(labels)]} for i in range(12)]
        (tasks / f"{name}.train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tasks


def run(
    capsys: pytest.CaptureFixture[str], folder: Path, *options: str, target: str = "films"
) -> tuple[int, str, str]:
    file = str(folder / f"{target}.train.jsonl")
    code = main(["transferability", "--target", file, "--sources", str(folder), *options])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_json(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = load_encoder("random:1x32")
    with torch.no_grad():
        for weight in other.model.parameters():
            weight.mul_(1.5)
    save_encoder(other, tmp_path / "rain.safetensors")
    tuned = f"rain={tmp_path / 'rain.safetensors'}"
    code, out, _ = run(capsys, folder, *ENCODER, "--checkpoint", tuned, "--json")
    assert code == 0
    result = json.loads(out)
    assert (result["target"], result["encoder"], result["steps"]) == ("films", "random:1x32", 2)
    rain, ratings = result["scores"]  # without the target itself
    assert (rain["source"], ratings["source"]) == ("rain", "ratings")
    assert rain["checkpoint"].endswith("rain.safetensors")
    assert ratings["checkpoint"] == ""
    assert rain["logme"] != ratings["logme"]
    assert rain["leep"] <= 0
    assert rain["missing"] == ""
    assert ratings["leep"] is ratings["nce"] is None
    assert ratings["missing"] == "leep, nce: the source's type is regression: it has no classes"
    assert "a head fitted to its examples" in result["note"]


def test_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, folder, *ENCODER, "--examples", "9")
    assert code == 0
    assert "target films, encoder random:1x32; higher is better" in out
    assert "pretrained" in out
    assert all(name in out for name in SCORES)
    assert "only leep and nce tell them apart" in out
    assert "ratings: no leep, nce: the source's type is regression" in out


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".json"])
def test_out_holds_features_that_merge_into_outcomes(
    folder: Path, tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / f"scores{suffix}"
    code, printed, err = run(capsys, folder, *ENCODER, "--out", str(out))
    assert (code, printed) == (0, "")
    assert f"wrote {out}: 2 pairs" in err
    read = {".csv": pd.read_csv, ".parquet": pd.read_parquet, ".json": pd.read_json}[suffix]
    table = read(out)  # type: ignore[operator]
    assert list(table) == ["source", "target", *SCORES]
    outcomes = pd.DataFrame({"source": ["rain", "ratings"], "target": "films", "gain": [0.1, -0.1]})
    outcomes.merge(table, on=["source", "target"]).to_csv(tmp_path / "outcomes.csv", index=False)
    loaded = load_outcomes(tmp_path / "outcomes.csv")
    # The others are equal for all sources without a checkpoint.
    assert loaded.pair_features == ("leep", "nce")
    np.testing.assert_allclose(loaded.pairs["leep"], table["leep"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--encoder"),
        (["--encoder", "random:0x32"], "expected at least 1 layer"),
        ([*ENCODER, "--checkpoint", "rain"], "--checkpoint: expected SOURCE=FILE, got 'rain'"),
        ([*ENCODER, "--checkpoint", "rian=a"], "did you mean 'rain'"),
        ([*ENCODER, "--checkpoint", "rain=a", "--checkpoint", "rain=b"], "two values for 'rain'"),
        ([*ENCODER, "--checkpoint", "rain=none"], "cannot read the encoder to start from, 'none'"),
        ([*ENCODER, "--examples", "0"], "examples = 0"),
        (["--encoder", "random:1x32", "--steps", "0"], "steps = 0"),
        ([*ENCODER, "--device", "gpu"], "no device 'gpu'"),
        ([*ENCODER, "--out", "scores.txt"], "expected a file named .csv, .parquet or .json"),
        ([*ENCODER, "no.jsonl"], "no such file, folder or task"),
    ],
)
def test_mistakes_are_told_in_one_line(
    folder: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, folder, *options)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_mistakes_in_the_tasks(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    films = str(folder / "films.train.jsonl")
    for name, sources, message in (
        (str(folder), films, "--target: expected one task, got 3"),
        (films, films, "no source beside the target itself"),
    ):
        assert main(["transferability", "--target", name, "--sources", sources, *ENCODER]) == 2
        assert message in capsys.readouterr().err
    (folder / "one.train.jsonl").write_text('{"text": "a", "label": "x"}\n{"text": "b", "label": "x"}')
    code, out, err = run(capsys, folder, *ENCODER, target="one")
    assert (code, out) == (2, "")
    assert "no score: " in err
    assert "a single class ('x')" in err
