"""An encoder and its tokenizer as one record."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import nn

from transfer_meta.encoding.onednn import fast_linear
from transfer_meta.encoding.recurrent_memory import read_with_memory

if TYPE_CHECKING:
    from transfer_meta.encoding.batching import EncodedBatch


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
    always_onednn: ClassVar[bool] = True
    """Whether linear layers go through oneDNN even where MKL is faster, see `transfer_meta.encoding.onednn`."""

    @property
    def device(self) -> torch.device:
        """Device of the model."""
        return next(self.model.parameters()).device

    def compiled_parts(self) -> Sequence[nn.Module]:
        """Return the modules that ``torch.compile`` takes where a run is to be compiled."""
        return (self.model,)

    def on_batch(self, batch: EncodedBatch) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return what the head of a task reads of a batch: `outputs`."""
        if batch.memory is not None:
            return read_with_memory(self, batch), None
        return self.outputs(batch.ids, batch.types, batch.mask)

    def vectors(
        self, ids: torch.Tensor, types: torch.Tensor, mask: torch.Tensor | None
    ) -> torch.Tensor:
        """Return token vectors of shape (items, tokens, width); `mask` is True at tokens, None for all."""
        return self.outputs(ids, types, mask)[0]

    def outputs(
        self, ids: torch.Tensor, types: torch.Tensor, mask: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return what `vectors` returns and the pooler's output of shape (items, width), None without a pooler.

        In the place of ids, `ids` may hold vectors of shape (items, tokens, width).
        """
        inputs: dict[str, Any] = {"inputs_embeds" if ids.is_floating_point() else "input_ids": ids}
        if self.uses_types:
            inputs["token_type_ids"] = types
        if mask is not None:
            config = getattr(self.model, "config", None)
            # A ready 4-d mask spares a synchronisation: transformers does not inspect its values on the host.
            # It would replace the masks of layers that attend to a window only.
            is_sdpa = getattr(config, "_attn_implementation", None) == "sdpa"
            has_windows = "sliding_attention" in (getattr(config, "layer_types", None) or ())
            is_ready = is_sdpa and not has_windows
            inputs["attention_mask"] = mask[:, None, None, :] if is_ready else mask.long()
        with fast_linear(ids.device), attention_of_any_shape(ids.device):
            found = self.model(**inputs)
        return found.last_hidden_state, getattr(found, "pooler_output", None)


@contextlib.contextmanager
def attention_of_any_shape(device: torch.device) -> Iterator[None]:
    """Leave cuDNN's attention out on CUDA within the block: it plans anew for every shape of a batch."""
    if device.type != "cuda" or torch.compiler.is_compiling():
        yield
        return
    was_enabled = torch.backends.cuda.cudnn_sdp_enabled()
    torch.backends.cuda.enable_cudnn_sdp(False)
    try:
        yield
    finally:
        torch.backends.cuda.enable_cudnn_sdp(was_enabled)


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
