from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfer_meta.records import TaskType
from transfer_meta.training.task_metrics import (
    TASK_METRICS,
    answer_scores,
    choice_scores,
    classification_scores,
    main_metric,
    normalise_answer,
    on_unit_scale,
    regression_scores,
    tagging_scores,
)

TAGS = st.sampled_from(["O", *(f"{mark}-{kind}" for mark in "BIES" for kind in ("PER", "LOC"))])
SENTENCES = st.lists(st.lists(st.tuples(TAGS, TAGS), min_size=1, max_size=8), min_size=1, max_size=5)


@given(SENTENCES)
@settings(max_examples=100, deadline=None)
@pytest.mark.filterwarnings("ignore")
def test_entity_scores_are_seqevals(sentences: list[list[tuple[str, str]]]) -> None:
    from seqeval.metrics import accuracy_score, f1_score, precision_score, recall_score

    gold = [[tag for tag, _ in sentence] for sentence in sentences]
    predicted = [[tag for _, tag in sentence] for sentence in sentences]
    scores = tagging_scores(gold, predicted, entities=True)
    assert scores["entity_f1"] == pytest.approx(f1_score(gold, predicted, zero_division=0))
    assert scores["entity_precision"] == pytest.approx(
        precision_score(gold, predicted, zero_division=0)
    )
    assert scores["entity_recall"] == pytest.approx(recall_score(gold, predicted, zero_division=0))
    assert scores["token_accuracy"] == pytest.approx(accuracy_score(gold, predicted))


def test_classification_by_hand() -> None:
    scores = classification_scores(["a", "a", "b", "b"], ["a", "b", "b", "b"])
    assert scores["accuracy"] == 0.75
    assert scores["macro_f1"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    # (TP x TN - FP x FN) / sqrt(...) with b positive: 2 x 1 - 1 x 0 over sqrt(3 x 2 x 2 x 1)
    assert scores["matthews"] == pytest.approx(2 / np.sqrt(12))


def test_a_class_that_is_never_right_counts_in_macro_f1() -> None:
    assert classification_scores(["a", "a"], ["a", "b"])["macro_f1"] == pytest.approx((2 / 3 + 0) / 2)


def test_correlations_by_hand() -> None:
    gold, predicted = [1.0, 2.0, 3.0, 4.0], [1.0, 4.0, 9.0, 16.0]
    scores = regression_scores(gold, predicted)
    centred = [np.array(v) - np.mean(v) for v in (gold, predicted)]
    expected = centred[0] @ centred[1] / np.sqrt((centred[0] @ centred[0]) * (centred[1] @ centred[1]))
    assert scores["pearson"] == pytest.approx(expected)
    assert scores["spearman"] == pytest.approx(1.0)


def test_constant_predictions_have_no_correlation_and_count_as_zero() -> None:
    scores = regression_scores([1.0, 2.0, 3.0], [1.0, 1.0, 1.0])
    assert np.isnan(scores["pearson"])
    assert on_unit_scale("pearson", scores["pearson"]) == 0.0


def test_main_metrics_are_on_the_unit_scale() -> None:
    assert set(TASK_METRICS) == set(TaskType)
    assert on_unit_scale("matthews", -0.5) == 0.0
    assert on_unit_scale("pearson", 0.5) == 0.5
    assert main_metric(TaskType.TOKEN_CLASSIFICATION, {"token_accuracy": 0.9}) == "token_accuracy"
    both = {"token_accuracy": 0.9, "entity_f1": 0.4}
    assert main_metric(TaskType.TOKEN_CLASSIFICATION, both) == "entity_f1"


@pytest.mark.parametrize(
    ("text", "normal"),
    [("The Cat's  hat.", "cats hat"), ("an apple", "apple"), ("Theatre", "theatre"), ("A.", "")],
)
def test_answers_are_normalised_as_in_squad(text: str, normal: str) -> None:
    assert normalise_answer(text) == normal


def test_answer_scores_take_the_best_gold_answer() -> None:
    gold = [["the big cat", "dog"], ["red house"], [], []]
    scores = answer_scores(gold, ["Dog!", "red roof", "", "something"])
    assert scores["exact_match"] == pytest.approx((1 + 0 + 1 + 0) / 4)
    assert scores["f1"] == pytest.approx((1 + 0.5 + 1 + 0) / 4)


def test_choices() -> None:
    assert choice_scores([0, 1, 2, 2], [0, 1, 1, 2]) == {"accuracy": 0.75}
