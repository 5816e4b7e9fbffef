"""MkDocs events: pages generated from the code, from the notebooks and from files outside of docs/."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from api_pages import api_pages
from command_pages import command_pages
from external_resources import external_resources
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from notebook_pages import NotebookPage
from registry_tables import with_tables

ROOT = Path(__file__).resolve().parent.parent.parent
NOTEBOOKS = {page.path: page for page in map(NotebookPage, sorted(ROOT.glob("notebooks/*.ipynb")))}
COPIED = {
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "data/README.md": "reference/data.md",
    "data/minilm_grid/README.md": "reference/minilm_grid.md",
    "data/minilm_31/README.md": "reference/minilm_31.md",
    "data/taskweb/README.md": "reference/taskweb.md",
    "data/model_recycling/README.md": "reference/model_recycling.md",
    "data/taskonomy/README.md": "reference/taskonomy.md",
    "deploy/README.md": "how-to/deploy.md",
    "tests/performance/RESULTS.md": "performance.md",
}
"""Files outside of docs/ that are pages of the site."""

_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)")


def generated_pages() -> Iterator[tuple[str, str]]:
    """Yield path and Markdown of every page that is not written by hand."""
    for page in NOTEBOOKS.values():
        yield page.path, page.markdown
    for origin, path in COPIED.items():
        yield path, _with_links(ROOT / origin, path)
    yield from command_pages()
    yield from api_pages()


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Fill in the parts of the navigation whose pages are generated, and keep all pages for `on_files`."""
    config.extra["generated"] = pages = dict(generated_pages())
    _entries(config.nav, "Tutorials").extend(NOTEBOOKS)
    for title, folder in {"Command line": "reference/cli/", "Python": "reference/python/"}.items():
        paths = [PurePosixPath(path) for path in pages if path.startswith(folder)]
        _entries(config.nav, title).extend({path.stem: str(path)} for path in paths)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    for path, markdown in config.extra.pop("generated").items():
        files.append(File.generated(config, path, content=markdown))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the tables made of the package's registries into the pages that ask for them."""
    return with_tables(markdown)


def on_page_content(html: str, page: Page, **_: Any) -> str:
    """Put the outputs of a notebook, which are HTML already, into its page."""
    notebook = NOTEBOOKS.get(page.file.src_uri)
    return notebook.with_outputs(html) if notebook else html


def on_post_build(config: MkDocsConfig) -> None:
    """Fail if a page would load anything from another host."""
    found = external_resources(Path(config.site_dir))
    if found:
        raise PluginError("pages load from other hosts:\n" + "\n".join(found))


def _entries(nav: list[Any], title: str) -> list[Any]:
    """Return the list of pages under a title of the navigation."""
    for entry in nav:
        for name, value in entry.items() if isinstance(entry, dict) else ():
            if isinstance(value, list):
                try:
                    return value if name == title else _entries(value, title)
                except KeyError:
                    continue
    raise KeyError(title)


def _with_links(origin: Path, path: str) -> str:
    """Return the text of a file outside of docs/, with its links as they are seen from its page.

    A link to a file that is no page of the site is left out, its text stays.
    """
    text = origin.read_text(encoding="utf-8")

    def page_of(link: str) -> str | None:
        named = (origin.parent / link).resolve().relative_to(ROOT).as_posix()
        target = named.removeprefix("docs/") if named.startswith("docs/") else COPIED.get(named)
        if target is None:
            return None
        up = "../" * (len(PurePosixPath(path).parts) - 1)
        return up + target

    for link in set(_LINK.findall(text)):
        page = page_of(link)
        if page:
            text = text.replace(f"]({link})", f"]({page})")
        else:
            text = re.sub(rf"\[([^\]]+)\]\({re.escape(link)}\)", r"\1", text)
    return text
