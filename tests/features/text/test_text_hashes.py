from __future__ import annotations

import numpy as np
import pytest

from transfer_meta.features.text import text_hashes
from transfer_meta.features.text.counts import count_split
from transfer_meta.features.text.hashing import NO_THRESHOLD, hash_strings
from transfer_meta.features.text.text_hashes import TextHashes
from transfer_meta.records import Example, TaskType


def sketch_of(n: int, label: str = "Yes ") -> TextHashes:
    examples = [Example(f"word{i} film", label if i % 2 else "no") for i in range(n)]
    return TextHashes.from_counts(
        count_split(examples, TaskType.CLASSIFICATION), TaskType.CLASSIFICATION
    )


def test_arrays_and_back() -> None:
    sketch = sketch_of(40)
    arrays = sketch.to_arrays()
    again = TextHashes.from_arrays(arrays)
    for name, array in again.to_arrays().items():
        np.testing.assert_array_equal(array, arrays[name])
    assert again.bag.n_tokens == 80
    assert again.bag.moments == sketch.bag.moments
    assert again.example_threshold == NO_THRESHOLD


def test_labels_whatever_their_case() -> None:
    assert (
        sketch_of(4).labels.tolist()
        == sketch_of(4, "yes").labels.tolist()
        == sorted(hash_strings(["yes", "no"]))
    )


def test_types_without_classes_have_no_labels() -> None:
    split = count_split([Example("a", 1.0), Example("b", 2.0)], TaskType.REGRESSION)
    assert len(TextHashes.from_counts(split, TaskType.REGRESSION).labels) == 0


def test_examples_are_the_smallest_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = sketch_of(40)
    monkeypatch.setattr(text_hashes, "MAX_EXAMPLES", 10)
    few = sketch_of(40)
    assert few.examples.tolist() == sorted(whole.examples)[:10]
    assert few.example_threshold == sorted(whole.examples)[10]
