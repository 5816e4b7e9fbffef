"""The rule that cuts texts into tokens, and how to put another one in its place.

The rule needs no language and no model: lower-case the text, then take every run of letters, digits,
underscores and combining marks as one token and every other character that is not white space as a
token of its own.  Scripts that are written without blanks (Chinese, Japanese, Thai, Lao, Khmer,
Burmese) are cut into characters, each with its marks.  Text outside ASCII is first put into Unicode's
composed form NFC, so that the same word has one spelling.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from transfer_meta.errors import InputError
from transfer_meta.files import digest

Tokenize = Callable[[str], Sequence[str]]

_QUICK = re.compile(r"\w+|[^\w\s]").findall
_NO_BLANKS = (
    "\u0e01-\u0e30\u0e32\u0e33\u0e40-\u0e46"  # Thai
    "\u0e81-\u0eb0\u0eb2\u0eb3\u0ebd-\u0ec6"  # Lao
    "\u1000-\u102a\u103f\u1050-\u1055\u1780-\u17b3"  # Burmese, Khmer
    "\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff"  # Hiragana, Katakana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
)
_JOINERS = "\u200c\u200d"  # inside words of Persian and of Indian languages
# Where none of these occurs (European texts), the quick pattern gives the same tokens.
_NEEDS_CARE = re.compile(
    "[\u0300-\u036f\u0483-\u1dff\u200c\u200d\u20d0-\u20ff\u2cef-\U0010ffff]"
).search


def tokenize(text: str) -> list[str]:
    """Cut a text into lower-case tokens by the rule of this module.

    Examples
    --------
    >>> tokenize("It's 3.5 km, isn't it?")
    ['it', "'", 's', '3', '.', '5', 'km', ',', 'isn', "'", 't', 'it', '?']
    >>> tokenize("Äpfel, हिन्दी और 東京")
    ['äpfel', ',', 'हिन्दी', 'और', '東', '京']
    """
    text = text.lower()
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
        if _NEEDS_CARE(text):
            return _careful()(text)
    return _QUICK(text)


def normalize_tokens(tokens: Iterable[str]) -> list[str]:
    """Tokens that a corpus brings along, spelled as `tokenize` spells its own.

    Examples
    --------
    >>> normalize_tokens(["U.S.", "Cafe\u0301"])
    ['u.s.', 'café']
    """
    lower = [token.lower() for token in tokens]
    return [t if t.isascii() else unicodedata.normalize("NFC", t) for t in lower]


def as_tokenize(tokenizer: Any) -> Tokenize:
    """A function from text to tokens: a callable as it is, or the `tokenizers.Tokenizer` given.

    Raises
    ------
    InputError
        Something else.
    """
    if hasattr(tokenizer, "encode") and hasattr(tokenizer, "to_str"):
        return functools.partial(_encode, tokenizer)
    if callable(tokenizer):
        return tokenizer
    raise InputError(
        f"a tokenizer must be a function from text to tokens or a tokenizers.Tokenizer,"
        f" got {type(tokenizer).__name__}"
    )


def name_tokenize(rule: Tokenize) -> str | None:
    """What a profile's settings call a rule; None for one that its name does not pin down."""
    if rule is tokenize:
        return "words-1"
    if isinstance(rule, functools.partial) and rule.func is _encode:
        return f"tokenizer-{digest(rule.args[0].to_str())[:16]}"
    return None


def _encode(tokenizer: Any, text: str) -> list[str]:
    return tokenizer.encode(text, add_special_tokens=False).tokens


@functools.cache
def _careful() -> Callable[[str], list[str]]:
    # Python's \w knows no combining marks, which most Indian scripts write their vowels with.
    starts = [c for c in range(0x300, 0x20000) if _is_mark(c) and not _is_mark(c - 1)]
    ends = [c for c in range(0x300, 0x20000) if _is_mark(c) and not _is_mark(c + 1)]
    mark = "".join(f"{chr(a)}-{chr(b)}" for a, b in zip(starts, ends, strict=True)) + _JOINERS
    return re.compile(rf"[{_NO_BLANKS}][{mark}]*|(?:[^\W{_NO_BLANKS}]|[{mark}])+|[^\w\s]").findall


def _is_mark(code: int) -> bool:
    return unicodedata.category(chr(code)).startswith("M")
