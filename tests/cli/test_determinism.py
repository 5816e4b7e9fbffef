"""The same command gives the same bytes whatever the number of workers, hash seed, locale, time zone and cache."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PLAN = """
grid = "all"
methods = ["intermediate", "multitask"]
regimes = ["20-16"]
encoder = "random:1x16"
[tasks]
topic = "demo:topic"
urgency = "demo:urgency"
reviews = "demo:reviews"
[training]
epochs = 1
dev_examples = 8
"""
TASKS = ("demo:topic", "demo:urgency", "demo:reviews")
PREDICTORS = "ridge,lightgbm-regressor,source-popularity"
COMMANDS = {
    "benchmark": [
        ["benchmark", "bingel-soegaard-2017", "--predictors", PREDICTORS, "--json", "WORKERS"]
    ],
    "profile": [["profile", *TASKS, "--json", "WORKERS"]],
    "profile-table": [["profile", *TASKS, "--out", "result.csv", "WORKERS"]],
    "embed": [["embed", *TASKS, "--encoder", "random:1x16", "--out", "v.npz", "--json", "WORKERS"]],
    "recommend": [["recommend", "demo:topic", "--mode", "text", "--json"]],
    "run": [
        ["run", "plan.toml", "--store", "runs.sqlite", "WORKERS"],
        ["runs", "export", "--store", "runs.sqlite", "--out", "result.csv"],
    ],
}
PLAIN = {"PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
OTHER = {"PYTHONHASHSEED": "4711", "LC_ALL": "C", "TZ": "Asia/Kathmandu"}


def start(
    folder: Path, arguments: list[str], workers: int, variables: dict[str, str]
) -> subprocess.Popen[bytes]:
    """Start a command in a folder of its own."""
    folder.mkdir(exist_ok=True)
    (folder / "plan.toml").write_text(PLAN)
    given = [
        word
        for each in arguments
        for word in (["--workers", f"{workers}"] if each == "WORKERS" else [each])
    ]
    return subprocess.Popen(
        [sys.executable, "-m", "transfer_meta", *given],
        cwd=folder,
        env={**os.environ, "TRANSFER_META_CACHE": str(folder / "cache"), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def finished(process: subprocess.Popen[bytes]) -> bytes:
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors.decode()
    return output


def result(folder: Path, name: str, workers: int, variables: dict[str, str]) -> bytes:
    """Return the bytes of the table that the commands write, or of what the last one prints."""
    for arguments in COMMANDS[name]:
        printed = finished(start(folder, arguments, workers, variables))
    file = folder / "result.csv"
    # The time that a benchmark took is the one thing that may differ.
    return file.read_bytes() if file.exists() else re.sub(rb'"seconds": [0-9.]+', b"", printed)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_bytes_are_the_same_everywhere(tmp_path: Path, name: str) -> None:
    if name in ("embed", "run"):
        pytest.importorskip("torch")
    expected = result(tmp_path / "one", name, 1, PLAIN)
    assert len(expected) > 100
    assert result(tmp_path / "two", name, 2, OTHER) == expected


def test_processes_that_share_a_cache_read_the_same(tmp_path: Path) -> None:
    expected = result(tmp_path / "alone", "profile", 1, PLAIN)
    shared = {**PLAIN, "TRANSFER_META_CACHE": str(tmp_path / "cache")}
    arguments = COMMANDS["profile"][0]
    processes = [start(tmp_path / f"{number}", arguments, 1, shared) for number in range(4)]
    assert [finished(process) for process in processes] == [expected] * 4
    assert finished(start(tmp_path / "later", arguments, 1, shared)) == expected
