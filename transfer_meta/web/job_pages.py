"""Pages of jobs: progress, result, files, cancelling."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response, StreamingResponse

from transfer_meta.web.jobs import DONE, JobQueue, QueuedJob
from transfer_meta.web.rendering import fragment, page

job_router = APIRouter()

EVENT_SECONDS = 0.2
"""Time between two looks at a job that a browser follows."""
DOWNLOADS = {
    ".csv": "text/csv; charset=utf-8",
    ".json": "application/json",
    ".html": "text/html; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""Kinds of files that can be downloaded from a job."""


def queue_of(request: Request) -> JobQueue:
    """Return the server's queue of jobs."""
    found: JobQueue = request.app.state.queue
    return found


def find_job(request: Request, identity: str) -> QueuedJob:
    """Return a job by its id, or answer that there is none."""
    job = queue_of(request).get(identity)
    if job is None:
        raise HTTPException(
            404, "there is no such job: jobs are kept for a day, and until the server stops"
        )
    return job


def to_job(job: QueuedJob) -> Response:
    """Return the answer that leads a browser to the page of a job."""
    return RedirectResponse(f"/jobs/{job.id}", 303)


@job_router.get("/jobs")
def job_list(request: Request) -> HTMLResponse:
    """Show all jobs of this server."""
    jobs = [job for job in queue_of(request).jobs() if not job.is_shared]
    return page(request, "jobs", jobs=jobs)


@job_router.get("/jobs/{identity}")
def job_page(request: Request, identity: str) -> HTMLResponse:
    """Show a job: its progress, or what came of it."""
    job = find_job(request, identity)
    return page(request, "job", job=job, body=job_body(request, job))


@job_router.get("/jobs/{identity}/body")
def job_body_only(request: Request, identity: str) -> HTMLResponse:
    """Return the part of a job's page that changes when it ends."""
    return HTMLResponse(job_body(request, find_job(request, identity)))


def job_body(request: Request, job: QueuedJob) -> str:
    """Return the progress of a job, or its result by the template of its kind, ``result_KIND``."""
    if job.state != DONE:
        return fragment(request, "job_progress", job=job)
    return fragment(request, f"result_{job.kind}", job=job, result=job.result)


@job_router.get("/jobs/{identity}/events")
async def job_events(request: Request, identity: str) -> StreamingResponse:
    """Send the progress of a job as it goes, and ``finished`` at the end (server-sent events)."""
    job = find_job(request, identity)

    async def events() -> AsyncIterator[str]:
        seen = -1
        while not await request.is_disconnected():
            if job.version != seen:
                seen = job.version
                yield event("progress", fragment(request, "job_state", job=job))
            if job.is_finished:
                yield event("finished", "")
                return
            await asyncio.sleep(EVENT_SECONDS)

    return StreamingResponse(events(), media_type="text/event-stream")


def event(name: str, data: str) -> str:
    r"""Return a server-sent event as text.

    Examples
    --------
    >>> event("progress", "<b>\n1</b>")
    'event: progress\ndata: <b>\ndata: 1</b>\n\n'
    """
    lines = "".join(f"data: {line}\n" for line in data.split("\n"))
    return f"event: {name}\n{lines}\n"


@job_router.post("/jobs/{identity}/cancel")
def cancel_job(request: Request, identity: str) -> Response:
    """Cancel a job."""
    job = find_job(request, identity)
    queue_of(request).cancel(identity)
    return to_job(job)


@job_router.get("/jobs/{identity}/files/{name}")
def job_file(request: Request, identity: str, name: str) -> FileResponse:
    """Download a file of a job, one of those that its result names in ``files``."""
    job = find_job(request, identity)
    offered: list[Any] = job.result.get("files", [])
    suffix = Path(name).suffix
    if name not in offered or suffix not in DOWNLOADS:
        raise HTTPException(404, "there is no such file")
    return FileResponse(job.folder / name, media_type=DOWNLOADS[suffix], filename=name)
