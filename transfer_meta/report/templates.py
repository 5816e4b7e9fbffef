"""Pages from templates: everything that is not marked as safe is escaped."""

from __future__ import annotations

import math
from importlib.resources import files
from typing import Any


def render_template(name: str, context: dict[str, Any]) -> str:
    """The page that a template of this package makes of a context."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        loader=FunctionLoader(
            lambda name: files(__package__).joinpath(name).read_text(encoding="utf-8")
        ),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    return environment.get_template(name).render(context)


def number(value: float | None, digits: int = 3, sign: bool = False) -> str:
    """A number for reading; a dash where there is none.

    Examples
    --------
    >>> number(0.7491), number(-1.5, 2, sign=True), number(float("nan"))
    ('0.749', '−1.50', '–')
    """
    if value is None or math.isnan(value):
        return "–"
    return f"{value:{'+' if sign else ''}.{digits}f}".replace("-", "−")
