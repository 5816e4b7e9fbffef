from __future__ import annotations

import pytest
import torch

from transfer_meta.encoding.encoders import load_encoder
from transfer_meta.training.optimizer import build_optimizer, learning_rate
from transfer_meta.training.seen_embedding import compact


def test_the_rate_rises_and_falls_linearly() -> None:
    rates = [learning_rate(s, steps=100, peak=2.0, warmup_fraction=0.1) for s in range(100)]
    assert rates[9] == pytest.approx(2.0)
    assert max(rates) == pytest.approx(2.0)
    assert rates[0] == pytest.approx(0.2)
    assert rates[99] == pytest.approx(2.0 / 90)
    assert all(rate > 0 for rate in rates)


@pytest.mark.parametrize(("steps", "warmup"), [(1, 0.0), (1, 1.0), (3, 1.0), (5, 0.0)])
def test_no_step_is_without_a_rate(steps: int, warmup: float) -> None:
    rates = [learning_rate(s, steps=steps, peak=1.0, warmup_fraction=warmup) for s in range(steps)]
    assert all(0 < rate <= 1 for rate in rates)


@pytest.mark.parametrize("seen", [False, True])
def test_only_matrices_that_are_no_embeddings_decay(seen: bool) -> None:
    model = load_encoder("random:2x8").model
    if seen:
        compact(model, torch.tensor([0, 1, 5]))
    optimizer = build_optimizer([model], weight_decay=0.1, device=torch.device("cpu"))
    names = {id(weight): name for name, weight in model.named_parameters() if weight.requires_grad}
    found = {
        names[id(weight)]: group["weight_decay"]
        for group in optimizer.param_groups
        for weight in group["params"]
    }
    assert len(found) == len(names)
    for name, decay in found.items():
        free = "embedding" in name or name.endswith("bias") or "LayerNorm" in name
        assert decay == (0.0 if free else 0.1), name
