from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from transfer_meta.errors import InputError
from transfer_meta.evaluation.splits import PROTOCOLS
from transfer_meta.outcomes.tables import build_table, load_outcomes
from transfer_meta.pages import Report, ReportSettings, build, report
from transfer_meta.pages.page import render
from transfer_meta.results import HIDDEN

VOID = {"meta", "br", "img", "link", "input", "hr"}


class Page(HTMLParser):
    """Parse a page, checking that elements are closed in order; collect text, ids and links."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            if name in ("src", "href", "xlink:href"):
                self.addresses.append(value)

    def handle_startendtag(self, tag, attrs) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        self.words.append(data)


@pytest.fixture(scope="module")
def nasty_page(nasty_report: Report) -> str:
    return render(nasty_report)


def test_the_page_is_whole_and_needs_no_network(nasty_page: str) -> None:
    page = Page(nasty_page)
    assert len(page.ids) == len(set(page.ids))
    assert all(address.startswith("#") for address in page.addresses)
    assert "script" not in page.tags
    assert "link" not in page.tags
    assert not re.search(r"url\((?!#)", nasty_page)
    assert "@import" not in nasty_page
    assert "prefers-color-scheme: dark" in nasty_page
    figures = ("gains", "picks", "protocols", "comparisons", "decisions", "coefficients", "reliability")
    assert set(figures) <= set(page.ids)
    assert page.tags.count("svg") == len(figures)
    assert nasty_page.count('role="img" aria-label="') == len(figures)


def test_runs_with_seeds_vectors_and_curves_bring_their_sections() -> None:
    random = np.random.default_rng(0)
    rows = [
        {"source": s, "target": t, "seed": seed, "baseline": 0.5, "score": random.uniform(0.3, 0.7)}
        for s, t in permutations("abcde", 2)
        if (s, t) != ("a", "b")
        for seed in range(2)
    ]
    found = report(build_table(pd.DataFrame(rows)), ReportSettings(repeats=1))
    step = np.arange(1.0, 30)
    curves = pd.concat(
        [
            pd.DataFrame({"step": step, "loss": 2 - 0.2 * np.log(step + 3)}).assign(
                task=task, regime="200", seed=0
            )
            for task in "abcde"
        ]
    )
    vectors = {task: {"textemb": random.normal(size=4)} for task in "abcde"}
    bare = Page(render(found))
    assert "ceiling" in bare.ids
    assert not {"curves", "tasks"} & set(bare.ids)
    text = render(replace(found, curves=curves, vectors=vectors, types={}))
    assert {"ceiling", "curves", "tasks"} <= set(Page(text).ids)
    words = re.sub(r"\s+", " ", " ".join(Page(text).words))
    assert "Scores of 5 targets with 3 to 4 sources each" in words
    assert "19 pairs, means over 2 seeds" in words
    assert "2 + 2 seeds, Spearman-Brown" in words
    assert len(text) < 2_000_000


def test_names_are_escaped(nasty_page: str) -> None:
    assert "<script>" not in nasty_page
    assert "<i>table</i>" not in nasty_page
    assert "<b>size</b>" not in nasty_page
    words = " ".join(Page(nasty_page).words)
    assert "<i>table</i>" in words
    assert "<script>alert(1)</script>" in words
    assert "<b>size</b>" in words
    assert r'javascript:"4"\x1b[31m' in words
    assert set(HIDDEN.findall(nasty_page)) <= {"\n"}


def test_without_a_paper_there_is_no_comparison(nasty_page: str) -> None:
    assert 'id="paper"' not in nasty_page
    assert "Bingel" not in nasty_page


@pytest.fixture(scope="module")
def published_page() -> str:
    beside_the_paper = (
        "always-gain",
        "random-fingerprints",
        "logistic",
        "logistic-rfe",
        "logistic-rfe-optimistic",
        "lightgbm",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "UNTUNED", beside_the_paper)
        patch.setattr(build, "BY_TARGET", ())
        return render(report(load_outcomes("bingel-soegaard-2017"), ReportSettings(repeats=1)))


def test_the_paper_stands_beside_ours(published_page: str) -> None:
    words = re.sub(r"\s+", " ", " ".join(Page(published_page).words))
    section = words[words.index("Comparison with the paper") : words.index("Protocols and controls")]
    for figure in ("0.555", "0.615", "0.749", "0.669", "0.785", "0.713", "0.665", "0.542"):
        assert figure in section
    assert "optimistic" in section
    coefficients = words[words.index("The first coefficients") : words.index("Importance")]
    assert re.search(r"target grad_30 1 − \d+ −\d\.\d\d", coefficients)
    assert re.search(r"target curve_c_published_fit 3 \+ \d+ \+\d\.\d\d", coefficients)


def test_strict_protocols_come_with_what_they_mean(published_page: str) -> None:
    words = " ".join(Page(published_page).words)
    strict = [p.name for p in PROTOCOLS.values() if not (p.is_shuffled or p.is_of_sets)]
    for name in strict:
        assert f"All results under {name}" in words
    found = re.findall(r"Difference [+−]\d\.\d+ \[[+−]\d\.\d+, [+−]\d\.\d+\] over targets", words)
    assert len(found) == len(strict)
    assert "Expected calibration error" in words


def test_scores_alone_make_a_page_too() -> None:
    random = np.random.default_rng(1)
    pairs = pd.DataFrame(permutations("abcde", 2), columns=["source", "target"])
    text = render(report(build_table(pairs.assign(score=random.random(20))), ReportSettings(repeats=1)))
    Page(text)
    assert "only rankings are evaluated" in text
    assert "nan" not in " ".join(Page(text).words).split()


def test_it_is_written_whole_or_not_at_all(nasty_report: Report, tmp_path: Path) -> None:
    path = nasty_report.save(tmp_path / "new" / "page.html")
    assert path.read_text(encoding="utf-8").rstrip().endswith("</html>")
    assert [p.name for p in path.parent.iterdir()] == ["page.html"]
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        nasty_report.save(tmp_path / "file" / "page.html")
