"""Task vectors from a frozen model: texts, Fisher information, descriptions, label names, class centroids."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfer_meta.encoding.encoder import Encoder
from transfer_meta.encoding.encoders import encoder_revision, file_sha256
from transfer_meta.encoding.encoding_settings import VectorSettings
from transfer_meta.encoding.frozen_features import (
    LabelledVectors,
    labelled_vectors,
    language_model_vectors,
    text_vectors,
)
from transfer_meta.encoding.language_model import LanguageModel, load_pretrained, model_kind
from transfer_meta.encoding.model_kinds import ENCODER
from transfer_meta.encoding.taskemb import task_vectors
from transfer_meta.encoding.tokens import checked_examples
from transfer_meta.encoding.vector_store import VectorKey, VectorStore
from transfer_meta.errors import InputError, RunFailed, unknown
from transfer_meta.features.vectors.count_sketch import count_sketch
from transfer_meta.files import digest
from transfer_meta.records import Example, FloatArray, TaskType
from transfer_meta.tasks import Task
from transfer_meta.tasks.subsets import draw_examples


@dataclass(frozen=True)
class EmbeddedTask:
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
    """Computes task vectors with one model that is not trained, but for a head.

    `transfer_meta.training.tuned_vectors.TuningEmbedder` computes the others as well.

    Parameters
    ----------
    encoder : str
        Name of an encoder, decoder or encoder-decoder, see `language_model.load_pretrained`.
    settings : VectorSettings, optional
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

    Attributes
    ----------
    kind : str
        One of `transfer_meta.encoding.model_kinds.MODEL_KINDS`.
    """

    def __init__(
        self,
        encoder: str,
        settings: VectorSettings | None = None,
        *,
        start: Path | None = None,
        device: str = "cpu",
        store: VectorStore | None = None,
    ) -> None:
        self.name = encoder
        self.settings = settings or VectorSettings()
        self.revision = encoder_revision(encoder)
        self.kind = model_kind(encoder)
        if start is not None:
            try:
                self.revision = digest(self.revision, file_sha256(start))
            except OSError as error:
                raise InputError(f"cannot read the checkpoint '{start}': {error.strerror}") from error
        self._start, self._device, self._store = start, device, store
        self._encoder: Encoder | None = None

    @property
    def encoder(self) -> Encoder:
        """The model, loaded on first use."""
        if self._encoder is None:
            self._encoder = load_pretrained(self.name, start=self._start)
            self._encoder.model.to(self._device)
        return self._encoder

    def embed(self, task: Task, kinds: Iterable[str] = ("textemb",)) -> EmbeddedTask:
        """Return the vectors of a task's training split.

        Parameters
        ----------
        task : Task
        kinds : iterable of str
            Keys of `makers`.

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
            if kind not in self.makers:
                raise unknown("kind of task vector", kind, self.makers)
            key = self._key(task, kind)
            found = self._store.vectors(key) if self._store else {}
            if found:
                stored.append(kind)
            else:
                sample = sample or self._sample(task)
                try:
                    found = self.makers[kind](sample)
                except (InputError, RunFailed) as error:
                    missing[kind] = str(error)
                    continue
                if self._store:
                    self._store.save_vectors(key, task.name, found)
            vectors |= {f"{kind}.{part}" if part else kind: values for part, values in found.items()}
        return EmbeddedTask(vectors, missing, tuple(stored))

    @property
    def makers(self) -> dict[str, Callable[[Task], dict[str, FloatArray]]]:
        """What computes the components of each kind of vector, of a task of its sample alone."""
        return {kind: functools.partial(make, self) for kind, make in ENCODER_KINDS.items()}

    def settings_of(self, kind: str) -> dict[str, Any]:
        """Return the settings that vectors of one kind depend on, as plain values."""
        return self.settings.of_kind(kind, writes=self.kind != ENCODER)

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
        return VectorKey(kind, content, self.name, self.revision, self.settings_of(kind))

    def _text(self, task: Task) -> dict[str, FloatArray]:
        """Return the mean over examples of their mean last-layer token vectors (TextEmb, Vu et al. 2020)."""
        vectors = text_vectors(self.encoder, task, self.settings.encoding)
        return {"": vectors.mean(axis=0, dtype=np.float64)}

    def _last_token(self, task: Task) -> dict[str, FloatArray]:
        """Return the mean over examples of a decoder's last-layer vectors of the last tokens."""
        model = self.encoder
        if not isinstance(model, LanguageModel):
            raise InputError(
                "lastemb needs a decoder (got an encoder, whose last token stands for no text)"
            )
        vectors = language_model_vectors(model, task, self.settings.encoding, last=True)
        return {"": vectors.mean(axis=0, dtype=np.float64)}

    def _task(self, task: Task) -> dict[str, FloatArray]:
        """Return the diagonal Fisher information, a vector per part of the encoder (TaskEmb, Vu et al. 2020)."""
        parts = task_vectors(self.encoder, task, self.settings.fisher, self.settings.encoding)
        return {name: self._projected(values) for name, values in parts.items()}

    def _projected(self, values: NDArray[np.float32]) -> FloatArray:
        """Return a component, projected where it is longer than the settings say."""
        settings = self.settings
        if settings.dimension is None:
            return np.asarray(values, dtype=np.float64)
        return count_sketch(values, dimension=settings.dimension, seed=settings.projection_seed)

    def _description(self, task: Task) -> dict[str, FloatArray]:
        """Return the vector of the task's description, as TextEmb of one text."""
        if not task.description.strip():
            raise InputError(f"task '{task.name}' has no description (a task card can give one)")
        return self._mean_of([task.description])

    def _labels(self, task: Task) -> dict[str, FloatArray]:
        """Return the mean vector of the names of the labels, as TextEmb of these texts."""
        names = task.labels()
        if not names:
            raise InputError(f"labelemb needs label names, and a {task.type} task has none")
        return self._mean_of(names)

    def _mean_of(self, texts: Sequence[str]) -> dict[str, FloatArray]:
        examples = {"train": [Example(text) for text in texts]}
        return self._text(Task.from_iterable("texts", TaskType.CLASSIFICATION, examples))

    def _classes(self, task: Task) -> dict[str, FloatArray]:
        """Return the mean of TextEmb and of the unweighted mean of the class centroids."""
        checked_examples(task)
        labelled = labelled_vectors(self.encoder, task, self.settings.encoding)
        return {"": (self._text(task)[""] + centroid_mean(labelled)) / 2}


ENCODER_KINDS: dict[str, Callable[[Embedder, Task], dict[str, FloatArray]]] = {
    "textemb": Embedder._text,
    "lastemb": Embedder._last_token,
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
