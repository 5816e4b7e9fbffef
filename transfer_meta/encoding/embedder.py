"""Task vectors from an encoder: texts, Fisher information, descriptions, label names, class centroids."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from transfer_meta.encoding.encoders import Encoder, encoder_revision, load_encoder
from transfer_meta.encoding.frozen_features import (
    LabelledVectors,
    Reading,
    labelled_vectors,
    text_vectors,
)
from transfer_meta.encoding.taskemb import FisherSettings, checked_examples, task_vectors
from transfer_meta.errors import InputError, RunFailed, unknown
from transfer_meta.features.vectors.count_sketch import count_sketch
from transfer_meta.files import digest
from transfer_meta.records import Example, FloatArray, TaskType
from transfer_meta.tasks import Task

if TYPE_CHECKING:
    from transfer_meta.runs.store.run_store import Store

# Raise it when a change in the code changes vectors: stored ones are then not found.
VECTOR_VERSION = 1


@dataclass(frozen=True)
class EmbedSettings:
    """How tasks are embedded.

    Parameters
    ----------
    max_examples
        The first so many training examples.
    reading
        Lengths and the bound on memory.
    fisher
        Which Fisher information.
    dimension
        Components longer than this are projected to it (see `sketch.count_sketch`); None: kept whole.
    projection_seed
        Vectors are comparable only with the same one.
    """

    max_examples: int = 500
    reading: Reading = field(default_factory=Reading)
    fisher: FisherSettings = field(default_factory=FisherSettings)
    dimension: int | None = 1024
    projection_seed: int = 0

    def __post_init__(self) -> None:
        if self.max_examples < 1:
            raise InputError(f"max_examples = {self.max_examples} (expected at least 1)")
        if self.dimension is not None and self.dimension < 1:
            raise InputError(f"dimension = {self.dimension} (expected at least 1)")

    def of_kind(self, kind: str) -> dict[str, Any]:
        """The settings that vectors of one kind depend on, as plain values."""
        own: dict[str, Any] = {"version": VECTOR_VERSION, "max_length": self.reading.max_length}
        if kind not in ("descemb", "labelemb"):
            own["max_examples"] = self.max_examples
        if kind == "taskemb":
            own |= asdict(self.fisher)
            own |= {"dimension": self.dimension, "projection_seed": self.projection_seed}
        return own


@dataclass(frozen=True)
class TaskVectors:
    """The vectors of one task.

    Parameters
    ----------
    vectors : mapping of name to array
        ``textemb``, ``descemb``, ``labelemb``, ``classemb``; TaskEmb by component,
        ``taskemb.layer.0.query``.
    missing : mapping of kind to reason
        Why a kind that was asked for is not there.
    stored : tuple of str
        The kinds that were found in the store and not computed.
    """

    vectors: Mapping[str, FloatArray]
    missing: Mapping[str, str]
    stored: tuple[str, ...] = ()


class Embedder:
    """An encoder, ready to embed tasks.

    Parameters
    ----------
    encoder
        Its name, see `encoders.load_encoder`.
    settings
        How.
    start
        Safetensors file of weights that a fine-tuning run left: TaskEmb of the fine-tuned model.
    device
        ``cpu``, ``cuda``, ``cuda:1``.
    store
        A run store in which vectors are looked up and kept.

    Raises
    ------
    InputError
        No such encoder.
    """

    def __init__(
        self,
        encoder: str,
        settings: EmbedSettings | None = None,
        *,
        start: Path | None = None,
        device: str = "cpu",
        store: Store | None = None,
    ) -> None:
        self.name = encoder
        self.settings = settings or EmbedSettings()
        self.revision = encoder_revision(encoder)
        if start is not None:
            self.revision = digest(self.revision, _content(start))
        self._start, self._device, self._store = start, device, store
        self._encoder: Encoder | None = None

    @property
    def encoder(self) -> Encoder:
        """The encoder, loaded when it is first wanted."""
        if self._encoder is None:
            self._encoder = load_encoder(self.name, start=self._start)
            self._encoder.model.to(self._device)
        return self._encoder

    def embed(self, task: Task, kinds: Iterable[str] = ("textemb",)) -> TaskVectors:
        """The vectors of a task's training split.

        Parameters
        ----------
        task
            The task.
        kinds
            Among `ENCODER_KINDS`.

        Raises
        ------
        InputError
            An unknown kind, or no examples.
        """
        vectors: dict[str, FloatArray] = {}
        missing: dict[str, str] = {}
        stored = []
        sample: Task | None = None
        for kind in kinds:
            if kind not in ENCODER_KINDS:
                raise unknown("kind of task vector", kind, ENCODER_KINDS)
            found = self._look_up(task, kind)
            if found:
                stored.append(kind)
            else:
                sample = sample or self._sample(task)
                try:
                    found = ENCODER_KINDS[kind](self, sample)
                except (InputError, RunFailed) as error:
                    missing[kind] = str(error)
                    continue
                self._keep(task, kind, found)
            vectors |= {f"{kind}.{part}" if part else kind: values for part, values in found.items()}
        return TaskVectors(vectors, missing, tuple(stored))

    def _sample(self, task: Task) -> Task:
        """The task with the first training examples alone, in memory."""
        examples = list(itertools.islice(task.examples(), self.settings.max_examples))
        if not examples:
            raise InputError(f"task '{task.name}' has no training examples to embed")
        return replace(task, splits={"train": examples})

    def _look_up(self, task: Task, kind: str) -> dict[str, FloatArray]:
        return {} if self._store is None else self._store.vectors(self._key(task, kind))

    def _keep(self, task: Task, kind: str, parts: Mapping[str, FloatArray]) -> None:
        if self._store is not None:
            self._store.save_vectors(self._key(task, kind), task.name, parts)

    def _key(self, task: Task, kind: str) -> Any:
        from transfer_meta.runs.store.archive import VectorKey

        # A description is no part of a task's content, but all of its DescEmb.
        content = digest(task.description) if kind == "descemb" else task.digest
        return VectorKey(kind, content, self.name, self.revision, self.settings.of_kind(kind))

    def _text(self, task: Task) -> dict[str, FloatArray]:
        vectors = text_vectors(self.encoder, task, self.settings.reading)
        return {"": vectors.mean(axis=0, dtype=np.float64)}

    def _task(self, task: Task) -> dict[str, FloatArray]:
        settings = self.settings
        parts = task_vectors(self.encoder, task, settings.fisher, settings.reading)
        return {
            name: np.asarray(values, dtype=np.float64)
            if settings.dimension is None
            else count_sketch(values, dimension=settings.dimension, seed=settings.projection_seed)
            for name, values in parts.items()
        }

    def _description(self, task: Task) -> dict[str, FloatArray]:
        if not task.description.strip():
            raise InputError(f"task '{task.name}' has no description (a task card can give one)")
        return self._mean_of([task.description])

    def _labels(self, task: Task) -> dict[str, FloatArray]:
        names = task.labels()
        if not names:
            raise InputError(f"labelemb needs label names, and a {task.type} task has none")
        return self._mean_of(names)

    def _mean_of(self, texts: Sequence[str]) -> dict[str, FloatArray]:
        examples = {"train": [Example(text) for text in texts]}
        return self._text(Task.from_iterable("texts", TaskType.CLASSIFICATION, examples))

    def _classes(self, task: Task) -> dict[str, FloatArray]:
        checked_examples(task)
        labelled = labelled_vectors(self.encoder, task, self.settings.reading)
        return {"": (self._text(task)[""] + centroid_mean(labelled)) / 2}


ENCODER_KINDS: dict[str, Callable[[Embedder, Task], dict[str, FloatArray]]] = {
    "textemb": Embedder._text,
    "taskemb": Embedder._task,
    "descemb": Embedder._description,
    "labelemb": Embedder._labels,
    "classemb": Embedder._classes,
}


def centroid_mean(labelled: LabelledVectors) -> FloatArray:
    """The mean of the classes' centroids, every class alike; a regression's classes are its thirds."""
    classes = labelled.labels
    if labelled.regression:
        classes = np.digitize(classes, np.quantile(classes.astype(float), [1 / 3, 2 / 3]))
    centroids = [
        labelled.vectors[classes == c].mean(axis=0, dtype=np.float64) for c in np.unique(classes)
    ]
    return np.mean(centroids, axis=0)


def _content(path: Path) -> str:
    """Digest of a checkpoint."""
    import hashlib

    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"cannot read the checkpoint '{path}': {error.strerror}") from error
