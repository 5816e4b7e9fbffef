"""Task vectors from an encoder: texts, Fisher information, descriptions, label names, class centroids."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from transfer_meta.encoding.encoder import Encoder
from transfer_meta.encoding.encoders import encoder_revision, file_sha256, load_encoder
from transfer_meta.encoding.encoding_settings import EncodingSettings, check_positive
from transfer_meta.encoding.frozen_features import LabelledVectors, labelled_vectors, text_vectors
from transfer_meta.encoding.taskemb import FisherSettings, task_vectors
from transfer_meta.encoding.tokens import checked_examples
from transfer_meta.encoding.vector_store import VectorKey, VectorStore
from transfer_meta.errors import InputError, RunFailed, unknown
from transfer_meta.features.vectors.count_sketch import count_sketch
from transfer_meta.files import digest
from transfer_meta.records import Example, FloatArray, TaskType
from transfer_meta.tasks import Task
from transfer_meta.tasks.subsets import draw_examples

VECTOR_VERSION = 2
"""Part of the key of stored vectors; increment it when a change in the code changes vectors."""


@dataclass(frozen=True)
class EmbedSettings:
    """Settings of task vectors.

    Parameters
    ----------
    max_examples : int
        Maximum number of training examples, drawn without replacement.
    encoding : EncodingSettings
    fisher : FisherSettings
    dimension : int, optional
        Project longer components to this length (see `count_sketch.count_sketch`); None: keep them whole.
    projection_seed : int
        Only vectors of equal seeds are comparable.
    sample_seed : int
        Seed of the drawn examples.
    """

    max_examples: int = 500
    encoding: EncodingSettings = field(default_factory=EncodingSettings)
    fisher: FisherSettings = field(default_factory=FisherSettings)
    dimension: int | None = 1024
    projection_seed: int = 0
    sample_seed: int = 0

    def __post_init__(self) -> None:
        check_positive(self, "max_examples", "dimension")

    def of_kind(self, kind: str) -> dict[str, Any]:
        """Return the settings that vectors of one kind depend on, as plain values."""
        own: dict[str, Any] = {"version": VECTOR_VERSION, "max_length": self.encoding.max_length}
        if self.encoding.stride is not None:
            own["stride"] = self.encoding.stride
        if kind not in ("descemb", "labelemb"):
            own |= {"max_examples": self.max_examples, "sample_seed": self.sample_seed}
        if kind == "taskemb":
            own |= asdict(self.fisher)
            own |= {"dimension": self.dimension, "projection_seed": self.projection_seed}
        return own


@dataclass(frozen=True)
class TaskVectors:
    """The vectors of one task.

    Parameters
    ----------
    vectors : mapping of str to array
        ``textemb``, ``descemb``, ``labelemb``, ``classemb``, and TaskEmb by component, for example
        ``taskemb.layer.0.query``.
    missing : mapping of str to str
        Requested kinds that could not be computed, with the reason.
    stored : tuple of str
        Kinds that were read from the store.
    """

    vectors: Mapping[str, FloatArray]
    missing: Mapping[str, str]
    stored: tuple[str, ...] = ()


class Embedder:
    """Computes task vectors with one encoder.

    Parameters
    ----------
    encoder : str
        Name of the encoder, see `encoders.load_encoder`.
    settings : EmbedSettings, optional
    start : Path, optional
        Safetensors file of fine-tuned weights, for TaskEmb of the fine-tuned model.
    device : str
        ``cpu``, ``cuda`` or ``cuda:N``.
    store : VectorStore, optional
        Where vectors are looked up and saved.

    Raises
    ------
    InputError
        Unknown encoder, or `start` cannot be read.
    """

    def __init__(
        self,
        encoder: str,
        settings: EmbedSettings | None = None,
        *,
        start: Path | None = None,
        device: str = "cpu",
        store: VectorStore | None = None,
    ) -> None:
        self.name = encoder
        self.settings = settings or EmbedSettings()
        self.revision = encoder_revision(encoder)
        if start is not None:
            try:
                self.revision = digest(self.revision, file_sha256(start))
            except OSError as error:
                raise InputError(f"cannot read the checkpoint '{start}': {error.strerror}") from error
        self._start, self._device, self._store = start, device, store
        self._encoder: Encoder | None = None

    @property
    def encoder(self) -> Encoder:
        """The encoder, loaded on first use."""
        if self._encoder is None:
            self._encoder = load_encoder(self.name, start=self._start)
            self._encoder.model.to(self._device)
        return self._encoder

    def embed(self, task: Task, kinds: Iterable[str] = ("textemb",)) -> TaskVectors:
        """Return the vectors of a task's training split.

        Parameters
        ----------
        task : Task
        kinds : iterable of str
            Keys of `ENCODER_KINDS`.

        Raises
        ------
        InputError
            Unknown kind, or no training examples.
        """
        vectors: dict[str, FloatArray] = {}
        missing: dict[str, str] = {}
        stored = []
        sample: Task | None = None
        for kind in kinds:
            if kind not in ENCODER_KINDS:
                raise unknown("kind of task vector", kind, ENCODER_KINDS)
            key = self._key(task, kind)
            found = self._store.vectors(key) if self._store else {}
            if found:
                stored.append(kind)
            else:
                sample = sample or self._sample(task)
                try:
                    found = ENCODER_KINDS[kind](self, sample)
                except (InputError, RunFailed) as error:
                    missing[kind] = str(error)
                    continue
                if self._store:
                    self._store.save_vectors(key, task.name, found)
            vectors |= {f"{kind}.{part}" if part else kind: values for part, values in found.items()}
        return TaskVectors(vectors, missing, tuple(stored))

    def _sample(self, task: Task) -> Task:
        """Return the task with a sample of its training examples only, in memory."""
        count, seed = self.settings.max_examples, self.settings.sample_seed
        examples, _ = draw_examples(task, "train", count, seed=seed)
        if not examples:
            raise InputError(f"task '{task.name}' has no training examples to embed")
        return replace(task, splits={"train": examples})

    def _key(self, task: Task, kind: str) -> VectorKey:
        # A description is not part of a task's digest, but it is all that descemb depends on.
        content = digest(task.description) if kind == "descemb" else task.digest
        return VectorKey(kind, content, self.name, self.revision, self.settings.of_kind(kind))

    def _text(self, task: Task) -> dict[str, FloatArray]:
        vectors = text_vectors(self.encoder, task, self.settings.encoding)
        return {"": vectors.mean(axis=0, dtype=np.float64)}

    def _task(self, task: Task) -> dict[str, FloatArray]:
        settings = self.settings
        parts = task_vectors(self.encoder, task, settings.fisher, settings.encoding)
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
        labelled = labelled_vectors(self.encoder, task, self.settings.encoding)
        return {"": (self._text(task)[""] + centroid_mean(labelled)) / 2}


ENCODER_KINDS: dict[str, Callable[[Embedder, Task], dict[str, FloatArray]]] = {
    "textemb": Embedder._text,
    "taskemb": Embedder._task,
    "descemb": Embedder._description,
    "labelemb": Embedder._labels,
    "classemb": Embedder._classes,
}


def centroid_mean(labelled: LabelledVectors) -> FloatArray:
    """Return the unweighted mean of class centroids; the classes of a regression are its terciles."""
    classes = labelled.labels
    if labelled.regression:
        classes = np.digitize(classes, np.quantile(classes.astype(float), [1 / 3, 2 / 3]))
    centroids = [
        labelled.vectors[classes == c].mean(axis=0, dtype=np.float64) for c in np.unique(classes)
    ]
    return np.mean(centroids, axis=0)
