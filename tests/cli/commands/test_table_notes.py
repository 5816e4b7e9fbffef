"""What the commands say about a table, and the options that its notes name."""

from __future__ import annotations

import json
import re
import shlex
from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from transfer_meta.cli.app import main

NAMES = ("ant", "bee", "cod", "dab", "eel", "fox")


@pytest.fixture
def runs() -> pd.DataFrame:
    random = np.random.default_rng(0)
    frame = pd.DataFrame(permutations(NAMES, 2), columns=["source", "target"])
    frame["baseline"] = 0.5
    frame["score"] = (0.5 + random.normal(0, 0.05, len(frame))).round(4)
    frame["overlap"] = random.random(len(frame)).round(3)
    frame["place"] = frame.groupby("target")["score"].rank(ascending=False)
    return frame


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[str, str]:
    assert main(list(words)) == 0, capsys.readouterr().err
    found = capsys.readouterr()
    return found.out, found.err


def hinted(text: str) -> list[str]:
    found = re.search(r"--features '[^']+'", text)
    assert found
    return shlex.split(found[0])


def test_a_refused_column_is_named_once_and_its_hint_works(runs, capsys) -> None:
    runs.to_csv("o.csv", index=False)
    command = ("benchmark", "o.csv", "--predictors", "ridge", "--metrics", "spearman", "--json")
    out, err = call(capsys, *command)
    said = json.loads(out)
    assert said["pair_features"] == ["overlap"]
    assert err.count("column 'place' is no feature") == 1
    assert err.count("features of the pair (1): overlap") == 1
    assert [f"o.csv: {note}" for note in said["notes"]] == [
        line for line in err.splitlines() if line.startswith("o.csv: ")
    ]
    forced = json.loads(call(capsys, *command, *hinted(err))[0])
    assert forced["pair_features"] == ["overlap", "place"]
    assert [row["features"] for row in forced["rows"]] == [r"pair\.place$"]
    assert forced["rows"][0]["value"] > 0.9 > said["rows"][0]["value"]


@pytest.mark.parametrize("command", ["importance", "fit"])
def test_the_hint_works_in_every_command_that_takes_features(command: str, runs, capsys) -> None:
    runs.to_csv("o.csv", index=False)
    words = [command, "o.csv", *(["--out", "model"] if command == "fit" else ["--json"])]
    _, err = call(capsys, *words)
    out, _ = call(capsys, *words, *hinted(err))
    if command == "importance":
        assert [row["feature"] for row in json.loads(out)["rows"]] == ["place"]
        return
    card = json.loads(Path("model/card.json").read_text())
    assert card["columns"] == ["setting", "source", "target", "pair.place"]
    runs.assign(source=" " + runs["source"]).to_csv("pairs.csv", index=False, sep=";", decimal=",")
    out, err = call(capsys, "predict", "model", "pairs.csv", "--json")
    assert {row["source"] for row in json.loads(out)["rows"]} == set(NAMES)
    assert "taken off 30 names" in err


def test_the_direction_can_be_told(runs, capsys) -> None:
    runs.assign(metric="perplexity").to_csv("o.csv", index=False)
    out, err = call(capsys, "outcomes", "show", "o.csv", "--json")
    assert "--higher-is-better" in err
    turned = {(r["source"], r["target"]): r for r in json.loads(out)["pairs"]}
    scores = runs.set_index(["source", "target"])["score"]
    assert all(row["score"] == pytest.approx(scores[key]) for key, row in turned.items())
    out, err = call(capsys, "outcomes", "show", "o.csv", "--json", "--higher-is-better")
    assert "lower is better" not in err
    for row in json.loads(out)["pairs"]:
        assert row["gain"] == pytest.approx(-turned[row["source"], row["target"]]["gain"])
    runs.to_csv("o.csv", index=False)
    out, _ = call(capsys, "outcomes", "show", "o.csv", "--json", "--lower-is-better")
    for row in json.loads(out)["pairs"]:
        assert row["gain"] == pytest.approx(turned[row["source"], row["target"]]["gain"])


def test_left_out_rows_are_listed_or_refused(runs, capsys) -> None:
    frame = runs.astype({"score": object})
    frame.loc[[1, 4, 9, 13], "score"] = ""
    frame.to_csv("o.csv", index=False)
    _, err = call(capsys, "outcomes", "show", "o.csv")
    assert "o.csv: 4 of 30 rows left out: without score (rows 2, 5, 10, …)" in err
    _, err = call(capsys, "outcomes", "show", "o.csv", "--verbose")
    assert "(rows 2, 5, 10, 14)" in err
    assert main(["outcomes", "show", "o.csv", "--strict"]) == 2
    assert "score is nan in row 2" in capsys.readouterr().err


def test_empty_seeds_and_settings_pass_through_the_report(runs, capsys) -> None:
    frame = pd.concat([runs.assign(seed=seed, score=runs["score"] + 0.01 * seed) for seed in (0, 1)])
    frame["regime"] = "small"
    frame = frame.reset_index(drop=True)
    frame.loc[:29, "regime"] = None
    frame.loc[3, "seed"] = np.nan
    frame.to_csv("o.csv", index=False)
    _, err = call(capsys, "report", "o.csv", "--out", "r.html", "--repeats", "1", "--workers", "1")
    assert "regime is empty, a setting of its own" in err
    assert "runs without a seed (row 4)" in err


def test_negative_cells_of_a_matrix_may_be_gains(capsys) -> None:
    Path("m.csv").write_text(",a,b,c\na,,0.1,-0.2\nb,0.3,,-0.1\nc,-0.05,0.1,\n")
    out, _ = call(capsys, "import", "matrix", "m.csv", "--out", "o.csv")
    assert "--columns gain=score" in out
    assert "--rows targets" in out
    out, _ = call(capsys, "outcomes", "show", "o.csv", "--json", "--columns", "gain=score")
    assert {row["gain"] for row in json.loads(out)["pairs"]} == {0.1, -0.2, 0.3, -0.1, -0.05}
    call(capsys, "import", "matrix", "m.csv", "--out", "o.csv", "--rows", "targets")


def test_a_workbook_is_named(capsys) -> None:
    for name in ("o.xlsx", "o.csv"):
        Path(name).write_bytes(b"PK\x03\x04\x14\x00\x06\x00[Content_Types].xml")
        assert main(["outcomes", "show", name]) == 2
        assert "save" in (err := capsys.readouterr().err)
        assert "as CSV" in err


def test_shipped_tables_say_nothing(capsys) -> None:
    _, err = call(capsys, "outcomes", "show", "minilm-grid", "--json")
    assert err == ""


def test_import_writes_what_the_suffix_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    matrix = tmp_path / "m.csv"
    matrix.write_text(",ant,bee\nant,0.6,0.5\nbee,0.7,0.4\n")
    out = tmp_path / "o.parquet"
    assert main(["import", "matrix", str(matrix), "--out", str(out)]) == 0
    assert len(pd.read_parquet(out)) == 2
    assert main(["import", "matrix", str(matrix), "--out", str(tmp_path / "o.txt")]) == 2
    assert "expected a file named .csv, .parquet or .json" in capsys.readouterr().err
