"""Statistics of the answers of generation tasks, one function per number; other types have none of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from transfer_meta.features.missing import MissingError
from transfer_meta.features.text.answer_counts import AnswerCounts
from transfer_meta.features.text.statistics import STATISTICS, Corpus
from transfer_meta.records import TaskType


def answer_length_ratio(corpus: Corpus) -> float:
    """Return the tokens of the training answers / the tokens of their inputs."""
    answers = _answers(corpus)
    if not answers.input_tokens:
        raise MissingError("no tokens in the train split")
    return answers.answer_tokens / answers.input_tokens


def answer_novelty_1(corpus: Corpus) -> float:
    """Return the share of the training answers' words that are not in their input, 0-1 (See et al. 2017).

    Each word of an answer counts once; the instruction is part of the input.

    References
    ----------
    See et al. 2017, "Get to the point: summarization with pointer-generator networks".
    """
    return _novelty(corpus, 1)


def answer_novelty_2(corpus: Corpus) -> float:
    """Return the share of the training answers' pairs of neighbouring words that their input lacks, 0-1."""
    return _novelty(corpus, 2)


def answer_start_entropy(corpus: Corpus) -> float:
    """Return -Σ p ln p over the first words of the training answers, in nats.

    It is low where answers begin alike, as those of a fixed form do.
    """
    counts = np.array(list(_answers(corpus).first_words.values()), dtype=float)
    if not len(counts):
        raise MissingError("no answer has a word")
    shares = counts / counts.sum()
    return abs(float(shares @ np.log(shares)))


def answer_distinct_share(corpus: Corpus) -> float:
    """Return the number of different training answers / that of all; low where answers are classes in disguise.

    Exact up to 2¹⁸ different answers, as `duplicate_rate` is.
    """
    return 1 - _answers(corpus).distinct.duplicate_rate()


ANSWER_STATISTICS: dict[str, Callable[[Corpus], float]] = {
    function.__name__: function
    for function in (
        answer_length_ratio,
        answer_novelty_1,
        answer_novelty_2,
        answer_start_entropy,
        answer_distinct_share,
    )
}

ANSWER_STATISTIC_UNITS: dict[str, str] = {
    "answer_length_ratio": "tokens per token",
    "answer_novelty_1": "0–1",
    "answer_novelty_2": "0–1",
    "answer_start_entropy": "nats",
    "answer_distinct_share": "0–1",
}
"""Unit or range of each of `ANSWER_STATISTICS`."""


def statistics_of(type: TaskType) -> dict[str, Callable[[Corpus], float]]:
    """Return the statistics of a task type by name; those of answers for generation alone.

    Profiles of other types have the columns that tables and fitted models know.
    """
    return {**STATISTICS, **ANSWER_STATISTICS} if type is TaskType.GENERATION else STATISTICS


def _answers(corpus: Corpus) -> AnswerCounts:
    if corpus.type is not TaskType.GENERATION:
        raise MissingError(f"the answers of {corpus.type} are no texts")
    if not corpus.train.answers.n:
        raise MissingError("no answers in the train split")
    return corpus.train.answers


def _novelty(corpus: Corpus, n: int) -> float:
    answers = _answers(corpus)
    if not answers.grams[n - 1]:
        raise MissingError(f"no answer has {n} words")
    return answers.novel[n - 1] / answers.grams[n - 1]
