"""Low-rank updates instead of whole weights (Hu et al. 2021), through PEFT."""

from __future__ import annotations

from dataclasses import replace

from transfer_meta.encoding.encoders import Encoder
from transfer_meta.errors import InputError


def add_lora(encoder: Encoder, rank: int) -> Encoder:
    """The encoder with its weights frozen and an update of that rank beside each linear layer.

    The update is scaled by 2 (alpha = 2 x rank), PEFT's common choice.

    Raises
    ------
    InputError
        PEFT is not installed, or the encoder has no linear layer.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise InputError("lora_rank needs PEFT (pip install 'transfer-meta[lora]')") from error
    if not hasattr(encoder.model, "config"):
        raise InputError("lora_rank needs a transformer (got the bi-LSTM)")
    settings = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", lora_dropout=0.0)
    return replace(encoder, model=get_peft_model(encoder.model, settings))


def merge_lora(encoder: Encoder) -> None:
    """Add the updates to the weights of the model that `add_lora` was given."""
    encoder.model.merge_and_unload()  # type: ignore[operator]
