"""``runs status --watch``: progress that any machine sees which reaches the store."""

from __future__ import annotations

from pathlib import Path

import pytest

from transfer_meta.cli.app import main
from transfer_meta.cli.commands import runs_command
from transfer_meta.runs.store.run_store import NewRun, Store


def new_run(name: str) -> NewRun:
    return NewRun(name, "single", "", name, "8", 0, "e", "r", {}, {})


def test_a_line_at_every_change_until_nothing_is_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    address = str(tmp_path / "runs.sqlite")
    store = Store(address, create=True)
    names = ["a" * 64, "b" * 64]
    store.add(map(new_run, names))
    steps = iter(["claim", "nothing", "fail", "claim", "fail"])
    claims = []

    def meanwhile(seconds: float) -> None:
        step = next(steps)
        if step == "claim":
            claims.append(store.claim(names, worker="elsewhere|1", lease_seconds=60))
        elif step == "fail":
            store.fail(claims.pop(), "reason")

    monkeypatch.setattr(runs_command.time, "sleep", meanwhile)
    assert main(["runs", "status", "--watch", "--store", address]) == 0
    lines = [line.split("  ", 1)[1] for line in capsys.readouterr().out.splitlines()]
    assert [line.split(";")[0] for line in lines] == [
        "0 of 2 ended (2 pending)",
        "0 of 2 ended (1 pending, 1 running)",
        "1 of 2 ended (1 failed, 1 pending)",
        "1 of 2 ended (1 failed, 1 running)",
        "2 of 2 ended (2 failed)",
    ]
    assert "runs an hour, about" in lines[2]
    assert list(steps) == []
