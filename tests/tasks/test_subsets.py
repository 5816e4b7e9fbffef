from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer_meta.errors import InputError
from transfer_meta.records import Example
from transfer_meta.tasks import Task
from transfer_meta.tasks.subsets import choose, dev_size, draw_examples, generator


@given(
    size=st.integers(1, 300),
    share=st.floats(0, 1),
    seed=st.integers(0, 5),
    dev_examples=st.integers(0, 400),
)
def test_subsets_are_disjoint_sorted_and_of_the_size_wanted(
    size: int, share: float, seed: int, dev_examples: int
) -> None:
    everything, dev = choose("t", size, None, seed=seed, dev_examples=dev_examples)
    assert sorted([*everything, *dev]) == list(range(size))
    assert len(dev) <= max(size // 5, 0)
    wanted = max(1, int(share * len(everything)))
    train, same_dev = choose("t", size, wanted, seed=seed, dev_examples=dev_examples)
    assert len(set(train)) == wanted
    assert list(train) == sorted(train)
    assert not set(train) & set(dev)
    assert list(dev) == list(same_dev)


def test_the_subset_depends_on_task_number_and_seed_alone() -> None:
    first, _ = choose("a", 500, 50, seed=1, dev_examples=100)
    assert np.array_equal(first, choose("a", 500, 50, seed=1, dev_examples=0)[0])
    assert not np.array_equal(first, choose("b", 500, 50, seed=1, dev_examples=100)[0])
    assert not np.array_equal(first, choose("a", 500, 50, seed=2, dev_examples=100)[0])
    assert set(first) < set(choose("a", 500, 200, seed=1, dev_examples=100)[0])


def test_more_than_there_is() -> None:
    with pytest.raises(
        InputError, match=r"'a': 100 training examples wanted, 80 are there \(100 less 20"
    ):
        choose("a", 100, 100, seed=0, dev_examples=50)
    with pytest.raises(InputError, match="no training examples"):
        choose("a", 0, None, seed=0, dev_examples=50)


def test_a_generator_does_not_run_keys_together() -> None:
    assert generator("a", "bc").random() != generator("ab", "c").random()
    assert generator("a", 1).random() == generator("a", 1).random()


def test_the_dev_split_is_at_most_a_fifth() -> None:
    assert [dev_size(size, 100) for size in (0, 4, 5, 499, 500, 5000)] == [0, 0, 1, 99, 100, 100]


def test_drawn_examples_are_the_chosen_ones_in_order() -> None:
    examples = [Example(str(i), "x") for i in range(50)]
    task = Task.from_iterable("t", "classification", {"train": examples, "test": []})
    chosen, _ = choose("t", 50, 7, seed=3, dev_examples=0)
    assert draw_examples(task, "train", 7, seed=3) == ([examples[i] for i in chosen], 50)
    assert draw_examples(task, "train", None) == draw_examples(task, "train", 50) == (examples, 50)
    assert draw_examples(task, "test", 7) == ([], 0)
