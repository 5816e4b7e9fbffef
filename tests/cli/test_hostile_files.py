"""Devices, pipes, links in circles and files that unfold without end: one line, and bounded memory."""

from __future__ import annotations

import gzip
import json
import lzma
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXTRA_MEMORY = 2**29
"""Bytes beyond those of the program itself; a read of a device takes any number of them."""
PROGRAM = f"""
import contextlib, io, json, resource, signal, sys
import pyarrow.parquet, scipy.stats, sklearn.linear_model, transfer_meta.outcomes.tables
from transfer_meta.cli.app import main
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + {EXTRA_MEMORY},) * 2)
found = []
for arguments in json.load(sys.stdin):
    stderr = io.StringIO()
    with contextlib.redirect_stderr(stderr), contextlib.redirect_stdout(io.StringIO()):
        code = main(arguments)
    found.append([code, stderr.getvalue()])
print(json.dumps(found))
"""
CASES = {
    ("benchmark", "bomb.csv.xz"): "unfolds to over 200 times its size",
    ("benchmark", "bomb.csv.gz"): "unfolds to over 200 times its size",
    ("tasks", "check", "pipe.csv"): "no such file, folder or task",
    ("tasks", "check", "zero.csv"): "no such file, folder or task",
    ("tasks", "check", "loop.csv"): "no such file, folder or task",
    ("tasks", "check", "/dev/zero"): "no such file, folder or task",
    ("tasks", "check", "pipe.toml"): "pipe.toml: not a file",
    ("tasks", "check", "zero.toml"): "zero.toml: not a file",
    ("tasks", "check", "loop.toml"): "loop.toml: no such file",
    ("tasks", "check", "itself.toml"): "itself.toml: cannot tell the format",
    ("tasks", "check", "of_pipe.toml"): "pipe.csv: not a file",
    ("tasks", "check", "deep.toml"): "deep.toml: not usable TOML",
    ("benchmark", "pipe.csv"): "pipe.csv: not a file",
    ("benchmark", "zero.parquet"): "zero.parquet: not a file",
    ("runs", "plan", "pipe.toml"): "cannot read the plan 'pipe.toml': not a regular file",
    ("runs", "plan", "zero.toml"): "cannot read the plan 'zero.toml': not a regular file",
    (
        "runs",
        "plan",
        "loop.toml",
    ): "cannot read the plan 'loop.toml': Too many levels of symbolic links",
    ("runs", "plan", "/dev/zero"): "cannot read the plan '/dev/zero': not a regular file",
    ("runs", "plan", "long.toml"): "cannot read the plan 'long.toml': larger than",
    ("profile", "good.csv", "--curve", "zero.json"): "zero.json: not a file",
    ("profile", "good.csv", "--vocabulary", "pipe.csv"): "pipe.csv: not a file",
    ("benchmark", "bingel-soegaard-2017", "--vectors", "zero.npz"): "cannot read 'zero.npz'",
}


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="limits of memory are those of Linux")
def test_each_is_one_line_in_bounded_memory(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    line = b"some words of a text,yes\nother words of it,no\n"
    piece = b"text,label\n" + line * (2**22 // len(line))
    (tmp_path / "bomb.csv.gz").write_bytes(gzip.compress(piece) * 200)  # 800 MB
    (tmp_path / "bomb.csv.xz").write_bytes(lzma.compress(piece, preset=0) * 200)
    (tmp_path / "good.csv").write_bytes(b"text,label\n" + line * 10)
    for name in ("zero.csv", "zero.toml", "zero.parquet", "zero.json", "zero.npz"):
        (tmp_path / name).symlink_to("/dev/zero")
    for name in ("pipe.csv", "pipe.toml"):
        os.mkfifo(tmp_path / name)
    for name in ("loop.csv", "loop.toml"):
        (tmp_path / name).symlink_to(name)
    (tmp_path / "itself.toml").write_text('[files]\ntrain = "itself.toml"\n')
    (tmp_path / "of_pipe.toml").write_text('[files]\ntrain = "pipe.csv"\n')
    (tmp_path / "deep.toml").write_text("a = " + "[" * 5000)
    (tmp_path / "long.toml").write_text("#" * 2**21)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TRANSFER_META_CACHE": str(tmp_path / "cache")},
        input=json.dumps(list(CASES)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for (arguments, message), (code, printed) in zip(
        CASES.items(), json.loads(done.stdout), strict=True
    ):
        assert code == 2, arguments
        assert printed.count("\n") == 1, (arguments, printed)
        assert message in printed, arguments
