"""Scores of predictions, by task type; the main one of each type is on 0-1."""

from __future__ import annotations

import re
import string
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from transfer_meta.records import TaskType

# Each type's metric that decides; token classification without entity tags has `token_accuracy`.
MAIN_METRICS = {
    TaskType.CLASSIFICATION: "accuracy",
    TaskType.REGRESSION: "pearson",
    TaskType.TOKEN_CLASSIFICATION: "entity_f1",
    TaskType.QUESTION_ANSWERING: "f1",
    TaskType.MULTIPLE_CHOICE: "accuracy",
}


def on_unit_scale(metric: str, value: float) -> float:
    """A main metric's value on 0-1: a correlation below zero counts as 0, as does an undefined one.

    The signed value stays in the run's other scores.  (1 + r) / 2 would keep the sign, yet make gains
    incomparable with the literature, which reports r.

    Examples
    --------
    >>> on_unit_scale("pearson", -0.2), on_unit_scale("accuracy", 0.7)
    (0.0, 0.7)
    """
    if metric in ("pearson", "spearman", "matthews"):
        return max(0.0, value) if np.isfinite(value) else 0.0
    return value


def classification_scores(gold: ArrayLike | Sequence[Any], predicted: ArrayLike) -> dict[str, float]:
    """Accuracy, macro F1 over the classes that occur in either, and Matthews correlation (-1 to 1)."""
    from sklearn.metrics import f1_score, matthews_corrcoef

    gold, predicted = np.asarray(gold), np.asarray(predicted)
    return {
        "accuracy": float(np.mean(gold == predicted)),
        "macro_f1": float(f1_score(gold, predicted, average="macro", zero_division=0)),
        "matthews": float(matthews_corrcoef(gold, predicted)),
    }


def regression_scores(gold: ArrayLike | Sequence[Any], predicted: ArrayLike) -> dict[str, float]:
    """Pearson and Spearman correlation (-1 to 1); NaN where either side is constant."""
    from scipy.stats import pearsonr, spearmanr

    gold, predicted = np.asarray(gold, dtype=float), np.asarray(predicted, dtype=float)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # constant input, told by the NaN
        return {
            "pearson": float(pearsonr(gold, predicted).statistic),
            "spearman": float(spearmanr(gold, predicted).statistic),
        }


def choice_scores(gold: ArrayLike | Sequence[Any], predicted: ArrayLike) -> dict[str, float]:
    """Accuracy of the chosen index."""
    return {"accuracy": float(np.mean(np.asarray(gold) == np.asarray(predicted)))}


def tagging_scores(
    gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], *, entities: bool
) -> dict[str, float]:
    """Token accuracy, and with `entities` micro-averaged precision, recall and F1 of whole entities.

    An entity counts as found where first token, last token and class all agree (the definition of
    CoNLL-2000's conlleval and of seqeval's default mode).  F1 is 0 where neither side has an entity.
    """
    pairs = [
        (g, p) for gs, ps in zip(gold, predicted, strict=True) for g, p in zip(gs, ps, strict=True)
    ]
    scores = {"token_accuracy": sum(g == p for g, p in pairs) / max(len(pairs), 1)}
    if entities:
        gold_spans = {(n, *span) for n, tags in enumerate(gold) for span in entity_spans(tags)}
        predicted_spans = {
            (n, *span) for n, tags in enumerate(predicted) for span in entity_spans(tags)
        }
        found = len(gold_spans & predicted_spans)
        scores["entity_precision"] = found / max(len(predicted_spans), 1)
        scores["entity_recall"] = found / max(len(gold_spans), 1)
        scores["entity_f1"] = 2 * found / max(len(gold_spans) + len(predicted_spans), 1)
    return scores


def entity_spans(tags: Iterable[str]) -> list[tuple[str, int, int]]:
    """Entities of one sentence as (class, first token, last token).

    A token goes on with the entity before it where it is tagged I or E, the token before it B or I, and
    the classes agree; any other tag but O begins a new one.

    Examples
    --------
    >>> entity_spans(["B-PER", "I-PER", "O", "I-LOC", "I-PER"])
    [('PER', 0, 1), ('LOC', 3, 3), ('PER', 4, 4)]
    """
    spans: list[tuple[str, int, int]] = []
    before, class_before = "O", ""
    for index, tag in enumerate(tags):
        mark, _, entity = tag.partition("-")
        if mark in {"I", "E"} and before in {"B", "I"} and entity == class_before:
            spans[-1] = (entity, spans[-1][1], index)
        elif mark != "O":
            spans.append((entity, index, index))
        before, class_before = mark, entity
    return spans


def answer_scores(gold: Sequence[Sequence[str]], predicted: Sequence[str]) -> dict[str, float]:
    """Exact match and token F1 of SQuAD: the best over each question's gold answers, then the mean.

    A question without gold answers is right exactly where the prediction is empty.
    """
    exact, f1 = [], []
    for answers, guess in zip(gold, predicted, strict=True):
        golds = [normalise_answer(answer) for answer in answers] or [""]
        normal = normalise_answer(guess)
        exact.append(max(float(normal == answer) for answer in golds))
        f1.append(max(_token_f1(answer, normal) for answer in golds))
    return {"exact_match": float(np.mean(exact)), "f1": float(np.mean(f1))}


def normalise_answer(text: str) -> str:
    """Lower case, without punctuation, articles and superfluous blanks (Rajpurkar et al. 2016).

    Examples
    --------
    >>> normalise_answer("The  U.S. Army!")
    'us army'
    """
    text = text.lower().translate(str.maketrans("", "", string.punctuation))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def _token_f1(gold: str, predicted: str) -> float:
    """Harmonic mean of the shares of tokens that two normalised answers have in common."""
    gold_tokens, predicted_tokens = gold.split(), predicted.split()
    if not gold_tokens or not predicted_tokens:
        return float(gold_tokens == predicted_tokens)
    common = sum((Counter(gold_tokens) & Counter(predicted_tokens)).values())
    return 2 * common / (len(gold_tokens) + len(predicted_tokens))


def main_metric(type: TaskType, scores: dict[str, Any]) -> str:
    """Name of the metric that decides for a task type, given which ones its labels allow."""
    name = MAIN_METRICS[type]
    return name if name in scores else "token_accuracy"
