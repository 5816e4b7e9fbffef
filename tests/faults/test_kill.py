"""The fault test, shortened: the whole one is ``python tests/faults/kill.py``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("kill.py")


def run_script(*arguments: str) -> str:
    result = subprocess.run(
        [sys.executable, SCRIPT, "--grid-seeds", "1", *arguments],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_kills_on_sqlite():
    assert "sqlite, fake: 6 kills" in run_script("--kills", "6", "--model", "fake", "--store", "sqlite")


def test_kills_on_postgresql(postgresql):
    options = ("--kills", "6", "--model", "fake", "--store", "postgresql", "--url", postgresql)
    assert "postgresql, fake: 6 kills" in run_script(*options)


def test_kills_of_real_training():
    pytest.importorskip("torch")
    assert "sqlite, tiny: 1 kills" in run_script("--kills", "1", "--model", "tiny", "--store", "sqlite")
