"""The data and head of one task in one run: selected, checked and tokenised examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from transfer_meta.encoding.batching import Batcher, encode_examples
from transfer_meta.encoding.encoder import Encoder
from transfer_meta.encoding.encoder_parts import token_table
from transfer_meta.encoding.encoding_settings import (
    MEAN_HEAD,
    MEMORY,
    TRANSFORMERS_HEAD,
    VOTES,
    EncodingSettings,
    check_long_inputs,
)
from transfer_meta.encoding.heads import Head, build_head
from transfer_meta.encoding.tokens import Encoded, checked_examples
from transfer_meta.encoding.transformers_head import TransformersScorer
from transfer_meta.errors import RunFailed
from transfer_meta.files import digest
from transfer_meta.records import Example, TaskType
from transfer_meta.tasks.subsets import choose, generator
from transfer_meta.tasks.task import Task
from transfer_meta.training.curriculum import BatchOrder, difficulties
from transfer_meta.training.method_settings import BASELINE_ORDER, Curriculum
from transfer_meta.training.predictions import predict_split, score
from transfer_meta.training.training_settings import TrainingSettings

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
    curriculum : Curriculum or None
        Order of the batches; None for random epochs.  `begin` is called before the first batch.
    earlier : Encoder or None
        The encoder of the earlier run that the difficulty ``run-loss`` is of.
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
        curriculum: Curriculum | None = None,
        earlier: Encoder | None = None,
    ) -> None:
        self.name, self.type, self.labels = selection.name, selection.type, selection.labels
        check_long_inputs(training.long_inputs, self.type)
        settings = EncodingSettings(
            training.max_length, stride=training.stride, long_inputs=training.long_inputs
        )

        def split(examples: tuple[Example, ...], by: Encoder = encoder) -> Split | None:
            if not examples:
                return None
            encoded, batcher = encode_examples(
                by, self.type, examples, settings, self.labels, cache=cache
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
        self.head.votes = training.long_inputs == VOTES
        _initialise(self.head, generator("head", seed, self.name))
        if training.long_inputs == MEMORY:
            self._draw_memory(encoder, generator("memory", seed, self.name))
        # A bi-LSTM's tokens are places in a vocabulary of its own.
        read = split(selection.train, earlier) if earlier else None
        self._prepare_order(earlier or encoder, seed=seed, curriculum=curriculum, split=read)

    def _draw_memory(self, encoder: Encoder, random: np.random.Generator) -> None:
        """Draw new memory vectors, as scattered as the token embeddings, and read all splits with them."""
        memory = self.head.add_memory(encoder)
        table = token_table(encoder.model).weight
        drawn = random.normal(0.0, float(table.detach().std()), tuple(memory.weight.shape))
        with torch.no_grad():
            memory.weight.copy_(torch.from_numpy(drawn))
        for split in (self.train, self.dev, self.test):
            if split is not None:
                split.batcher.memory = memory

    def _prepare_order(
        self,
        encoder: Encoder,
        *,
        seed: int,
        curriculum: Curriculum | None,
        split: Split | None = None,
    ) -> None:
        """Find the difficulty of the units where the curriculum needs it, before the encoder is trained.

        `split` is the training split as `encoder` reads it, if that is not the encoder that is trained.
        """
        self._seed = seed
        self._epochs: dict[tuple[int, int], list[NDArray[np.int64]]] = {}
        self._curriculum = curriculum
        self._order: BatchOrder | None = None
        if curriculum is not None and curriculum.order != BASELINE_ORDER:
            key = ("difficulty", seed, self.name)
            self._difficulty = difficulties(
                curriculum, self.type, split or self.train, encoder, self.labels, key=key
            )

    def measure(self, encoder: Encoder, split: Split) -> tuple[float, dict[str, float]]:
        """Return the mean loss and all scores of a split."""
        loss, predictions = predict_split(encoder, self.head, split.batcher)
        return loss, score(self.type, split.examples, split.encoded, predictions, self.labels)

    def begin(
        self,
        index: int,
        schedule: Sequence[Sequence[tuple[int, float]]],
        dev: Callable[[], Sequence[tuple[int, float, float]]],
        *,
        batch_size: int,
    ) -> None:
        """Prepare the batches of a run with a curriculum; without one there is nothing to do.

        Parameters
        ----------
        index : int
            Of this task in `schedule`.
        schedule : sequence of sequence of (int, float)
            See `transfer_meta.training.loop.Loop`.
        dev : callable
            Returns step, loss and score of the evaluations on the target's dev split so far.
        batch_size : int
        """
        if self._curriculum is None or self._curriculum.order == BASELINE_ORDER:
            return
        self._order = BatchOrder(
            self._curriculum,
            self.train.batcher,
            self._difficulty,
            trains=np.array([index in dict(step) for step in schedule], dtype=bool),
            dev_losses=lambda: [(step, loss) for step, loss, _ in dev()],
            batch_size=batch_size,
            key=("order", self._seed, self.name),
        )

    def steps_per_epoch(self, batch_size: int) -> int:
        """Return the number of batches of one epoch."""
        return -(-len(self.train.batcher) // batch_size)

    def units(self, number: int, batch_size: int) -> NDArray[np.int64]:
        """Return the units of training batch `number`, counted from 0 over all epochs."""
        if self._order is not None:
            return self._order.units(number)
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
