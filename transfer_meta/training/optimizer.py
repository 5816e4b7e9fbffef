"""AdamW with linear warm-up and decay."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

BETAS = (0.9, 0.999)
EPSILON = 1e-8


def build_optimizer(
    modules: Iterable[nn.Module], *, weight_decay: float, device: torch.device
) -> torch.optim.AdamW:
    """AdamW over all weights that are trained; only the matrices of linear and recurrent layers decay.

    Embeddings do not: their decay would have to reach every row at every step, also those of tokens
    that never occur.
    """
    from transfer_meta.training.seen_embedding import SeenEmbedding

    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for module in modules:
        for part in module.modules():
            embeds = isinstance(part, nn.Embedding | SeenEmbedding)
            for weight in part.parameters(recurse=False):
                if weight.requires_grad:
                    (free if embeds or weight.ndim < 2 else decayed).append(weight)
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        betas=BETAS,
        eps=EPSILON,
        fused=device.type in ("cpu", "cuda"),
    )


def learning_rate(step: int, *, steps: int, peak: float, warmup_fraction: float) -> float:
    """Rate of a step, counted from 0: linear up to the peak, then linear down towards zero.

    Examples
    --------
    >>> [learning_rate(s, steps=4, peak=1.0, warmup_fraction=0.5) for s in range(4)]
    [0.5, 1.0, 1.0, 0.5]
    """
    warmup = round(steps * warmup_fraction)
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (steps - step) / max(steps - warmup, 1)
