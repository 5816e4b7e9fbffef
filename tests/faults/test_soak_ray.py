"""The soak test of the Ray engine, shortened: the whole one is ``python tests/faults/soak_ray.py``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("soak_ray.py")


def test_a_node_a_driver_and_the_database_go_away(postgresql):
    pytest.importorskip("ray", reason="the extra ray is not installed")
    options = ("--faults", "3", "--model", "fake", "--grid-seeds", "1", "--nodes", "1")
    result = subprocess.run(
        [sys.executable, SCRIPT, *options, "--url", postgresql],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "3 faults (1 node, 1 driver, 1 database)" in result.stdout
