"""Linear layers in float32 through oneDNN instead of MKL.

On processors that are not Intel's, MKL computes float32 matrix products with AVX2 even where there is AVX-512;
oneDNN, which torch carries for other uses, does not.  Both accumulate in float32; the order of the sums differs.

Training on 256 examples of sst2 takes 1 / 1.20 of the CPU time where MKL is held to AVX2, and 8 % more on an Intel
Xeon.  Encoders keep it on both, since without it vectors and scores differ in the eighth digit from those that are
stored; language models, of which there are none, take what is faster.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

MIN_MULTIPLICATIONS = 1 << 20
"""Smaller products go to MKL: the overhead of a call would outweigh the gain."""


class _Linear(torch.autograd.Function):
    """x Wᵀ + b and its gradients, each matrix product by oneDNN."""

    @staticmethod
    def forward(
        ctx: Any, inputs: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
    ) -> torch.Tensor:
        ctx.save_for_backward(inputs, weight)
        ctx.has_bias = bias is not None
        return _product(inputs, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        inputs, weight = ctx.saved_tensors
        gradient = gradients[0].reshape(-1, weight.shape[0])
        for_inputs = for_weight = for_bias = None
        if ctx.needs_input_grad[0]:
            for_inputs = _product(gradient, weight.t()).reshape(inputs.shape)
        if ctx.needs_input_grad[1]:
            for_weight = _product(gradient.t(), inputs.reshape(-1, inputs.shape[-1]).t())
        if ctx.has_bias and ctx.needs_input_grad[2]:
            for_bias = gradient.sum(dim=0)
        return for_inputs, for_weight, for_bias


class _Mode(TorchFunctionMode):
    """Redirect float32 calls of `functional.linear` to `_Linear`."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        plain = not torch.is_autocast_enabled("cpu") and not torch.compiler.is_compiling()
        if func is functional.linear and not kwargs and plain:
            inputs, weight = args[:2]
            work = inputs.numel() * weight.shape[0]
            if inputs.dtype == weight.dtype == torch.float32 and work >= MIN_MULTIPLICATIONS:
                return _Linear.apply(inputs, weight, args[2] if len(args) > 2 else None)
        return func(*args, **(kwargs or {}))


def available() -> bool:
    """Return whether this torch has the operator and this processor has AVX-512."""
    return (
        torch.backends.mkldnn.is_available()
        and torch.backends.cpu.get_cpu_capability().startswith("AVX512")
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


@functools.cache
def mkl_is_faster() -> bool:
    """Return whether MKL uses AVX-512 here, as on processors of Intel; False where the maker is not known."""
    try:
        return "GenuineIntel" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


@contextlib.contextmanager
def fast_linear(device: torch.device, *, always: bool = True) -> Iterator[None]:
    """Use oneDNN for linear layers on the CPU within the block, if it is `available`.

    Parameters
    ----------
    device : torch.device
    always : bool
        Also where MKL is faster.
    """
    if device.type == "cpu" and available() and (always or not mkl_is_faster()):
        with _Mode():
            yield
    else:
        yield


def _product(left: torch.Tensor, right: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """Return left times right transposed, plus a bias."""
    return torch.ops.mkldnn._linear_pointwise(left, right, bias, "none", [], "")
