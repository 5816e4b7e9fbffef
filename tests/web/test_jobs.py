"""The queue of jobs: lanes, progress, cancelling, processes that end, what is dropped."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest

from transfer_meta.errors import InputError
from transfer_meta.web import jobs
from transfer_meta.web.jobs import CANCELLED, DONE, FAILED, LONG, SHORT, JobQueue, QueuedJob
from transfer_meta.web.uploads import open_upload, save_upload

STUB = [sys.executable, str(Path(__file__).with_name("stub_worker.py"))]


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[JobQueue]:
    made = JobQueue(tmp_path, command=STUB)
    made.start()
    yield made
    made.close()


def finish(queue: JobQueue, *given: QueuedJob) -> None:
    for job in given:
        assert queue.wait(job, 30)


def test_a_job_has_progress_and_a_result(queue: JobQueue) -> None:
    job = queue.submit("any", {"a": 1, "sleep": 0.1}, title="A job")
    finish(queue, job)
    assert (job.state, job.result["a"], job.lines) == (DONE, 1, ["begun any"])
    assert (job.done, job.total) == (1, 4)
    assert queue.get(job.id) is job
    assert queue.get("none") is None


def test_one_process_does_the_jobs_of_a_lane(queue: JobQueue) -> None:
    short = [queue.submit("any", {"n": n}, title="") for n in range(5)]
    long = queue.submit("any", {}, title="", lane=LONG)
    finish(queue, *short, long)
    assert [job.result["n"] for job in short] == list(range(5))
    assert len({job.result["pid"] for job in short}) == 1
    assert long.result["pid"] != short[0].result["pid"]


def test_a_long_job_does_not_keep_short_ones_waiting(queue: JobQueue) -> None:
    long = queue.submit("any", {"sleep": 20}, title="", lane=LONG)
    short = queue.submit("any", {}, title="", lane=SHORT)
    finish(queue, short)
    assert not long.is_finished


def test_errors_and_ended_processes_fail_their_job_alone(queue: JobQueue) -> None:
    wrong = queue.submit("any", {"error": "no column 'x'"}, title="")
    ended = queue.submit("any", {"exit": 7}, title="")
    after = queue.submit("any", {"n": 3}, title="")
    finish(queue, wrong, ended, after)
    assert (wrong.state, wrong.error) == (FAILED, "no column 'x'")
    assert ended.state == FAILED
    assert "exit code 7" in ended.error
    assert (after.state, after.result["n"]) == (DONE, 3)


def test_a_running_job_is_cancelled_at_once(queue: JobQueue) -> None:
    running = queue.submit("any", {"sleep": 60}, title="")
    waiting = queue.submit("any", {"sleep": 60}, title="")
    after = queue.submit("any", {}, title="")
    while not running.lines:
        time.sleep(0.01)
    assert queue.cancel(waiting.id)
    assert queue.cancel(running.id)
    assert not queue.cancel(running.id)
    finish(queue, after)
    assert (running.state, waiting.state, after.state) == (CANCELLED, CANCELLED, DONE)
    assert not queue.cancel(after.id)


def test_a_job_that_takes_too_long_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(jobs.SECONDS, SHORT, 0.5)
    queue = JobQueue(tmp_path, command=STUB)
    queue.start()
    try:
        job = queue.submit("any", {"sleep": 60}, title="")
        finish(queue, job)
        assert (job.state, job.error) == (FAILED, "it took longer than 0 s")
    finally:
        queue.close()


def test_a_process_is_replaced_now_and_then(queue: JobQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "JOBS_PER_WORKER", 2)
    done = [queue.submit("any", {}, title="") for _ in range(4)]
    finish(queue, *done)
    assert len({job.result["pid"] for job in done}) == 2


def test_too_many_waiting_jobs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "MAX_WAITING", 2)
    queue = JobQueue(tmp_path, command=STUB)
    for _ in range(2):
        queue.submit("any", {}, title="")
    with pytest.raises(InputError, match="2 jobs are waiting"):
        queue.submit("any", {}, title="")


def test_what_is_a_day_old_is_dropped(queue: JobQueue) -> None:
    job = queue.submit("any", {}, title="")
    upload = save_upload(queue.folder, "a.csv", BytesIO(b"a,b"))
    finish(queue, job)
    assert queue.drop_old() == 0
    assert queue.drop_old(time.time() + jobs.KEPT_SECONDS + 60) == 2
    assert queue.get(job.id) is None
    assert not job.folder.exists()
    with pytest.raises(InputError, match="no longer here"):
        open_upload(queue.folder, upload.id)


def test_closing_ends_all_processes(tmp_path: Path) -> None:
    queue = JobQueue(tmp_path, command=STUB)
    queue.start()
    job = queue.submit("any", {}, title="")
    running = queue.submit("any", {"sleep": 60}, title="", lane=LONG)
    finish(queue, job)
    queue.close()
    assert running.state == CANCELLED
    with pytest.raises(ProcessLookupError):
        os.kill(job.result["pid"], 0)


@pytest.mark.parametrize(
    ("name", "shown", "file"),
    [
        ("reviews.csv", "reviews.csv", "task.csv"),
        ("a b.Train.JSONL.gz", "a b.Train.JSONL.gz", "task.jsonl.gz"),
        ("../../etc/passwd", "passwd", "task.txt"),
        ("C:\\x\\y.tsv", "y.tsv", "task.tsv"),
        ("<b>.csv/", "upload", "task.txt"),
        ("x." + "y" * 300, None, "task.txt"),
        ("näme.csv\x00", "näme.csv\x00", "task.txt"),
    ],
)
def test_names_of_uploads_are_shown_and_never_paths(
    tmp_path: Path, name: str, shown: str | None, file: str
) -> None:
    upload = save_upload(tmp_path, name, BytesIO(b"x"))
    assert upload.path.name == file
    assert upload.path.parent.parent == tmp_path
    assert shown is None or upload.name == shown
    assert open_upload(tmp_path, upload.id) == upload


@pytest.mark.parametrize("identity", ["", "..", "../x", "a/b" * 5, "x" * 16, "*" * 16])
def test_unknown_uploads_are_refused(tmp_path: Path, identity: str) -> None:
    with pytest.raises(InputError, match="no longer here"):
        open_upload(tmp_path, identity)


def test_an_empty_upload_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'a\.csv' is empty"):
        save_upload(tmp_path, "a.csv", BytesIO(b""))
    assert list(tmp_path.iterdir()) == []
