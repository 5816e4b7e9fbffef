"""The default tokenizer, and adapters for others.

The rule needs no language and no model: lower-case the text, then take every run of letters, digits,
underscores and combining marks as a token, and every other non-space character as a token of its own.  Scripts
written without blanks (Chinese, Japanese, Thai, Lao, Khmer, Burmese) are split into characters, each with its
marks.  Text outside ASCII is first normalised to NFC, so that a word has one spelling.
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

_SIMPLE_TOKENS = re.compile(r"\w+|[^\w\s]").findall
_UNSPACED_SCRIPTS = (
    "\u0e01-\u0e30\u0e32\u0e33\u0e40-\u0e46"  # Thai
    "\u0e81-\u0eb0\u0eb2\u0eb3\u0ebd-\u0ec6"  # Lao
    "\u1000-\u102a\u103f\u1050-\u1055\u1780-\u17b3"  # Burmese, Khmer
    "\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff"  # Hiragana, Katakana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
)
_JOINERS = "\u200c\u200d"  # occur inside words of Persian and Indian languages
# Without any of these characters (European texts) the faster `_SIMPLE_TOKENS` gives the same tokens.
_NEEDS_UNICODE_TOKENS = re.compile(
    "[\u0300-\u036f\u0483-\u1dff\u200c\u200d\u20d0-\u20ff\u2cef-\U0010ffff]"
).search


def tokenize(text: str) -> list[str]:
    """Split a text into lower-case tokens (see the module's docstring).

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
        if _NEEDS_UNICODE_TOKENS(text):
            return _unicode_tokens()(text)
    return _SIMPLE_TOKENS(text)


def normalize_tokens(tokens: Iterable[str]) -> list[str]:
    """Normalise the tokens of a tokenised corpus as `tokenize` does.

    Examples
    --------
    >>> normalize_tokens(["U.S.", "Cafe\u0301"])
    ['u.s.', 'café']
    """
    lower = [token.lower() for token in tokens]
    return [t if t.isascii() else unicodedata.normalize("NFC", t) for t in lower]


def as_tokenize(tokenizer: Any) -> Tokenize:
    """Return a function from text to tokens for a callable or a `tokenizers.Tokenizer`.

    Raises
    ------
    InputError
        `tokenizer` is neither.
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
    """Return the name of a tokenizer in a profile's settings; None for an arbitrary callable."""
    if rule is tokenize:
        return "words-1"
    if isinstance(rule, functools.partial) and rule.func is _encode:
        return f"tokenizer-{digest(rule.args[0].to_str())[:16]}"
    return None


def _encode(tokenizer: Any, text: str) -> list[str]:
    return tokenizer.encode(text, add_special_tokens=False).tokens


@functools.cache
def _unicode_tokens() -> Callable[[str], list[str]]:
    # Python's \w excludes combining marks, which Indian scripts write vowels with.
    starts = [c for c in range(0x300, 0x20000) if _is_mark(c) and not _is_mark(c - 1)]
    ends = [c for c in range(0x300, 0x20000) if _is_mark(c) and not _is_mark(c + 1)]
    mark = "".join(f"{chr(a)}-{chr(b)}" for a, b in zip(starts, ends, strict=True)) + _JOINERS
    return re.compile(
        rf"[{_UNSPACED_SCRIPTS}][{mark}]*|(?:[^\W{_UNSPACED_SCRIPTS}]|[{mark}])+|[^\w\s]"
    ).findall


def _is_mark(code: int) -> bool:
    return unicodedata.category(chr(code)).startswith("M")
