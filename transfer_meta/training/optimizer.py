"""AdamW with linear warm-up and linear decay of the learning rate."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from transfer_meta.training.seen_embedding import SeenEmbedding

BETAS = (0.9, 0.999)
EPSILON = 1e-8


def build_optimizer(
    modules: Iterable[nn.Module], *, weight_decay: float, device: torch.device
) -> torch.optim.AdamW:
    """Return AdamW over all trainable weights, with weight decay on linear and recurrent matrices only.

    Embeddings are exempt: decay would change every row at every step, even of tokens that do not occur.
    """
    found: dict[nn.Parameter, bool] = {}  # whether it is exempt; a tied weight is there once
    for module in modules:
        for part in module.modules():
            embeds = isinstance(part, nn.Embedding | SeenEmbedding)
            for weight in part.parameters(recurse=False):
                if weight.requires_grad:
                    found[weight] = found.get(weight, False) or embeds or weight.ndim < 2
    decayed = [weight for weight, is_exempt in found.items() if not is_exempt]
    free = [weight for weight, is_exempt in found.items() if is_exempt]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        betas=BETAS,
        eps=EPSILON,
        fused=device.type in ("cpu", "cuda"),
    )


def learning_rate(step: int, *, steps: int, peak: float, warmup_fraction: float) -> float:
    """Return the learning rate of a step, counted from 0: linear warm-up to the peak, linear decay to zero.

    Examples
    --------
    >>> [learning_rate(s, steps=4, peak=1.0, warmup_fraction=0.5) for s in range(4)]
    [0.5, 1.0, 1.0, 0.5]
    """
    warmup = round(steps * warmup_fraction)
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (steps - step) / max(steps - warmup, 1)
