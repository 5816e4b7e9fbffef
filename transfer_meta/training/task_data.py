"""One task of one run: its subset, its dev and test split, checked, and tokenised on the device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from transfer_meta.encoding.batching import Batcher
from transfer_meta.encoding.encoders import Encoder
from transfer_meta.encoding.heads import Head, build_head
from transfer_meta.encoding.tokens import Encoded, encode_cached
from transfer_meta.errors import RunFailed
from transfer_meta.files import digest
from transfer_meta.records import Example, TaskType
from transfer_meta.tasks.label_kinds import check_label
from transfer_meta.tasks.subsets import choose, generator
from transfer_meta.tasks.task import Task

# Spread of a new head's weights, as BERT's own heads have it.
HEAD_DEVIATION = 0.02


@dataclass(frozen=True)
class Selection:
    """The examples of one task that a run reads.

    Parameters
    ----------
    name, type
        The task's.
    labels
        Its classes, those of the whole training split: a subset may lack some.
    train, dev, test
        The examples; `test` is empty for a source, whose test score nobody asks for.
    """

    name: str
    type: TaskType
    labels: tuple[str, ...]
    train: tuple[Example, ...]
    dev: tuple[Example, ...]
    test: tuple[Example, ...]

    @property
    def digest(self) -> str:
        """Digest of the training examples, to compare runs by."""
        return digest(*(repr(example) for example in self.train))[:16]

    def texts(self) -> Iterator[str]:
        """Every text of every split."""
        for example in (*self.train, *self.dev, *self.test):
            yield from (example.text, example.text_pair or "", *example.choices)


def select(
    task: Task, examples: int | None, *, seed: int, dev_examples: int, with_test: bool
) -> Selection:
    """Choose a task's examples and check the label of each.

    Raises
    ------
    RunFailed
        A label that cannot be learned from; the message names task, split and example.
    InputError
        A file that cannot be read, a split that is missing, fewer examples than wanted.
    """
    size = sum(1 for _ in task.examples("train"))
    train, dev = choose(task.name, size, examples, seed=seed, dev_examples=dev_examples)
    return Selection(
        name=task.name,
        type=task.type,
        labels=task.labels("train"),
        train=_checked(task, "train", train),
        dev=_checked(task, "train", dev),
        test=_checked(task, "test") if with_test else (),
    )


def _checked(task: Task, split: str, wanted: NDArray[np.int64] | None = None) -> tuple[Example, ...]:
    """The wanted examples of a split (None: all), once their labels have been looked at."""
    keep = None if wanted is None else set(wanted.tolist())
    found = []
    for index, example in enumerate(task.examples(split)):
        if keep is not None and index not in keep:
            continue
        try:
            check_label(task.type, example)
        except RunFailed as error:
            raise RunFailed(
                f"bad label: task '{task.name}', {split} example {index + 1}: {error}"
            ) from error
        found.append(example)
    if wanted is None and not found:
        raise RunFailed(f"task '{task.name}' has no {split} examples")
    return tuple(found)


@dataclass(frozen=True)
class Split:
    """Examples, their tokens, and the batches made of them."""

    examples: tuple[Example, ...]
    encoded: Encoded
    batcher: Batcher


class TaskData:
    """A selection as the training loop uses it: splits on the device and a new head.

    Parameters
    ----------
    selection
        What to tokenise.
    encoder
        Whose tokenizer to use.
    max_length, stride
        Tokens an item and tokens that neighbouring windows share.
    seed
        Decides the head's first weights, together with the task's name.
    device
        Where splits and head go.
    cache
        Folder of tokenised splits, or None.
    """

    def __init__(
        self,
        selection: Selection,
        encoder: Encoder,
        *,
        max_length: int,
        stride: int,
        seed: int,
        device: torch.device,
        cache: Path | None,
    ) -> None:
        self.name, self.type, self.labels = selection.name, selection.type, selection.labels

        def split(examples: tuple[Example, ...]) -> Split | None:
            if not examples:
                return None
            encoded = encode_cached(
                self.type,
                examples,
                encoder.tokenizer,
                labels=self.labels,
                max_length=min(max_length, encoder.max_length),
                stride=stride,
                cache=cache,
            )
            pad = encoder.tokenizer.pad_token_id
            return Split(examples, encoded, Batcher(self.type, encoded, pad=pad, device=device))

        train = split(selection.train)
        assert train is not None
        self.train, self.dev, self.test = train, split(selection.dev), split(selection.test)
        self.head = _new_head(self.type, encoder.width, self.labels, selection.train)
        _set_weights(self.head, generator("head", seed, self.name))
        self.head.to(device)
        self._seed = seed
        self._epochs: dict[tuple[int, int], list[NDArray[np.int64]]] = {}

    def steps_an_epoch(self, batch_size: int) -> int:
        """Batches of one pass over the training examples."""
        return -(-len(self.train.batcher) // batch_size)

    def units(self, number: int, batch_size: int) -> NDArray[np.int64]:
        """Training batch `number`, counted from 0 over all epochs; the seed and the task decide it."""
        epoch, index = divmod(number, self.steps_an_epoch(batch_size))
        key = (epoch, batch_size)
        if key not in self._epochs:
            order = generator("order", self._seed, self.name, epoch)
            self._epochs = {key: self.train.batcher.epoch(batch_size, order)}
        return self._epochs[key][index]


def _new_head(type: TaskType, width: int, labels: Sequence[str], train: Sequence[Example]) -> Head:
    mean, deviation = 0.0, 1.0
    if type is TaskType.REGRESSION:
        values = np.array([example.label for example in train], dtype=float)
        mean, deviation = float(values.mean()), float(values.std())
    return build_head(type, width, labels=len(labels), mean=mean, deviation=deviation)


@torch.no_grad()
def _set_weights(head: Head, random: np.random.Generator) -> None:
    """Normal weights and no bias, the same ones for a baseline and its transfers."""
    shape = tuple(head.linear.weight.shape)
    head.linear.weight.copy_(torch.from_numpy(random.normal(0.0, HEAD_DEVIATION, shape)))
    head.linear.bias.zero_()
