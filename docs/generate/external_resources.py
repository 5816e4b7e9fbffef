"""What a built site would load from other hosts."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

_LOADED = {
    "script": ("src",), "link": ("href",), "img": ("src", "srcset"), "source": ("src", "srcset"),
    "iframe": ("src",), "video": ("src", "poster"), "audio": ("src",), "object": ("data",), "embed": ("src",),
    "use": ("href", "xlink:href"), "image": ("href", "xlink:href"),
}  # fmt: skip
"""Attributes, by element, that a browser loads without being asked; links (``a``) are followed by readers only."""


def external_resources(site: Path) -> list[str]:
    """Return what the pages and style sheets of a built site load from other hosts, as ``file: address``."""
    found = []
    for path in sorted(site.rglob("*.html")):
        page = _Page()
        page.feed(path.read_text(encoding="utf-8"))
        found += [f"{path.relative_to(site)}: {address}" for address in page.external]
    for path in sorted(site.rglob("*.css")):
        styles = path.read_text(encoding="utf-8")
        found += [f"{path.relative_to(site)}: {address}" for address in _imported(styles)]
    return found


class _Page(HTMLParser):
    """Addresses on other hosts that one page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.external: list[str] = []
        self._in_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in_style = tag == "style"
        for name, value in attrs:
            if name in _LOADED.get(tag, ()) and _is_external(value or ""):
                self.external.append(value or "")
            elif name == "style":
                self.external += _imported(value or "")

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self.external += _imported(data)
            self._in_style = False


def _is_external(address: str) -> bool:
    return address.strip().lower().startswith(("http:", "https:", "//"))


def _imported(styles: str) -> list[str]:
    """Return the addresses on other hosts in ``url(…)`` and ``@import "…"``."""
    parts = styles.replace('@import "', "url(").replace("@import '", "url(").split("url(")[1:]
    addresses = [part.split(")")[0].split(";")[0].strip("\"' ") for part in parts]
    return [address for address in addresses if _is_external(address)]
