"""Rendering of HTML pages from templates."""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfer_meta.files import atomic_file
from transfer_meta.results import visible

if TYPE_CHECKING:
    from jinja2 import Environment


def render_template(
    name: str, context: dict[str, Any], *, package: str = __package__, folder: str = ""
) -> str:
    """Render a template of a package, see `template_environment`."""
    return template_environment(package, folder).get_template(name).render(context)


@functools.cache
def template_environment(package: str, folder: str) -> Environment:
    """Return the environment of the templates in a folder of a package.

    Values are escaped unless marked as safe, and what is hidden is shown.  The templates of this package can be
    included in those of any other.
    """
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    def finalize(value: Any) -> Any:
        # A mark that turns the direction of text would change how what follows a name reads.
        is_text = isinstance(value, str) and not isinstance(value, Markup)
        return visible(value, lines=True) if is_text else value

    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package, folder), PackageLoader(__package__, "")]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    return environment


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
