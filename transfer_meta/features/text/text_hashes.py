"""Hashes of a task's words, labels and examples, which pairs of tasks are compared by without their texts.

Stored as named arrays, at most 1.6 MB per task, 200 kB for a vocabulary of 10,000 types:

- ``types``, ``type_counts``, ``type_documents``, ``moments``: the bag of words (see `bags.Bag`);
- ``labels``: hashes of the case-folded classes or tags, sorted; empty for task types without classes;
- ``examples``: hashes of the examples' bags of words, sorted: the `MAX_EXAMPLES` smallest;
- ``totals``: tokens, examples, threshold of the types, threshold of the examples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfer_meta.features.text.bags import MAX_TYPES, Bag
from transfer_meta.features.text.counts import SplitCounts
from transfer_meta.features.text.hashing import HashArray, hash_strings
from transfer_meta.records import TaskType

MAX_EXAMPLES = 4096
"""Number of example hashes in a profile.

Overlaps are exact up to this number; beyond, a share s has a standard error of √(s (1 - s) / MAX_EXAMPLES), at most
0.8 %.
"""

_KINDS = {
    **dict.fromkeys(("types", "labels", "examples", "totals"), "u8"),
    **dict.fromkeys(("type_counts", "type_documents"), "i8"),
    "moments": "f8",
}
"""Types of the stored arrays, without the order of their bytes."""
_MAX_TOTAL = 2**53
_WITH_CLASSES = (TaskType.CLASSIFICATION, TaskType.TOKEN_CLASSIFICATION)


@dataclass(frozen=True)
class TextHashes:
    """Hashes of a task, stored in `TaskProfile.sketches`.

    Parameters
    ----------
    bag : Bag
    labels : array of shape (k,)
    examples : array of shape (m,)
        Sorted.
    example_threshold : uint64
        All examples with a smaller hash are in `examples`.
    """

    bag: Bag
    labels: HashArray
    examples: HashArray
    example_threshold: np.uint64

    @classmethod
    def from_counts(cls, train: SplitCounts, type: TaskType) -> TextHashes:
        """Compute the hashes of a task from the counts of its train split."""
        examples, threshold = train.words.distinct, train.words.threshold
        if len(examples) > MAX_EXAMPLES:
            examples, threshold = examples[:MAX_EXAMPLES], examples[MAX_EXAMPLES]
        names = (
            [str(label).strip().casefold() for label in train.labels] if type in _WITH_CLASSES else []
        )
        return cls(
            bag=Bag.from_counts(train, limit=MAX_TYPES),
            labels=np.unique(hash_strings(names)),
            examples=examples,
            example_threshold=np.uint64(threshold),
        )

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays stored in a profile."""
        totals = [self.bag.n_tokens, self.bag.n_documents, self.bag.threshold, self.example_threshold]
        return {
            "types": self.bag.hashes,
            "type_counts": self.bag.counts,
            "type_documents": self.bag.documents,
            "labels": self.labels,
            "examples": self.examples,
            "totals": np.array(totals, dtype=np.uint64),
            "moments": np.array(self.bag.moments),
        }

    @classmethod
    def check_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Raise ValueError for arrays that `to_arrays` cannot have made, and with which comparisons would fail."""
        if set(arrays) != _KINDS.keys():
            raise ValueError("lacks arrays, or has others")
        for name, kind in _KINDS.items():
            if arrays[name].dtype.str[1:] != kind or arrays[name].ndim != 1:
                raise ValueError(f"{name} is of another type")
        types, counts, documents = (arrays[n] for n in ("types", "type_counts", "type_documents"))
        if not len(types) == len(counts) == len(documents) or len(types) > 2 * MAX_TYPES:
            raise ValueError("has arrays of other lengths")
        if (
            len(arrays["totals"]) != 4
            or len(arrays["moments"]) != 3
            or len(arrays["examples"]) > MAX_EXAMPLES
        ):
            raise ValueError("has arrays of other lengths")
        for name, strictly in (("types", True), ("labels", True), ("examples", False)):
            before, after = arrays[name][:-1], arrays[name][1:]
            if not (before < after if strictly else before <= after).all():
                raise ValueError(f"{name} is not sorted")
        n_tokens, n_documents = map(int, arrays["totals"][:2])
        if not len(types) or max(n_tokens, n_documents) > _MAX_TOTAL:
            raise ValueError("has no types, or impossible totals")
        if (
            counts.min() < 1
            or documents.min() < 1
            or documents.max() > n_documents
            or counts.max() > n_tokens
        ):
            raise ValueError("has impossible counts")
        weights, logs = counts.astype(float) ** 2, np.log(1.0 + documents)
        moments = [weights.sum(), weights @ logs, weights @ logs**2]
        if not np.allclose(arrays["moments"], moments, rtol=1e-6):
            raise ValueError("has moments that do not fit the counts")

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> TextHashes:
        """Read the arrays stored in a profile."""
        n_tokens, n_documents, type_threshold, example_threshold = arrays["totals"]
        bag = Bag(
            arrays["types"],
            arrays["type_counts"],
            arrays["type_documents"],
            int(n_tokens),
            int(n_documents),
            tuple(arrays["moments"].tolist()),
            type_threshold,
        )
        return cls(bag, arrays["labels"], arrays["examples"], example_threshold)
