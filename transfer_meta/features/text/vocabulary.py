"""Vocabularies that define out-of-vocabulary words: word lists, word vectors, tokenizers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from transfer_meta.errors import InputError, first_line
from transfer_meta.features.text.hashing import HashArray, hash_strings
from transfer_meta.features.text.tokenize import normalize_tokens
from transfer_meta.files import digest
from transfer_meta.readers.opening import find_encoding, text_lines

# Prefixes that mark the start of a word in tokenizers' vocabularies.
_WORD_STARTS = ("Ġ", "▁")


@dataclass(frozen=True)
class Vocabulary:
    """Set of words by hash.

    Parameters
    ----------
    name : str
        File name and digest of the words, recorded in a profile's settings.
    hashes : array of shape (n,)
        Hashes of the words as normalised by `tokenize`; sorted, distinct.
    tokenizer_file : Path or None
        The file if it is a tokenizer, which can split words into subwords.
    """

    name: str
    hashes: HashArray
    tokenizer_file: Path | None = None

    @classmethod
    def from_words(cls, words: Iterable[str], *, name: str = "words") -> Vocabulary:
        """Return the vocabulary of the given words.

        Examples
        --------
        >>> vocabulary = Vocabulary.from_words(["Film", "film", "rain"])
        >>> len(vocabulary.hashes)
        2
        """
        hashes = np.unique(hash_strings(normalize_tokens(words)))
        return cls(f"{name}-{digest(hashes.tobytes())[:16]}", hashes)

    @classmethod
    def from_file(cls, path: Path | str) -> Vocabulary:
        """Read a vocabulary from a file, which may be compressed with gzip or Zstandard.

        A ``.json`` file is a tokenizer saved by the library `tokenizers`.  In other files each line gives one
        word, up to its first white space: a word list, a ``vocab.txt``, word counts, or GloVe or word2vec
        vectors (a header of two numbers is skipped).

        Raises
        ------
        InputError
            The file does not exist, is not text, has no words, or is JSON but not a tokenizer.
        """
        path = Path(path)
        is_tokenizer = ".json" in path.suffixes[-2:]
        words = _tokenizer_words(path) if is_tokenizer else _words(path)
        vocabulary = cls.from_words(words, name=path.name)
        if not len(vocabulary.hashes):
            raise InputError(
                f"{path}: no words in it; expected one a line, word vectors, or a tokenizer.json"
            )
        return cls(vocabulary.name, vocabulary.hashes, path if is_tokenizer else None)


def _words(path: Path) -> Iterator[str]:
    for number, line in enumerate(text_lines(path, find_encoding(path, None)), 1):
        fields = line.split(None, 2)
        is_header = number == 1 and len(fields) == 2 and all(field.isdigit() for field in fields)
        if fields and not is_header:
            yield fields[0]


def _tokenizer_words(path: Path) -> list[str]:
    text = "".join(text_lines(path, "utf-8"))
    try:
        vocabulary = json.loads(text)["model"]["vocab"]
        # Unigram models store pairs of piece and score, other models map pieces to numbers.
        pieces = [piece if isinstance(piece, str) else piece[0] for piece in vocabulary]
        return [_without_start(piece) for piece in pieces]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        raise InputError(
            f"{path}: not a tokenizer as the library tokenizers saves it (no model with a vocab)"
        ) from None


def _without_start(piece: str) -> str:
    return piece[1:] if piece.startswith(_WORD_STARTS) else piece


def load_tokenizer(path: Path) -> Any:
    """Load a `tokenizers.Tokenizer` from a file.

    Raises
    ------
    InputError
        The library `tokenizers` is not installed, or the file is not one of its own.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise InputError(
            f"{path}: cutting words into subwords needs tokenizers (pip install tokenizers)"
        ) from None
    text = "".join(text_lines(path, "utf-8"))
    try:
        return Tokenizer.from_str(text)
    except Exception as error:  # the library raises Exception itself
        raise InputError(f"{path}: not a tokenizer: {first_line(error)}") from None
