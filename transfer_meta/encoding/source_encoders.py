"""Encoders fine-tuned on a source, stored as low-rank differences from the pretrained encoder.

The difference of each linear layer's weight is a product of two narrow matrices (LoRA, Hu et al. 2021; the low-rank
difference of a fully trained layer otherwise), in 8 bits: all-MiniLM-L6-v2 with rank 16 takes 0.7 MB instead of
90 MB.  The file also holds a classifier's head, for LEEP and NCE, and as JSON what it was trained on and how.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from transfer_meta.encoding.encoder import Encoder
from transfer_meta.encoding.source_files import FORMAT, SourceEncoderFacts, read_source_facts
from transfer_meta.errors import InputError, first_line
from transfer_meta.files import atomic_file

HEAD = "head"
MAX_BYTE = 127
"""Largest number of a signed byte."""


class LowRank(NamedTuple):
    """Product of two matrices, float32: up (outputs, rank) · down (rank, inputs)."""

    up: Tensor
    down: Tensor

    def joined(self, other: LowRank) -> LowRank:
        """Return the sum with another product, of both ranks together."""
        return LowRank(torch.cat([self.up, other.up], 1), torch.cat([self.down, other.down]))


class LinearHead(NamedTuple):
    """Classifier on frozen features: weight (classes, width), bias (classes,), float32."""

    weight: Tensor
    bias: Tensor


@dataclass(frozen=True)
class SourceEncoder:
    """A source's fine-tuned encoder as a difference from the pretrained one.

    Parameters
    ----------
    facts : SourceEncoderFacts
    layers : mapping of str to LowRank
        By name of the linear layer.
    head : LinearHead or None
        None for a source without classes.
    """

    facts: SourceEncoderFacts
    layers: Mapping[str, LowRank]
    head: LinearHead | None = None


class SwitchableEncoder:
    """A pretrained encoder whose linear layers are switched to those of source encoders.

    Switching copies the weights, so that reading a text costs no more than with a full checkpoint.

    Parameters
    ----------
    encoder : Encoder
        Its weights are changed in place.
    """

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self._weights = {name: layer.weight for name, layer in linear_layers(encoder.model).items()}
        self._pretrained = linear_weights(encoder.model)

    def use(self, source: SourceEncoder | None) -> Encoder:
        """Return the encoder with the weights of a source, or with the pretrained ones.

        Raises
        ------
        InputError
            The source's layers are not those of the encoder.
        """
        layers = {} if source is None else source.layers
        for name, part in layers.items():
            shape = (part.up.shape[0], part.down.shape[1])
            if name not in self._weights or self._weights[name].shape != shape:
                raise InputError(
                    f"source encoder '{source.facts.name if source else ''}' does not fit the encoder: layer"
                    f" '{name}' of shape {shape}"
                )
        with torch.no_grad():
            for name, weight in self._weights.items():
                weight.copy_(self._pretrained[name])
                if name in layers:
                    up, down = (matrix.to(weight) for matrix in layers[name])
                    weight.addmm_(up, down)
        return self.encoder


def linear_layers(model: nn.Module) -> dict[str, nn.Linear]:
    """Return the linear layers of a model by name."""
    return {name: layer for name, layer in model.named_modules() if isinstance(layer, nn.Linear)}


def linear_weights(model: nn.Module) -> dict[str, Tensor]:
    """Return copies of the weights of a model's linear layers, by name."""
    return {name: layer.weight.detach().clone() for name, layer in linear_layers(model).items()}


def low_rank_difference(
    pretrained: Mapping[str, Tensor], trained: nn.Module, *, rank: int
) -> dict[str, LowRank]:
    """Return the best approximation of rank `rank` to the change of each linear layer's weight.

    Exact if the layers were trained by LoRA of at most that rank.

    Parameters
    ----------
    pretrained : mapping of str to Tensor
        Weights of the linear layers before the training, by name.
    trained : module
    rank : int
    """
    found = {}
    for name, layer in linear_layers(trained).items():
        change = layer.weight.detach().float().cpu() - pretrained[name].float().cpu()
        found[name] = low_rank(change, rank)
    return found


def low_rank(matrix: Tensor, rank: int) -> LowRank:
    """Return the best approximation of a matrix by one of rank `rank`, as its singular value decomposition has it.

    From the eigenvectors of the smaller Gram matrix, in double precision: several times faster.
    """
    if matrix.shape[0] < matrix.shape[1]:
        up, down = low_rank(matrix.T, rank)
        return LowRank(down.T, up.T)
    exact = matrix.double()
    _, vectors = torch.linalg.eigh(exact.T @ exact)
    right = vectors[:, -rank:].flip(1)
    left = exact @ right
    root = left.norm(dim=0).sqrt().clamp(min=1e-12)
    return LowRank((left / root).float(), (root * right).T.float())


def save_source_encoder(source: SourceEncoder, path: Path) -> None:
    """Write a source encoder to a safetensors file, atomically; the matrices in 8 bits."""
    from safetensors.torch import save_file

    tensors: dict[str, Tensor] = {}
    parts = dict(source.layers)
    if source.head is not None:
        # Whole: of 46 classes' predictions rank 16 changed more than half.
        parts[HEAD] = low_rank(source.head.weight, min(source.head.weight.shape))
        tensors[f"{HEAD}.bias"] = source.head.bias
    for name, part in parts.items():
        up, up_scale = _in_bytes(part.up.T)
        down, down_scale = _in_bytes(part.down)
        tensors |= {f"{name}.up": up, f"{name}.down": down, f"{name}.scale": up_scale * down_scale}
    facts = {**vars(source.facts), "type": str(source.facts.type)}
    with atomic_file(path) as temporary:
        save_file(
            {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()},
            temporary,
            metadata={"format": FORMAT, "facts": json.dumps(facts, sort_keys=True)},
        )


def load_source_encoder(path: Path) -> SourceEncoder:
    """Read a file that `save_source_encoder` wrote; InputError if it is none."""
    from safetensors import SafetensorError, safe_open

    facts = read_source_facts(path)
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        layers = {}
        for name in (n.removesuffix(".scale") for n in tensors if n.endswith(".scale")):
            up = tensors[f"{name}.up"].float() * tensors[f"{name}.scale"][:, None]
            layers[name] = part = LowRank(up.T, tensors[f"{name}.down"].float())
            if part.up.shape[1] != part.down.shape[0] or not part.up.isfinite().all():
                raise ValueError(f"layer '{name}' is no product of two matrices")
        head = None
        if HEAD in layers:
            part = layers.pop(HEAD)
            head = LinearHead(part.up @ part.down, tensors[f"{HEAD}.bias"].float())
    except (OSError, SafetensorError, LookupError, ValueError, RuntimeError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else first_line(error)
        raise InputError(f"source encoder '{path}' cannot be read: {reason}") from error
    if head is not None and not len(head.weight) == len(head.bias) == len(facts.labels):
        raise InputError(
            f"source encoder '{path}': {len(facts.labels)} labels for {len(head.weight)} outputs"
        )
    return SourceEncoder(facts, layers, head)


def _in_bytes(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return signed bytes and the scale of each row, so that bytes · scale is nearest to the rows."""
    largest = rows.abs().amax(dim=1).clamp(min=1e-12)
    scale = largest / MAX_BYTE
    return (rows / scale[:, None]).round().to(torch.int8), scale
