"""The data and head of one task in one run: selected, checked and tokenised examples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from transfer_meta.encoding.batching import Batcher, encode_examples
from transfer_meta.encoding.encoder import Encoder
from transfer_meta.encoding.encoding_settings import MEAN_HEAD, TRANSFORMERS_HEAD, EncodingSettings
from transfer_meta.encoding.heads import Head, build_head
from transfer_meta.encoding.tokens import Encoded, checked_examples
from transfer_meta.encoding.transformers_head import TransformersScorer
from transfer_meta.errors import RunFailed
from transfer_meta.files import digest
from transfer_meta.records import Example, TaskType
from transfer_meta.tasks.subsets import choose, generator
from transfer_meta.tasks.task import Task
from transfer_meta.training.stage import TrainingSettings

HEAD_DEVIATION = 0.02
"""Standard deviation of a new head's weights, as in BERT."""


@dataclass(frozen=True)
class Selection:
    """The examples of one task that a run reads.

    Parameters
    ----------
    name : str
    type : TaskType
    labels : tuple of str
        Classes of the whole training split; a subset may lack some.
    train, dev, test : tuple of Example
        `test` is empty for sources, which are not tested.
    """

    name: str
    type: TaskType
    labels: tuple[str, ...]
    train: tuple[Example, ...]
    dev: tuple[Example, ...]
    test: tuple[Example, ...]

    @property
    def digest(self) -> str:
        """Digest of the training examples, for comparing runs."""
        return digest(*(repr(example) for example in self.train))[:16]

    def texts(self) -> Iterator[str]:
        """Yield every text of every split."""
        for example in (*self.train, *self.dev, *self.test):
            yield from (example.text, example.text_pair or "", *example.choices)


def select(
    task: Task, examples: int | None, *, seed: int, dev_examples: int, with_test: bool
) -> Selection:
    """Choose the examples of a task and check their labels.

    Raises
    ------
    RunFailed
        A label that cannot be learned from; the message names task, split and example.
    InputError
        A file that cannot be read, no train split, or fewer examples than requested.
    """
    with_test = with_test and "test" in task.splits
    size = sum(1 for _ in task.examples("train"))
    train, dev = choose(task.name, size, examples, seed=seed, dev_examples=dev_examples)
    selection = Selection(
        name=task.name,
        type=task.type,
        labels=task.labels("train"),
        train=tuple(checked_examples(task, keep=set(train.tolist()))),
        dev=tuple(checked_examples(task, keep=set(dev.tolist()))),
        test=tuple(checked_examples(task, "test")) if with_test else (),
    )
    if with_test and not selection.test:
        raise RunFailed(f"task '{task.name}' has no test examples")
    return selection


@dataclass(frozen=True)
class Split:
    """Examples, their tokens and their batches."""

    examples: tuple[Example, ...]
    encoded: Encoded
    batcher: Batcher


class TaskData:
    """The splits of one task on the encoder's device, and a new head.

    Parameters
    ----------
    selection : Selection
    encoder : Encoder
    training : TrainingSettings
    seed : int
        Determines, together with the task's name, the head's initial weights and the order of batches.
    cache : Path or None
        Folder of tokenised splits.
    head : str
        See `transfer_meta.training.stage.Stage`.
    """

    def __init__(
        self,
        selection: Selection,
        encoder: Encoder,
        training: TrainingSettings,
        *,
        seed: int,
        cache: Path | None,
        head: str = MEAN_HEAD,
    ) -> None:
        self.name, self.type, self.labels = selection.name, selection.type, selection.labels
        settings = EncodingSettings(training.max_length, stride=training.stride)

        def split(examples: tuple[Example, ...]) -> Split | None:
            if not examples:
                return None
            encoded, batcher = encode_examples(
                encoder, self.type, examples, settings, self.labels, cache=cache
            )
            return Split(examples, encoded, batcher)

        train = split(selection.train)
        assert train is not None
        self.train, self.dev, self.test = train, split(selection.dev), split(selection.test)
        targets = train.encoded.target
        if self.type is TaskType.REGRESSION:
            targets = np.array([example.label for example in selection.train], dtype=float)
        outputs, scorer = len(self.labels), None
        if head == TRANSFORMERS_HEAD:
            scorer = TransformersScorer(self.type, encoder, labels=outputs)
        self.head = build_head(
            self.type, encoder.width, labels=outputs, targets=targets, scorer=scorer
        ).to(encoder.device)
        _initialise(self.head, generator("head", seed, self.name))
        self._seed = seed
        self._epochs: dict[tuple[int, int], list[NDArray[np.int64]]] = {}

    def steps_per_epoch(self, batch_size: int) -> int:
        """Return the number of batches of one epoch."""
        return -(-len(self.train.batcher) // batch_size)

    def units(self, number: int, batch_size: int) -> NDArray[np.int64]:
        """Return the units of training batch `number`, counted from 0 over all epochs."""
        epoch, index = divmod(number, self.steps_per_epoch(batch_size))
        key = (epoch, batch_size)
        if key not in self._epochs:
            order = generator("order", self._seed, self.name, epoch)
            self._epochs = {key: self.train.batcher.epoch(batch_size, order)}
        return self._epochs[key][index]


@torch.no_grad()
def _initialise(head: Head, random: np.random.Generator) -> None:
    """Draw new weights independently of torch's random state: as transformers does, or normal ones and no bias."""
    if head.scorer is not None:
        head.scorer.initialise(int(random.integers(2**62)))
        return
    shape = tuple(head.linear.weight.shape)
    head.linear.weight.copy_(torch.from_numpy(random.normal(0.0, HEAD_DEVIATION, shape)))
    head.linear.bias.zero_()
