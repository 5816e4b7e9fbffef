from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from result_checks import check_escaped, check_result

from transfer_meta.errors import InputError
from transfer_meta.pages.recommendation_page import render_recommendation, write_recommendation
from transfer_meta.recommender.library import Evidence
from transfer_meta.recommender.recommendation import (
    RankedSet,
    RankedSource,
    Reason,
    Recommendation,
    verdict_of,
)
from transfer_meta.recommender.starting_points import StartingPoint, StartingPoints
from transfer_meta.records import TaskType
from transfer_meta.results import HIDDEN
from transfer_meta.tasks.catalogue import CatalogueSource

FIGURES = {
    "spearman": 0.5, "regret@1": 0.01, "regret@3": 0.0, "coverage": 0.91, "coverage_promised": 0.9,
    "calibration_error": 0.05, "share_gaining": 0.4,
}  # fmt: skip
NEW = "new"
FACTS = CatalogueSource(
    name=NEW,
    hub="toy/new<b>",
    columns={"text": "text", "label": "label"},
    type=TaskType.CLASSIFICATION,
    train_size=12000,
    licence="mit & more",
    description="New",
)
CHECKPOINTS = StartingPoints(
    "toy",
    "toy",
    (StartingPoint(1, "toy/checkpoint<b>", "unknown", "toy", 0.8, 0.07, -0.1, 0.2, 36),),
    1,
    ("a",),
    0.3,
    0.9,
    ("a <note> on checkpoints",),
)
NASTY = "<script>alert('$x$')</script>"


def ranked(
    rank: int, name: str, gain: float, *, p: float = 0.7, duplicate: bool = False
) -> RankedSource:
    reasons = (Reason("task type", "classification", gain / 2, "classification, as the target"),)
    shared = 0.25 if duplicate else 0.0
    evidence = Evidence(3, 2, ("toy",)) if name != NEW else Evidence()
    return RankedSource(
        name,
        name,
        False,
        rank,
        p,
        gain,
        gain - 0.1,
        gain + 0.1,
        reasons,
        evidence,
        shared,
        FACTS if name == NEW else None,
    )


@pytest.fixture
def recommendation() -> Recommendation:
    sources = (
        ranked(1, NASTY, 0.05, duplicate=True),
        ranked(2, "trec", -0.02, p=0.3),
        ranked(3, NEW, -0.03, p=0.3),
    )
    model = {
        "dataset": "toy", "method": "intermediate", "n_targets": 4, "n_outcomes": 12,
        "setting": NASTY, "encoders": ["toy", NASTY],
        "tables": ["toy-grid"],
        "figures": FIGURES, "reliability": [{"predicted": 0.7, "observed": 0.6, "n": 5}],
    }  # fmt: skip
    return Recommendation(
        NASTY,
        "text",
        verdict_of(sources, coverage=0.9, skill=0.5),
        sources,
        3,
        ("a note",),
        widened=2.0,
        model=model,
        checkpoints=CHECKPOINTS,
        sets=(RankedSet(f"{NASTY}>trec", (NASTY, "trec"), 0.015, -0.085, 0.115, -0.035),),
    )


def test_page_says_it_all_and_escapes_names(recommendation: Recommendation) -> None:
    text = render_recommendation(recommendation)
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    for said in (
        "+5.0 %",
        "−2.0 %",
        "70 %",
        "shares 25 % of the texts",
        "a note",
        "2.0 times as wide",
        "91 %; 90 %",
        "3 on 2 targets",
        "never tried",
        "12,000",
        "hf:toy/new&lt;b&gt;",
        "mit &amp; more",
        "toy/checkpoint&lt;b&gt;",
        "+7.0 %",
        "a &lt;note&gt; on checkpoints",
        "2 sources at once, one after the other, then the target",
        "&gt;trec",
        "+1.5 %",
        "−8.5 % to +11.5 %",
        "−3.5 %",
    ):
        assert said in text
    assert text.count("classification, as the target") == 3


def test_names_are_no_links_and_hide_nothing(recommendation: Recommendation) -> None:
    name = "javascript:alert(1)\"'>\x1b[31m\x9b2J\u202e"
    facts = replace(FACTS, hub=name)
    sources = tuple(replace(s, label=name, facts=facts) for s in recommendation.sources)
    changed = {"target": name, "verdict": name, "notes": (name,), "sources": sources}
    text = render_recommendation(replace(recommendation, **changed))
    assert r"javascript:alert(1)&#34;&#39;&gt;\x1b[31m" in text
    assert set(HIDDEN.findall(text)) <= {"\n"}
    # Figures refer to their own parts.
    assert not re.search(r"""(href|src|action)\s*=\s*["']?(?!["']?#)""", text)


def test_without_checkpoints_the_page_has_no_section_on_them(recommendation: Recommendation) -> None:
    assert 'id="checkpoints"' in render_recommendation(recommendation)
    assert 'id="checkpoints"' not in render_recommendation(replace(recommendation, checkpoints=None))
    none = StartingPoints("toy", notes=("none of toy",))
    text = render_recommendation(replace(recommendation, checkpoints=none))
    assert "none of toy" in text
    assert 'scope="col" class="text">checkpoint<' not in text


def test_the_plot_is_an_image_with_a_text(recommendation: Recommendation) -> None:
    text = render_recommendation(recommendation)
    assert 'role="img" aria-label="Expected gain of 3 sources' in text
    assert "with +5.0 %." in text


def test_a_recommendation_is_a_result(recommendation: Recommendation) -> None:
    columns = (
        "rank", "source", "probability", "expected_gain", "low", "high", "n_outcomes", "near_duplicate",
        "address", "train_size", "licence", "reasons_for", "reasons_against",
    )  # fmt: skip
    check_result(recommendation, columns)
    check_escaped(recommendation, NASTY)
    frame = recommendation.to_frame()
    assert frame["source"].tolist() == [NASTY, "trec", NEW]
    assert frame["address"].tolist() == ["", "", "hf:toy/new<b>"]
    reason = "task type: classification, as the target"
    assert frame["reasons_for"].tolist() == [reason, "", ""]
    assert frame["reasons_against"].tolist() == ["", reason, reason]


def test_values_of_a_source_that_was_never_tried(recommendation: Recommendation) -> None:
    tried, _, new = recommendation.to_dict()["sources"]
    assert (tried["n_outcomes"], tried["n_targets"], tried["encoders"]) == (3, 2, ["toy"])
    assert (tried["tried"], tried["address"], tried["hub"], tried["licence"]) == (True, "", None, None)
    assert (new["n_outcomes"], new["n_targets"], new["encoders"], new["tried"]) == (0, 0, [], False)
    assert (new["hub"], new["train_size"]) == ("toy/new<b>", 12000)
    assert recommendation.to_dict()["checkpoints"] == CHECKPOINTS.to_dict()
    assert "Checkpoints to start from in the place of toy" in str(recommendation)


def test_it_is_written_whole_or_not_at_all(recommendation: Recommendation, tmp_path: Path) -> None:
    path = write_recommendation(recommendation, tmp_path / "a.html")
    assert path.read_text(encoding="utf-8") == render_recommendation(recommendation)
    (tmp_path / "file").touch()
    with pytest.raises(InputError):
        write_recommendation(recommendation, tmp_path / "file" / "a.html")


def test_verdicts() -> None:
    good, bad = ranked(1, "a", 0.05), ranked(1, "b", 0.05, p=0.4)
    assert verdict_of((good, ranked(2, "c", 0.01)), coverage=0.9, skill=0.5).startswith("Try a first")
    assert "then c" in verdict_of((good, ranked(2, "c", 0.01)), coverage=0.9, skill=0.5)
    assert "A loss is possible" in verdict_of((good,), coverage=0.9, skill=0.5)
    assert verdict_of((bad,), coverage=0.9, skill=0.5).startswith("No source is likely to help")
    assert verdict_of((ranked(1, "a", -0.01),), coverage=0.9, skill=0.5).startswith(
        "No source is likely to help"
    )
    sure = RankedSource("a", "a", False, 1, 0.99, 0.3, 0.1, 0.5, (), Evidence(3))
    assert "no better than chance" in verdict_of((good,), coverage=0.9, skill=-0.02)
    assert "loss" not in verdict_of((sure,), coverage=0.9, skill=0.5)
