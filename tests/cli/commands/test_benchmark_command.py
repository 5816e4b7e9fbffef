"""What ``transfer-meta benchmark`` prints beside the figures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from transfer_meta.cli.app import main

NAME = "bingel-soegaard-2017"


@pytest.fixture
def with_seeds(tmp_path: Path) -> str:
    """Outcomes of which source s2 is good for everybody, three seeds each."""
    random = np.random.default_rng(0)
    lines = ["source,target,seed,gain"]
    lines += [
        f"s{s},t{t},{k},{0.1 * (s - 1) + 0.02 * random.normal():.4f}"
        for t in range(8)
        for s in range(4)
        for k in range(3)
    ]
    (tmp_path / "mine.csv").write_text("\n".join(lines))
    return str(tmp_path / "mine.csv")


def test_tables_of_a_table_with_seeds(with_seeds: str, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = [
        "--predictors",
        "random,always-gain,source-popularity",
        "--workers",
        "1",
        "--repeats",
        "4",
    ]
    assert main(["benchmark", with_seeds, *chosen]) == 0
    out = capsys.readouterr().out
    assert "1 + 1 seeds" in out
    assert "3 + 3 seeds, Spearman-Brown" in out
    for reference in ("never-transfer", "always-best-popular", "oracle"):
        assert reference in out
    assert "difference in spearman" in out
    # A constant ranking has no Spearman: it is in no comparison.
    assert "highest spearman: source-popularity; better than all others" in out


def test_everything_is_in_the_json(with_seeds: str, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = ["--predictors", "random,source-popularity", "--workers", "1", "--repeats", "4"]
    assert main(["benchmark", with_seeds, *chosen, "--compare", "ndcg", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["compared_by"] == "ndcg"
    assert {row["n_seeds"] for row in document["ceiling"]} == {1, 2, 3}
    assert [row["predictor"] for row in document["decisions"]][:3] == [
        "never-transfer", "always-best-popular", "oracle",
    ]  # fmt: skip
    for frame in ("calibration", "reliability", "coverage"):
        assert {row["predictor"] for row in document[frame]} == {"random", "source-popularity"}
    assert document["comparisons"][0]["verdict"] == "worse"
    assert document["truth"] == "mean-gain"


def test_taskshops_mixture_as_the_gain(with_seeds: str, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = ["benchmark", with_seeds, "--predictors", "source-popularity", "--workers", "1"]
    assert main([*chosen, "--gain-definition", "taskshop"]) == 0
    assert "gain definition taskshop" in capsys.readouterr().out
    assert main([*chosen, "--gain-definition", "taskshpo"]) == 2
    assert "did you mean 'taskshop'?" in capsys.readouterr().err


def test_no_winner_is_named_where_there_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    chosen = ["--predictors", "source-popularity,size-rule,knn-targets", "--workers", "1"]
    assert main(["benchmark", NAME, *chosen]) == 0
    out = capsys.readouterr().out
    assert "not separable from any other" in out
    assert "seeds" not in out.split("transfer or not")[0]


def test_a_large_matrix_is_printed_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    many = "source-popularity,size-rule,curve-gradient-rule,random,random-fingerprints,knn-targets,logistic"
    chosen = ["--predictors", many, "--workers", "1", "--repeats", "2"]
    assert main(["benchmark", NAME, *chosen]) == 0
    assert "row − column" not in capsys.readouterr().out
    assert main(["benchmark", NAME, *chosen, "--compare", "regret@1"]) == 0
    out = capsys.readouterr().out
    assert "row − column" in out
    assert "lowest regret@1" in out


def test_a_metric_over_all_pairs_cannot_be_compared_target_by_target(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["benchmark", NAME, "--compare", "brier"]) == 2
    assert "'brier' is computed over all pairs" in capsys.readouterr().err
