"""Counts of one split in one pass: tokens, lengths, labels and repeated examples.

Chunks of examples are counted independently, possibly in several processes, and their counts are added.  Memory
is needed for a chunk and for the vocabulary, not for the corpus.
"""

from __future__ import annotations

import gc
import itertools
import math
from array import array
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from transfer_meta.features.text.answer_counts import AnswerCounts, ChunkAnswers, count_answers
from transfer_meta.features.text.hashing import CountArray, HashArray, HashSample, hash_strings
from transfer_meta.features.text.tokenize import Tokenize, normalize_tokens, tokenize
from transfer_meta.records import Example, Label, TaskType

OnExamples = Callable[[int], None]

CHUNK_CHARACTERS = 4_000_000
CHUNK_EXAMPLES = 50_000
"""Size of a chunk; counting takes about ten bytes of memory per character."""

MAX_EXACT_TARGETS = 2**16
"""Number of distinct regression targets above which targets are rounded (see `_round`)."""


class Chunk(NamedTuple):
    """Columns of some examples, cheap to send to another process.

    `texts` holds all texts of an example, one per line, `pair_lengths` the number of characters of `text_pair`.
    """

    texts: list[str]
    labels: list[Label]
    tokens: list[tuple[str, ...]]
    pair_lengths: list[int]


@dataclass(frozen=True)
class ChunkCounts:
    """Counts of one chunk of n examples.

    Parameters
    ----------
    types : list of str
        The distinct tokens.
    counts, documents : array of shape (len(types),)
        Occurrences of each token, and number of examples that contain it.
    lengths : array of shape (n,)
        Tokens per example.
    square_sum : int
        Sum of the squared entries of the example-term matrix.
    labels : Counter
        See `label_units`.
    texts, words, targets : array of shape (n,)
        Hashes of the examples' texts, bags of words, and labels.
    answers : ChunkAnswers or None
        Counts of the answers of generation; None for other types.
    """

    types: list[str]
    counts: CountArray
    documents: CountArray
    lengths: CountArray
    square_sum: int
    labels: Counter[str | float]
    texts: HashArray
    words: HashArray
    targets: HashArray
    answers: ChunkAnswers | None = None


class SplitCounts:
    """Counts of one split, accumulated over chunks.

    Attributes
    ----------
    n_examples, n_tokens, square_sum : int
    types : dict of str to int
        Row of each token in `counts` and `documents`.
    counts, documents : array of shape (len(types),)
        Occurrences of each token, and number of examples that contain it.
    lengths : Counter of int
        Number of examples by number of tokens.
    labels : Counter
        Number of units (examples, tokens) by label.
    texts, words : HashSample
        Repeated examples by exact text, and by bag of words.
    answers : AnswerCounts
        Counts of the answers of generation.
    """

    def __init__(self) -> None:
        self.n_examples = self.n_tokens = self.square_sum = 0
        self.types: dict[str, int] = {}
        self.counts: CountArray = np.zeros(0, dtype=np.int64)
        self.documents: CountArray = np.zeros(0, dtype=np.int64)
        self.lengths: Counter[int] = Counter()
        self.labels: Counter[str | float] = Counter()
        self.texts = HashSample()
        self.words = HashSample()
        self.answers = AnswerCounts()

    def add(self, chunk: ChunkCounts) -> None:
        """Add the counts of a chunk."""
        rows = np.array([self.types.setdefault(t, len(self.types)) for t in chunk.types], dtype=np.intp)
        grown = np.zeros((2, len(self.types)), dtype=np.int64)
        grown[:, : len(self.counts)] = self.counts, self.documents
        grown[0, rows] += chunk.counts
        grown[1, rows] += chunk.documents
        self.counts, self.documents = grown
        self.n_examples += len(chunk.lengths)
        self.n_tokens += int(chunk.lengths.sum())
        self.square_sum += chunk.square_sum
        lengths, frequencies = np.unique(chunk.lengths, return_counts=True)
        self.lengths.update(dict(zip(lengths.tolist(), frequencies.tolist(), strict=True)))
        self.labels.update(chunk.labels)
        if len(self.labels) > MAX_EXACT_TARGETS:
            self.labels = _round(self.labels)
        self.texts.add(chunk.texts, chunk.targets)
        self.words.add(chunk.words, np.zeros_like(chunk.words))
        if chunk.answers is not None:
            self.answers.add(chunk.answers)


def count_split(
    examples: Iterable[Example],
    type: TaskType,
    *,
    tokenize: Tokenize = tokenize,
    workers: int = 1,
    on_examples: OnExamples | None = None,
) -> SplitCounts:
    """Count a split in one pass.

    Parameters
    ----------
    examples : iterable of Example
    type : TaskType
    tokenize : callable
        From a text to its tokens; not applied to token classification, which has tokens.
    workers : int
        Number of processes.  More than one requires a picklable `tokenize` and an importable main module.
    on_examples : callable or None
        Called with the number of examples counted so far.

    Examples
    --------
    >>> split = count_split([Example("a fine film", "good"), Example("no film", "bad")], TaskType.CLASSIFICATION)
    >>> split.n_tokens, split.counts[split.types["film"]], split.labels["good"]
    (5, np.int64(2), 1)
    """
    total = SplitCounts()
    for chunk in _count_all(chunked(examples), type, tokenize, workers):
        total.add(chunk)
        if on_examples is not None:
            on_examples(total.n_examples)
    return total


def chunked(examples: Iterable[Example]) -> Iterator[Chunk]:
    """Yield chunks of at most `CHUNK_EXAMPLES` examples and about `CHUNK_CHARACTERS` characters."""
    chunk = Chunk([], [], [], [])
    characters = 0
    for text, label, text_pair, choices, tokens in examples:
        chunk.pair_lengths.append(len(text_pair or ""))
        if text_pair is not None or choices:
            text = "\n".join([text, text_pair or "", *choices])
        chunk.texts.append(text)
        chunk.labels.append(label)
        chunk.tokens.append(tokens)
        characters += len(text)
        if characters >= CHUNK_CHARACTERS or len(chunk.texts) == CHUNK_EXAMPLES:
            yield chunk
            chunk, characters = Chunk([], [], [], []), 0
    if chunk.texts:
        yield chunk


def _count_all(
    chunks: Iterable[Chunk], type: TaskType, tokenize: Tokenize, workers: int
) -> Iterator[ChunkCounts]:
    if workers <= 1:
        for chunk in chunks:
            yield count_chunk(chunk, type, tokenize)
        return
    # Without gc.freeze, garbage collection in a forked process would copy the parent's pages.
    with ProcessPoolExecutor(workers, initializer=gc.freeze) as pool:
        waiting: deque[Future[ChunkCounts]] = deque()
        try:
            for chunk in chunks:
                waiting.append(pool.submit(count_chunk, chunk, type, tokenize))
                if len(waiting) > workers + 1:  # bounds the chunks in memory
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def count_chunk(chunk: Chunk, type: TaskType, tokenize: Tokenize) -> ChunkCounts:
    """Count one chunk (see `ChunkCounts`)."""
    index: defaultdict[str, int] = defaultdict()
    index.default_factory = index.__len__  # numbers new tokens without Python code
    number = index.__getitem__
    ids, lengths = array("q"), array("q")
    for text, given in zip(chunk.texts, chunk.tokens, strict=True):
        tokens = normalize_tokens(given) if given else tokenize(text)
        lengths.append(len(tokens))
        ids.extend(map(number, tokens))
    types = list(index)
    index.default_factory = None  # breaks a reference cycle that would keep all tokens alive
    tokens_of = np.frombuffer(ids, dtype=np.int64) if ids else np.zeros(0, dtype=np.int64)
    length = np.frombuffer(lengths, dtype=np.int64)

    # Runs in the sorted (example, token) pairs are the nonzero entries of the example-term matrix.
    pairs = np.repeat(np.arange(len(length)) * len(types), length) + tokens_of
    pairs.sort()
    starts = np.flatnonzero(np.diff(pairs, prepend=-1))
    entries = np.diff(starts, append=len(pairs))

    answers = None
    if type is TaskType.GENERATION:
        ends = np.cumsum(length)
        inputs = (tokens_of[a:b].tolist() for a, b in zip(ends - length, ends, strict=True))
        answers = count_answers(chunk.labels, inputs, types, tokenize)
    text_hashes = hash_strings(chunk.texts)
    return ChunkCounts(
        types=types,
        counts=np.bincount(tokens_of, minlength=len(types)),
        documents=np.bincount(pairs[starts] % max(len(types), 1), minlength=len(types)),
        lengths=length,
        square_sum=int(entries @ entries),
        labels=label_units(chunk, type),
        texts=text_hashes,
        words=_bag_hashes(types, tokens_of, length, text_hashes),
        targets=_hash_distinct(list(map(repr, chunk.labels))),
        answers=answers,
    )


def label_units(chunk: Chunk, type: TaskType) -> Counter[str | float]:
    """Count the units that a task's labels apply to by label, leaving out units without a label.

    Classification: examples by class.  Token classification: tokens by tag.  Multiple choice: examples by index
    of the right choice.  Regression: examples by target.  Question answering: examples by the tenth of the
    context in which the first answer begins, ``"0"`` to ``"9"``, or ``"none"`` without an answer.  Generation:
    none, its answers are texts.
    """
    labels = [label for label in chunk.labels if label is not None]
    match type:
        case TaskType.TOKEN_CLASSIFICATION:
            return Counter(itertools.chain.from_iterable(labels))  # type: ignore[arg-type]
        case TaskType.REGRESSION:
            return Counter(t for t in map(float, labels) if math.isfinite(t))  # type: ignore[arg-type]
        case TaskType.GENERATION:
            return Counter()
        case TaskType.QUESTION_ANSWERING:
            places = map(_answer_place, chunk.labels, chunk.pair_lengths)
            return Counter(place for place in places if place is not None)
        case _:
            return Counter(map(str, labels))


def _answer_place(answers: Any, length: int) -> str | None:
    if not answers:
        return None if answers is None else "none"
    return str(min(10 * answers[0].start // max(length, 1), 9))


def _bag_hashes(
    types: list[str], tokens: CountArray, lengths: CountArray, texts: HashArray
) -> HashArray:
    """Return one hash per example: the sum of its words' hashes, independent of order, case and punctuation.

    An example without a word has the hash of its text.
    """
    is_word = np.array([any(map(str.isalnum, t)) for t in types], dtype=bool)
    of_type = np.where(is_word, hash_strings(types), np.uint64(0))
    # Unsigned sums wrap around, and so do differences of the running total, which stay correct.
    running = np.concatenate([np.zeros(1, np.uint64), np.cumsum(of_type[tokens], dtype=np.uint64)])
    ends = np.cumsum(lengths)
    sums = running[ends] - running[ends - lengths]
    return np.where(sums == 0, texts, sums)


def _hash_distinct(strings: Sequence[str]) -> HashArray:
    """`hash_strings`, hashing each distinct string once."""
    distinct = list(dict.fromkeys(strings))
    hashes = dict(zip(distinct, hash_strings(distinct).tolist(), strict=True))
    return np.fromiter((hashes[s] for s in strings), dtype=np.uint64, count=len(strings))


def _round(labels: Counter[str | float]) -> Counter[str | float]:
    """Round regression targets to four significant digits, to bound their number."""
    rounded: Counter[str | float] = Counter()
    for label, count in labels.items():
        rounded[float(f"{label:.4g}") if isinstance(label, float) else label] += count
    return rounded
