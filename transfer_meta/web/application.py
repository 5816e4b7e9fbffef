"""The web page as an ASGI application."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from transfer_meta.errors import InputError
from transfer_meta.web.ask_pages import ask_router
from transfer_meta.web.guards import RequestGuard
from transfer_meta.web.job_pages import job_router
from transfer_meta.web.jobs import JobQueue
from transfer_meta.web.outcome_pages import draw_ahead, outcome_router
from transfer_meta.web.rendering import page, shared_style
from transfer_meta.web.run_pages import run_router
from transfer_meta.web.serve_settings import ServeSettings

CLEANING_SECONDS = 600.0
"""Time between two looks for jobs and uploads that are to be dropped."""


def make_app(
    settings: ServeSettings, queue: JobQueue, *, token: str | None = None, draws_ahead: bool = False
) -> FastAPI:
    """Return the application.

    Parameters
    ----------
    settings : ServeSettings
    queue : JobQueue
        Started and closed with the application.
    token : str, optional
        What browsers must show.
    draws_ahead : bool
        Whether the tables that ship are drawn while nobody waits for an answer.
    """

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        queue.start()
        tasks = [asyncio.create_task(_clean(queue))]
        if draws_ahead:
            tasks.append(asyncio.create_task(draw_ahead(queue)))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.to_thread(queue.close)

    # No description of the interface is offered: its pages load scripts from elsewhere.
    app = FastAPI(openapi_url=None, lifespan=lifespan)
    app.state.settings, app.state.queue = settings, queue
    app.add_middleware(RequestGuard, settings=settings, token=token)
    for router in (ask_router, outcome_router, run_router, job_router):
        app.include_router(router)

    @app.get("/static/page.css")
    def style() -> PlainTextResponse:
        return PlainTextResponse(shared_style(), media_type="text/css")

    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"))

    @app.exception_handler(InputError)
    def input_error(request: Request, error: InputError) -> HTMLResponse:
        return page(request, "error", status=400, problem=str(error))

    @app.exception_handler(HTTPException)
    def http_error(request: Request, error: HTTPException) -> HTMLResponse:
        return page(request, "error", status=error.status_code, problem=error.detail)

    return app


async def _clean(queue: JobQueue) -> None:
    while True:
        await asyncio.sleep(CLEANING_SECONDS)
        await asyncio.to_thread(queue.drop_old)


def server_options(settings: ServeSettings) -> dict[str, Any]:
    """Return uvicorn's options."""
    return {
        "host": settings.host,
        "port": settings.port,
        "log_level": "warning",
        "proxy_headers": False,
        "server_header": False,
        "timeout_graceful_shutdown": 2,
    }
