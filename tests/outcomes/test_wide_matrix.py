"""Matrices of scores, sources by targets."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from transfer_meta.cli.app import main
from transfer_meta.errors import InputError
from transfer_meta.outcomes.tables import load_outcomes
from transfer_meta.outcomes.wide_matrix import MatrixSettings, import_matrix

ROWS = {("ant", "bee"): (0.62, 0.60), ("ant", "cod"): (0.41, 0.40), ("bee", "ant"): (0.55, 0.50),
        ("bee", "cod"): (0.39, 0.40), ("cod", "ant"): (0.48, 0.50), ("cod", "bee"): (0.61, 0.60)}  # fmt: skip
DIAGONAL = ",ant,bee,cod\nant,0.50,0.62,0.41\nbee,0.55,0.60,0.39\ncod,0.48,0.61,0.40\n"
ROW = ",ant,bee,cod\n{},0.50,0.60,0.40\nant,,0.62,0.41\nbee,0.55,-,0.39\ncod,0.48,0.61,\n"
COLUMN = "target,single,ant,bee,cod\nant,0.50,,0.55,0.48\nbee,0.60,0.62,,0.61\ncod,0.40,0.41,0.39,\n"


def imported(folder: Path, text: str, **settings) -> pd.DataFrame:
    (folder / "m.csv").write_text(text, encoding="utf-8")
    return import_matrix(folder / "m.csv", MatrixSettings(**settings)).table


def check(table: pd.DataFrame) -> None:
    found = {(r.source, r.target): (r.score, r.baseline) for r in table.itertuples()}
    assert {key: pytest.approx(list(values)) for key, values in ROWS.items()} == {
        key: list(values) for key, values in found.items()
    }


@pytest.mark.parametrize(
    "text",
    [
        DIAGONAL,
        *(ROW.format(name) for name in ("baseline", "none", "single", "-", "None ")),
        COLUMN,
        DIAGONAL.replace(",", ";").replace("0.", "0,"),
        "".join(line + f",{end}\n" for line, end in zip(DIAGONAL.splitlines(), ("Avg.", 1, 2, 3), strict=True)),
        DIAGONAL.replace("0.62", "**0.62**").replace("0.41", "0.41 ± 0.03").replace("0.55", "0.55 (0.2)"),
        "".join(f"{n},{line}\n" for n, line in zip(("", 0, 1, 2), DIAGONAL.splitlines(), strict=True)),
    ],
)  # fmt: skip
def test_baselines_and_pairs(text: str, tmp_path: Path) -> None:
    check(imported(tmp_path, text))


def test_percent_signs(tmp_path: Path) -> None:
    text = re.sub(r"0\.(\d\d)", r"\1%", DIAGONAL)
    assert "62%" in text
    check(imported(tmp_path, text))


def test_rows_may_be_targets(tmp_path: Path) -> None:
    table = imported(tmp_path, DIAGONAL, rows="targets")
    row = table[(table["source"] == "bee") & (table["target"] == "ant")].iloc[0]
    assert (row["score"], row["baseline"]) == (0.62, 0.5)
    with pytest.raises(InputError, match="--rows targets: the baselines are a row"):
        imported(tmp_path, ROW.format("none"), rows="targets")
    with pytest.raises(InputError, match="expected sources or targets"):
        MatrixSettings(rows="both")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (",ant,bee\nant,0.5,high\nbee,0.4,0.6\n", "row 'ant' and column 'bee' is no number: 'high'"),
        (",ant,bee\nant,0.5,0.6\nant,0.4,0.6\n", "two rows are named 'ant'"),
        (",ant\nant,0.5\n", "no pair with a score"),
        (ROW.format("none") + "single,0.1,0.2,0.3\n", "two rows of baselines"),
    ],
)
def test_what_is_no_matrix(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        imported(tmp_path, text)


def test_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("m.csv").write_text(DIAGONAL)
    assert main(["benchmark", "m.csv"]) == 2
    assert "import matrix FILE --out OUT.csv" in capsys.readouterr().err
    assert main(["import", "matrix", "m.csv", "--out", "o.csv"]) == 0
    assert "6 pairs with gains, 3 targets" in capsys.readouterr().out
    assert load_outcomes("o.csv").has_gain
    assert main(["import", "taskweb", "m.csv", "--rows", "sources", "--out", "o.csv"]) == 2
    assert "--rows has no effect" in capsys.readouterr().err
