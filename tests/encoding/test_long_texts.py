"""Which tokens of long texts and pairs are read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from transfer_meta.encoding.encoders import load_encoder
from transfer_meta.encoding.long_texts import read_long_texts

LETTERS = "abcdefghijklmnopqrstuvwxyz"


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    """A tokenizer of bytes: a letter is a token."""
    return load_encoder("random:1x32").tokenizer


def read(
    tokenizer: Any, how: str, first: str, second: str | None = None, *, most: int = 10
) -> list[str]:
    items, owners, is_long = read_long_texts(
        tokenizer, [first], None if second is None else [second], max_length=most, stride=2, how=how
    )
    assert all(len(ids) <= most for ids in items["input_ids"])
    assert not owners.any()
    assert len(is_long) == len(owners) == len(items["token_type_ids"])
    return ["".join(tokenizer.convert_ids_to_tokens(ids)) for ids in items["input_ids"]]


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("head", ["abcdefgh"]),
        ("tail", ["stuvwxyz"]),
        ("head-tail", ["abuvwxyz"]),
        ("segments", ["abcdefgh", "ghijklmn", "mnopqrst", "stuvwxyz"]),
    ],
)
def test_single_texts(tokenizer: Any, how: str, expected: list[str]) -> None:
    assert read(tokenizer, how, LETTERS) == [f"[CLS]{text}[SEP]" for text in expected]
    assert read(tokenizer, how, "abcdefgh") == ["[CLS]abcdefgh[SEP]"]


@pytest.mark.parametrize(
    ("how", "first", "second", "expected"),
    [
        ("tail", "xyz", "abcdefg", ["[CLS]xyz[SEP]defg[SEP]"]),
        ("tail", "abcdefg", "xyz", ["[CLS]defg[SEP]xyz[SEP]"]),
        ("head-tail", "abcdefg", "xyz", ["[CLS]aefg[SEP]xyz[SEP]"]),
        (
            "segments",
            "abcdefg",
            "xyz",
            ["[CLS]abcd[SEP]xyz[SEP]", "[CLS]cdef[SEP]xyz[SEP]", "[CLS]efg[SEP]xyz[SEP]"],
        ),
        ("tail", "abcdef", "uvwxyz", ["[CLS]def[SEP]wxyz[SEP]"]),
    ],
)
def test_of_a_pair_the_longer_text_is_cut(
    tokenizer: Any, how: str, first: str, second: str, expected: list[str]
) -> None:
    assert read(tokenizer, how, first, second) == expected


@pytest.mark.parametrize(
    "lengths", [(3, 20), (20, 3), (9, 20), (20, 9), (20, 20), (7, 7), (1, 1), (20, 0)]
)
def test_the_beginning_is_that_of_transformers(tokenizer: Any, lengths: tuple[int, int]) -> None:
    first, second = (LETTERS[:count] for count in lengths)
    for pair in (second, None):
        whole = tokenizer([first], None if pair is None else [pair], truncation=True, max_length=12)
        for how in ("head", "segments"):
            found = read(tokenizer, how, first, pair, most=12)
            assert found[0] == "".join(tokenizer.convert_ids_to_tokens(whole["input_ids"][0]))


def test_segments_cover_every_token(tokenizer: Any) -> None:
    random = np.random.default_rng(0)
    texts = ["".join(random.choice(list(LETTERS), size=count)) for count in range(1, 60)]
    for stride in (0, 2, 5):
        items, owners, is_long = read_long_texts(
            tokenizer, texts, None, max_length=12, stride=stride, how="segments"
        )
        for number, text in enumerate(texts):
            own = [items["input_ids"][i][1:-1] for i in np.flatnonzero(owners == number)]
            joined = [*own[0], *(token for segment in own[1:] for token in segment[stride:])]
            assert "".join(tokenizer.convert_ids_to_tokens(joined)) == text
            assert all(is_long[owners == number]) == (len(text) > 10)
