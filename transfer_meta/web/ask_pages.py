"""Pages on which a task is handed in, corrected, and sources are ranked for it."""

from __future__ import annotations

import asyncio
import io
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, Response
from starlette.datastructures import FormData, UploadFile

from transfer_meta.errors import InputError, unknown
from transfer_meta.results import visible
from transfer_meta.tasks.demo import DEMO_PREFIX
from transfer_meta.web.ask_forms import (
    MAX_DESCRIPTION,
    MAX_TITLE,
    PASTED_KINDS,
    TYPE_WORDS,
    Values,
    default_name,
    first_value,
    paste_as_file,
    ranking_values,
    reading_values,
)
from transfer_meta.web.job_pages import find_job, queue_of, to_job
from transfer_meta.web.jobs import DONE, LONG, SHORT
from transfer_meta.web.rendering import page
from transfer_meta.web.uploads import Upload, open_upload, save_upload

ask_router = APIRouter()

DEMOS = {
    "topic": "support messages by topic",
    "urgency": "how urgent a message is",
    "reviews": "polarity of reviews",
    "questions": "pairs of questions",
    "notes": "telephone notes as entries of a log",
}
MAX_CANDIDATES = 20
"""Files of own candidates in a request."""
MAX_FIELDS = 400
READ, RANK = "read", "rank"
"""Kinds of jobs."""


@ask_router.get("/")
def ask(request: Request) -> HTMLResponse:
    """Show the forms by which a task is handed in."""
    return page(request, "ask", types=TYPE_WORDS, demos=DEMOS, kinds=PASTED_KINDS)


@ask_router.post("/ask/read")
async def ask_to_read(request: Request) -> Response:
    """Take a file, pasted samples, a description or the name of a demo task, and have it read.

    With ``upload``, the id of an earlier upload, that one is read again.
    """
    async with request.form(**_limits(request)) as form:
        return await asyncio.to_thread(_submit_reading, request, form, _texts(form))


def _submit_reading(request: Request, form: FormData, values: Values) -> Response:
    folder = queue_of(request).folder
    reading = reading_values(values)
    address, upload = "", None
    file = form.get("file")
    if demo := first_value(values, "demo"):
        if demo not in DEMOS:
            raise unknown("demo task", demo, DEMOS)
        address = DEMO_PREFIX + demo
    elif identity := first_value(values, "upload"):
        upload = open_upload(folder, identity)
    elif isinstance(file, UploadFile) and file.filename:
        upload = save_upload(folder, file.filename, file.file)
    elif "pasted" in values:
        name, content, how = paste_as_file(
            first_value(values, "pasted", _most_bytes(request)), first_value(values, "kind") or "detect"
        )
        upload = save_upload(folder, name, io.BytesIO(content))
        reading = {**how, **reading}
    description = first_value(values, "description", MAX_DESCRIPTION)
    if upload is not None:
        address = upload.name
    elif not address and not description:
        raise InputError("nothing was handed in: choose a file, paste samples, or describe the task")
    name = first_value(values, "name", MAX_TITLE)
    task = {
        "path": "" if upload is None else str(upload.path),
        "upload": "" if upload is None else upload.id,
        "address": address,
        "name": name or (default_name(address) if upload is not None else ""),
        "description": description,
        "read": reading,
    }
    shown = visible(task["name"] or address) or "described in words"
    return to_job(queue_of(request).submit(READ, task, title=f"Your task: {shown}", lane=SHORT))


@ask_router.post("/ask/rank")
async def ask_to_rank(request: Request) -> Response:
    """Have sources ranked for a task that was read; ``task`` is the id of that job."""
    async with request.form(**_limits(request)) as form:
        return await asyncio.to_thread(_submit_ranking, request, form, _texts(form))


def _submit_ranking(request: Request, form: FormData, values: Values) -> Response:
    read = find_job(request, first_value(values, "task"))
    if read.kind != READ or read.state != DONE:
        raise HTTPException(400, "this task has not been read")
    ranking = ranking_values(values, read.result["offers"])
    files = [file for file in form.getlist("own") if isinstance(file, UploadFile) and file.filename]
    if len(files) > MAX_CANDIDATES:
        raise InputError(f"{len(files)} files of candidates (expected at most {MAX_CANDIDATES})")
    folder = queue_of(request).folder
    saved = [save_upload(folder, str(file.filename), file.file) for file in files]
    parameters: dict[str, Any] = {
        "task": dict(read.parameters),
        "ranking": ranking,
        "own": [_candidate(upload) for upload in saved],
        "own_only": bool(saved) and first_value(values, "own_only") == "yes",
        "read_job": read.id,
    }
    task = read.parameters
    shown = visible(task["name"] or task["address"]) or "a task described in words"
    lane = SHORT if ranking["mode"] == "text" else LONG
    return to_job(queue_of(request).submit(RANK, parameters, title=f"Sources for {shown}", lane=lane))


def _candidate(upload: Upload) -> dict[str, str]:
    return {"path": str(upload.path), "address": upload.name, "name": default_name(upload.name)}


def _limits(request: Request) -> dict[str, int]:
    """Return the limits of a form; pasted samples are a field, which may be as large as a file."""
    return {
        "max_files": MAX_CANDIDATES,
        "max_fields": MAX_FIELDS,
        "max_part_size": _most_bytes(request),
    }


def _most_bytes(request: Request) -> int:
    most: int = request.app.state.settings.max_upload
    return most * 1_000_000


def _texts(form: FormData) -> Values:
    values: dict[str, list[str]] = {}
    for name, value in form.multi_items():
        if isinstance(value, str):
            values.setdefault(name, []).append(value)
    return values
