"""The command line as a user sees it: exit codes, stdout, stderr."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from transfer_meta.cli.app import main

NAME = "bingel-soegaard-2017"
CHEAP = ["--predictors", "always-gain,logistic", "--workers", "1"]


def test_outcomes_list_and_show(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["outcomes", "list"]) == 0
    out = capsys.readouterr().out
    assert NAME in out
    assert max(map(len, out.splitlines())) <= 120
    assert main(["outcomes", "show", NAME, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["pairs"]) == 90
    assert found["facts"]["citation"].startswith("Joachim Bingel")


def test_a_large_table_is_shown_by_its_best_sources(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["outcomes", "show", "taskweb"]) == 0
    out = capsys.readouterr().out
    assert "the best 3 of each target and setting, 315 of 2205 pairs" in out
    assert "Spearman 0.68 with 4 + 4 seeds (split-half), 0.78 with 8 + 8 seeds" in out
    assert main(["outcomes", "show", "taskweb", "--top", "1", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["pairs"]) == 5 * 21


def test_benchmark_prints_a_table_or_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", NAME, *CHEAP]) == 0
    assert "always-gain" in capsys.readouterr().out
    assert (
        main(["benchmark", NAME, "--protocol", "pairs-5fold", "--repeats", "2", *CHEAP, "--json"]) == 0
    )
    out = capsys.readouterr().out
    rows = json.loads(out)["rows"]
    assert {"predictor", "features", "metric", "value", "std", "ci_low", "ci_high", "n"} == set(rows[0])
    assert any(row["value"] is None for row in rows)  # Spearman of a constant: NaN is null
    assert "NaN" not in out


def test_ones_own_table_with_other_column_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = ["aux,main,f1_alone,f1_with"]
    rows += [f"s{i},t{j},0.5,{0.5 + 0.01 * (i - j)}" for i in range(4) for j in range(3)]
    (tmp_path / "mine.csv").write_text("\n".join(rows))
    columns = "source=aux,target=main,baseline=f1_alone,score=f1_with"
    assert main(["benchmark", str(tmp_path / "mine.csv"), "--columns", columns, "--workers", "1"]) == 0
    out = capsys.readouterr().out
    assert "source-popularity" in out
    skipped = next(line for line in out.splitlines() if line.startswith("skipped"))
    assert "logistic" in skipped


@pytest.mark.parametrize("predictor", ["logistic", "lightgbm"])
def test_fit_then_predict(tmp_path: Path, capsys: pytest.CaptureFixture[str], predictor: str) -> None:
    model, pairs = str(tmp_path / "m"), tmp_path / "p.csv"
    pairs.write_text("aux,main\nPOS,CHU\nCCG,HYP\n")
    assert main(["fit", NAME, "--predictor", predictor, "--out", model]) == 0
    capsys.readouterr()
    assert main(["predict", model, str(pairs), "--columns", "source=aux,target=main", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["source"] for row in rows] == ["POS", "CCG"]
    assert all(0 < row["probability"] < 1 for row in rows)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["benchmark", "bingel-sogaard"], "did you mean 'bingel-soegaard-2017'"),
        (["benchmark", "missing.csv"], "missing.csv: no such file"),
        (["benchmark", NAME, "--protocol", "pairs-5-fold"], "did you mean 'pairs-5fold'"),
        (["benchmark", NAME, "--predictors", "logisitc"], "did you mean 'logistic'"),
        (["benchmark", NAME, "--metrics", "acuracy"], "did you mean 'accuracy'"),
        (["benchmark", NAME, "--columns", "source"], "expected ours=theirs"),
        (["benchmark", NAME, "--features", "nothing_like_it"], "no feature matches"),
        (["benchmark", NAME, "--reps", "3"], "--reps"),
        (["benchmark"], "Missing argument"),
        (
            ["benchmark", NAME, *CHEAP, "--repeats", "2"],
            "--repeats has no effect under leave-one-target",
        ),
        (
            ["benchmark", NAME, "--predictors", "random", "--features", "data"],
            "--features has no effect on these predictors",
        ),
        (["fit", NAME, "--out", "m", "--recommender", "--seed", "1"], "--seed has no effect with"),
        (["profile", "a.csv", "--dev-score", "f1"], "--dev-score has no effect without --curve"),
        (["runs", "plan", "p.toml", "--list", "--json"], "--list has no effect with --json"),
        (["runs", "status", "--watch", "--json"], "--json has no effect with --watch"),
        (["predict", "nowhere", "p.csv"], "no model in 'nowhere'"),
        (["fit", NAME, "--out", "/dev/null/m"], "cannot write"),
        (["benchmrk"], "benchmrk"),
    ],
)
def test_a_users_mistake_is_one_line_and_exit_code_two(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
