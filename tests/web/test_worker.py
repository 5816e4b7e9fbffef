"""The worker process: what it answers, and its limits."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from transfer_meta.errors import InputError
from transfer_meta.web import worker


def work(folder: Path, parameters: Mapping[str, Any], tell: Any, on_progress: Any) -> dict[str, Any]:
    tell("one line")
    on_progress(1, 2)
    if "raise" in parameters:
        raise {"input": InputError("no column"), "memory": MemoryError(), "bug": KeyError("x\ny")}[
            parameters["raise"]
        ]
    return {"value": float("nan"), "path": folder / "a"}


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    monkeypatch.setitem(worker.KINDS, "test", f"{__name__}:work")
    monkeypatch.setitem(sys.modules, __name__, sys.modules[work.__module__])
    return []


def job(**parameters: str) -> dict[str, Any]:
    return {"kind": "test", "folder": "/none", "parameters": parameters}


def test_a_result_comes_after_lines_and_progress(sent: list[Any]) -> None:
    worker.answer_job(job(), sent.append)
    assert sent[:2] == [{"line": "one line"}, {"done": 1, "total": 2}]
    assert sent[2]["result"]["value"] is None
    json.dumps(sent[0])


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("input", "no column"),
        ("memory", "there is not enough memory for it"),
        ("bug", r"KeyError: 'x\ny'"),
    ],
)
def test_whatever_goes_wrong_is_one_line(sent: list[Any], kind: str, message: str) -> None:
    worker.answer_job(job(**{"raise": kind}), sent.append)
    assert sent[-1] == {"error": message}


def test_an_unknown_kind_is_an_error(sent: list[Any]) -> None:
    worker.answer_job({**job(), "kind": "none"}, sent.append)
    assert sent == [{"error": "KeyError: 'none'"}]


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
def test_memory_is_limited() -> None:
    code = (
        "from transfer_meta.web.worker import limit_memory; limit_memory(1.0)\n"
        "try: x = bytearray(1_500_000_000)\nexcept MemoryError: print('refused')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "refused\n"
