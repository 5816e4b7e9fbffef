"""A browser that reports what goes wrong in the page."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from page_server import serving

CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server."""
    with serving(tmp_path_factory.mktemp("page")) as address:
        yield address


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Chromium, driven by Playwright."""
    if CHROMIUM is None:
        assert not os.environ.get("CI"), "chromium is missing: `make browser`"
        pytest.skip("chromium is not installed (`make browser`)")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Any, server: str) -> Iterator[Callable[..., Any]]:
    """Open a page of the server; at the end nothing may have gone wrong in any of them."""
    contexts, problems = [], []

    def opened(path: str = "/", *, width: int = 1280, dark: bool = False, address: str = server) -> Any:
        context = chromium.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on(
            "console", lambda m: problems.append(m.text) if m.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: problems.append(str(error)))

        def check(request: Any) -> None:
            if not request.url.startswith((address, "data:", "blob:")):
                problems.append(f"asked for {request.url}")

        page.on("request", check)
        page.goto(address + path)
        return page

    yield opened
    for context in contexts:
        context.close()
    # Chromium reports every answer of 400 and above as an error on its console; tests of these expect them.
    assert [p for p in problems if "Failed to load resource" not in p] == []
