"""Metrics of written texts, against the packages and against definitions."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfer_meta.errors import InputError
from transfer_meta.records import TaskType
from transfer_meta.training import text_metrics
from transfer_meta.training.task_metrics import TASK_METRICS, answer_scores, main_metric
from transfer_meta.training.text_metrics import (
    check_text_metrics,
    installed_text_metrics,
    text_scores,
)

METRICS = TASK_METRICS[TaskType.GENERATION]
WITHOUT_PACKAGES = ("f1", "exact_match")
TEXTS = st.lists(st.sampled_from(["rain", "the", "sun.", "on", "Hügel", "雨"]), max_size=7).map(
    " ".join
)
PAIRS = st.lists(st.tuples(st.lists(TEXTS, min_size=1, max_size=3), TEXTS), min_size=1, max_size=5)


@pytest.fixture
def _packages() -> None:
    pytest.importorskip("rouge_score")
    pytest.importorskip("sacrebleu")


@pytest.mark.usefixtures("_packages")
@given(PAIRS)
@settings(max_examples=50, deadline=None)
def test_all_metrics_are_on_the_unit_scale(pairs: list[tuple[list[str], str]]) -> None:
    references, predicted = [texts for texts, _ in pairs], [guess for _, guess in pairs]
    scores = text_scores(references, predicted)
    assert tuple(scores) == METRICS
    assert all(0 <= score <= 1 for score in scores.values())
    squad = answer_scores(references, predicted)
    assert {name: scores[name] for name in squad} == squad


@pytest.mark.usefixtures("_packages")
def test_right_texts_have_the_best_scores() -> None:
    texts = ["light rain on the hills", "sun and a little wind in the west"]
    assert text_scores([["none", text] for text in texts], texts) == pytest.approx(
        dict.fromkeys(METRICS, 1.0)
    )


@pytest.mark.usefixtures("_packages")
def test_rouge_l_is_that_of_its_package_on_ascii_and_knows_other_letters() -> None:
    from rouge_score.rouge_scorer import RougeScorer

    references = [["Light rain, on 3 hills!", "snow"], ["sun_shine over-all"]]
    predicted = ["rain on the 3 hills", "over all sun"]
    scorer = RougeScorer(["rougeL"])
    expected = [
        max(scorer.score(text, guess)["rougeL"].fmeasure for text in texts)
        for texts, guess in zip(references, predicted, strict=True)
    ]
    assert text_scores(references, predicted, metrics=["rouge_l"]) == {
        "rouge_l": pytest.approx(sum(expected) / 2)
    }
    assert text_scores([["дождь идёт"]], ["дождь"], metrics=["rouge_l"])["rouge_l"] == pytest.approx(
        2 / 3
    )


@pytest.mark.usefixtures("_packages")
def test_chrf_and_bleu_are_those_of_sacrebleu() -> None:
    import sacrebleu

    references = [
        ["the cat sat on the mat", "a cat sat on a mat"],
        ["rain fell all day long in the hills"],
    ]
    predicted = ["the cat sat on a mat", "rain fell all night long in the hills"]
    streams: list[Any] = [[texts[0] for texts in references], [references[0][1], None]]
    scores = text_scores(references, predicted, metrics=["bleu", "chrf"])
    assert list(scores) == ["chrf", "bleu"]
    assert scores["bleu"] == pytest.approx(sacrebleu.corpus_bleu(predicted, streams).score / 100)
    assert scores["chrf"] == pytest.approx(sacrebleu.corpus_chrf(predicted, streams).score / 100)
    assert 0.5 < scores["bleu"] < scores["chrf"] < 1


def test_another_reference_can_only_help() -> None:
    one = text_scores([["rain"]], ["sun"], metrics=WITHOUT_PACKAGES)
    two = text_scores([["rain", "the sun"]], ["sun"], metrics=WITHOUT_PACKAGES)
    assert (one, two) == ({"f1": 0.0, "exact_match": 0.0}, {"f1": 1.0, "exact_match": 1.0})


def test_without_the_packages_the_main_metric_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name in ("rouge_score", "sacrebleu") else found(name, *rest),
    )
    assert installed_text_metrics() == WITHOUT_PACKAGES
    scores = text_scores([["rain"]], ["rain"])
    assert tuple(scores) == WITHOUT_PACKAGES
    assert main_metric(TaskType.GENERATION, scores) == METRICS[0]
    with pytest.raises(
        InputError, match=r"needs rouge_score.*pip install 'transfer-meta\[generation\]'"
    ):
        text_scores([["rain"]], ["rain"], metrics=["rouge_l"])
    with pytest.raises(InputError, match="needs sacrebleu"):
        check_text_metrics(["bleu"])


def test_what_cannot_be_scored_is_refused() -> None:
    with pytest.raises(InputError, match="unknown metric 'rouge'.*did you mean 'rouge_l'"):
        text_scores([["a"]], ["a"], metrics=["rouge"])
    with pytest.raises(ValueError, match="at least one reference"):
        text_scores([[]], ["a"])
    with pytest.raises(ValueError, match="at least one reference"):
        text_scores([["a"]], ["a", "b"])


def test_every_package_is_in_the_extra() -> None:
    assert set(text_metrics.PACKAGE_OF_METRIC) == set(METRICS) - set(WITHOUT_PACKAGES)
