"""Progress: a bar with a percentage in a terminal, lines in a log, no colours where they are not wanted."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pty = pytest.importorskip("pty", reason="needs a Unix terminal")

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = """
from transfer_meta.cli.shared import console
console.SECONDS_BETWEEN_LINES = 0
import time
with console.progress("steps") as on_progress:
    time.sleep(0.3)
    on_progress(1, 4)
    time.sleep(0.3)
    on_progress(1, 8)
    time.sleep(0.3)
"""
COLOUR = re.compile(rb"\x1b\[[0-9;]*m")


def in_terminal(*command: str, **environment: str) -> bytes:
    """Return what a command writes to a terminal; its standard output is a pipe that is not read."""
    leader, follower = pty.openpty()
    inherited = {
        k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR", "COLORTERM")
    }
    process = subprocess.Popen(
        command,
        stdin=follower,
        stdout=subprocess.DEVNULL,
        stderr=follower,
        cwd=ROOT,
        env={**inherited, "TERM": "xterm-256color", "COLUMNS": "80", **environment},
    )
    os.close(follower)
    written = b""
    while True:
        try:
            chunk = os.read(leader, 4096)
        except OSError:  # on Linux, the end of a terminal
            chunk = b""
        if not chunk:
            break
        written += chunk
    os.close(leader)
    assert process.wait() == 0, written.decode()
    return written


def test_a_bar_from_the_first_moment() -> None:
    written = COLOUR.sub(b"", in_terminal(sys.executable, "-c", SCRIPT)).decode()
    lines = [line for line in re.split(r"[\r\n]", written) if "steps" in line]
    assert re.search(r"\b0% remaining –", lines[0])
    assert re.search(r"25% remaining \d+:\d\d", written)
    shares = [int(found) for found in re.findall(r"(\d+)%", written)]
    assert shares == sorted(shares), "it never moves back"


def test_colours_in_a_terminal_unless_they_are_unwanted() -> None:
    assert COLOUR.search(in_terminal(sys.executable, "-c", SCRIPT))
    assert not COLOUR.search(in_terminal(sys.executable, "-c", SCRIPT, NO_COLOR="1"))


def test_lines_in_a_log() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stderr == "steps: 1/4\nsteps: 1/8\n"


@pytest.mark.parametrize("command", [["--help"], ["outcomes", "list"], ["benchmark", "nothing"]])
def test_no_colours_in_what_commands_write(command: list[str]) -> None:
    environment = {**os.environ, "FORCE_COLOR": "", "TERM": "xterm-256color"}
    done = subprocess.run(
        [sys.executable, "-m", "transfer_meta", *command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        check=False,
    )
    assert done.stdout + done.stderr
    assert b"\x1b" not in done.stdout + done.stderr
