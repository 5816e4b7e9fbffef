"""Task vectors that need a short tuning with LoRA: its weights, and TaskEmb of language models."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from transfer_meta.encoding.embedder import Embedder
from transfer_meta.encoding.encoder import Encoder
from transfer_meta.encoding.encoding_settings import EncodingSettings, FisherSettings, LoraSettings
from transfer_meta.encoding.language_model import LanguageModel
from transfer_meta.encoding.lora_fisher import answer_fisher, lora_layers
from transfer_meta.encoding.taskemb import fit_linear
from transfer_meta.encoding.tokens import checked_examples
from transfer_meta.errors import InputError
from transfer_meta.records import FloatArray
from transfer_meta.tasks.subsets import generator
from transfer_meta.tasks.task import Task
from transfer_meta.tasks.text_templates import TextTemplates
from transfer_meta.training.loop import Loop
from transfer_meta.training.lora import add_lora
from transfer_meta.training.task_data import Selection, TaskData
from transfer_meta.training.text_task_data import TextTaskData
from transfer_meta.training.training_settings import TrainingSettings

ANY_TASK = "task"
"""Stands for the name of a task, of which a vector must not depend."""


class TuningEmbedder(Embedder):
    """Computes all kinds of task vectors: those of `Embedder` and those that need a short tuning with LoRA.

    The parameters are those of `Embedder`.

    References
    ----------
    Zhou, Xu & McAuley 2022, "Efficiently tuned parameters are task embeddings"; Vu et al. 2020, "Exploring and
    predicting transferability across NLP tasks".
    """

    _tuned: tuple[Task, dict[str, Tensor]] | None = None

    @property
    def makers(self) -> dict[str, Callable[[Task], dict[str, FloatArray]]]:
        """What computes the components of each kind of vector, of a task of its sample alone."""
        own = {kind: functools.partial(make, self) for kind, make in TUNED_KINDS.items()}
        return {**super().makers, **own}

    def _weights(self, task: Task) -> dict[str, FloatArray]:
        """Return what a short tuning adds to LoRA's weights, a vector per layer (Zhou et al. 2022)."""
        if not self.settings.lora.steps:
            raise InputError("loraemb needs at least one step of LoRA (got 0)")
        with lora_added(self.encoder, self.settings.lora) as encoder:
            before = _state(encoder)
        after = self._state_of(task)
        added: dict[str, list[Tensor]] = {}
        for name, weight in before.items():
            added.setdefault(name.rpartition(".")[0], []).append((after[name] - weight).flatten())
        # One vector of all layers would lose more by the projection.
        return {layer: self._projected(torch.cat(parts).numpy()) for layer, parts in added.items()}

    def _task(self, task: Task) -> dict[str, FloatArray]:
        """Return the diagonal Fisher information of LoRA's weights after a short tuning, a vector per layer."""
        if not isinstance(self.encoder, LanguageModel):
            return super()._task(task)
        state = self._state_of(task)
        with lora_added(self.encoder, self.settings.lora) as model:
            assert isinstance(model, LanguageModel)
            for name, weight in _weights_of(model).items():
                weight.data.copy_(state[name])
            parts = answer_fisher(model, task, self.settings.fisher, self.settings.encoding)
        return {name: self._projected(values) for name, values in parts.items()}

    def _state_of(self, task: Task) -> dict[str, Tensor]:
        """Return the weights of LoRA tuned on a task; those of the last task are kept for its next kind."""
        if self._tuned is None or self._tuned[0] is not task:
            with lora_added(self.encoder, self.settings.lora) as encoder:
                tune(encoder, task, self.settings.lora, self.settings.encoding)
                self._tuned = (task, _state(encoder))
        return self._tuned[1]


TUNED_KINDS: dict[str, Callable[[TuningEmbedder, Task], dict[str, FloatArray]]] = {
    "taskemb": TuningEmbedder._task,
    "loraemb": TuningEmbedder._weights,
}


@contextlib.contextmanager
def lora_added(encoder: Encoder, settings: LoraSettings) -> Iterator[Encoder]:
    """Give an encoder with LoRA updates whose first weights depend on the seed alone; remove them afterwards."""
    added = add_lora(encoder, settings.rank)
    try:
        with torch.no_grad():
            for name, weight in _weights_of(added).items():
                # As PEFT does, but the same for every device: the second factor is zero.
                bound = weight.shape[1] ** -0.5 if "lora_A" in name else 0.0
                drawn = generator("lora", settings.seed, name).uniform(
                    -bound, bound, tuple(weight.shape)
                )
                weight.copy_(torch.from_numpy(drawn))
        yield added
    finally:
        model: Any = added.model
        model.unload()


def tune(encoder: Encoder, task: Task, settings: LoraSettings, encoding: EncodingSettings) -> None:
    """Tune the LoRA updates of a model on all training examples of a task, an encoder's with a head.

    The head begins as the one that is fitted to the frozen encoder (`taskemb.fit_head`), so that no random one
    decides where the updates go.

    Raises
    ------
    InputError
        A single class, of an encoder.
    RunFailed
        A label that cannot be learned from, or a loss that is not finite.
    """
    if not settings.steps:
        return
    training = TrainingSettings(
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        max_length=encoding.max_length,
        stride=encoding.window_stride,
        dev_examples=0,
        evaluations=0,
        precision="fp32",
        lora_rank=settings.rank,
    )
    labels = task.labels()
    selection = Selection(ANY_TASK, task.type, labels, tuple(checked_examples(task)), (), ())
    devices = [encoder.device] if encoder.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(int(generator("dropout", settings.seed).integers(2**62)))
        data = _data(encoder, task, selection, training, settings.seed)
        if not isinstance(encoder, LanguageModel):
            if len(labels) == 1:
                raise InputError(
                    f"task '{task.name}' has a single class ('{labels[0]}'): a head has nothing to learn"
                )
            batches = data.train.batcher.by_length(encoding.max_tokens)
            fit_linear(encoder, data.head, data.train.batcher, batches, steps=FisherSettings.head_steps)
            data.head.requires_grad_(True)
        schedule = [[(0, 1.0)]] * settings.steps
        Loop(encoder, [data], schedule, training).run(resume=None, name="")


def _data(
    encoder: Encoder, task: Task, selection: Selection, training: TrainingSettings, seed: int
) -> TaskData:
    if isinstance(encoder, LanguageModel):
        templates = TextTemplates.of_task(task)
        return TextTaskData(selection, encoder, training, templates=templates, seed=seed)
    return TaskData(selection, encoder, training, seed=seed, cache=None)


def _weights_of(encoder: Encoder) -> dict[str, Any]:
    """Return the weights of LoRA by name, layer after layer."""
    return {
        f"{layer}.{name}": module.weight
        for layer, factors in lora_layers(encoder.model).items()
        for name, module in zip(("lora_A", "lora_B"), factors, strict=True)
    }


def _state(encoder: Encoder) -> dict[str, Tensor]:
    """Return a copy of the weights of LoRA."""
    return {name: weight.detach().cpu().clone() for name, weight in _weights_of(encoder).items()}
