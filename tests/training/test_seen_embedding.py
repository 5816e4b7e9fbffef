from __future__ import annotations

import copy

import torch
from torch import nn

from transfer_meta.encoding.encoders import load_encoder
from transfer_meta.training.optimizer import build_optimizer
from transfer_meta.training.seen_embedding import SeenEmbedding, compact, restore


def train(model: nn.Module, batches: list[torch.Tensor]) -> None:
    model.train()
    optimizer = build_optimizer([model], weight_decay=0.1, device=torch.device("cpu"))
    for step, ids in enumerate(batches):
        optimizer.param_groups[0]["lr"] = optimizer.param_groups[-1]["lr"] = 1e-2 / (1 + step)
        hidden = model(input_ids=ids).last_hidden_state
        hidden.square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()


def test_training_the_seen_rows_is_training_the_table_bit_for_bit() -> None:
    torch.manual_seed(0)
    batches = [torch.randint(0, 40, (4, 9)) for _ in range(12)]
    whole = load_encoder("random:1x8").model
    for module in whole.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    for attention in whole.encoder.layer:
        attention.attention.self.dropout.p = 0.0
    small = copy.deepcopy(whole)
    table = compact(small, torch.cat(batches).unique())
    assert table is not None
    assert table.weight.shape[0] <= 40
    train(whole, batches)
    train(small, batches)
    restore(small, table)
    for (name, expected), (other, found) in zip(
        whole.state_dict().items(), small.state_dict().items(), strict=True
    ):
        assert name == other
        assert torch.equal(expected, found), name


def test_evaluation_reads_every_row_and_the_trained_ones_anew() -> None:
    full = nn.Embedding(10, 3)
    before = full.weight.detach().clone()
    small = SeenEmbedding(full, torch.tensor([2, 7]))
    with torch.no_grad():
        small.weight += 1.0
    assert torch.equal(small(torch.tensor([7])), before[[7]] + 1)
    small.eval()
    assert torch.equal(small(torch.arange(10))[[2, 7]], before[[2, 7]] + 1)
    rest = [i for i in range(10) if i not in (2, 7)]
    assert torch.equal(small(torch.arange(10))[rest], before[rest])


def test_the_padding_row_gets_no_gradient() -> None:
    small = SeenEmbedding(nn.Embedding(5, 2, padding_idx=0), torch.tensor([0, 3]))
    small(torch.tensor([0, 3, 3])).sum().backward()
    assert small.weight.grad is not None
    assert small.weight.grad.tolist() == [[0, 0], [2, 2]]


def test_a_table_of_another_kind_is_left_alone() -> None:
    model = load_encoder("random:1x8").model
    special = nn.Embedding(300, 8, max_norm=1.0)
    model.set_input_embeddings(special)  # type: ignore[operator]
    assert compact(model, torch.tensor([1])) is None
    assert model.get_input_embeddings() is special  # type: ignore[operator]
