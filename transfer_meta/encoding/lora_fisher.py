"""TaskEmb of a language model: diagonal Fisher information of its LoRA weights on a task as text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from transfer_meta.encoding.encoder_parts import Part
from transfer_meta.encoding.encoding_settings import EncodingSettings, FisherSettings
from transfer_meta.encoding.fisher import Forward, diagonal_fisher
from transfer_meta.encoding.language_model import LanguageModel
from transfer_meta.encoding.text_batching import TextBatcher
from transfer_meta.encoding.text_tokens import EncodedTexts, TextTokenizer
from transfer_meta.encoding.tokens import checked_examples
from transfer_meta.tasks.task import Task
from transfer_meta.tasks.text_templates import TextTemplates

MATRICES = ("lora_A", "lora_B")
"""The two factors of an update in PEFT: the first one, of random values at first, reads the layer's input."""


def lora_layers(model: nn.Module) -> dict[str, tuple[nn.Module, nn.Module]]:
    """Return the two factors of the update of each layer, by the layer's name."""
    modules = dict(model.named_modules())
    first, second = (f".{name}.default" for name in MATRICES)
    return {
        name.removesuffix(first).removeprefix("base_model.model."): (
            module,
            modules[name.removesuffix(first) + second],
        )
        for name, module in modules.items()
        if name.endswith(first)
    }


def answer_fisher(
    model: LanguageModel, task: Task, settings: FisherSettings, encoding: EncodingSettings
) -> dict[str, NDArray[np.float32]]:
    """Return the Fisher information of the LoRA weights of a model, a vector per layer: both factors, flattened.

    The log-likelihood of an example is that of its answer's tokens after the prompt, summed; in token
    classification, where each token has a prompt of its own, over all of them.  For labels of the model
    (``theoretical``), every token of the answer is drawn after those before it in the data.

    Parameters
    ----------
    model : LanguageModel
        With the updates of `transfer_meta.training.lora.add_lora`.
    task : Task
    settings : FisherSettings
        `head_steps` and `embeddings` have no effect.
    encoding : EncodingSettings

    Raises
    ------
    InputError
        A layer that is used more than once in a pass.
    RunFailed
        A label that cannot be learned from.
    """
    templates = TextTemplates.of_task(task)
    units = [templates.as_text(example) for example in checked_examples(task)]
    encoded = TextTokenizer(model, encoding.max_length)(units)
    batcher = TextBatcher(model, task.type, encoded, packs=False)
    generator = torch.Generator(device=model.device).manual_seed(settings.seed)

    def forward(chosen: NDArray[np.int64]) -> Forward:
        batch = batcher.batch(chosen)
        logits, _ = model.on_batch(batch)
        shares = logits.float().log_softmax(dim=-1)
        targets = [batch.target]
        if settings.variant == "theoretical":
            chances = shares.detach().exp()
            drawn = torch.multinomial(chances, settings.draws, replacement=True, generator=generator)
            targets = list(drawn.t())
        _, ranks = np.unique(encoded.examples[chosen], return_inverse=True)
        owner = torch.from_numpy(ranks).to(model.device)
        counts = torch.tensor([len(encoded.answers[unit]) for unit in chosen], device=model.device)
        of_target = owner.repeat_interleave(counts)
        rows = [_sums(shares, target, of_target, len(np.unique(ranks))) for target in targets]
        return Forward(torch.stack(rows), owner, None)

    per_example = settings.variant != "batch-summed"
    batches = (
        _by_length(encoded, encoding.max_tokens)
        if per_example
        else _in_order(encoded, settings.batch_size)
    )
    parts = {
        f"{layer}.{name}": Part(module, "linear")
        for layer, factors in lora_layers(model.model).items()
        for name, module in zip(MATRICES, factors, strict=True)
    }
    found = diagonal_fisher(
        model.model,
        batches,
        forward,
        parts=parts,
        squared=settings.variant != "gradient",
        per_example=per_example,
    )
    return {
        layer: np.concatenate([found[f"{layer}.{name}"] for name in MATRICES])
        for layer in lora_layers(model.model)
    }


def _sums(shares: Tensor, target: Tensor, owner: Tensor, examples: int) -> Tensor:
    """Return the log-likelihood of each example, the sum over its tokens."""
    found = shares.gather(1, target[:, None]).squeeze(1)
    return found.new_zeros(examples).index_add_(0, owner, found)


def _by_length(encoded: EncodedTexts, tokens: int) -> list[NDArray[np.int64]]:
    """Return batches of whole examples, longest first, with at most `tokens` padded tokens if one fits."""
    first = np.flatnonzero(np.diff(encoded.examples, prepend=-1))
    widths = np.maximum.reduceat(encoded.lengths, first)
    counts = np.diff([*first, len(encoded.examples)])
    batches: list[list[int]] = []
    width = rows = 0
    for example in np.argsort(-widths, kind="stable"):
        rows += counts[example]
        if not batches or rows * width > tokens:
            batches.append([])
            width, rows = widths[example], counts[example]
        batches[-1].append(int(example))
    return [_units(first, counts, batch) for batch in batches]


def _in_order(encoded: EncodedTexts, batch_size: int) -> list[NDArray[np.int64]]:
    """Return batches of as many examples, in their order."""
    first = np.flatnonzero(np.diff(encoded.examples, prepend=-1))
    counts = np.diff([*first, len(encoded.examples)])
    numbers = list(range(len(first)))
    return [
        _units(first, counts, numbers[i : i + batch_size]) for i in range(0, len(numbers), batch_size)
    ]


def _units(
    first: NDArray[np.int64], counts: NDArray[np.int64], examples: Sequence[int]
) -> NDArray[np.int64]:
    """Return the units of some examples, in ascending order."""
    return np.concatenate([first[e] + np.arange(counts[e]) for e in sorted(examples)])
