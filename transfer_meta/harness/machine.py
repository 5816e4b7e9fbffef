"""What a row of the store says of where it was made: the machine, and the commit of the code."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path


def host() -> str:
    """Name of this machine, as far as process ids mean the same: containers have their own."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    return f"{socket.gethostname()} {namespace}".replace("|", " ")


def is_alive(process: int) -> bool:
    """Whether a process of this machine is there."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def code_commit() -> str | None:
    """The commit of the code that runs, with ``-dirty`` where files differ from it; None outside git."""
    folder = Path(__file__).parent
    command = [
        "git",
        "-C",
        str(folder),
        "describe",
        "--always",
        "--dirty",
        "--abbrev=40",
        "--exclude=*",
    ]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() or None
