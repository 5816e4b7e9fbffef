"""Queue of jobs, done one after the other in worker processes.

A job's kind names a function of `transfer_meta.web.worker.KINDS`; its folder holds what the function writes.  A
worker process is told of a job by a line of JSON, and answers with lines of JSON: no pickle, and a job that
crashes, hangs or fills its memory takes nothing but its process with it.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import secrets
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transfer_meta.errors import InputError, first_line

SHORT, LONG = "short", "long"
"""Lanes of the queue: reading and answers of seconds, and what computes for minutes."""
SECONDS = {SHORT: 120.0, LONG: 12 * 3600.0}
"""Time that a job of a lane may take."""
KEPT_SECONDS = 24 * 3600.0
"""Age at which jobs and uploads are dropped."""
MAX_WAITING = 200
"""Jobs that may wait in a lane."""
JOBS_PER_WORKER = 200
"""Jobs after which a worker process is replaced, so that its memory does not grow."""
MAX_LINES = 50
"""Lines of progress that are kept."""
WAITING, RUNNING, DONE, FAILED, CANCELLED = "waiting", "running", "done", "failed", "cancelled"
FINISHED = (DONE, FAILED, CANCELLED)


@dataclass(eq=False)
class QueuedJob:
    """A piece of work of a worker process.

    Parameters
    ----------
    id : str
        Cannot be guessed.
    kind : str
        One of `transfer_meta.web.worker.KINDS`.
    title : str
        What it is of, as shown.
    lane : str
        `SHORT` or `LONG`.
    parameters : mapping
        Plain values, for the function.
    folder : Path
        What the function writes.
    is_shared : bool
        Whether it is done once for all visitors, see `JobQueue.once`.
    """

    id: str
    kind: str
    title: str
    lane: str
    parameters: Mapping[str, Any]
    folder: Path
    is_shared: bool = False
    state: str = WAITING
    error: str = ""
    lines: list[str] = field(default_factory=list)
    done: int = 0
    total: int = 0
    result: dict[str, Any] = field(default_factory=dict)
    created: float = field(default_factory=time.time)
    started: float | None = None
    ended: float | None = None
    version: int = 0

    @property
    def is_finished(self) -> bool:
        """Whether it is done, failed or cancelled."""
        return self.state in FINISHED

    @property
    def seconds(self) -> float:
        """Time since it began."""
        return 0.0 if self.started is None else (self.ended or time.time()) - self.started

    @property
    def seconds_left(self) -> float | None:
        """Time that the rest takes at the speed so far."""
        if self.state != RUNNING or not 0 < self.done < self.total:
            return None
        return self.seconds * (self.total - self.done) / self.done

    def read_text(self, name: str) -> str:
        """Return a file that the function wrote."""
        return (self.folder / name).read_text(encoding="utf-8")


class JobQueue:
    """Jobs, and the threads that hand them to worker processes.

    Parameters
    ----------
    folder : Path
        Where jobs and uploads have their folders.
    workers : int
        Processes of the lane of long jobs; the lane of short ones has one.
    memory : float
        Limit of a process in gigabytes.
    command : sequence of str, optional
        Command line of a worker process.
    """

    def __init__(
        self,
        folder: Path,
        *,
        workers: int = 1,
        memory: float = 8.0,
        command: Iterable[str] | None = None,
    ) -> None:
        self.folder = folder
        self._jobs: dict[str, QueuedJob] = {}
        self._lanes: dict[str, queue.Queue[QueuedJob | None]] = {
            SHORT: queue.Queue(),
            LONG: queue.Queue(),
        }
        self._lock = threading.Lock()
        self._once = threading.Lock()
        default = [sys.executable, "-W", "ignore", "-m", "transfer_meta.web.worker", str(memory)]
        self._command = list(command or default)
        self._threads = [
            threading.Thread(
                target=self._work, args=(lane, SECONDS[lane]), daemon=True, name=f"{lane} jobs"
            )
            for lane in (SHORT, *[LONG] * workers)
        ]
        self._processes: dict[str, subprocess.Popen[str]] = {}
        self._closing = False

    def start(self) -> None:
        """Start the threads; each starts its process."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stop all processes; what runs is cancelled."""
        self._closing = True
        for job in self.jobs():
            self.cancel(job.id)
        for thread in self._threads:
            self._lanes[SHORT if thread.name.startswith(SHORT) else LONG].put(None)
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout=10)

    def submit(
        self, kind: str, parameters: Mapping[str, Any], *, title: str, lane: str = SHORT
    ) -> QueuedJob:
        """Add a job and return it.

        Raises
        ------
        InputError
            Too many jobs wait.
        """
        return self._add(kind, parameters, title=title, lane=lane, is_shared=False)

    def once(
        self, kind: str, parameters: Mapping[str, Any], *, title: str, lane: str = SHORT
    ) -> QueuedJob:
        """Return the job of a kind with these parameters, added if there is none that waits, runs or is done.

        For what all visitors see alike, such as a table that ships.

        Raises
        ------
        InputError
            Too many jobs wait.
        """
        with self._once:
            for job in self.jobs():
                is_same = job.kind == kind and job.parameters == parameters
                if job.is_shared and is_same and job.state not in (FAILED, CANCELLED):
                    return job
            return self._add(kind, parameters, title=title, lane=lane, is_shared=True)

    def _add(
        self, kind: str, parameters: Mapping[str, Any], *, title: str, lane: str, is_shared: bool
    ) -> QueuedJob:
        waiting = sum(job.lane == lane and job.state == WAITING for job in self.jobs())
        if waiting >= MAX_WAITING:
            raise InputError(f"{waiting} jobs are waiting: try again later")
        identity = secrets.token_urlsafe(12)
        folder = self.folder / f"job-{identity}"
        folder.mkdir(parents=True)
        job = QueuedJob(identity, kind, title, lane, dict(parameters), folder, is_shared)
        with self._lock:
            self._jobs[identity] = job
        self._lanes[lane].put(job)
        return job

    def jobs(self) -> list[QueuedJob]:
        """Return all jobs, the newest first."""
        with self._lock:
            return sorted(self._jobs.values(), key=lambda job: -job.created)

    def get(self, identity: str) -> QueuedJob | None:
        """Return the job of an id, None if there is none (any more)."""
        with self._lock:
            return self._jobs.get(identity)

    def cancel(self, identity: str) -> bool:
        """Stop a job; returns whether it had not ended."""
        with self._lock:
            job = self._jobs.get(identity)
            if job is None or job.is_finished:
                return False
            was_running = job.state == RUNNING
            self._end(job, CANCELLED)
            process = self._processes.get(identity)
        if was_running and process is not None:
            process.kill()
        return True

    def drop_old(self, now: float | None = None) -> int:
        """Drop jobs and uploads that are older than a day, and return their number."""
        before = (time.time() if now is None else now) - KEPT_SECONDS
        old = [job for job in self.jobs() if job.created < before]
        for job in old:
            self.cancel(job.id)
            with self._lock:
                self._jobs.pop(job.id, None)
            shutil.rmtree(job.folder, ignore_errors=True)
        n_uploads = 0
        for path in self.folder.glob("upload-*"):
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < before:
                    shutil.rmtree(path, ignore_errors=True)
                    n_uploads += 1
        return len(old) + n_uploads

    def wait(self, job: QueuedJob, timeout: float) -> bool:
        """Wait until a job has ended; returns whether it has."""
        end = time.monotonic() + timeout
        while not job.is_finished and time.monotonic() < end:
            time.sleep(0.01)
        return job.is_finished

    def _end(self, job: QueuedJob, state: str, error: str = "") -> None:
        job.state, job.error, job.ended = state, error, time.time()
        job.version += 1

    def _work(self, lane: str, seconds: float) -> None:
        process: subprocess.Popen[str] | None = None
        n_done = 0
        while not self._closing:
            if lane == SHORT:
                # The first short job finds a process that is ready; a long one can wait for it.
                process, n_done = self._ready(lane, process, n_done)
            job = self._lanes[lane].get()
            if job is None:
                break
            if job.is_finished:
                continue
            process, n_done = self._ready(lane, process, n_done)
            with self._lock:
                if job.is_finished:
                    continue
                job.state, job.started = RUNNING, time.time()
                job.version += 1
                self._processes[job.id] = process
            self._run(job, process, seconds)
            n_done += 1
            with self._lock:
                self._processes.pop(job.id, None)
            if job.state == CANCELLED:
                # `cancel` kills the process, perhaps only now.
                _stop(process)
                process = None
        _stop(process)

    def _ready(
        self, lane: str, process: subprocess.Popen[str] | None, n_done: int
    ) -> tuple[subprocess.Popen[str], int]:
        """Return a process that runs, a new one where it is needed, and the number of jobs that it has done."""
        if process is not None and process.poll() is None and n_done < JOBS_PER_WORKER:
            return process, n_done
        _stop(process)
        return self._start_process(lane), 0

    def _start_process(self, lane: str) -> subprocess.Popen[str]:
        # The Hub is asked for nothing: encoders are those on this machine.
        environment = os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
        if lane == SHORT:
            # Matrices are small; threads that wait for each other on a busy machine take longer than one alone.
            environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        return subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            env=environment,
            cwd=self.folder,
        )

    def _run(self, job: QueuedJob, process: subprocess.Popen[str], seconds: float) -> None:
        """Hand a job to a process and follow it to its end."""
        assert process.stdin is not None
        assert process.stdout is not None
        late = threading.Timer(seconds, process.kill)
        late.start()
        began = time.monotonic()
        try:
            request = {"kind": job.kind, "folder": str(job.folder), "parameters": dict(job.parameters)}
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            for line in process.stdout:
                if self._follow(job, json.loads(line)):
                    return
            reason = (
                f"the worker process ended (exit code {process.wait()}), for want of memory perhaps"
            )
        except (OSError, ValueError) as error:
            process.kill()
            reason = first_line(error)
        finally:
            late.cancel()
        if time.monotonic() - began >= seconds:
            reason = f"it took longer than {seconds:.0f} s"
        with self._lock:
            if not job.is_finished:
                self._end(job, FAILED, reason)

    def _follow(self, job: QueuedJob, message: dict[str, Any]) -> bool:
        """Take a line of a worker process; returns whether the job has ended."""
        with self._lock:
            if job.is_finished:
                return "result" in message or "error" in message
            if "line" in message:
                job.lines = [*job.lines, str(message["line"])][-MAX_LINES:]
            elif "done" in message:
                job.done, job.total = int(message["done"]), int(message["total"])
            elif "error" in message:
                self._end(job, FAILED, str(message["error"]))
                return True
            elif "result" in message:
                job.result = dict(message["result"])
                self._end(job, DONE)
                return True
            job.version += 1
            return False


def _stop(process: subprocess.Popen[str] | None) -> None:
    if process is None:
        return
    # A worker process ends when its input does.
    with contextlib.suppress(OSError):
        if process.stdin is not None:
            process.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=2)
    process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()
