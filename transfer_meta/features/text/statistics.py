"""Statistics of a task's texts and labels, one function per number, computed from `SplitCounts`.

The seven of Bingel & Søgaard 2017, "Identifying beneficial task relations for multi-task learning in deep
neural networks" (Table 1), have the paper's names and definitions: `size`, `n_labels`, `tokens_types`,
`oov_rate`, `label_entropy`, `fro_norm`, `jsd`; a sentence in the paper is an example here, with all its
texts.  Functions raise `MissingError` if their number does not exist.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from transfer_meta.features.missing import MissingError
from transfer_meta.features.text.bags import Bag, compare_bags
from transfer_meta.features.text.counts import SplitCounts
from transfer_meta.features.text.vocabulary import Vocabulary
from transfer_meta.records import FloatArray, TaskType

REGRESSION_BINS = 10
"""Number of bins of equal width that regression targets are counted by."""


@dataclass(frozen=True)
class Corpus:
    """Input of the statistics.

    Parameters
    ----------
    type : TaskType
    train : SplitCounts
    test : SplitCounts or None
        The test split, or the dev split of a task without one.
    vocabulary : Vocabulary or None
        Known words; None: those of the train split.
    tokenizer : tokenizers.Tokenizer or None
        Splits words into subwords.
    """

    type: TaskType
    train: SplitCounts
    test: SplitCounts | None = None
    vocabulary: Vocabulary | None = None
    tokenizer: Any = None

    @functools.cached_property
    def train_bag(self) -> Bag:
        """Bag of words of the train split."""
        return Bag.from_counts(self.train)

    @functools.cached_property
    def test_bag(self) -> Bag:
        """Bag of words of the test split."""
        return Bag.from_counts(self.require_test())

    @functools.cached_property
    def label_counts(self) -> FloatArray:
        """Units per label; for regression targets, units per nonempty bin of `REGRESSION_BINS`."""
        counts = self.train.labels
        if self.type is TaskType.GENERATION:
            raise MissingError("the answers of generation are texts, no classes")
        if not counts:
            raise MissingError("no labels in the train split")
        numbers = np.fromiter(counts.values(), dtype=np.float64, count=len(counts))
        if self.type is TaskType.REGRESSION:
            targets = np.fromiter(map(float, counts), dtype=np.float64, count=len(counts))
            numbers, _ = np.histogram(targets, bins=REGRESSION_BINS, weights=numbers)
        return numbers[numbers > 0]

    def require_test(self) -> SplitCounts:
        """Return the test split; raises `MissingError` if there is none."""
        if self.test is None:
            raise MissingError("no test split")
        return self.test


def size(corpus: Corpus) -> float:
    """Return the number of training examples (Bingel & Søgaard 2017)."""
    return corpus.train.n_examples


def n_labels(corpus: Corpus) -> float:
    """Return the number of distinct training labels (Bingel & Søgaard 2017).

    Labels are classes, tags, nonempty bins of regression targets, indices of the right choice, or tenths of the
    context in which answers begin (see `counts.label_units`).
    """
    return len(corpus.label_counts)


def tokens_types(corpus: Corpus) -> float:
    """Return training tokens / distinct training tokens (Bingel & Søgaard 2017)."""
    return _n_tokens(corpus.train) / len(corpus.train.types)


def oov_rate(corpus: Corpus) -> float:
    """Return the share of training tokens outside a vocabulary, 0-1 (Bingel & Søgaard 2017, who used GloVe).

    Without a vocabulary it is `unseen_rate`.
    """
    if corpus.vocabulary is None:
        return unseen_rate(corpus)
    known = np.isin(corpus.train_bag.hashes, corpus.vocabulary.hashes)
    return 1 - float(corpus.train_bag.counts[known].sum()) / _n_tokens(corpus.train)


def label_entropy(corpus: Corpus) -> float:
    """Return -Σ p ln p over the training labels, in nats (Bingel & Søgaard 2017)."""
    p = corpus.label_counts / corpus.label_counts.sum()
    return abs(float(p @ np.log(p)))  # a single label has 0, not -0


def fro_norm(corpus: Corpus) -> float:
    """Return √(Σ X²) of the example-term matrix X of training counts (Bingel & Søgaard 2017)."""
    return math.sqrt(corpus.train.square_sum)


def jsd(corpus: Corpus) -> float:
    """Return the Jensen-Shannon divergence of the train and test bags of words, in nats (Bingel & Søgaard 2017).

    ½ KL(p ‖ m) + ½ KL(q ‖ m), m = (p + q) / 2; 0 if they are equal, ln 2 if they share no word.
    """
    return _not_nan(
        compare_bags(source=corpus.train_bag, target=corpus.test_bag).jsd, "a split has no tokens"
    )


def vocabulary_size(corpus: Corpus) -> float:
    """Return the number of distinct training tokens."""
    return len(corpus.train.types)


def hapax_rate(corpus: Corpus) -> float:
    """Return the share of distinct training tokens that occur once, 0-1."""
    _n_tokens(corpus.train)
    return float(np.mean(corpus.train.counts == 1))


def length_mean(corpus: Corpus) -> float:
    """Return the mean number of tokens per training example."""
    return corpus.train.n_tokens / corpus.train.n_examples


def length_median(corpus: Corpus) -> float:
    """Return the median number of tokens per training example."""
    return _length_quantile(corpus.train, 0.5)


def length_p95(corpus: Corpus) -> float:
    """Return the 95th percentile of tokens per training example (linear between order statistics)."""
    return _length_quantile(corpus.train, 0.95)


def majority_share(corpus: Corpus) -> float:
    """Return the share of the most frequent training label, 0-1."""
    return float(corpus.label_counts.max() / corpus.label_counts.sum())


def label_entropy_normalised(corpus: Corpus) -> float:
    """Return `label_entropy` / ln `n_labels`, 0-1; 0 for a single label."""
    return label_entropy(corpus) / math.log(n_labels(corpus)) if n_labels(corpus) > 1 else 0.0


def duplicate_rate(corpus: Corpus) -> float:
    """Return the share of training examples whose exact texts occurred before: 1 - distinct / all.

    Exact up to 2¹⁸ distinct examples; beyond, this and the next four have a standard error of at most 0.14 %
    (see `hashing.HashSample`).
    """
    return corpus.train.texts.duplicate_rate()


def near_duplicate_rate(corpus: Corpus) -> float:
    """Return the share of training examples whose bag of words occurred before.

    Order, case, punctuation and white space are ignored.
    """
    return corpus.train.words.duplicate_rate()


def label_conflict_rate(corpus: Corpus) -> float:
    """Return the share of training examples whose texts occur with two or more labels: label noise."""
    return corpus.train.texts.conflict_rate()


def train_test_overlap(corpus: Corpus) -> float:
    """Return the share of test examples whose exact texts occur in train, 0-1."""
    return _not_nan(
        corpus.require_test().texts.share_in(corpus.train.texts), "no test example was sampled"
    )


def train_test_near_overlap(corpus: Corpus) -> float:
    """Return the share of test examples whose bag of words occurs in train, 0-1 (see `near_duplicate_rate`)."""
    return _not_nan(
        corpus.require_test().words.share_in(corpus.train.words), "no test example was sampled"
    )


def unseen_rate(corpus: Corpus) -> float:
    """Return the share of test tokens that do not occur in train, 0-1."""
    shared = compare_bags(source=corpus.train_bag, target=corpus.test_bag).tokens_covered_target
    return 1 - _not_nan(shared, "a split has no tokens")


def subword_fertility(corpus: Corpus) -> float:
    """Return subwords per training token: Σ count · subwords / Σ count, each type split by itself (Ács 2019).

    References
    ----------
    Ács 2019, "Exploring BERT's vocabulary"; Rust et al. 2021, "How good is your tokenizer?".
    """
    if corpus.tokenizer is None:
        raise MissingError("no tokenizer given")
    encoded = corpus.tokenizer.encode_batch(list(corpus.train.types), add_special_tokens=False)
    subwords = np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded))
    return float(subwords @ corpus.train.counts) / _n_tokens(corpus.train)


STATISTICS: dict[str, Callable[[Corpus], float]] = {
    function.__name__: function
    for function in (
        size, n_labels, tokens_types, oov_rate, label_entropy, fro_norm, jsd,
        vocabulary_size, hapax_rate, length_mean, length_median, length_p95,
        majority_share, label_entropy_normalised, duplicate_rate, near_duplicate_rate,
        label_conflict_rate, train_test_overlap, train_test_near_overlap, unseen_rate, subword_fertility,
    )
}  # fmt: skip

STATISTIC_UNITS: dict[str, str] = {
    "size": "examples", "n_labels": "labels", "tokens_types": "tokens per type", "oov_rate": "0–1",
    "label_entropy": "nats", "fro_norm": "tokens", "jsd": "nats, 0 to ln 2", "vocabulary_size": "types",
    "hapax_rate": "0–1", "length_mean": "tokens", "length_median": "tokens", "length_p95": "tokens",
    "majority_share": "0–1", "label_entropy_normalised": "0–1", "duplicate_rate": "0–1",
    "near_duplicate_rate": "0–1", "label_conflict_rate": "0–1", "train_test_overlap": "0–1",
    "train_test_near_overlap": "0–1", "unseen_rate": "0–1", "subword_fertility": "subwords per token",
}  # fmt: skip
"""Unit or range of each of `STATISTICS`."""


def _n_tokens(split: SplitCounts) -> int:
    if not split.n_tokens:
        raise MissingError("no tokens in the train split")
    return split.n_tokens


def _not_nan(value: float, reason: str) -> float:
    if math.isnan(value):
        raise MissingError(reason)
    return value


def _length_quantile(split: SplitCounts, q: float) -> float:
    """Return a quantile of the lengths, as `numpy.quantile` of the lengths themselves."""
    lengths = np.array(sorted(split.lengths))
    below = np.cumsum([split.lengths[n] for n in lengths])
    position = q * (split.n_examples - 1)
    low, high = lengths[
        np.searchsorted(below, [math.floor(position), math.ceil(position)], side="right")
    ]
    return float(low + (high - low) * (position - math.floor(position)))
