"""The leaderboard's page in a browser: sorting, filtering, width."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from transfer_meta.pages.leaderboard import LeaderboardSettings, leaderboard

CHROMIUM = shutil.which("chromium")
PREDICTORS = ("random", "ridge", "gp", "set-sum", "set-ridge", "source-popularity")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    if CHROMIUM is None:
        assert not os.environ.get("CI"), "chromium is missing: `make browser`"
        pytest.skip("chromium is not installed (`make browser`)")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path: Path = tmp_path_factory.mktemp("page") / "board.html"
    leaderboard(settings=LeaderboardSettings(predictors=PREDICTORS)).save(path)
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        found = browser.new_page(viewport={"width": 420, "height": 900})
        problems: list[str] = []
        found.on("console", lambda message: problems.append(message.text))
        found.on("pageerror", lambda error: problems.append(str(error)))
        found.on(
            "request",
            lambda request: problems.append(request.url) if "board.html" not in request.url else None,
        )
        found.goto(path.as_uri())
        yield found
        browser.close()
    assert problems == []


def column(page: Any, place: int) -> list[str]:
    """The visible cells of a column of the first table, without their intervals."""
    rows = page.locator("table.sortable").first.locator("tbody tr:visible")
    return [
        rows.nth(i).locator("th, td").nth(place).inner_text().split("\n")[0].strip()
        for i in range(rows.count())
    ]


def number(cell: str) -> float:
    return float(cell.rstrip("†").replace("−", "-"))


def test_a_click_sorts_and_empty_cells_stay_at_the_end(page: Any) -> None:
    head = page.locator("table.sortable").first.locator("thead th")
    for state, reverse in (("descending", True), ("ascending", False)):
        head.nth(1).locator("button").click()
        assert head.nth(1).get_attribute("aria-sort") == state
        found = column(page, 1)
        known = [number(cell) for cell in found if cell != "–"]
        assert known == sorted(known, reverse=reverse)
        assert len(known) > 2
        assert found[len(known) :] == ["–"] * (len(found) - len(known))
        assert "–" in found
    head.nth(0).locator("button").click()
    assert head.nth(1).get_attribute("aria-sort") is None
    assert column(page, 0) == sorted(PREDICTORS)


def test_the_field_shows_some_predictors(page: Any) -> None:
    field = page.get_by_label("Show only rows of predictors")
    field.fill("SET, gp")
    assert set(column(page, 0)) == {"set-sum", "set-ridge", "gp"}
    field.fill("")
    assert set(column(page, 0)) == set(PREDICTORS)


def test_a_narrow_page_does_not_scroll_sideways(page: Any) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") == 420
