"""Train a tiny decoder on the texts of tasks: where there is no pretrained one, `embed` can be tried with it.

    python examples/text_decoder.py FOLDER OUT [--skip 200] [--minutes 12]

FOLDER holds data files or task cards.  Every task's texts, but for its first --skip training examples, are what a
Llama of 4 layers, 128 wide, over 2,048 tokens learns to continue, labels left out; OUT is then the name of an
encoder.  It has read a few million words: what it says of tasks is no measure of what pretrained decoders say.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from transfer_meta.features.vectors.hashed_tfidf import example_text
from transfer_meta.tasks.resolve import resolve_tasks

if TYPE_CHECKING:
    import torch

SPECIAL = ("<pad>", "</s>", "<s>")
TOKENS, WIDTH, BATCH = 2048, 128, 16
"""Vocabulary, tokens of a training text, and texts of a batch."""


def tokenizer_of(texts: list[str]) -> Any:
    """Return a byte-pair tokenizer of texts, which puts the begin token before a text as that of Llama does."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=TOKENS, special_tokens=list(SPECIAL), initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=512,
        pad_token="<pad>",
        eos_token="</s>",
        bos_token="<s>",
        model_input_names=["input_ids", "attention_mask"],
    )


def decoder() -> Any:
    """Return a Llama with random weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=TOKENS,
            hidden_size=WIDTH,
            num_hidden_layers=4,
            num_attention_heads=4,
            intermediate_size=3 * WIDTH,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            pad_token_id=0,
            eos_token_id=1,
            bos_token_id=2,
        )
    )


def train(model: Any, ids: torch.Tensor, seconds: float) -> Iterator[tuple[int, float]]:
    """Train for some time at most one epoch, and yield step and mean loss now and then."""
    import torch

    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.95), weight_decay=0.1)
    order = torch.randperm(len(ids))
    began, losses = time.perf_counter(), []
    for step, rows in enumerate(order.split(BATCH), 1):
        passed = max((time.perf_counter() - began) / seconds, step * BATCH / len(ids))
        if passed >= 1 and losses:
            break
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * min(step / 100, 1.0) * max(1 - passed, 0.0)
        loss = model(input_ids=ids[rows], labels=ids[rows]).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
        if step % 250 == 0:
            yield step, float(np.mean(losses[-250:]))
    yield len(losses), float(np.mean(losses[-250:]))


def main() -> None:
    """Train and save the decoder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("out", type=Path)
    parser.add_argument(
        "--skip", type=int, default=200, help="training examples of each task to leave out"
    )
    parser.add_argument("--minutes", type=float, default=12.0)
    options = parser.parse_args()
    import torch

    texts = [
        example_text(example)
        for task in resolve_tasks([options.folder])
        for example in itertools.islice(task.examples(), options.skip, None)
    ]
    np.random.default_rng(0).shuffle(texts)
    tokenizer = tokenizer_of(texts)
    flat = list(itertools.chain.from_iterable([*ids, 1] for ids in tokenizer(texts)["input_ids"]))
    ids = torch.tensor(flat[: len(flat) // WIDTH * WIDTH]).view(-1, WIDTH)
    torch.manual_seed(0)
    model = decoder()
    print(f"{len(texts)} texts, {len(flat)} tokens, {model.num_parameters()} weights", flush=True)
    for step, loss in train(model, ids, 60 * options.minutes):
        print(f"step {step}: loss {loss:.3f}", flush=True)
    model.save_pretrained(options.out)
    tokenizer.save_pretrained(options.out)


if __name__ == "__main__":
    main()
