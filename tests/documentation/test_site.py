"""Pages that are generated for the documentation site, and what the site may load."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from markdown_blocks import ROOT, find_blocks

sys.path.insert(0, str(ROOT / "docs" / "generate"))

import docstrings
from api_pages import api_pages
from command_names import all_commands, option_names
from command_pages import command_pages
from external_resources import external_resources
from markdown_table import markdown_table
from notebook_pages import NotebookPage
from registry_tables import TABLES, with_tables

import transfer_meta
from transfer_meta.evaluation.metrics import METRICS
from transfer_meta.evaluation.splits import PROTOCOLS
from transfer_meta.features.curves.curve_features import (
    CURVE_UNITS,
    FEATURES_AT_PERCENT,
    FEATURES_OF_RUN,
)
from transfer_meta.features.pair_features import CONTENT_FEATURES
from transfer_meta.features.text.answer_statistics import ANSWER_STATISTICS
from transfer_meta.features.text.statistics import STATISTIC_UNITS, STATISTICS
from transfer_meta.outcomes.gain_definition import GAIN_DEFINITIONS
from transfer_meta.outcomes.shipped import shipped_tables
from transfer_meta.predictors import PREDICTORS
from transfer_meta.tasks.catalogue import load_catalogue

WRITTEN = sorted((ROOT / "docs").rglob("*.md"))


@pytest.mark.parametrize(
    ("table", "names"),
    [
        ("text_statistics", STATISTICS),
        ("generation_statistics", ANSWER_STATISTICS),
        ("pair_content", [f"pair.{name}" for name in CONTENT_FEATURES]),
        ("predictors", PREDICTORS),
        ("metrics", METRICS),
        ("protocols", PROTOCOLS),
        ("gain_definitions", GAIN_DEFINITIONS),
        ("shipped", shipped_tables()),
        ("sources", [source.name for source in load_catalogue()]),
    ],
)
def test_a_table_has_everything_that_is_registered(table: str, names: list[str]) -> None:
    text = TABLES[table]()
    assert [name for name in names if f"`{name}`" not in text] == []


@pytest.mark.parametrize("table", TABLES)
def test_every_table_is_on_a_page_and_none_has_an_empty_definition(table: str) -> None:
    assert any(f"<!-- generated: {table} -->" in path.read_text(encoding="utf-8") for path in WRITTEN)
    assert not re.search(r"^\| `[^|]*` \|\s+\|", TABLES[table](), flags=re.MULTILINE)


def test_a_page_cannot_ask_for_an_unknown_table() -> None:
    with pytest.raises(KeyError, match="no_such_table"):
        with_tables("<!-- generated: no_such_table -->")


def test_units_are_stated_for_all_features() -> None:
    assert list(STATISTIC_UNITS) == list(STATISTICS)
    assert set(CURVE_UNITS) == set(" ".join([*FEATURES_AT_PERCENT, *FEATURES_OF_RUN]).split())


def test_all_public_names_are_in_the_reference() -> None:
    pages = dict(api_pages())
    overview = pages["reference/python/index.md"]
    assert [name for name in transfer_meta._PUBLIC if f"`{name}`" not in overview] == []
    entries = " ".join(pages.values())
    for path in re.findall(r"\[`\w+`\]\[([\w.]+)\]", overview):
        assert f"::: {path}\n" in entries


def test_all_commands_and_options_are_in_the_reference() -> None:
    pages = dict(command_pages())
    for name, command in all_commands().items():
        page = pages[f"reference/cli/{name.split()[0] if name else 'index'}.md"]
        assert f"# {('transfer-meta ' + name).strip()}\n" in page or not name
        if not hasattr(command, "commands"):
            assert [option for option in option_names(command) if option not in page] == []


@pytest.mark.parametrize(
    ("page", "external"),
    [
        ('<script src="https://cdn.org/x.js"></script>', True),
        ('<link rel="stylesheet" href="//fonts.org/x.css">', True),
        ('<img src="https://badges.org/x.svg">', True),
        ('<p style="background: url(https://a.org/b.png)">', True),
        ("<style>@import 'https://a.org/b.css';</style>", True),
        ('<a href="https://arxiv.org">a paper</a>', False),
        ('<script src="../assets/x.js"></script><img src="data:image/png;base64,AAAA">', False),
    ],
)
def test_what_a_browser_would_load_from_elsewhere_is_found(
    tmp_path: Path, page: str, external: bool
) -> None:
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    assert bool(external_resources(tmp_path)) is external


def test_style_sheets_are_searched_too(tmp_path: Path) -> None:
    (tmp_path / "x.css").write_text(
        "@font-face { src: url('https://fonts.org/a.woff2') }", encoding="utf-8"
    )
    assert external_resources(tmp_path) == ["x.css: https://fonts.org/a.woff2"]


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: str(path.relative_to(ROOT)))
def test_external_links_are_well_formed(path: Path) -> None:
    for address in re.findall(r"\]\((https?:[^)]*)\)", path.read_text(encoding="utf-8")):
        parts = urlsplit(address)
        assert parts.scheme == "https"
        assert "." in parts.netloc
        assert " " not in address


def test_a_bar_within_a_cell_does_not_divide_it() -> None:
    assert markdown_table(["a"], [["x|y `x|y`"]]).splitlines()[-1] == r"| x\|y `x|y` |"


def test_a_docstring_is_divided_into_sections() -> None:
    def area(x: float) -> float:
        """Return the area (Euler 1750).

        Parameters
        ----------
        x, y : float
            Sides.

        References
        ----------
        Gauss 1801.
        """

    assert docstrings.definition(area) == "Area (Euler 1750)."
    assert docstrings.literature(area) == "Gauss 1801."
    assert docstrings.parameters(area) == {"x": "Sides.", "y": "Sides."}


@pytest.mark.parametrize(
    "path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem
)
def test_a_notebook_becomes_a_page_with_its_outputs(path: Path) -> None:
    page = NotebookPage(path)
    marks = re.findall(r'<div class="nb-output"[^>]*></div>', page.markdown)
    assert marks
    assert all(block.language == "python" for block in find_blocks(page.markdown))
    shown = page.with_outputs("".join(marks))
    assert [mark for mark in marks if mark in shown] == []
