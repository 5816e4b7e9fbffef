from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from transfer_meta.cli.app import main
from transfer_meta.errors import InputError
from transfer_meta.evaluation.benchmark import BenchmarkResult, BenchmarkSettings, benchmark
from transfer_meta.evaluation.result_file import (
    MAX_RESULT_BYTES,
    RESULT_FORMAT,
    RESULT_METRICS,
    BenchmarkFile,
    check_results,
    read_result,
)
from transfer_meta.outcomes.tables import build_table

NAME = "bingel-soegaard-2017"


def judge(*predictors: str, **settings: Any) -> BenchmarkResult:
    return benchmark(NAME, BenchmarkSettings(predictors=predictors, features=("all",), **settings))


@pytest.fixture(scope="module")
def controls() -> BenchmarkResult:
    return judge("random", "source-popularity", repeats=3)


def test_figures_are_those_of_the_benchmark(controls: BenchmarkResult, tmp_path: Path) -> None:
    controls.save(tmp_path / "a.json")
    found = read_result(tmp_path / "a.json")
    assert found == BenchmarkFile.of(controls)
    assert found.header == {
        "format": RESULT_FORMAT,
        "command": f"transfer-meta benchmark {NAME} --protocol leave-one-target-out --features all --repeats 3",
        "dataset": NAME,
        "digest": controls.digest,
        "protocol": "leave-one-target-out",
        "gain_definition": "mean-gain",
        "repeats": 3,
        "seed": 0,
        "n_pairs": 90,
        "n_targets": 10,
        "positive_rate": 0.4444,
    }
    assert [row["predictor"] for row in found.predictors] == ["random", "source-popularity"]
    for row in found.predictors:
        assert set(row["metrics"]) <= set(RESULT_METRICS)
        rows = controls.rows[controls.rows["predictor"] == row["predictor"]].set_index("metric")
        for metric, figures in row["metrics"].items():
            for name, value in figures.items():
                assert value == pytest.approx(rows.loc[metric, name], abs=5e-5)


def test_further_predictors_are_added_and_replaced(controls: BenchmarkResult, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    controls.save(path)
    judge("always-gain", "source-popularity", repeats=3, metrics=("accuracy",)).save(path)
    found = read_result(path)
    assert [row["predictor"] for row in found.predictors] == [
        "always-gain",
        "random",
        "source-popularity",
    ]
    assert [list(row["metrics"]) for row in found.predictors][2] == ["accuracy"]
    assert "spearman" in found.predictors[1]["metrics"]


def test_a_skipped_predictor_is_listed_until_it_has_figures(controls: BenchmarkResult) -> None:
    without = replace(controls, skipped={"tfidf": "needs vectors", "always-gain": "was slow"})
    later = BenchmarkFile.of(judge("always-gain", repeats=3))
    found = later.merged(BenchmarkFile.of(without), name="a.json")
    assert found.skipped == {"tfidf": "needs vectors"}


@pytest.mark.parametrize(
    ("settings", "entry"),
    [({"seed": 1}, "seed"), ({"protocol": "pairs-5fold"}, "protocol"), ({}, "repeats")],
)
def test_a_file_of_other_settings_is_left_as_it_is(
    settings: dict[str, Any], entry: str, controls: BenchmarkResult, tmp_path: Path
) -> None:
    path = tmp_path / "a.json"
    controls.save(path)
    before = path.read_bytes()
    repeats = {} if entry == "repeats" else {"repeats": 3}
    with pytest.raises(InputError, match=f"holds results with {entry} "):
        judge("always-gain", **settings, **repeats).save(path)
    assert path.read_bytes() == before


def test_the_command_refuses_a_wrong_file_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"format": "another"}')

    def not_called(*_: Any, **__: Any) -> None:
        raise AssertionError

    monkeypatch.setattr("transfer_meta.evaluation.benchmark.benchmark", not_called)
    assert main(["benchmark", NAME, "--out", str(path)]) == 2
    assert "is no file of benchmark results" in capsys.readouterr().err
    assert main(["benchmark", NAME, "--out", str(tmp_path)]) == 2


def test_the_command_writes_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.json"
    command = ["benchmark", NAME, "--predictors", "always-gain", "--out", str(path)]
    assert main([*command, "--metrics", "accuracy,brier"]) == 0
    assert [row["predictor"] for row in read_result(path).predictors] == ["always-gain"]
    assert main([*command, "--metrics", "hit@1"]) == 2
    assert "no metric of the benchmark" in capsys.readouterr().err


def test_scores_without_gains_and_seeds_with_a_ceiling(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [(s, t, seed, rng.random()) for s in "abcd" for t in "xyz" for seed in range(2)]
    frame = pd.DataFrame(rows, columns=["source", "target", "seed", "score"])
    result = benchmark(build_table(frame, name="own.csv"), BenchmarkSettings(predictors=("random",)))
    result.save(tmp_path / "a.json")
    found = read_result(tmp_path / "a.json")
    assert found.header["positive_rate"] is None
    assert found.header["command"].startswith("transfer-meta benchmark own.csv ")
    assert {(row["n_seeds"], row["metric"]) for row in found.ceiling} >= {
        (1, "spearman"),
        (2, "spearman"),
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(format="x"), "'format' is not one of"),
        (lambda c: c.update(more=1), "unknown entry 'more'"),
        (lambda c: c.pop("digest"), "lacks 'digest'"),
        (lambda c: c.update(protocol="none"), "'protocol' is not one of"),
        (lambda c: c["predictors"].append(c["predictors"][0]), "has a predictor twice"),
        (lambda c: c["predictors"][0]["metrics"].update(odd={"value": 1.0, "n": 1}), "'metrics'"),
        (lambda c: c["predictors"][0]["metrics"]["brier"].update(value="1"), "is not a number"),
        (
            lambda c: c["predictors"][0]["metrics"]["brier"].update(value=float("nan")),
            "is not a number",
        ),
        (lambda c: c["predictors"][0].update(predictor="x" * 2000), "is not a short text"),
        (lambda c: c.update(ceiling=[{}]), "'ceiling' lacks"),
    ],
)
def test_a_changed_file_is_refused(
    change: Callable[[Any], Any], message: str, controls: BenchmarkResult, tmp_path: Path
) -> None:
    path = tmp_path / "a.json"
    controls.save(path)
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="is no file of benchmark results") as error:
        read_result(path)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{", b"\xff", b"[" * 10**5, b'{"a": 1, "a": 1}', b" " * (MAX_RESULT_BYTES + 1)],
)
def test_what_is_no_result_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(InputError):
        read_result(path)


def test_vectors_are_refused(controls: BenchmarkResult) -> None:
    with_vectors = replace(controls, settings=replace(controls.settings, vectors=Path("v.npz")))
    with pytest.raises(InputError, match="with vectors"):
        BenchmarkFile.of(with_vectors)


def test_two_files_of_one_table_and_protocol(controls: BenchmarkResult) -> None:
    file = BenchmarkFile.of(controls)
    with pytest.raises(InputError, match=r"'b\.json' and 'a\.json' both hold"):
        check_results([(Path("a.json"), file), (Path("b.json"), file)])
