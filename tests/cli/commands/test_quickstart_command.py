from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from transfer_meta.cli.app import main
from transfer_meta.cli.commands import quickstart_command as module

PREDICTORS = ("random", "always-gain", "source-popularity")


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer predictors and repeats than users get."""
    monkeypatch.setattr("transfer_meta.pages.build.UNTUNED", PREDICTORS)
    monkeypatch.setattr(module, "REPEATS", 2)
    monkeypatch.setattr(module, "GRID_PREDICTORS", PREDICTORS)


def test_the_answer_the_benchmarks_the_report_and_what_next(
    short: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["quickstart", "--out", "q", "--workers", "1"]) == 0
    out = capsys.readouterr().out
    parts = [
        "demo:topic",
        "sick_entailment",
        "bingel-soegaard-2017",
        "minilm-grid, leave-one-target-out",
        "report.html",
        "Next:",
    ]
    places = [out.index(part) for part in parts]
    assert places == sorted(places)
    assert "bingel-soegaard-2017" in (tmp_path / "q" / "report.html").read_text(encoding="utf-8")
    commands = [line for line in out.splitlines() if line.startswith("  transfer-meta ")]
    assert len(commands) == len(module.NEXT)
    for command in commands:
        assert main(shlex.split(command)[1:]) == 0


def test_the_parts_of_the_work_are_one_bar() -> None:
    seen: list[tuple[int, int]] = []
    first = module._part(lambda *progress: seen.append(progress), 0, 0.9)
    second = module._part(lambda *progress: seen.append(progress), 0.9, 1)
    first(0, 7), first(7, 7), second(0, 3), second(3, 3)
    assert seen == [(0, 1000), (900, 1000), (900, 1000), (1000, 1000)]


def test_next_commands_name_the_program_as_the_user_reaches_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "transfer-meta"
    program.parent.mkdir()
    program.touch(mode=0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "")
    for called in ("bin/transfer-meta", str(program)):
        monkeypatch.setattr(sys, "argv", [called])
        assert module._program() == called
    monkeypatch.setenv("PATH", str(program.parent))
    assert module._program() == "transfer-meta"
    monkeypatch.setattr(sys, "argv", ["somewhere/transfer_meta/__main__.py"])
    assert module._program() == f"{shlex.quote(sys.executable)} -m transfer_meta"
