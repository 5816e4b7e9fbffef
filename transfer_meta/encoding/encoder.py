"""An encoder and its tokenizer as one record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from transfer_meta.encoding.onednn import fast_linear


@dataclass(frozen=True)
class Encoder:
    """A model that maps token ids to one vector per token, with its tokenizer.

    Parameters
    ----------
    model : module
        Called with ``input_ids``, ``attention_mask`` and, if `uses_types`, ``token_type_ids``; its
        output's ``last_hidden_state`` has shape (items, tokens, width).
    tokenizer : PreTrainedTokenizerFast
    width : int
        Size of a token vector.
    max_length : int
        Maximum number of tokens per item.
    uses_types : bool
        Whether the model distinguishes the two texts of a pair by ``token_type_ids``.
    words : tuple of str
        Vocabulary of a bi-LSTM in the order of its embedding rows; empty for other encoders.
    """

    model: nn.Module
    tokenizer: Any
    width: int
    max_length: int
    uses_types: bool
    words: tuple[str, ...] = ()

    @property
    def device(self) -> torch.device:
        """Device of the model."""
        return next(self.model.parameters()).device

    def vectors(
        self, ids: torch.Tensor, types: torch.Tensor, mask: torch.Tensor | None
    ) -> torch.Tensor:
        """Return token vectors of shape (items, tokens, width); `mask` is True at tokens, None for all."""
        inputs: dict[str, Any] = {"input_ids": ids}
        if self.uses_types:
            inputs["token_type_ids"] = types
        if mask is not None:
            config = getattr(self.model, "config", None)
            # A ready 4-d mask spares a synchronisation: transformers does not inspect its values on the host.
            is_sdpa = getattr(config, "_attn_implementation", None) == "sdpa"
            inputs["attention_mask"] = mask[:, None, None, :] if is_sdpa else mask.long()
        with fast_linear(ids.device):
            return self.model(**inputs).last_hidden_state


def wrap_tokenizer(tokenizer: Any, *, max_length: int) -> Any:
    """Return a `tokenizers` tokenizer as a transformers one that adds BERT's special tokens."""
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast

    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(t, tokenizer.token_to_id(t)) for t in ("[CLS]", "[SEP]")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=max_length,
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )
