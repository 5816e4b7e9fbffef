"""Low-rank adaptation of encoders (LoRA, Hu et al. 2021) through PEFT."""

from __future__ import annotations

import warnings
from dataclasses import replace

from transfer_meta.encoding.encoder import Encoder
from transfer_meta.errors import InputError


def add_lora(encoder: Encoder, rank: int) -> Encoder:
    """Return the encoder with frozen weights and a low-rank update of each linear layer, not of an output layer.

    Updates are scaled by 2 (alpha = 2 x rank), the common choice.

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
    with warnings.catch_warnings():
        # PEFT asks transformers for a property that is to be renamed.
        warnings.simplefilter("ignore", FutureWarning)
        # It finds out by itself that the layers of GPT-2 hold their weights transposed, and says so.
        warnings.filterwarnings("ignore", "fan_in_fan_out")
        return replace(encoder, model=get_peft_model(encoder.model, settings))


def merge_lora(encoder: Encoder) -> None:
    """Add the updates to the weights of the model passed to `add_lora`."""
    encoder.model.merge_and_unload()  # type: ignore[operator]
