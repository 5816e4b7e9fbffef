"""Bidirectional LSTM over word vectors, the encoder of Bingel & Søgaard (2017)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import nn

from transfer_meta.encoding.encoder import Encoder, wrap_tokenizer
from transfer_meta.errors import InputError
from transfer_meta.tasks.subsets import generator

UNITS = 100
"""Units per direction."""
RANDOM_VECTOR_WIDTH = 100
"""Size of word vectors that are not read from a file."""
MAX_LENGTH = 512
WORD_DROPOUT = 0.2
SPECIAL_TOKENS = ("[PAD]", "[CLS]", "[SEP]", "[UNK]")


class BiLstm(nn.Module):
    """Word vectors, a forward and a backward LSTM, and their concatenated states.

    The backward LSTM reads each sequence reversed within its own length: padding follows the words in
    both directions, and no length is copied to the host.

    Parameters
    ----------
    vectors : tensor of shape (words, width)
        Initial word vectors; row 0 is padding.
    """

    def __init__(self, vectors: torch.Tensor) -> None:
        super().__init__()
        self.words = nn.Embedding.from_pretrained(vectors, freeze=False, padding_idx=0)
        self.dropout = nn.Dropout(WORD_DROPOUT)
        self.forwards = nn.LSTM(vectors.shape[1], UNITS, batch_first=True)
        self.backwards = nn.LSTM(vectors.shape[1], UNITS, batch_first=True)

    def get_input_embeddings(self) -> nn.Module:
        """Return the table of word vectors."""
        return self.words

    def set_input_embeddings(self, table: nn.Module) -> None:
        """Replace the table of word vectors."""
        self.words = table

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None
    ) -> SimpleNamespace:
        """Return states of shape (items, tokens, 200); `attention_mask` has shape (items, tokens)."""
        inputs = self.dropout(self.words(input_ids))
        ahead, _ = self.forwards(inputs)
        places = torch.arange(input_ids.shape[1], device=input_ids.device)
        if attention_mask is None:
            mirror = places.flip(0).expand(input_ids.shape)
        else:
            length = attention_mask.sum(dim=1, keepdim=True)
            mirror = torch.where(places < length, length - 1 - places, places)
        mirror = mirror.unsqueeze(2)
        back, _ = self.backwards(inputs.gather(1, mirror.expand(inputs.shape)))
        states = torch.cat([ahead, back.gather(1, mirror.expand(back.shape))], dim=2)
        return SimpleNamespace(last_hidden_state=self.dropout(states))


def build(
    vectors: Path | None,
    *,
    words: Iterable[str],
    earlier: tuple[dict[str, torch.Tensor], tuple[str, ...]] = ({}, ()),
) -> Encoder:
    """Build a bi-LSTM for a vocabulary.

    Parameters
    ----------
    vectors : Path or None
        File of word vectors in GloVe's format; None: random vectors.
    words : iterable of str
        Vocabulary, lower-cased here; all other words share one vector.
    earlier : tuple of (dict of str to tensor, tuple of str)
        Weights and words of the run to continue from; its vectors take precedence over the file's.
    """
    weights, known = earlier
    vocabulary = list(dict.fromkeys([*SPECIAL_TOKENS, *known, *sorted({w.lower() for w in words})]))
    given = read_vectors(vectors, set(vocabulary)) if vectors else {}
    width = len(next(iter(given.values()))) if given else RANDOM_VECTOR_WIDTH
    # A word's random vector depends on the word alone, so that it is the same in every run.
    table = np.stack([given[w] if w in given else _random_vector(w, width) for w in vocabulary])
    table[0] = 0.0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = BiLstm(torch.from_numpy(table.astype(np.float32)))
    if weights:
        rows = {word: row for row, word in enumerate(vocabulary)}
        with torch.no_grad():
            model.words.weight[[rows[word] for word in known]] = weights["words.weight"]
        model.load_state_dict({**weights, "words.weight": model.words.weight})
    return Encoder(
        model,
        word_tokenizer(vocabulary),
        width=2 * UNITS,
        max_length=MAX_LENGTH,
        uses_types=False,
        words=tuple(vocabulary),
    )


def word_tokenizer(vocabulary: list[str]) -> Any:
    """Return a tokenizer of lower-cased words and single punctuation marks."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    rows = {word: row for row, word in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordLevel(rows, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return wrap_tokenizer(tokenizer, max_length=MAX_LENGTH)


def words_of(texts: Iterable[str]) -> set[str]:
    """Return the set of words that `word_tokenizer` splits texts into."""
    from tokenizers import normalizers, pre_tokenizers

    lower, cut = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    return {word for text in texts for word, _ in cut.pre_tokenize_str(lower.normalize_str(text))}


def read_vectors(path: Path, wanted: set[str]) -> dict[str, np.ndarray]:
    """Return the vectors of `wanted` words from a file in GloVe's or word2vec's text format.

    Raises
    ------
    InputError
        A line that is not a word followed by as many numbers as in the other lines.
    """
    found: dict[str, np.ndarray] = {}
    width = 0
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            word, *values = line.rstrip().split(" ")
            if number == 1 and len(values) == 1:
                continue  # word2vec's header: number of words, width
            width = width or len(values)
            if len(values) != width or width < 2:
                raise InputError(
                    f"'{path}', line {number}: {len(values)} numbers after the word (expected {width or 2})"
                )
            if word in wanted:
                try:
                    found[word] = np.array(values, dtype=np.float64)
                except ValueError as error:
                    raise InputError(f"'{path}', line {number}: not a number ({error})") from error
    if not width:
        raise InputError(f"'{path}' holds no word vectors")
    return found


def _random_vector(word: str, width: int) -> np.ndarray:
    """Return uniform numbers scaled so that the expected squared length is 1."""
    bound = math.sqrt(3 / width)
    return generator("word", word).uniform(-bound, bound, size=width)
