from __future__ import annotations

import pytest
import torch
from torch import nn

from transfer_meta.encoding import onednn
from transfer_meta.encoding.onednn import available, fast_linear

CPU = torch.device("cpu")
needs_onednn = pytest.mark.skipif(not available(), reason="no oneDNN, or no AVX-512")


@needs_onednn
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(64,), (4, 16), (2, 2, 16)])
def test_values_and_gradients_are_those_of_double_precision(shape: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(160, 176, bias=bias)
    exact = nn.Linear(160, 176, bias=bias, dtype=torch.float64)
    exact.load_state_dict(layer.state_dict())
    inputs = torch.randn(*shape, 160, requires_grad=True)
    doubles = inputs.detach().double().requires_grad_()
    with fast_linear(CPU):
        outputs = layer(inputs)
    assert type(outputs.grad_fn).__name__ == "_LinearBackward"
    expected = exact(doubles)
    torch.testing.assert_close(outputs.double(), expected, rtol=1e-5, atol=1e-5)
    outputs.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(inputs.grad.double(), doubles.grad, rtol=1e-4, atol=1e-3)
    for found, wanted in zip(layer.parameters(), exact.parameters(), strict=True):
        torch.testing.assert_close(found.grad.double(), wanted.grad, rtol=1e-4, atol=1e-3)


@needs_onednn
def test_other_precisions_small_layers_and_code_outside_are_left_alone() -> None:
    small, large = nn.Linear(4, 4), nn.Linear(160, 176)
    inputs = torch.randn(64, 160)
    with fast_linear(CPU):
        assert type(small(torch.randn(2, 4)).grad_fn).__name__ == "AddmmBackward0"
        assert type(large.double()(inputs.double()).grad_fn).__name__ == "AddmmBackward0"
        with torch.autocast("cpu", torch.bfloat16):
            assert large.float()(inputs).dtype == torch.bfloat16
    assert type(large(inputs).grad_fn).__name__ == "AddmmBackward0"


@needs_onednn
def test_frozen_weights_get_no_gradient() -> None:
    layer = nn.Linear(160, 176).requires_grad_(False)
    inputs = torch.randn(64, 160, requires_grad=True)
    with fast_linear(CPU):
        layer(inputs).sum().backward()
    assert inputs.grad is not None
    assert layer.weight.grad is None


@needs_onednn
@pytest.mark.parametrize("faster", [True, False])
def test_where_mkl_is_faster_it_is_used_on_request(
    faster: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onednn, "mkl_is_faster", lambda: faster)
    layer, inputs = nn.Linear(160, 176), torch.randn(64, 160)
    for always in (True, False):
        with fast_linear(CPU, always=always):
            used = type(layer(inputs).grad_fn).__name__
        assert (used == "_LinearBackward") == (always or not faster)


def test_without_onednn_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onednn, "available", lambda: False)
    layer, inputs = nn.Linear(160, 176), torch.randn(64, 160)
    expected = layer(inputs)
    with fast_linear(CPU):
        assert torch.equal(layer(inputs), expected)
