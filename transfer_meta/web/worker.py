"""Worker process of the web page: does the jobs that it is told of on stdin, one after the other.

Each line of stdin is a job (``kind``, ``folder``, ``parameters``); each line on stdout is an object with ``line``
(of progress), ``done`` and ``total``, or, at the end, ``result`` or ``error``.
"""

from __future__ import annotations

import importlib
import json
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from transfer_meta.errors import InputError, first_line
from transfer_meta.records import OnProgress, Tell
from transfer_meta.results import plain_values

Work = Callable[[Path, Mapping[str, Any], Tell, OnProgress], Mapping[str, Any]]
"""A kind of job: folder to write to, parameters, `tell`, `on_progress`; returns plain values for the page."""
KINDS: dict[str, str] = {
    "read": "transfer_meta.web.ask_work:read_handed_in",
    "rank": "transfer_meta.web.ask_work:rank_for_task",
    "outcomes": "transfer_meta.web.outcome_work:list_tables",
    "outcome": "transfer_meta.web.outcome_work:show_table",
    "benchmark": "transfer_meta.web.benchmark_work:benchmark_table",
    "importance": "transfer_meta.web.benchmark_work:explain_table",
    "leaderboard": "transfer_meta.web.outcome_work:show_leaderboard",
    "curves": "transfer_meta.web.run_work:draw_curves",
    "plan": "transfer_meta.web.run_work:preview_plan",
    "run": "transfer_meta.web.run_work:run_plan",
}
"""Kinds of jobs, and where their functions are: ``module:function``."""
PROGRESS_SECONDS = 0.1
"""Least time between two lines on how much is done."""


def work_until_the_server_ends() -> None:
    """Do jobs until stdin ends."""
    limit_memory(float(sys.argv[1]))
    # What a library prints must not be taken for an answer.
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read_stdin, args=(lines,), daemon=True).start()

    def send(message: Mapping[str, Any]) -> None:
        out.write(json.dumps(message, default=str) + "\n")
        out.flush()

    _import_ahead(lambda: not lines.empty())
    while True:
        answer_job(json.loads(lines.get()), send)


def answer_job(job: Mapping[str, Any], send: Callable[[Mapping[str, Any]], None]) -> None:
    """Do a job and send what comes of it."""
    last = 0.0

    def on_progress(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if done >= total or now - last >= PROGRESS_SECONDS:
            last = now
            send({"done": done, "total": total})

    try:
        module, name = KINDS[job["kind"]].split(":")
        function: Work = getattr(importlib.import_module(module), name)
        result = function(
            Path(job["folder"]), job["parameters"], lambda line: send({"line": line}), on_progress
        )
    except InputError as error:
        send({"error": str(error)})
    except MemoryError:
        send({"error": "there is not enough memory for it"})
    except Exception as error:
        # Whatever the cause, the page has to say that there is no answer; who runs the server can see why.
        traceback.print_exc()
        send({"error": f"{type(error).__name__}: {first_line(error)}"})
    else:
        send({"result": plain_values(dict(result))})


def limit_memory(gigabytes: float) -> None:
    """Limit this process's private memory, where the system can."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        wanted = int(gigabytes * 1e9)
        resource.setrlimit(resource.RLIMIT_DATA, (wanted, most))


def _read_stdin(lines: queue.SimpleQueue[str]) -> None:
    for line in sys.stdin:
        lines.put(line)
    # The server has gone: nobody waits for what is being done.
    os._exit(0)


def _import_ahead(is_wanted: Callable[[], bool]) -> None:
    """Import and read what most jobs need before the first one comes; no more than that once it `is_wanted`."""
    from transfer_meta.web.ask_work import warm_up

    with suppress(InputError):
        warm_up(is_wanted)


if __name__ == "__main__":
    work_until_the_server_ends()
