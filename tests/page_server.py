"""A server of the web page in a process of its own."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def serving(folder: Path, *options: str) -> Iterator[str]:
    """Run ``transfer-meta serve`` in a folder and yield its address."""
    command = [sys.executable, "-m", "transfer_meta", "serve", "--port", "0", *options]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TRANSFER_META_")}
    log = folder / "server.log"
    with log.open("w") as stderr:
        process = subprocess.Popen(command, cwd=folder, stderr=stderr, env=environment)
    try:
        found = None
        while found is None and process.poll() is None:
            time.sleep(0.05)
            found = re.search(r"http://\S+(?=.*\n)", log.read_text())
        assert found, log.read_text()
        yield found[0].rstrip("/")
    finally:
        process.terminate()
        process.wait(timeout=30)
    assert "Traceback" not in log.read_text(), log.read_text()
