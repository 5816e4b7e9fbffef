"""Exact per-example diagonal Fisher information of a model's parts.

F = (1/n) Σₙ (∇θ ln p(yₙ | xₙ))²: the gradient of every single example is squared.  Automatic
differentiation returns the gradient of a batch's sum, and its square is another quantity that depends on
the batch size.  Here one forward and backward pass per batch goes through the activations only.  For a
linear layer the gradient of one example is the product δᵀa of the gradients of its outputs, (tokens, out),
and its inputs, (tokens, in); each product is squared and accumulated at once.  This costs the
multiplications of the ordinary backward pass, and memory for one product whatever the batch size.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from transfer_meta.encoding.encoder_parts import Part, find_parts, token_table
from transfer_meta.encoding.onednn import fast_linear
from transfer_meta.errors import InputError

FisherBatch = TypeVar("FisherBatch")


@dataclass(frozen=True)
class Forward:
    """Result of the forward pass of one batch.

    Parameters
    ----------
    log_likelihood : tensor of shape (draws, examples)
        ln p(y | x) in nats: one row for the gold labels, or one per draw of labels from the model.
    example_of_input : tensor of shape (inputs,)
        Example of each row of the model's input, ascending: a question with several windows or choices
        is one example of several inputs.
    mask : bool tensor of shape (inputs, tokens) or None
        True at tokens, False at padding; None if nothing is padded, or nothing that is padded has a gradient.
    """

    log_likelihood: Tensor
    example_of_input: Tensor
    mask: Tensor | None


def diagonal_fisher(
    encoder: nn.Module,
    batches: Iterable[FisherBatch],
    forward: Callable[[FisherBatch], Forward],
    *,
    parts: Mapping[str, Part] | None = None,
    squared: bool = True,
    per_example: bool = True,
    embeddings: bool = False,
    temporary_bytes: int = 256 * 2**20,
) -> dict[str, NDArray[np.float32]]:
    """Return the mean squared gradient of the log-likelihood for every part of a model.

    Parameters
    ----------
    encoder : module
        `forward` calls it once per batch, with dropout off.
    batches : iterable
        The result depends neither on how examples are batched nor on padding.
    forward : callable
        Runs encoder and head on a batch.
    parts : mapping of str to Part, optional
        Linear layers by name; by default all parts of a BERT-like encoder (see `encoder_parts.find_parts`).
    squared : bool
        False: return the signed mean gradient instead.
    per_example : bool
        False: sum the gradient over each batch before squaring, (1/n) Σ_batches (Σₙ ∇)², as published
        code does; depends on the batches, for comparison only.
    embeddings : bool
        Whether to include the word embeddings and their layer norm.
    temporary_bytes : int
        Memory limit of the products on CUDA, where several examples are multiplied at once.

    Returns
    -------
    dict of str to float32 array
        By the names of `parts`: weights, flattened, then biases.  Those of an encoder are ``layer.I.query``,
        ``.key``, ``.value``, ``.attention_output``, ``.attention_norm``, ``.feed_forward_in``,
        ``.feed_forward_out`` and ``.output_norm`` of each layer, and
        ``layer.I.output``: the squared gradient with respect to the layer's outputs (width,), averaged
        over an example's tokens and then over examples.
        ``pooled_output`` (width,): the squared gradient with respect to a shift of all tokens of the last
        layer, which is that of their mean if the head reads the mean.

    Raises
    ------
    InputError
        An encoder with unknown parts, or that calls one part several times; no examples.

    References
    ----------
    Vu et al. 2020, "Exploring and predicting transferability across NLP tasks"; Achille et al. 2019,
    "Task2Vec: task embedding for meta-learning".
    """
    given, parts = parts, parts or find_parts(encoder, embeddings=embeddings)
    # Where the parts are given, the graph starts at their own weights.
    weights: list[Any] = [part.module.weight for part in given.values()] if given else []
    hooks = _Hooks(
        squared=squared,
        per_example=per_example,
        temporary_bytes=temporary_bytes,
        enters=not weights,
    )
    examples = draws = 0
    device = next(encoder.parameters()).device
    with _frozen(encoder, but=weights), hooks.attached(encoder, parts), fast_linear(device):
        for batch in batches:
            hooks.calls.clear()
            result = forward(batch)
            hooks.start(result)
            draws = len(result.log_likelihood)
            for draw in range(draws):
                # The returned gradient is not used: the hooks read the gradients of activations.
                torch.autograd.grad(
                    result.log_likelihood[draw].sum(),
                    weights or hooks.entry,
                    retain_graph=draw + 1 < draws,
                )
            examples += result.log_likelihood.shape[1]
    if not examples:
        raise InputError("no examples to compute the Fisher information of")
    return {name: hooks.vector(name) / np.float32(examples * draws) for name in parts}


class _Hooks:
    """Hooks on an encoder's parts that accumulate squared gradients."""

    def __init__(self, *, squared: bool, per_example: bool, temporary_bytes: int, enters: bool) -> None:
        self.totals: dict[str, list[Tensor]] = {}
        self._spans: list[tuple[int, int, int | None]] = []
        self.calls: set[str] = set()
        self._squared = squared
        self._per_example = per_example
        self._temporary_bytes = temporary_bytes
        self._enters = enters  # whether the graph starts at the embeddings of the tokens

    @contextlib.contextmanager
    def attached(self, encoder: nn.Module, parts: Mapping[str, Part]) -> Iterator[None]:
        """Attach the hooks within the block."""
        handles = []
        if self._enters:
            # With all weights frozen, the graph starts where `_enter` makes the embeddings require a gradient.
            handles.append(token_table(encoder).register_forward_hook(self._enter))
        for name, part in parts.items():
            handles.append(part.module.register_forward_hook(self._listener(name, part)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def start(self, result: Forward) -> None:
        """Record which inputs and tokens belong to which example of the batch."""
        owner = result.example_of_input
        self._example = owner if self._per_example else torch.zeros_like(owner)
        self._count = int(self._example[-1]) + 1
        inputs = torch.bincount(self._example, minlength=self._count).cumsum(0).tolist()
        # For every example: its first input, one past its last input, and the tokens of its longest input, None
        # for all: the layers of an encoder-decoder have inputs of two lengths.
        pairs = zip([0, *inputs], inputs, strict=False)
        if not self._enters:
            self._spans = [(first, stop, None) for first, stop in pairs]
            return
        mask = torch.ones_like(self._ids) if result.mask is None else result.mask.long()
        tokens = torch.zeros(int(owner[-1]) + 1, device=owner.device)
        self._tokens_of_input = tokens.index_add_(0, owner, mask.sum(1).float())[owner]
        last = (mask * torch.arange(1, mask.shape[1] + 1, device=mask.device)).amax(1).tolist()
        self._spans = [(first, stop, max(last[first:stop])) for first, stop in pairs]

    def vector(self, name: str) -> NDArray[np.float32]:
        """Return the sums of one part as one vector."""
        return torch.cat([total.flatten() for total in self.totals[name]]).cpu().numpy()

    def _enter(self, _: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        self._ids = inputs[0]
        self.entry = output.detach().requires_grad_()
        return self.entry

    def _listener(self, name: str, part: Part) -> Callable[..., None]:
        """Return a forward hook that hooks the gradient of the part's output."""
        add = getattr(self, f"_add_{part.kind}")

        def forward_hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Any) -> None:
            if name in self.calls:
                raise InputError(
                    f"the encoder uses its part '{name}' more than once in a pass (shared layers): the "
                    "per-example Fisher information is not supported for it"
                )
            if part.kind == "linear" and inputs[0].ndim != 3:
                raise InputError(
                    f"the model's part '{name}' does not read its tokens text by text: the per-example "
                    "Fisher information is not supported for it"
                )
            self.calls.add(name)
            result = output[0] if isinstance(output, tuple) else output
            given = inputs[0].detach() if inputs else None
            result.register_hook(lambda delta: add(name, module, given, delta))

        return forward_hook

    def _add_linear(self, name: str, module: nn.Linear, given: Tensor, delta: Tensor) -> None:
        total, *bias = self._sums(name, module.weight, module.bias)
        if bias:
            self._add_sums(bias[0], delta.sum(1))
        if not self._squared:
            total.addmm_(delta.flatten(0, 1).t(), given.flatten(0, 1))
        elif delta.is_cuda and self._count == len(delta):
            size = max(1, self._temporary_bytes // (2 * total.numel() * total.element_size()))
            for some_delta, some_given in zip(delta.split(size), given.split(size), strict=True):
                total.add_(torch.bmm(some_delta.transpose(1, 2), some_given).square_().sum(0))
        else:
            for first, stop, tokens in self._spans:
                # δᵀa, written as a linear layer with inputs δᵀ and weights aᵀ, which `fast_linear` recognises.
                product = functional.linear(
                    delta[first:stop, :tokens].flatten(0, 1).t(),
                    given[first:stop, :tokens].flatten(0, 1).t(),
                )
                total.addcmul_(product, product)

    def _add_norm(self, name: str, module: nn.LayerNorm, given: Tensor, delta: Tensor) -> None:
        weight, bias = self._sums(name, module.weight, module.bias)
        normalised = functional.layer_norm(given, module.normalized_shape, eps=module.eps)
        self._add_sums(weight, (delta * normalised).sum(1))
        self._add_sums(bias, delta.sum(1))

    def _add_activation(self, name: str, _: nn.Module, __: Tensor | None, delta: Tensor) -> None:
        values = delta.square() if self._squared else delta
        mean = (values.sum(1) / self._tokens_of_input[:, None]).sum(0)
        self._sums(name, mean)[0].add_(mean)

    def _add_pooled(self, name: str, _: nn.Module, __: Tensor | None, delta: Tensor) -> None:
        shift = delta.sum(1)
        total = (shift.square() if self._squared else shift).sum(0)
        self._sums(name, total)[0].add_(total)

    def _add_embedding(self, name: str, module: nn.Embedding, _: Tensor, delta: Tensor) -> None:
        (total,) = self._sums(name, module.weight)
        if not self._squared:
            total.index_add_(0, self._ids.flatten(), delta.flatten(0, 1))
            return
        for first, stop, tokens in self._spans:
            ids, slot = self._ids[first:stop, :tokens].flatten().unique(return_inverse=True)
            summed = delta.new_zeros(len(ids), delta.shape[-1])
            summed.index_add_(0, slot, delta[first:stop, :tokens].flatten(0, 1))
            total.index_add_(0, ids, summed.square_())

    def _add_sums(self, total: Tensor, of_inputs: Tensor) -> None:
        """Sum gradients of shape (inputs, width) by example, square them and add them to `total`."""
        if self._squared:
            sums = of_inputs.new_zeros(self._count, of_inputs.shape[1])
            of_inputs = sums.index_add_(0, self._example, of_inputs).square_()
        total.add_(of_inputs.sum(0))

    def _sums(self, name: str, *weights: Tensor | None) -> list[Tensor]:
        """Return the sums of a part, zero at first, in the shapes of its weights."""
        if name not in self.totals:
            self.totals[name] = [torch.zeros_like(w) for w in weights if w is not None]
        return self.totals[name]


@contextlib.contextmanager
def _frozen(module: nn.Module, *, but: Sequence[nn.Parameter] = ()) -> Iterator[None]:
    """Disable dropout, and gradients of all weights but some, within the block."""
    wanted = [(weight, weight.requires_grad) for weight in module.parameters()]
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    module.requires_grad_(False)
    for weight in but:
        weight.requires_grad_(True)
    try:
        yield
    finally:
        for weight, flag in wanted:
            weight.requires_grad_(flag)
        for part, mode in modes:
            part.training = mode
