from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest

from transfer_meta.cli.app import main
from transfer_meta.cli.commands.report_command import logged_curves, task_space
from transfer_meta.outcomes.shipped import shipped_tables


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


def test_curves_are_those_given_or_those_beside_the_table(outcomes: Path, tmp_path: Path) -> None:
    assert logged_curves(str(outcomes), None) is None
    beside, other = tmp_path / "runs.curves.csv", tmp_path / "other.csv"
    header = "task,method,seed,split,step,loss,score\n"
    beside.write_text(header + "w,single,0,train,1,0.5,\nw,single,0,dev,1,,0.4\n")
    other.write_text(header + "x,single,0,train,1,0.7,\n")
    for given, task, loss in ((None, "w", 0.5), (other, "x", 0.7)):
        found = logged_curves(str(outcomes), given)
        assert found is not None
        assert found[["task", "loss"]].to_numpy().tolist() == [[task, loss]]
    assert logged_curves("talmor-berant-2019", None) is None


def test_a_shipped_table_brings_its_vectors() -> None:
    vectors, types = task_space("minilm-grid", None)
    assert vectors.keys() == types.keys() == set(shipped_tables()["minilm-grid"].vectors)
    assert types["atis_slots"] == "token-classification"
    assert task_space("bingel-soegaard-2017", None) == ({}, {})
