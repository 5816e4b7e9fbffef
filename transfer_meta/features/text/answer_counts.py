"""Counts of the answers of generation tasks against their inputs, added up over chunks of examples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from transfer_meta.features.text.hashing import HashArray, HashSample, hash_strings
from transfer_meta.records import Label

LONGEST_GRAM = 2
"""Novelty is counted for n-grams of 1 to this many tokens."""


@dataclass(frozen=True)
class ChunkAnswers:
    """Counts of the answers of one chunk, the first reference of each example.

    Parameters
    ----------
    input_tokens, answer_tokens : int
        Tokens of the examples that have an answer, and of the answers.
    grams, novel : tuple of int
        Distinct n-grams of each answer, n = 1 to `LONGEST_GRAM`, and those of them that its input lacks.
    first_words : Counter
        Number of answers by first token.
    hashes : array of shape (answers,)
    """

    input_tokens: int
    answer_tokens: int
    grams: tuple[int, ...]
    novel: tuple[int, ...]
    first_words: Counter[str]
    hashes: HashArray


@dataclass
class AnswerCounts:
    """The counts of `ChunkAnswers` of a split; `distinct` holds the answers by hash."""

    n: int = 0
    input_tokens: int = 0
    answer_tokens: int = 0
    grams: list[int] = field(default_factory=lambda: [0] * LONGEST_GRAM)
    novel: list[int] = field(default_factory=lambda: [0] * LONGEST_GRAM)
    first_words: Counter[str] = field(default_factory=Counter)
    distinct: HashSample = field(default_factory=HashSample)

    def add(self, chunk: ChunkAnswers) -> None:
        """Add the counts of a chunk."""
        self.n += len(chunk.hashes)
        self.input_tokens += chunk.input_tokens
        self.answer_tokens += chunk.answer_tokens
        self.grams = [a + b for a, b in zip(self.grams, chunk.grams, strict=True)]
        self.novel = [a + b for a, b in zip(self.novel, chunk.novel, strict=True)]
        self.first_words.update(chunk.first_words)
        self.distinct.add(chunk.hashes, np.zeros_like(chunk.hashes))


def count_answers(
    labels: Sequence[Label],
    inputs: Iterable[Sequence[int]],
    types: Sequence[str],
    tokenize: Callable[[str], Sequence[str]],
) -> ChunkAnswers:
    """Count the answers of a chunk.

    Parameters
    ----------
    labels : sequence
        Reference texts of each example; None where there is none.
    inputs : iterable of sequence of int
        Tokens of each example's texts, as indices of `types`.
    types : sequence of str
        The distinct tokens of the inputs.
    tokenize : callable
        From a text to its tokens.
    """
    number = {token: index for index, token in enumerate(types)}
    input_tokens = answer_tokens = 0
    grams, novel = [0] * LONGEST_GRAM, [0] * LONGEST_GRAM
    first_words: Counter[str] = Counter()
    answers: list[str] = []
    for label, given in zip(labels, inputs, strict=True):
        if not isinstance(label, tuple) or not label:
            continue
        answer = str(label[0])
        answers.append(answer)
        tokens = tokenize(answer)
        first_words.update(tokens[:1])
        input_tokens += len(given)
        answer_tokens += len(tokens)
        ids = [number.setdefault(token, len(number)) for token in tokens]
        for n in range(1, LONGEST_GRAM + 1):
            own = set(_grams(ids, n))
            grams[n - 1] += len(own)
            novel[n - 1] += len(own.difference(_grams(given, n)))
    return ChunkAnswers(
        input_tokens, answer_tokens, tuple(grams), tuple(novel), first_words, hash_strings(answers)
    )


def _grams(ids: Sequence[int], n: int) -> Iterable[tuple[int, ...]]:
    """Return the n-grams of a sequence."""
    return zip(*(ids[start:] for start in range(n)), strict=False)
