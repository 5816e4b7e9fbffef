"""Metrics of predictions by task type."""

from __future__ import annotations

import re
import string
import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from transfer_meta.records import TaskType
from transfer_meta.tasks.iob import find_spans

TASK_METRICS = {
    TaskType.CLASSIFICATION: ("accuracy", "macro_f1", "matthews"),
    TaskType.REGRESSION: ("pearson", "spearman"),
    TaskType.TOKEN_CLASSIFICATION: ("entity_f1", "token_accuracy"),
    TaskType.QUESTION_ANSWERING: ("f1", "exact_match"),
    TaskType.MULTIPLE_CHOICE: ("accuracy",),
    TaskType.GENERATION: ("f1", "exact_match", "rouge_l", "chrf", "bleu"),
}
"""Metrics that can be the score of a run, by task type; the first one available is the main metric.

That of generation is the F1 over words: scores of runs must not depend on which packages a machine has, as ROUGE-L,
chrF and BLEU would (see `text_metrics`).
"""


def on_unit_scale(metric: str, value: float) -> float:
    """Return a metric's value on 0-1: negative or undefined correlations become 0.

    The signed value remains in the run's scores.  (1 + r) / 2 would keep the sign, but gains would not be
    comparable with the literature, which reports r.

    Examples
    --------
    >>> on_unit_scale("pearson", -0.2), on_unit_scale("accuracy", 0.7)
    (0.0, 0.7)
    """
    if metric in ("pearson", "spearman", "matthews"):
        return max(0.0, value) if np.isfinite(value) else 0.0
    return value


def classification_scores(gold: ArrayLike | Sequence[Any], predicted: ArrayLike) -> dict[str, float]:
    """Return accuracy, macro F1 over classes in either argument, and Matthews correlation (-1 to 1)."""
    from sklearn.metrics import f1_score, matthews_corrcoef

    gold, predicted = np.asarray(gold), np.asarray(predicted)
    return {
        "accuracy": float(np.mean(gold == predicted)),
        "macro_f1": float(f1_score(gold, predicted, average="macro", zero_division=0)),
        "matthews": float(matthews_corrcoef(gold, predicted)),
    }


def regression_scores(gold: ArrayLike | Sequence[Any], predicted: ArrayLike) -> dict[str, float]:
    """Return Pearson and Spearman correlation (-1 to 1); NaN if either argument is constant."""
    from scipy.stats import pearsonr, spearmanr

    gold, predicted = np.asarray(gold, dtype=float), np.asarray(predicted, dtype=float)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # constant input, visible as NaN
        return {
            "pearson": float(pearsonr(gold, predicted).statistic),
            "spearman": float(spearmanr(gold, predicted).statistic),
        }


def choice_scores(gold: ArrayLike | Sequence[Any], predicted: ArrayLike) -> dict[str, float]:
    """Return the accuracy of chosen indices."""
    return {"accuracy": float(np.mean(np.asarray(gold) == np.asarray(predicted)))}


def tagging_scores(
    gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], *, entities: bool
) -> dict[str, float]:
    """Return token accuracy and, with `entities`, micro-averaged precision, recall and F1 of entities.

    An entity is correct if first token, last token and class agree, as in CoNLL-2000's conlleval and in
    seqeval's default mode.  F1 is 0 if neither argument has an entity.
    """
    pairs = [
        (g, p) for gs, ps in zip(gold, predicted, strict=True) for g, p in zip(gs, ps, strict=True)
    ]
    scores = {"token_accuracy": sum(g == p for g, p in pairs) / max(len(pairs), 1)}
    if entities:
        gold_spans = {(n, *span) for n, tags in enumerate(gold) for span in find_spans(tags)}
        predicted_spans = {(n, *span) for n, tags in enumerate(predicted) for span in find_spans(tags)}
        found = len(gold_spans & predicted_spans)
        scores["entity_precision"] = found / max(len(predicted_spans), 1)
        scores["entity_recall"] = found / max(len(gold_spans), 1)
        scores["entity_f1"] = 2 * found / max(len(gold_spans) + len(predicted_spans), 1)
    return scores


def answer_scores(gold: Sequence[Sequence[str]], predicted: Sequence[str]) -> dict[str, float]:
    """Return exact match and token F1 as in SQuAD: the maximum over gold answers, averaged over questions.

    For a question without gold answers, the empty prediction is correct.
    """
    exact, f1 = [], []
    for answers, guess in zip(gold, predicted, strict=True):
        golds = [normalise_answer(answer) for answer in answers] or [""]
        normal = normalise_answer(guess)
        exact.append(max(float(normal == answer) for answer in golds))
        f1.append(max(_token_f1(answer, normal) for answer in golds))
    return {"exact_match": float(np.mean(exact)), "f1": float(np.mean(f1))}


def normalise_answer(text: str) -> str:
    """Return an answer in lower case without punctuation, articles and extra spaces (Rajpurkar et al. 2016).

    Examples
    --------
    >>> normalise_answer("The  U.S. Army!")
    'us army'
    """
    text = text.lower().translate(str.maketrans("", "", string.punctuation))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def _token_f1(gold: str, predicted: str) -> float:
    """Return the token F1 of two normalised answers."""
    gold_tokens, predicted_tokens = gold.split(), predicted.split()
    if not gold_tokens or not predicted_tokens:
        return float(gold_tokens == predicted_tokens)
    common = sum((Counter(gold_tokens) & Counter(predicted_tokens)).values())
    return 2 * common / (len(gold_tokens) + len(predicted_tokens))


def main_metric(type: TaskType, scores: dict[str, Any]) -> str:
    """Return the main metric of a task type among those in `scores`."""
    return next(metric for metric in TASK_METRICS[type] if metric in scores)
