from __future__ import annotations

import pickle
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from transfer_meta.errors import InputError
from transfer_meta.features.text.tokenize import (
    as_tokenize,
    name_tokenize,
    normalize_tokens,
    tokenize,
)

NO_BLANKS = ("CJK ", "HIRAGANA", "KATAKANA", "THAI", "LAO ", "KHMER", "MYANMAR")


def is_mark(character: str) -> bool:
    return unicodedata.category(character).startswith("M") or character in "\u200c\u200d"


def slow_tokens(text: str) -> list[str]:
    """The rule as its documentation words it, character by character."""
    tokens: list[str] = []
    in_word = False
    alone = False  # the token so far is a character of a script without blanks
    for c in unicodedata.normalize("NFC", text.lower()):
        unblanked = c.isalpha() and unicodedata.name(c, "").startswith(NO_BLANKS)
        if is_mark(c) and (in_word or alone):
            tokens[-1] += c
        elif unblanked:
            tokens.append(c)
            in_word, alone = False, True
        elif c.isalnum() or c == "_" or is_mark(c):
            if in_word:
                tokens[-1] += c
            else:
                tokens.append(c)
            in_word, alone = True, False
        else:
            in_word = alone = False
            if not c.isspace():
                tokens.append(c)
    return tokens


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("It's 3.5 km!", ["it", "'", "s", "3", ".", "5", "km", "!"]),
        ("snake_case x-ray", ["snake_case", "x", "-", "ray"]),
        ("ÄPFEL e\u0301", ["äpfel", "é"]),
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),
        ("東京タワー!", ["東", "京", "タ", "ワ", "ー", "!"]),
        ("می\u200cخواهم", ["می\u200cخواهم"]),
        ("Здравствуй, мир", ["здравствуй", ",", "мир"]),
        ("👍 ok", ["👍", "ok"]),
        ("", []),
        (" \n\t\u3000", []),
    ],
)
def test_rule(text: str, tokens: list[str]) -> None:
    assert tokenize(text) == tokens
    assert slow_tokens(text) == tokens


ALPHABET = st.characters(max_codepoint=0x24F) | st.sampled_from(
    list("abc XYZ_09.,'’—…")
    + list("яжΩπéü")
    + list("नमस्ते")
    + list("日本ひらカタ")
    + ["\u0301", "\u200d", "😀"]
)


@given(st.text(ALPHABET))
def test_both_token_patterns_agree(text: str) -> None:
    assert tokenize(text) == slow_tokens(text)


@given(st.text())
def test_tokens_cover_the_text(text: str) -> None:
    spelled = unicodedata.normalize("NFC", text.lower())
    assert "".join(tokenize(text)) == "".join(spelled.split())


def test_given_tokens_are_spelled_like_cut_ones() -> None:
    words = ["Ünïcode", "E\u0301tude", "plain"]
    assert normalize_tokens(words) == [token for word in words for token in tokenize(word)]


def test_a_callable_and_a_tokenizer_take_the_place_of_the_rule() -> None:
    assert as_tokenize(str.split) is str.split
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "b": 1, "?": 2}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    cut = as_tokenize(tokenizer)
    assert list(cut("a b")) == ["a", "b"]
    assert list(pickle.loads(pickle.dumps(cut))("b")) == ["b"]
    with pytest.raises(InputError, match="got int"):
        as_tokenize(3)


def test_names_tell_rules_apart() -> None:
    one, two = (Tokenizer(models.WordLevel({"a": 0, word: 1}, unk_token="a")) for word in "bc")
    names = [name_tokenize(rule) for rule in (tokenize, as_tokenize(one), as_tokenize(two))]
    assert len(set(names)) == 3
    assert None not in names
    assert name_tokenize(str.split) is None
