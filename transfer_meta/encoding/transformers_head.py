"""The task heads that architectures have in transformers, on the outputs of our encoders."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from transfer_meta.encoding.batching import EncodedBatch
from transfer_meta.encoding.encoder import Encoder
from transfer_meta.encoding.encoders import (
    RANDOM,
    encoder_config,
    encoder_location,
    is_random_shape,
)
from transfer_meta.encoding.encoding_settings import (
    MEAN_HEAD,
    OFFLINE_NAMES,
    TRANSFORMERS_HEAD,
    is_bilstm,
)
from transfer_meta.errors import InputError
from transfer_meta.records import TaskType

if TYPE_CHECKING:
    from transfer_meta.encoding.heads import Head

_CHOICE, _SPAN = TaskType.MULTIPLE_CHOICE, TaskType.QUESTION_ANSWERING


class TransformersScorer(nn.Module):
    """The part of a transformers model that follows its encoder.

    The model is called as a whole; in the encoder's place a module returns the outputs that were computed before.
    It therefore gives what transformers would give, for every architecture.

    Parameters
    ----------
    type : TaskType
    encoder : Encoder
        Its architecture decides the head.
    labels : int
        Number of classes or tags; not read for other types.

    Raises
    ------
    InputError
        The architecture has no such head.
    """

    def __init__(self, type: TaskType, encoder: Encoder, *, labels: int) -> None:
        super().__init__()
        self.task = type
        outputs = {TaskType.REGRESSION: 1, _SPAN: 2, _CHOICE: 1}.get(type, labels)
        config: Any = copy.deepcopy(encoder.model.config)
        config.num_labels = outputs
        # On the meta device, so that no second encoder is allocated.
        with torch.device("meta"):
            model = _model_class(type, config)(config)
        self._base = _GivenOutputs()
        if not hasattr(model, model.base_model_prefix):
            raise _no_head(type, config)
        setattr(model, model.base_model_prefix, self._base)
        if next(model.buffers(), None) is not None:
            raise _no_head(type, config)
        self.model = model.to_empty(device="cpu")

    def initialise(self, seed: int) -> None:
        """Draw new weights as transformers does."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            drawn = copy.deepcopy(self.model).cpu()
            drawn.initialize_weights()
        self.model.load_state_dict(drawn.state_dict())

    def forward(
        self, hidden: torch.Tensor, batch: EncodedBatch, pooled: torch.Tensor | None
    ) -> torch.Tensor:
        """Return float32 logits of shape (items, outputs) or (items, tokens, outputs)."""
        from transformers.modeling_outputs import BaseModelOutputWithPooling

        mask = torch.ones_like(batch.ids) if batch.mask is None else batch.mask.long()
        inputs = {"input_ids": batch.ids, "attention_mask": mask}
        if self.task is _CHOICE:  # one choice an item
            inputs = {name: values[:, None] for name, values in inputs.items()}
        self._base.outputs = BaseModelOutputWithPooling(last_hidden_state=hidden, pooler_output=pooled)
        try:
            found = self.model(**inputs)
        finally:
            self._base.outputs = None
        if self.task is _SPAN:
            return torch.stack([found.start_logits, found.end_logits], dim=2).float()
        return found.logits.float()


class _GivenOutputs(nn.Module):
    """Stands in for an encoder; returns `outputs` for any input."""

    outputs: Any = None

    def forward(self, *_: Any, **__: Any) -> Any:
        return self.outputs


def whole_model(encoder: Encoder, head: Head, *, labels: Sequence[str] = ()) -> Any:
    """Return the transformers model of an encoder and a head with a `TransformersScorer`, in evaluation mode.

    Its outputs are those of the head; for regression on the scale of the labels, for question answering without the
    mask of positions outside of the context.

    Parameters
    ----------
    encoder : Encoder
    head : Head
    labels : sequence of str
        Names of the classes or tags in the order of the outputs.
    """
    scorer = head.scorer
    assert scorer is not None
    config: Any = copy.deepcopy(scorer.model.config)
    if scorer.task in (TaskType.CLASSIFICATION, TaskType.TOKEN_CLASSIFICATION):
        config.id2label = dict(enumerate(labels))
        config.label2id = {label: i for i, label in enumerate(labels)}
    if scorer.task is TaskType.REGRESSION:
        config.problem_type = "regression"
    elif scorer.task is TaskType.CLASSIFICATION:
        config.problem_type = "single_label_classification"
    with torch.random.fork_rng(devices=[]):
        model = _model_class(scorer.task, config)(config)
    prefix = f"{model.base_model_prefix}."
    weights = {prefix + name: w for name, w in encoder.model.state_dict().items()}
    # A model whose head does not read the pooler has none.
    names = model.state_dict().keys()
    weights = {n: w for n, w in weights.items() if n in names or not n.startswith(f"{prefix}pooler.")}
    model.load_state_dict(weights | _on_label_scale(head, scorer))
    return model.eval()


def _on_label_scale(head: Head, scorer: TransformersScorer) -> dict[str, torch.Tensor]:
    """Return the scorer's weights, the last layer of a regression multiplied and shifted to the labels' scale."""
    weights = scorer.model.state_dict()
    if scorer.task is not TaskType.REGRESSION:
        return weights
    layers = ((n, m) for n, m in scorer.model.named_modules() if isinstance(m, nn.Linear))
    (last,) = (name for name, layer in layers if layer.out_features == 1)
    mean, deviation = head.get_buffer("mean"), head.get_buffer("deviation")
    scaled = {
        f"{last}.weight": weights[f"{last}.weight"] * deviation,
        f"{last}.bias": weights[f"{last}.bias"] * deviation + mean,
    }
    return {**weights, **scaled}


def default_head(name: str) -> str:
    """Return the kind of head that suits an encoder.

    The head of transformers for a pretrained encoder; the mean of the token vectors for one whose files ask for it,
    as those of sentence-transformers do, for ``offline``, ``bilstm`` and ``random:LAYERSxWIDTH``, and for an
    architecture that has no head for some type of task.  From the Hub only configurations are read; where they
    cannot be, none asks.

    Raises
    ------
    InputError
        Unknown encoder, or a model that is not an encoder.
    """
    name = name if is_random_shape(name) else name.removeprefix(RANDOM)
    if name in OFFLINE_NAMES or is_bilstm(name) or is_random_shape(name):
        return MEAN_HEAD
    config = encoder_config(name)
    has_heads = all(type(config) in mapping for mapping in _mappings().values())
    return TRANSFORMERS_HEAD if has_heads and not _asks_for_mean(name) else MEAN_HEAD


def _asks_for_mean(name: str) -> bool:
    """Return whether an encoder's files ask for the mean of its token vectors."""
    modules = _json_of(name, "modules.json")
    for module in modules if isinstance(modules, list) else []:
        if isinstance(module, dict) and str(module.get("type")).endswith(".Pooling"):
            config = _json_of(name, f"{module.get('path')}/config.json")
            if isinstance(config, dict):
                mode = config.get("pooling_mode")
                return bool(config.get("pooling_mode_mean_tokens")) or "mean" in (mode, *_listed(mode))
    return False


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _json_of(name: str, file: str) -> Any:
    """Return the content of a JSON file of an encoder, None if there is none or it cannot be read."""
    from transformers.utils import cached_file

    try:
        path = cached_file(
            encoder_location(name),
            file,
            _raise_exceptions_for_gated_repo=False,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
        )
        return json.loads(Path(path).read_text(encoding="utf-8")) if path else None
    except (OSError, ValueError):
        return None


def _mappings() -> dict[TaskType, Mapping[Any, Any]]:
    """Return the classes of models by the class of the configuration, for every type of task."""
    from transformers.models.auto import modeling_auto as auto

    sequence: Any = auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING
    return {
        TaskType.CLASSIFICATION: sequence,
        TaskType.REGRESSION: sequence,
        TaskType.TOKEN_CLASSIFICATION: auto.MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING,
        TaskType.QUESTION_ANSWERING: auto.MODEL_FOR_QUESTION_ANSWERING_MAPPING,
        TaskType.MULTIPLE_CHOICE: auto.MODEL_FOR_MULTIPLE_CHOICE_MAPPING,
    }


def _model_class(task: TaskType, config: Any) -> Any:
    mapping = _mappings()[task]
    if type(config) not in mapping:
        raise _no_head(task, config)
    return mapping[type(config)]


def _no_head(type: TaskType, config: Any) -> InputError:
    return InputError(
        f"the architecture '{config.model_type}' has no head for {type} in transformers "
        f"(expected head = '{MEAN_HEAD}')"
    )
