"""Tiny models with random weights over bytes: an encoder, decoders and an encoder-decoder, saved as folders."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

SPECIAL = ("<pad>", "</s>", "<s>")
MAX_TOKENS = 256


def byte_tokenizer(*, ends: bool) -> Any:
    """A tokenizer with a token for every byte; `ends`: it adds the end token to a text, as that of T5 does."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: row for row, token in enumerate((*SPECIAL, *alphabet))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    if ends:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=MAX_TOKENS,
        pad_token="<pad>",
        eos_token="</s>",
        bos_token="<s>",
        model_input_names=["input_ids", "attention_mask"],
    )


_SPECIAL = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2}


def _gpt2(vocabulary: int) -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=vocabulary,
            n_embd=32,
            n_layer=2,
            n_head=4,
            n_positions=MAX_TOKENS,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            initializer_range=0.15,
            **_SPECIAL,
        )
    )


def _llama(vocabulary: int) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            intermediate_size=64,
            max_position_embeddings=MAX_TOKENS,
            initializer_range=0.15,
            **_SPECIAL,
        )
    )


def _t5(vocabulary: int) -> Any:
    from transformers import T5Config, T5ForConditionalGeneration

    return T5ForConditionalGeneration(
        T5Config(
            vocab_size=vocabulary,
            d_model=32,
            d_kv=8,
            d_ff=64,
            num_layers=2,
            num_heads=4,
            dropout_rate=0.0,
            decoder_start_token_id=0,
            **_SPECIAL,
        )
    )


LANGUAGE_MODELS: Mapping[str, Callable[[int], Any]] = {"gpt2": _gpt2, "llama": _llama, "t5": _t5}


def save_language_model(kind: str, folder: Path) -> str:
    """Write a model of `LANGUAGE_MODELS` with its tokenizer to a folder, and return the folder."""
    tokenizer = byte_tokenizer(ends=kind == "t5")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = LANGUAGE_MODELS[kind](len(tokenizer))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)
