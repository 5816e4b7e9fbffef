"""Pages on the run store: numbers, workers, time left, the runs themselves, and plans where they are allowed."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, Response
from starlette.datastructures import FormData, UploadFile

from transfer_meta.errors import InputError, require
from transfer_meta.runs.open_plan import store_address
from transfer_meta.runs.run_status import format_time
from transfer_meta.web.job_pages import find_job, job_body, queue_of, to_job
from transfer_meta.web.jobs import DONE, LONG
from transfer_meta.web.outcome_pages import PATIENCE_SECONDS, form_text
from transfer_meta.web.rendering import fragment, page
from transfer_meta.web.run_view import (
    MAX_ROWS,
    PAGE_ROWS,
    StoreView,
    View,
    is_id,
    method_rows,
    run_label,
    time_left,
    totals,
)
from transfer_meta.web.uploads import save_upload

run_router = APIRouter()

SHOWN_COLUMNS = (
    ("id", "run", "number"), ("status", "status", "text"), ("method", "method", "text"),
    ("source", "source", "text"), ("target", "target", "text"), ("", "examples", "text"),
    ("", "seed", "number"), ("score", "score", "number"), ("seconds", "time", "number"),
    ("finished", "finished", "text"),
)  # fmt: skip
"""Column by which a click on the head sorts, head, and kind."""


def _store(request: Request) -> StoreView:
    state = request.app.state
    if not hasattr(state, "store_view"):
        state.store_view = StoreView(state.settings.store)
    view: StoreView = state.store_view
    return view


@run_router.get("/runs")
def show_runs(request: Request) -> HTMLResponse:
    """Show the store: in a thread of its own, so that a slow database holds up nobody else."""
    view = _store(request)
    try:
        require("sqlalchemy")
        if view.is_missing():
            return page(request, "no_store", problem="", address=Path(store_address(None)).name)
        chosen = View.of(request.query_params)
        shown = _shown(view, chosen)
    except InputError as error:
        return page(request, "no_store", status=400, problem=str(error), address="")
    return page(request, "runs", **shown, curves=_curves(request, shown))


@run_router.get("/runs/part")
def runs_part(request: Request, seen: str = "") -> Response:
    """Return what changes on the page, or nothing (204) if the store is as it was ``seen``."""
    view = _store(request)
    chosen = View.of(request.query_params)
    if view.overview().digest == seen:
        return Response(status_code=204)
    shown = _shown(view, chosen)
    return HTMLResponse(fragment(request, "runs_part", **shown))


def _shown(store: StoreView, view: View) -> dict[str, Any]:
    """Return what the templates show."""
    overview = store.overview()
    found, drawn = store.rows(view)
    pages = max(1, math.ceil(found.total / PAGE_ROWS))
    return {
        "store": store.name,
        "overview": overview,
        "view": view,
        "found": found,
        "drawn": drawn,
        "values": store.values,
        "pages": pages,
        "methods": method_rows(overview),
        "totals": totals(overview),
        "left": time_left(overview),
        "time": format_time,
        "columns": SHOWN_COLUMNS,
    }


def _curves(request: Request, shown: Mapping[str, Any]) -> str:
    """Return the learning curves of the chosen runs, or the progress of the job that draws them."""
    rows = {row["id"]: row for row in shown["drawn"]}
    chosen = [rows[run] for run in shown["view"].curves if run in rows]
    if not chosen:
        return ""
    parameters = {
        "store": _store(request).absolute(),
        "runs": [
            {"id": row["id"], "label": run_label(row), "finished": row["finished"]} for row in chosen
        ],
    }
    queue = queue_of(request)
    job = queue.once("curves", parameters, title="Learning curves")
    queue.wait(job, PATIENCE_SECONDS)
    return job_body(request, job)


# Plans, where the server was started with `allow_runs`.


def _need_runs(request: Request) -> None:
    if not request.app.state.settings.allow_runs:
        raise HTTPException(
            403, "this server starts no runs (`transfer-meta serve --allow-runs` lets it)"
        )


@run_router.get("/runs/new")
def new_plan(request: Request) -> HTMLResponse:
    """Show the form for a plan."""
    _need_runs(request)
    return page(request, "new_plan", base=Path.cwd().name)


@run_router.post("/runs/plan")
async def hand_in_plan(request: Request) -> Response:
    """Take a plan, and have it previewed; nothing is started."""
    _need_runs(request)
    form = await request.form(max_files=1, max_fields=5)
    return await asyncio.to_thread(_submit_plan, request, form)


def _submit_plan(request: Request, form: FormData) -> Response:
    file = form.get("plan")
    if not isinstance(file, UploadFile) or not file.filename:
        raise InputError("no plan was handed in: choose a file (TOML)")
    queue = queue_of(request)
    upload = save_upload(queue.folder, file.filename, file.file)
    parameters = {
        "path": str(upload.path),
        "name": upload.name,
        "base": str(Path.cwd()),
        "store": _store(request).absolute(),
    }
    return to_job(queue.submit("plan", parameters, title=f"Plan: {upload.name}", lane=LONG))


@run_router.post("/runs/start")
async def start_plan(request: Request) -> Response:
    """Start the runs of a plan that was previewed; ``job`` is the id of that job."""
    _need_runs(request)
    form = await request.form(max_files=0, max_fields=10)
    previewed = find_job(request, form_text(form, "job"))
    if previewed.kind != "plan" or previewed.state != DONE:
        raise HTTPException(400, "this plan has not been previewed")
    if form_text(form, "confirmed") != "yes":
        raise InputError("the runs are not confirmed: tick the box")
    settings: dict[str, Any] = {}
    for name, kind, most in (("workers", int, 64), ("max_runs", int, MAX_ROWS)):
        if text := form_text(form, name):
            if not is_id(text) or int(text) > most:
                raise InputError(f"{name} is '{text}' (expected a whole number from 1 to {most:,})")
            settings[name] = kind(text)
    parameters = {**previewed.parameters, "settings": settings}
    name = previewed.parameters["name"]
    return to_job(queue_of(request).submit("run", parameters, title=f"Runs of {name}", lane=LONG))
