"""Metrics of written texts against reference texts, each on 0-1."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any

from transfer_meta.errors import require, unknown
from transfer_meta.records import TaskType
from transfer_meta.training.task_metrics import TASK_METRICS, answer_scores

GENERATION_EXTRA = "generation"
"""Extra that installs the packages of `PACKAGE_OF_METRIC`."""
PACKAGE_OF_METRIC = {"rouge_l": "rouge_score", "chrf": "sacrebleu", "bleu": "sacrebleu"}
_WORD = re.compile(r"[^\W_]+")


def check_text_metrics(metrics: Collection[str]) -> None:
    """Raise an InputError for an unknown metric of generation, or one whose package is not installed."""
    for metric in metrics:
        if metric not in TASK_METRICS[TaskType.GENERATION]:
            raise unknown("metric", metric, TASK_METRICS[TaskType.GENERATION])
        if metric in PACKAGE_OF_METRIC:
            require(PACKAGE_OF_METRIC[metric], extra=GENERATION_EXTRA)


def installed_text_metrics() -> tuple[str, ...]:
    """Return the metrics of generation whose packages are installed."""
    import importlib.util

    return tuple(
        metric
        for metric in TASK_METRICS[TaskType.GENERATION]
        if metric not in PACKAGE_OF_METRIC or importlib.util.find_spec(PACKAGE_OF_METRIC[metric])
    )


def text_scores(
    references: Sequence[Sequence[str]],
    predicted: Sequence[str],
    *,
    metrics: Collection[str] | None = None,
) -> dict[str, float]:
    """Return the metrics of texts, each compared with the reference that fits best.

    ``exact_match`` and ``f1`` (over words) as in SQuAD, ``rouge_l`` (F-measure of the longest common subsequence,
    of words in letters of any script) are means over the texts; ``chrf`` and ``bleu`` are those of the whole corpus
    as sacreBLEU computes them by default, divided by 100.  BLEU is 0 where no text has four words in common with a
    reference.

    Parameters
    ----------
    references : sequence of sequence of str
        Reference texts of each text, one at least.
    predicted : sequence of str
    metrics : collection of str, optional
        Names of those to compute; by default all whose packages are installed.

    Raises
    ------
    InputError
        An unknown metric, or one whose package is not installed.

    Examples
    --------
    >>> text_scores([["light rain", "drizzle"], ["sun"]], ["Drizzle.", "snow"], metrics=["exact_match", "f1"])
    {'f1': 0.5, 'exact_match': 0.5}

    References
    ----------
    Rajpurkar et al. 2016, "SQuAD"; Lin 2004, "ROUGE"; Popović 2015, "chrF"; Papineni et al. 2002, "BLEU"; Post
    2018, "A call for clarity in reporting BLEU scores".
    """
    if len(references) != len(predicted) or not all(references):
        raise ValueError("expected a predicted text and at least one reference for each example")
    wanted = installed_text_metrics() if metrics is None else metrics
    check_text_metrics(wanted)
    found = answer_scores(references, predicted) if {"f1", "exact_match"} & set(wanted) else {}
    if "rouge_l" in wanted:
        found["rouge_l"] = _rouge_l(references, predicted)
    if {"chrf", "bleu"} & set(wanted):
        from sacrebleu.metrics import BLEU, CHRF

        # One list for the first references, one for the second, …: None where a text has no more.
        streams: list[list[Any]] = [
            [texts[i] if i < len(texts) else None for texts in references]
            for i in range(max(map(len, references), default=0))
        ]
        for metric, score in (("chrf", CHRF), ("bleu", BLEU)):
            if metric in wanted:
                found[metric] = min(score().corpus_score(list(predicted), streams).score / 100, 1.0)
    return {metric: found[metric] for metric in TASK_METRICS[TaskType.GENERATION] if metric in wanted}


class _Words:
    """Splits texts into words for ROUGE: its own way on ASCII, which would drop letters of all other scripts."""

    def tokenize(self, text: str) -> list[str]:
        return _WORD.findall(text.lower())


def _rouge_l(references: Sequence[Sequence[str]], predicted: Sequence[str]) -> float:
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"], tokenizer=_Words())
    scores = [
        scorer.score_multi(list(texts), guess)["rougeL"].fmeasure
        for texts, guess in zip(references, predicted, strict=True)
    ]
    return float(sum(scores) / len(scores))
