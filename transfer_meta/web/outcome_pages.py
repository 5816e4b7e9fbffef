"""Pages on tables of outcomes: those that ship, uploaded ones, benchmarks, importance, the leaderboard."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
from pathlib import Path
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import FileResponse, HTMLResponse, Response
from starlette.datastructures import FormData, UploadFile

from transfer_meta import pages
from transfer_meta.errors import InputError
from transfer_meta.outcomes.shipped import shipped_tables
from transfer_meta.web.job_pages import find_job, job_body, queue_of, to_job
from transfer_meta.web.jobs import DONE, LONG, SHORT, JobQueue, QueuedJob
from transfer_meta.web.rendering import fragment, page
from transfer_meta.web.uploads import save_upload

outcome_router = APIRouter()

COLUMNS = ("source", "target", "gain", "score", "baseline", "seed", "metric", "task")
"""Columns whose names can be given with an upload."""
PATIENCE_SECONDS = 0.8
"""Time that a visitor waits for a page of which only a job has the content; after that progress is shown."""
IDLE_SECONDS = 1.0
"""Time between two looks whether the server is idle, so that a table can be drawn ahead."""
MAX_FIELD = 200
"""Characters of a field."""
BENCHMARK_LISTS = ("predictors", "features", "metrics")
NUMBERS = ("repeats", "seed")


@outcome_router.get("/static/sortable_tables.js")
def sorting() -> FileResponse:
    """Return the script that sorts tables, which self-contained pages have too."""
    return FileResponse(
        Path(pages.__file__).with_name("sortable_tables.js"), media_type="text/javascript"
    )


async def draw_ahead(queue: JobQueue) -> None:
    """Draw all tables that ship while nobody waits for an answer, one after the other.

    The process of the long jobs does it: a visitor's short job never waits for it.
    """
    # What the page on runs needs takes seconds to import.
    with contextlib.suppress(ImportError):
        await asyncio.to_thread(importlib.import_module, "transfer_meta.runs.store.run_list")
    names = [None, *shipped_tables()]
    for name in names:
        while any(not job.is_finished for job in queue.jobs()):
            await asyncio.sleep(IDLE_SECONDS)
        with contextlib.suppress(InputError):
            _list(queue, LONG) if name is None else _drawn(queue, name, LONG)


def _list(queue: JobQueue, lane: str = SHORT) -> QueuedJob:
    return queue.once("outcomes", {}, title="Tables of outcomes", lane=lane)


def _drawn(queue: JobQueue, name: str, lane: str = SHORT) -> QueuedJob:
    return queue.once("outcome", {"table": {"name": name}}, title=name, lane=lane)


async def _wait(job: QueuedJob) -> None:
    """Wait for a job for a moment; it may not have ended then."""
    loop = asyncio.get_running_loop()
    end = loop.time() + PATIENCE_SECONDS
    while not job.is_finished and loop.time() < end:
        await asyncio.sleep(0.02)


@outcome_router.get("/outcomes")
async def outcomes(request: Request) -> HTMLResponse:
    """Show the tables that ship, and the form for an own one."""
    return page(request, "outcomes", columns=COLUMNS, **await _cards(request))


@outcome_router.get("/outcomes/tables")
async def outcome_cards(request: Request) -> HTMLResponse:
    """Return the list of the tables that ship, once their numbers are known."""
    return HTMLResponse(fragment(request, "outcome_cards", **await _cards(request)))


async def _cards(request: Request) -> dict[str, Any]:
    job = _list(queue_of(request))
    await _wait(job)
    return {"tables": list(shipped_tables().values()), "rows": job.result.get("tables", {})}


@outcome_router.get("/outcomes/{name}")
async def outcome(request: Request, name: str) -> HTMLResponse:
    """Show a table that ships; drawn once, for all visitors."""
    if name not in shipped_tables():
        raise HTTPException(404, "no table of this name ships; an own one can be uploaded")
    job = _drawn(queue_of(request), name)
    await _wait(job)
    return await asyncio.to_thread(_show, request, job, name, ("/outcomes", "Outcomes"))


def _show(request: Request, job: QueuedJob, title: str, back: tuple[str, str] | None) -> HTMLResponse:
    """Show a job that is done for all visitors; its figures may be a megabyte."""
    return page(request, "outcome", title=title, back=back, job=job, body=job_body(request, job))


@outcome_router.get("/leaderboard")
async def show_leaderboard(request: Request) -> HTMLResponse:
    """Show the leaderboard, perhaps of one table or protocol; rendered once for each choice."""
    given = {
        name: request.query_params.get(name, "")[:MAX_FIELD] for name in ("metric", "table", "protocol")
    }
    parameters: dict[str, Any] = {"metric": given["metric"]} if given["metric"] else {}
    parameters |= {f"{name}s": [given[name]] for name in ("table", "protocol") if given[name]}
    job = queue_of(request).once("leaderboard", parameters, title="Leaderboard")
    await _wait(job)
    back = ("/leaderboard", "All results") if parameters else None
    return await asyncio.to_thread(_show, request, job, "Leaderboard", back)


@outcome_router.post("/outcomes/upload")
async def upload_table(request: Request) -> Response:
    """Take a table of outcomes, and draw it."""
    form = await request.form(max_files=2, max_fields=40)
    return await asyncio.to_thread(_submit_table, request, form)


def _submit_table(request: Request, form: FormData) -> Response:
    queue = queue_of(request)
    table: dict[str, Any] = {}
    for field in ("tasks", "table"):
        file = form.get(field)
        if isinstance(file, UploadFile) and file.filename:
            upload = save_upload(queue.folder, file.filename, file.file)
            found = {"path": str(upload.path), "name": upload.name}
            table |= {"tasks": found} if field == "tasks" else found
    if "path" not in table:
        raise InputError("no table was handed in: choose a file")
    columns = {name: form_text(form, f"column-{name}") for name in COLUMNS}
    table["columns"] = {ours: theirs for ours, theirs in columns.items() if theirs}
    for field in ("separator", "encoding", "decimal"):
        if value := form_text(form, field):
            table[field] = value
    if features := [
        name.strip() for name in form_text(form, "features", 1000).split(",") if name.strip()
    ]:
        table["features"] = features
    if direction := form_text(form, "direction"):
        table["lower_is_better"] = direction == "lower"
    table["strict"] = form_text(form, "strict") == "yes"
    return to_job(queue.submit("outcome", {"table": table}, title=f"Outcomes: {table['name']}"))


@outcome_router.post("/outcomes/benchmark")
async def benchmark_table(request: Request) -> Response:
    """Have predictors evaluated on a table: ``table`` names one that ships, ``job`` one that was drawn."""
    form = await request.form(max_files=0, max_fields=400)
    settings: dict[str, Any] = {
        name: form_text(form, name) for name in ("protocol", "compare", "gain_definition")
    }
    settings = {name: value for name, value in settings.items() if value}
    for name in BENCHMARK_LISTS:
        if chosen := [str(value)[:MAX_FIELD] for value in form.getlist(name) if value]:
            settings[name] = chosen
    if settings.get("gain_definition") == "mean-gain":
        del settings["gain_definition"]
    settings |= _numbers(form)
    return _submit_long(request, "benchmark", "Benchmark", form, settings)


@outcome_router.post("/outcomes/importance")
async def explain_table(request: Request) -> Response:
    """Have the importance of features computed; the table as in `benchmark_table`."""
    form = await request.form(max_files=0, max_fields=40)
    names = ("method", "by", "predictor", "features")
    settings: dict[str, Any] = {name: value for name in names if (value := form_text(form, name))}
    settings |= _numbers(form)
    return _submit_long(request, "importance", "Importance", form, settings)


def _submit_long(
    request: Request, kind: str, words: str, form: FormData, settings: dict[str, Any]
) -> Response:
    queue = queue_of(request)
    parameters: dict[str, Any] = {"settings": settings}
    if name := form_text(form, "table"):
        if name not in shipped_tables():
            raise HTTPException(404, "no table of this name ships")
        parameters["table"] = {"name": name}
    else:
        drawn = find_job(request, form_text(form, "job"))
        if drawn.kind != "outcome":
            raise HTTPException(400, "this job drew no table")
        parameters |= {"table": drawn.parameters["table"], "job": drawn.id}
    title = f"{words}: {parameters['table']['name']}"
    return to_job(queue.submit(kind, parameters, title=title, lane=LONG))


def _numbers(form: FormData) -> dict[str, int]:
    found = {}
    for name in NUMBERS:
        text = form_text(form, name)
        if not text or (name == "seed" and text == "0"):
            continue
        if not (text.isascii() and text.isdecimal()) or len(text) > 9:
            raise InputError(f"{name} is '{text}' (expected a whole number)")
        found[name] = int(text)
    return found


def form_text(form: FormData, name: str, most: int = MAX_FIELD) -> str:
    """Return a field of a form, without space around it; empty if there is none."""
    value = form.get(name)
    return value.strip()[:most] if isinstance(value, str) else ""


@outcome_router.get("/outcomes/compared/{identity}")
def show_compared(request: Request, identity: str, one: str = "", other: str = "") -> HTMLResponse:
    """Compare two predictors of a benchmark; for HTMX the part of the page alone."""
    job = find_job(request, identity)
    if job.kind != "benchmark" or job.state != DONE:
        raise HTTPException(400, "this job is no finished benchmark")
    found = compare_two(json.loads(job.read_text("comparisons.json")), one, other)
    if "hx-request" in request.headers:
        return HTMLResponse(fragment(request, "comparison", found=found))
    return page(request, "compared", job=job, found=found)


def compare_two(compared: dict[str, Any], one: str, other: str) -> dict[str, Any]:
    """Return what is shown of two predictors.

    Parameters
    ----------
    compared : mapping
        What `benchmark_work.benchmark_table` wrote.
    one, other : str
        Labels of predictors.
    """
    sign, row = 1, None
    for found in compared["rows"]:
        if {found["one"], found["other"]} == {one, other}:
            sign, row = (1, found) if found["one"] == one else (-1, found)
    if row is None:
        is_same = one == other
        reason = (
            "these are the same predictor" if is_same else "they have fewer than two targets in common"
        )
        return {"row": None, "problem": f"Nothing to compare: {reason}."}
    low, high = sorted((sign * row["ci_low"], sign * row["ci_high"]))
    better = compared["higher_is_better"]
    values = [compared["values"][name] for name in (one, other)]
    shared = [
        (target, values[0][target], values[1][target])
        for target in values[0]
        if values[0][target] is not None and values[1].get(target) is not None
    ]
    largest = max((abs(a - b) for _, a, b in shared), default=0.0) or 1.0
    targets = [(t, a, b, a - b, round(50 * abs(a - b) / largest, 1)) for t, a, b in shared]
    targets.sort(key=lambda line: -line[3])
    words = "not separable"
    if row["verdict"] != "not separable":
        words = f"{one if (row['verdict'] == 'better') == (sign > 0) else other} is better"
    return {
        "row": {**row, "difference": sign * row["difference"], "ci_low": low, "ci_high": high},
        "one": one,
        "other": other,
        "metric": compared["metric"],
        "title": compared["title"],
        "higher_is_better": better,
        "n_comparisons": len(compared["rows"]),
        "words": words,
        "targets": targets,
        "ahead": sum((line[3] > 0) == better for line in targets if line[3]),
    }
