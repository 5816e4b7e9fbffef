"""Bingel & Søgaard's encoder: word vectors under one bidirectional LSTM of 100 units a direction."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn

from transfer_meta.encoding.encoders import Encoder, wrap_tokenizer
from transfer_meta.errors import InputError
from transfer_meta.tasks.subsets import generator

UNITS = 100
WIDTH_OF_WORDS = 100
MAX_LENGTH = 512
WORD_DROPOUT = 0.2
SPECIAL = ("[PAD]", "[CLS]", "[SEP]", "[UNK]")


class BiLstm(nn.Module):
    """Word vectors, one LSTM from each end, their states side by side: shape (inputs, tokens, 200).

    The backward LSTM reads each sequence reversed within its own length, so that padding is read after
    the words in both directions and no length has to travel to the host.
    """

    def __init__(self, vectors: torch.Tensor) -> None:
        super().__init__()
        self.words = nn.Embedding.from_pretrained(vectors, freeze=False, padding_idx=0)
        self.dropout = nn.Dropout(WORD_DROPOUT)
        self.forwards = nn.LSTM(vectors.shape[1], UNITS, batch_first=True)
        self.backwards = nn.LSTM(vectors.shape[1], UNITS, batch_first=True)

    def get_input_embeddings(self) -> nn.Module:
        """The table of word vectors."""
        return self.words

    def set_input_embeddings(self, table: nn.Module) -> None:
        """Put another table in its place."""
        self.words = table

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None
    ) -> SimpleNamespace:
        """States of both directions; `attention_mask` has shape (inputs, tokens)."""
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
    """A bi-LSTM over the words of a run's tasks.

    Parameters
    ----------
    vectors
        File with a word and its numbers a line (GloVe's format); None: random vectors.
    words
        Words that it must know, lower-cased; the others share one vector.
    earlier
        Weights and words of the run to go on from; its vectors go before those of the file.
    """
    weights, known = earlier
    vocabulary = list(dict.fromkeys([*SPECIAL, *known, *sorted({w.lower() for w in words})]))
    given = read_vectors(vectors, set(vocabulary)) if vectors else {}
    width = len(next(iter(given.values()))) if given else WIDTH_OF_WORDS
    # A word's random vector depends on the word alone: the same in every run that meets it.
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


def word_tokenizer(vocabulary: list[str]) -> object:
    """Lower-cased words and single punctuation marks."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    rows = {word: row for row, word in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordLevel(rows, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return wrap_tokenizer(PreTrainedTokenizerFast, processors, tokenizer, max_length=MAX_LENGTH)


def words_of(texts: Iterable[str]) -> set[str]:
    """The words that `word_tokenizer` cuts texts into."""
    from tokenizers import normalizers, pre_tokenizers

    lower, cut = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    return {word for text in texts for word, _ in cut.pre_tokenize_str(lower.normalize_str(text))}


def read_vectors(path: Path, wanted: set[str]) -> dict[str, np.ndarray]:
    """The wanted words' vectors from a file in GloVe's (or word2vec's) text format.

    Raises
    ------
    InputError
        A line does not hold a word and as many numbers as the line before it.
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
    """Uniform numbers with the spread that keeps a vector's length near 1."""
    bound = math.sqrt(3 / width)
    return generator("word", word).uniform(-bound, bound, size=width)
