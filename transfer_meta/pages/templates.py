"""Rendering of HTML pages from templates."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from transfer_meta.files import atomic_file
from transfer_meta.results import visible


def render_template(name: str, context: dict[str, Any]) -> str:
    """Render a template of this package; values are escaped unless marked as safe, and what is hidden is shown."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    def finalize(value: Any) -> Any:
        # A mark that turns the direction of text would change how what follows a name reads.
        is_text = isinstance(value, str) and not isinstance(value, Markup)
        return visible(value, lines=True) if is_text else value

    environment = Environment(
        loader=PackageLoader(__package__, ""),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    return environment.get_template(name).render(context)


def write_page(path: Path | str, html: str) -> Path:
    """Write a page atomically and return its path."""
    with atomic_file(path) as temporary:
        # Names of files may hold bytes of another encoding.
        temporary.write_text(html, encoding="utf-8", errors="backslashreplace")
    return Path(path)


def number(value: float | None, digits: int = 3, sign: bool = False) -> str:
    """Return a number as text; a dash for None or NaN.

    Examples
    --------
    >>> number(0.7491), number(-1.5, 2, sign=True), number(float("nan"))
    ('0.749', '−1.50', '–')
    """
    if value is None or math.isnan(value):
        return "–"
    return f"{value:{'+' if sign else ''}.{digits}f}".replace("-", "−")
