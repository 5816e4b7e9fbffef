"""The page in Chromium: what a visitor does, and that nothing goes wrong on the way."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra web is not installed")
pytest.importorskip("playwright", reason="playwright is not installed")

from page_server import serving
from playwright.sync_api import expect

Open = Callable[..., Any]
PAGES = ["/", "/outcomes", "/outcomes/minilm-grid", "/leaderboard", "/runs", "/jobs"]
HOSTILE = '<img src=x onerror="alert(1)">'
TURNING = "abc\u202etxt.exe"


def serious_problems(page: Any) -> list[str]:
    """What axe-core finds wrong for people who use a keyboard or a screen reader, or see little."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    found = axe.Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {node['html'][:120]}"
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]


def press(page: Any, button: str) -> None:
    """Press a button that leads to another page, and wait until that is there: the old one may look alike."""
    with page.expect_navigation():
        page.get_by_role("button", name=button).click()


def overflow(page: Any) -> int:
    """Pixels by which the page is wider than the window."""
    width: int = page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    return width


def write_reviews(path: Path, rows: int = 60, label: str = "good") -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["sentence", "opinion", "category"])
        for i in range(rows):
            words = f"the {('room', 'staff', 'food')[i % 3]} number {i} was as it should be"
            writer.writerow([words, label if i % 2 else "bad", ("hotel", "cafe", "shop")[i % 3]])
    return path


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 420])
def test_every_page_is_accessible_and_fits(
    open_page: Open, server: str, width: int, dark: bool
) -> None:
    page = open_page("/", width=width, dark=dark)
    for path in PAGES:
        page.goto(server + path)
        page.wait_for_selector("main h1")
        page.wait_for_selector("[sse-connect], [aria-busy=true]", state="detached")
        assert serious_problems(page) == [], path
        assert overflow(page) <= 0, path


def test_a_file_is_handed_in_corrected_and_answered(open_page: Open, tmp_path: Path) -> None:
    page = open_page("/")
    page.get_by_label("File of examples").set_input_files(write_reviews(tmp_path / "reviews.csv"))
    press(page, "Read the file")
    page.wait_for_selector("#understood")
    assert "label\tcategory" in page.locator("#columns").inner_text()
    # The visitor means the other column.
    page.locator("#correct summary").first.click()
    page.locator("#reading [name=column-label]").select_option("opinion")
    press(page, "Read again")
    page.wait_for_selector("#understood")
    assert "label\topinion" in page.locator("#columns").inner_text()
    assert "good" in page.locator("#labels").inner_text()
    assert page.locator("#examples tbody tr").count() == 10
    assert serious_problems(page) == []
    press(page, "Rank sources")
    page.wait_for_selector("#verdict")
    assert page.locator("#sources ~ div table tbody tr").count() >= 5
    page.locator("main details summary").nth(1).click()
    assert page.get_by_text("gain on other targets").first.is_visible()
    assert serious_problems(page) == []
    for kind in ("CSV", "JSON", "HTML"):
        with page.expect_download() as saved:
            page.locator("#downloads").get_by_role("link", name=kind).click()
        content = Path(saved.value.path()).read_text(encoding="utf-8")
        assert {
            "CSV": lambda text: text.startswith("rank,source"),
            "JSON": lambda text: json.loads(text)["target"] == "reviews",
            "HTML": lambda text: "<!doctype html>" in text and "<script" not in text,
        }[kind](content)
    # A reload shows the same answer, and so does its address in another window.
    address, verdict = page.url, page.locator("#verdict").inner_text()
    page.reload()
    assert page.locator("#verdict").inner_text() == verdict
    other = open_page("/" + address.split("/", 3)[3], width=420, dark=True)
    assert other.locator("#verdict").inner_text() == verdict
    assert overflow(other) <= 0
    assert serious_problems(other) == []


def test_the_map_is_zoomed_by_buttons_and_keys(open_page: Open) -> None:
    page = open_page("/")
    press(page, "topic")
    page.wait_for_selector("#ranking")
    press(page, "Rank sources")
    page.wait_for_selector("#map")
    chart = page.locator("#map ~ * svg[viewBox]").first
    whole = chart.get_attribute("viewBox")
    page.locator("#map ~ * button").filter(has_text="+").first.click()
    assert chart.get_attribute("viewBox") != whole
    page.get_by_role("button", name="Whole map").click()
    assert chart.get_attribute("viewBox") == whole


def test_a_description_alone_is_answered(open_page: Open) -> None:
    page = open_page("/")
    page.get_by_label("What the task is").fill("Polarity of short reviews of hotels.")
    press(page, "Use the description")
    page.wait_for_selector("#understood")
    press(page, "Rank sources")
    page.wait_for_selector("#verdict")
    assert page.locator("#sources ~ div table tbody tr").count() >= 5


def test_a_bad_file_is_one_reason_and_can_be_read_otherwise(open_page: Open, tmp_path: Path) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text('{"rows": [1, 2')
    page = open_page("/")
    page.get_by_label("File of examples").set_input_files(bad)
    press(page, "Read the file")
    page.wait_for_selector("#reason")
    assert "bad.json" in page.locator("#reason").inner_text()
    assert page.get_by_role("button", name="Read again").is_visible()
    assert page.get_by_role("button", name="Rank sources").count() == 0
    assert serious_problems(page) == []


def test_a_file_of_50_mb_is_refused(open_page: Open, server: str, tmp_path: Path) -> None:
    large = tmp_path / "large.csv"
    with large.open("wb") as file:
        file.truncate(50_000_000)
    page = open_page("/")
    page.get_by_label("File of examples").set_input_files(large)
    page.get_by_role("button", name="Read the file").click()
    assert page.locator("#file-problem").inner_text() == "large.csv is larger than 40 MB"
    # What the script prevents the server refuses.
    page.evaluate("document.querySelector('#file').removeAttribute('data-max-bytes')")
    with page.expect_navigation() as answer:
        page.get_by_role("button", name="Read the file").click()
    assert answer.value.status == 413
    assert "larger than 40 MB" in page.locator("body").inner_text()


def test_a_job_is_cancelled_and_a_reload_keeps_it(open_page: Open, server: str) -> None:
    page = open_page("/outcomes/taskweb")
    page.wait_for_selector("form[action*=benchmark]")
    with page.expect_navigation():
        page.locator("form[action*=benchmark] button").first.click()
    page.wait_for_selector("text=Running")
    page.reload()
    page.wait_for_selector("text=Running")
    assert serious_problems(page) == []
    press(page, "Cancel")
    page.wait_for_selector("text=Cancelled.")
    page.goto(f"{server}/jobs")
    assert "cancelled" in page.locator("main").inner_text()


def test_hostile_names_and_labels_are_shown_as_text(open_page: Open, tmp_path: Path) -> None:
    page = open_page("/")
    file = write_reviews(tmp_path / f"{TURNING}.csv", label=HOSTILE)
    page.get_by_label("File of examples").set_input_files(file)
    page.get_by_label("Description, in a sentence or two").fill(HOSTILE + TURNING)
    press(page, "Read the file")
    page.wait_for_selector("#understood")
    page.locator("#correct summary").first.click()
    page.locator("#reading [name=column-label]").select_option("opinion")
    page.locator("#reading [name=name]").fill(f"{HOSTILE}{TURNING}")
    press(page, "Read again")
    page.wait_for_selector("#understood")
    assert HOSTILE in page.locator("#labels").inner_text()
    press(page, "Rank sources")
    page.wait_for_selector("#verdict")
    for text in (page.locator("main").inner_text(), page.title()):
        assert HOSTILE in text
        assert "\u202e" not in text
    assert page.locator("img").count() == 0


@pytest.fixture(scope="module")
def tiny_plan(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path, list[str]]]:
    """A server that shows a store, the folder, and the command that fills the store."""
    pytest.importorskip("torch", reason="the extra harness is not installed")
    folder = tmp_path_factory.mktemp("runs")
    (folder / "plan.toml").write_text(
        'sources = ["topic"]\ntargets = ["urgency"]\nmethods = ["single", "intermediate"]\n'
        'regimes = ["60-60"]\nseeds = [0, 1, 2]\nencoder = "random:1x32"\n'
        '[tasks]\ntopic = "demo:topic"\nurgency = "demo:urgency"\n[training]\nepochs = 1\n'
    )
    run = [sys.executable, "-m", "transfer_meta", "run", "plan.toml", "--workers", "1"]
    run += ["--store", "runs.sqlite"]
    subprocess.run([*run, "--max-runs", "1"], cwd=folder, check=True, capture_output=True)
    with serving(folder, "--store", "runs.sqlite") as address:
        yield address, folder, run


def test_runs_are_shown_as_they_end(open_page: Open, tiny_plan: tuple[str, Path, list[str]]) -> None:
    address, folder, run = tiny_plan
    page = open_page("/runs", address=address)
    counts = page.locator("#status-counts")
    before = counts.inner_text()
    done = subprocess.Popen(run, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert done.wait(timeout=300) == 0
    # Without a reload.
    expect(counts).not_to_have_text(before, timeout=30_000)
    expect(page.locator("td.state-done")).to_have_count(9, timeout=30_000)
    assert serious_problems(page) == []
    page.locator("#filter [name=text]").fill("urgency")
    page.locator("#filter").evaluate("form => form.requestSubmit()")
    page.wait_for_selector("#list")
    assert overflow(page) <= 0


def test_plans_cannot_be_started_unless_allowed(
    open_page: Open, tiny_plan: tuple[str, Path, list[str]]
) -> None:
    page = open_page("/runs", address=tiny_plan[0])
    assert page.locator("input[type=file]").count() == 0
