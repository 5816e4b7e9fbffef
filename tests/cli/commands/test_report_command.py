from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest

from transfer_meta.cli.app import main


@pytest.fixture
def outcomes(tmp_path: Path) -> Path:
    path = tmp_path / "runs.csv"
    gains = [0.1, -0.1, 0.05, -0.2, 0.3, 0.02, -0.07, 0.11, -0.3, 0.2, -0.01, 0.04]
    rows = [f"{s},{t},{g}" for (s, t), g in zip(permutations("wxyz", 2), gains, strict=True)]
    path.write_text("\n".join(["aux,main,gain", *rows]))
    return path


def test_anybodys_table(outcomes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "page.html"
    arguments = ["--columns", "source=aux,target=main", "--repeats", "1", "--workers", "1"]
    assert main(["report", str(outcomes), "--out", str(out), *arguments]) == 0
    assert capsys.readouterr().out == f"report: {out}\n"
    assert "runs.csv" in out.read_text(encoding="utf-8")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["page.html", "runs.csv"]


def test_mistakes(outcomes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(outcomes), "--out", str(tmp_path / "page.html")]) == 2
    assert "missing column 'source'" in capsys.readouterr().err
    assert main(["report", "bingel-soegaard-2017", "--out", str(tmp_path)]) == 2
    assert "it is a folder" in capsys.readouterr().err
    assert main(["report", "bingel-soegaard-2017", "--out", str(outcomes / "page.html")]) == 2
    assert "cannot write" in capsys.readouterr().err
    assert main(["report", "bingel-2017", "--out", str(tmp_path / "page.html")]) == 2
    assert "did you mean 'bingel-soegaard-2017'" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["runs.csv"]
