"""Tokenised examples as flat arrays, with a cache on disk."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfer_meta.encoding.encoding_settings import KEEP_HEAD, check_long_inputs
from transfer_meta.encoding.long_texts import read_long_texts
from transfer_meta.errors import RunFailed
from transfer_meta.files import atomic_folder, digest
from transfer_meta.records import Example, TaskType
from transfer_meta.tasks.label_kinds import answers, check_has_head, check_label
from transfer_meta.tasks.task import Task

IGNORED = -100
"""Target value that counts neither in the loss nor in a score."""
TOKEN_CACHE_VERSION = 2
"""Part of the cache key; increment it when the arrays change."""


@dataclass(frozen=True)
class Encoded:
    """Tokenised examples; an *item* is one input of the model: an example, a window or segment of it, or a choice.

    Parameters
    ----------
    ids, types : array of shape (tokens,), int32 and uint8
        Token ids of all items, concatenated, and the text of a pair that each belongs to (0 or 1).
    offsets : array of shape (items + 1,), int64
        Item i is ``ids[offsets[i]:offsets[i + 1]]``.
    examples : array of shape (items,), int32
        Index of the example that an item belongs to, ascending.
    target : array
        Classification, multiple choice: int32 of shape (examples,), the index of the class or choice,
        `IGNORED` for a class that is not in the training split.  Regression: float32 of shape
        (examples,).  Token classification: int32 of shape (tokens,), the tag of a word at its first
        token, otherwise `IGNORED`.  Question answering: int32 of shape (items, 2), the first and last
        token of the answer, both 0 if the window does not contain it.
    spans : array of shape (tokens, 2), int32
        Question answering: characters of the context that a token covers, otherwise -1.  Token
        classification: (word, word) at a word's first token, otherwise -1.  Other types: empty.
    is_long : bool array of shape (examples,)
        Whether an example has more tokens than an item may have: it was cut or split.
    """

    ids: NDArray[np.int32]
    types: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    examples: NDArray[np.int32]
    target: NDArray[Any]
    spans: NDArray[np.int32]
    is_long: NDArray[np.bool_]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Number of tokens of each item."""
        return np.diff(self.offsets)


def checked_examples(
    task: Task, split: str = "train", *, keep: Collection[int] | None = None
) -> list[Example]:
    """Return the examples of a split with indices in `keep` (None: all), with valid labels.

    Raises
    ------
    RunFailed
        A label that cannot be learned from; the message names task, split and example.
    """
    found = []
    for index, example in enumerate(task.examples(split)):
        if keep is not None and index not in keep:
            continue
        try:
            check_label(task.type, example)
        except RunFailed as error:
            raise RunFailed(
                f"bad label: task '{task.name}', {split} example {index + 1}: {error}"
            ) from error
        found.append(example)
    return found


def encode_cached(
    type: TaskType,
    examples: Sequence[Example],
    tokenizer: Any,
    *,
    labels: Sequence[str],
    max_length: int,
    stride: int,
    long_inputs: str = KEEP_HEAD,
    cache: Path,
) -> Encoded:
    """Return `encode`'s result, memory-mapped from the folder `cache` if it was computed before."""
    settings = [type, labels, max_length, stride, long_inputs, TOKEN_CACHE_VERSION]
    content = json.dumps([*settings, examples], ensure_ascii=False)
    folder = cache / digest(content, tokenizer.backend_tokenizer.to_str())[:32]
    names = [field.name for field in fields(Encoded)]
    if not (folder / "card.json").is_file():
        encoded = encode(
            type,
            examples,
            tokenizer,
            labels=labels,
            max_length=max_length,
            stride=stride,
            long_inputs=long_inputs,
        )
        with atomic_folder(folder, keeps_earlier=True) as temporary:
            for name in names:
                np.save(temporary / f"{name}.npy", getattr(encoded, name))
            (temporary / "card.json").write_text(
                json.dumps({"format": TOKEN_CACHE_VERSION, "type": type})
            )
    return Encoded(**{name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in names})


def encode(
    type: TaskType,
    examples: Sequence[Example],
    tokenizer: Any,
    *,
    labels: Sequence[str],
    max_length: int,
    stride: int,
    long_inputs: str = KEEP_HEAD,
) -> Encoded:
    """Tokenise examples with valid labels (see `checked_examples`).

    Parameters
    ----------
    type : TaskType
    examples : sequence of Example
        A label of None is treated like a class that is not in `labels`.
    tokenizer : PreTrainedTokenizerFast
    labels : sequence of str
        Class names in the order of the model's outputs.
    max_length : int
        Maximum number of tokens per item.  The longer text of a pair is truncated; a long context is
        split into windows.
    stride : int
        Tokens that neighbouring windows or segments share.
    long_inputs : str
        How texts beyond `max_length` are read, one of `transfer_meta.encoding.encoding_settings.LONG_INPUTS`.

    Raises
    ------
    InputError
        A type whose answers are texts, or whose long texts cannot be read in this way.
    """
    check_has_head(type)
    check_long_inputs(long_inputs, type)
    if type is TaskType.QUESTION_ANSWERING:
        return _encode_questions(examples, tokenizer, max_length=max_length, stride=stride)
    rank = {label: index for index, label in enumerate(labels)}
    if type is TaskType.TOKEN_CLASSIFICATION:
        return _encode_words(examples, tokenizer, rank=rank, max_length=max_length)
    if type is TaskType.MULTIPLE_CHOICE:
        first = [example.text for example in examples for _ in example.choices]
        second = [f"{e.text_pair or ''} {choice}".strip() for e in examples for choice in e.choices]
        numbers = np.repeat(np.arange(len(examples)), [len(example.choices) for example in examples])
    else:
        first = [example.text for example in examples]
        second = [example.text_pair or "" for example in examples]
        numbers = np.arange(len(examples))
    pairs = second if any(second) else None
    batch: Any
    if long_inputs == KEEP_HEAD:
        batch = tokenizer(first, pairs, truncation=True, max_length=max_length)
        is_long = _overflows(batch)
    else:
        batch, items, is_long = read_long_texts(
            tokenizer, first, pairs, max_length=max_length, stride=stride, how=long_inputs
        )
        numbers = numbers[items]
    if type is TaskType.CLASSIFICATION:
        target = np.array([rank.get(str(e.label), IGNORED) for e in examples], dtype=np.int32)
    else:
        kind = np.float32 if type is TaskType.REGRESSION else np.int32
        target = np.array([example.label for example in examples], dtype=kind)
    return _flatten(batch, numbers, target, is_long)


def _encode_words(
    examples: Sequence[Example], tokenizer: Any, *, rank: dict[str, int], max_length: int
) -> Encoded:
    """Tokenise sentences and align tags to first tokens; words beyond `max_length` are dropped."""
    texts = [example.text for example in examples]
    batch = tokenizer(texts, truncation=True, max_length=max_length, return_offsets_mapping=True)
    words: list[int] = []
    target: list[int] = []
    for example, places in zip(examples, batch["offset_mapping"], strict=True):
        tags: Any = example.label
        found = _first_tokens(example, places)
        words += found
        target += [rank.get(tags[word], IGNORED) if word >= 0 else IGNORED for word in found]
    of_words = np.array(words, dtype=np.int32)
    return _flatten(
        batch,
        np.arange(len(examples)),
        np.array(target, dtype=np.int32),
        _overflows(batch),
        spans=np.stack([of_words, of_words], axis=1),
    )


def _encode_questions(
    examples: Sequence[Example], tokenizer: Any, *, max_length: int, stride: int
) -> Encoded:
    """Tokenise questions with windows of their contexts and locate the answers."""
    questions = _truncate([example.text for example in examples], tokenizer, max_length // 4)
    batch = tokenizer(
        questions,
        [example.text_pair or "" for example in examples],
        truncation="only_second",
        max_length=max_length,
        stride=min(stride, max_length // 2),
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    numbers = np.asarray(batch["overflow_to_sample_mapping"])
    target, spans = [], []
    for item, number in enumerate(numbers):
        places = np.asarray(batch["offset_mapping"][item], dtype=np.int32)
        places[[sequence != 1 for sequence in batch.sequence_ids(item)]] = -1
        spans.append(places)
        gold = answers(examples[number])
        target.append(
            _window_target(places, gold[0].start, gold[0].start + len(gold[0].text)) if gold else (0, 0)
        )
    return _flatten(
        batch,
        numbers,
        np.array(target, dtype=np.int32),
        np.bincount(numbers)[numbers] > 1,
        spans=np.concatenate(spans),
    )


def _window_target(places: NDArray[np.int32], begin: int, end: int) -> tuple[int, int]:
    """Return the first and last token of characters [begin, end), or (0, 0) if the window cuts them."""
    inside = np.flatnonzero((places[:, 1] > begin) & (places[:, 0] < end) & (places[:, 0] >= 0))
    if len(inside) == 0 or places[inside[0], 0] > begin or places[inside[-1], 1] < end:
        return 0, 0
    return int(inside[0]), int(inside[-1])


def _truncate(texts: list[str], tokenizer: Any, tokens: int) -> list[str]:
    """Truncate texts to a number of tokens."""
    batch = tokenizer(
        texts, add_special_tokens=False, truncation=True, max_length=tokens, return_offsets_mapping=True
    )
    return [
        t[: places[-1][1]] if places else t
        for t, places in zip(texts, batch["offset_mapping"], strict=True)
    ]


def _first_tokens(example: Example, places: Sequence[tuple[int, int]]) -> list[int]:
    """Return for each token the word that it starts, or -1; words are joined by single spaces."""
    ends = np.cumsum([len(word) + 1 for word in example.tokens])
    found, before = [], -1
    for begin, end in places:
        # Locate by the last character: some tokenizers include the space before a word in its first token.
        word = int(np.searchsorted(ends, end - 1, side="right")) if end > begin else -1
        found.append(word if word > before else -1)
        before = max(before, word)
    return found


def _flatten(
    batch: Any,
    numbers: NDArray[Any],
    target: NDArray[Any],
    is_long: NDArray[np.bool_],
    spans: NDArray[np.int32] | None = None,
) -> Encoded:
    """Concatenate a tokenizer's lists into flat arrays; `is_long` says which items are cut or split."""
    lengths = np.array([len(ids) for ids in batch["input_ids"]], dtype=np.int64)
    types = batch.get("token_type_ids")
    return Encoded(
        ids=np.fromiter(chain.from_iterable(batch["input_ids"]), dtype=np.int32, count=lengths.sum()),
        types=np.fromiter(chain.from_iterable(types), dtype=np.uint8, count=lengths.sum())
        if types
        else np.zeros(lengths.sum(), dtype=np.uint8),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        examples=numbers.astype(np.int32),
        target=target,
        spans=np.empty((0, 2), dtype=np.int32) if spans is None else spans,
        is_long=np.bincount(numbers, weights=is_long) > 0,
    )


def _overflows(batch: Any) -> NDArray[np.bool_]:
    """Return which of a tokenizer's items were truncated."""
    return np.array([bool(item.overflowing) for item in batch.encodings], dtype=bool)
