"""Kinds of models by their configurations: encoders, decoders, encoder-decoders."""

from __future__ import annotations

from typing import Any

ENCODER, DECODER, ENCODER_DECODER = "encoder", "decoder", "encoder-decoder"
MODEL_KINDS = (ENCODER, DECODER, ENCODER_DECODER)
"""An encoder gets heads for its tasks; the other two write their answers as text."""


def kind_of_config(config: Any) -> str:
    """Return the kind of a model with a configuration of transformers, one of `MODEL_KINDS`.

    A decoder is a model that its configuration calls one, that was saved as one (``...ForCausalLM``), or of a type
    that transformers knows as a causal language model and not as a masked one.
    """
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    )

    type = config.model_type
    if getattr(config, "is_encoder_decoder", False):
        return ENCODER_DECODER
    only_decodes = (
        type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and type not in MODEL_FOR_MASKED_LM_MAPPING_NAMES
    )
    saved_as = getattr(config, "architectures", None) or ()
    is_saved_so = any(name.endswith("ForCausalLM") for name in saved_as)
    is_decoder = only_decodes or is_saved_so or getattr(config, "is_decoder", False)
    return DECODER if is_decoder else ENCODER
