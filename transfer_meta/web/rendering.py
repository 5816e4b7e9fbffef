"""Rendering of the web page's templates."""

from __future__ import annotations

import functools
import re
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse

from transfer_meta._version import __version__
from transfer_meta.pages.templates import render_template
from transfer_meta.results import format_duration

PLACE = {"package": "transfer_meta.web", "folder": "templates"}


def page(request: Request, template: str, *, status: int = 200, **context: Any) -> HTMLResponse:
    """Return a rendered template as an answer.

    Parameters
    ----------
    request : Request
    template : str
        Its file in ``web/templates``, without ``.html.jinja``.
    status : int
        HTTP status.
    context
        Variables of the template, beside ``version``, ``path``, ``settings`` and ``duration``.
    """
    return HTMLResponse(fragment(request, template, **context), status)


def fragment(request: Request, template: str, **context: Any) -> str:
    """Return a rendered template as text, see `page`."""
    shared = {
        "version": __version__,
        "path": request.url.path,
        "settings": request.app.state.settings,
        "duration": format_duration,
    }
    return render_template(f"{template}.html.jinja", {**shared, **context}, **PLACE)


@functools.cache
def shared_style() -> str:
    """Return the style sheet that the self-contained pages have, as a file of its own."""
    return re.sub(r"</?style>", "", render_template("style.html.jinja", {}))
