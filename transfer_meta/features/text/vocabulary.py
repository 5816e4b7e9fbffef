"""Vocabularies to tell known words from unknown ones: word lists, word vectors, tokenizers' vocabularies."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from transfer_meta.errors import InputError
from transfer_meta.features.text.hashing import HashArray, hash_strings
from transfer_meta.features.text.tokenize import normalize_tokens
from transfer_meta.files import digest
from transfer_meta.readers.opening import find_encoding, text_lines

# What tokenizers write before a word that begins after a blank.
_WORD_STARTS = ("Ġ", "▁")


@dataclass(frozen=True)
class Vocabulary:
    """A set of words by hash.

    Parameters
    ----------
    name : str
        The file's name and a digest of the words: what a profile's settings say of it.
    hashes : array of shape (n,)
        Hashes of the words, spelled as `tokenize` spells its tokens; sorted, distinct.
    tokenizer_file : Path or None
        The file, where it is a tokenizer that can cut words into subwords.
    """

    name: str
    hashes: HashArray
    tokenizer_file: Path | None = None

    @classmethod
    def from_words(cls, words: Iterable[str], *, name: str = "words") -> Vocabulary:
        """A vocabulary from words at hand.

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
        """A vocabulary from a file, which may be packed with gzip or Zstandard.

        A ``.json`` file is a tokenizer as the library `tokenizers` saves it.  Of any other file each line gives
        one word, up to its first white space: a word list, a ``vocab.txt``, counts of words, or vectors in
        the formats of GloVe and word2vec (whose header, two numbers, is skipped).

        Raises
        ------
        InputError
            No such file, not text, no words in it, or JSON that is no tokenizer.
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
        # Unigram models list pairs of piece and score; the others map pieces to numbers.
        pieces = [piece if isinstance(piece, str) else piece[0] for piece in vocabulary]
        return [_without_start(piece) for piece in pieces]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        raise InputError(
            f"{path}: not a tokenizer as the library tokenizers saves it (no model with a vocab)"
        ) from None


def _without_start(piece: str) -> str:
    return piece[1:] if piece.startswith(_WORD_STARTS) else piece


def load_tokenizer(path: Path) -> Any:
    """The `tokenizers.Tokenizer` in a file.

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
        raise InputError(f"{path}: not a tokenizer: {str(error).splitlines()[0]}") from None
