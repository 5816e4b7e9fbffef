"""Parts of BERT-like encoders under uniform names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from torch import nn

from transfer_meta.errors import InputError

_LAYER_PATTERNS = {
    "query": r"attention\.self\.query(_proj)?|attention\.q_lin|attention\.attn\.q",
    "key": r"attention\.self\.key(_proj)?|attention\.k_lin|attention\.attn\.k",
    "value": r"attention\.self\.value(_proj)?|attention\.v_lin|attention\.attn\.v",
    "attention_output": r"attention\.output\.dense|attention\.out_lin|attention\.attn\.o",
    "attention_norm": r"attention\.output\.LayerNorm|sa_layer_norm|attention\.LayerNorm",
    "feed_forward_in": r"intermediate\.dense|ffn\.lin1",
    "feed_forward_out": r"output\.dense|ffn\.lin2",
    "output_norm": r"output\.LayerNorm|output_layer_norm",
}
"""Names of modules within a layer of BERT, RoBERTa and ELECTRA; DeBERTa; DistilBERT; MPNet."""


@dataclass(frozen=True)
class Part:
    """A module of an encoder whose Fisher information is computed.

    Parameters
    ----------
    module : module
    kind : str
        ``linear``, ``norm`` or ``embedding``: the module's weights; ``activation``: its output per token;
        ``pooled``: its output, all tokens together.
    """

    module: nn.Module
    kind: str


def token_table(model: nn.Module) -> Any:
    """Return the embedding of the tokens of a transformer, a method that torch's own modules do not have."""
    transformer: Any = model
    return transformer.get_input_embeddings()


def find_parts(encoder: nn.Module, *, embeddings: bool = False) -> dict[str, Part]:
    """Return the parts of an encoder by name, layer by layer.

    Raises
    ------
    InputError
        The encoder's modules have none of the known names.
    """
    layers = next(
        (m for m in encoder.modules() if isinstance(m, nn.ModuleList) and _is_layer(m[0])), None
    )
    if layers is None:
        raise InputError(
            f"the parts of encoder '{type(encoder).__name__}' are not known (expected layers named as in "
            "BERT, RoBERTa, ELECTRA, DeBERTa, DistilBERT or MPNet)"
        )
    parts = {}
    if embeddings:
        parts["embeddings.words"] = Part(token_table(encoder), "embedding")
        norm = getattr(getattr(encoder, "embeddings", None), "LayerNorm", None)
        if isinstance(norm, nn.LayerNorm):
            parts["embeddings.norm"] = Part(norm, "norm")
    for index, layer in enumerate(layers):
        for name, module in _layer_parts(layer).items():
            kind = "norm" if name.endswith("_norm") else "linear"
            parts[f"layer.{index}.{name}"] = Part(module, kind)
        parts[f"layer.{index}.output"] = Part(layer, "activation")
    parts["pooled_output"] = Part(layers[-1], "pooled")
    return parts


def _layer_parts(layer: nn.Module) -> dict[str, nn.Module]:
    """Return the parts of one layer by uniform name."""
    found = {}
    for name, pattern in _LAYER_PATTERNS.items():
        for own_name, module in layer.named_modules():
            if re.fullmatch(pattern, own_name):
                found[name] = module
    return found


def _is_layer(module: nn.Module) -> bool:
    return _layer_parts(module).keys() == _LAYER_PATTERNS.keys()
