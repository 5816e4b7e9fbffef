from __future__ import annotations

import json

import pytest

from transfer_meta.cli.app import main

NAME = "bingel-soegaard-2017"


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["importance", NAME, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert list(answer) == ["dataset", "predictor", "method", "rows", "notes"]
    assert (answer["dataset"], answer["predictor"], answer["method"]) == (
        NAME,
        "logistic",
        "coefficients",
    )
    assert len(answer["rows"]) == 42
    assert list(answer["rows"][0]) == ["feature", "role", "group", "value", "std"]
    assert isinstance(answer["rows"][0]["value"], float)


def test_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["importance", NAME, "--method", "permutation", "--by", "role", "--repeats", "1"]) == 0
    out = capsys.readouterr().out
    assert "ratio" in out
    assert "–" in out  # one repeat has no spread
    assert main(["importance", NAME, "--features", "data", "--top", "2"]) == 0
    assert "2 of 21" in capsys.readouterr().out


def test_shap_takes_trees_unless_told_otherwise(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["importance", NAME, "--method", "shap", "--repeats", "1", "--top", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["predictor"] == "lightgbm"
    assert main(["importance", NAME, "--method", "shap", "--predictor", "logistic"]) == 2
    assert "has no trees" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--method", "shapley"], "unknown method 'shapley'"),
        (["--predictor", "logisitc"], "did you mean 'logistic'"),
        (["--features", "nothing-like-it"], "no feature matches"),
        (["--by", "task"], "unknown level 'task'"),
        (["--repeats", "0"], "repeats must be at least 1"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["importance", NAME, *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.strip().splitlines()
    assert line.startswith("error: ")
    assert message in line
