"""Speed of TaskEmb and TextEmb, and the exactness of what is fast: ratios measured in one run.

    python tests/performance/taskemb.py [--tasks FOLDER] [--device cpu|cuda] [--repeats 3]

Per-example Fisher information of all parts of the offline encoder against (a) an ordinary backward pass for
every example, squared and summed, the plain way to the same numbers, and (b) one backward pass a batch,
squared, which is another quantity.  TextEmb against a loop that pads every batch to max_length.
"""

from __future__ import annotations

import argparse
import itertools
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from transfer_meta.encoding.encoder import Encoder
from transfer_meta.encoding.encoder_parts import find_parts
from transfer_meta.encoding.encoders import load_encoder
from transfer_meta.encoding.encoding_settings import EncodingSettings
from transfer_meta.encoding.fisher import Forward, diagonal_fisher
from transfer_meta.encoding.frozen_features import text_vectors
from transfer_meta.encoding.likelihood import log_likelihood
from transfer_meta.encoding.taskemb import FittedHead, new_head
from transfer_meta.tasks import Task
from transfer_meta.tasks.resolve import resolve_tasks

Units = NDArray[np.int64]
TASKS = ["sst2", "rte", "ewt_upos"]
BATCH_TOKENS = 1024  # padded tokens a batch, for the batch-summed pass and for ours


def fitted_head(encoder: Encoder, task: Task) -> FittedHead:
    """A head with small fixed weights: the work does not depend on what they are."""
    fitted = new_head(encoder, task, EncodingSettings())
    torch.manual_seed(0)
    torch.nn.init.normal_(fitted.head.linear.weight, std=0.05)
    return fitted


def likelihood(encoder: Encoder, fitted: FittedHead, units: Units) -> tuple[Tensor, Tensor | None]:
    """Ln p of gold labels, the plain way."""
    batch = fitted.batcher.batch(units)
    outputs = fitted.head(encoder.vectors(batch.ids, batch.types, batch.mask), batch)
    target = batch.target
    return log_likelihood(fitted.type, outputs, target), batch.mask


def by_backward(encoder: Encoder, fitted: FittedHead, batches: Sequence[Units]) -> list[Tensor]:
    """Squared gradients of the weights by ordinary backward passes, summed over batches."""
    weights = [
        weight
        for part in find_parts(encoder.model).values()
        if part.kind in ("linear", "norm")
        for weight in part.module.parameters()
    ]
    encoder.model.requires_grad_(False)
    for weight in weights:
        weight.requires_grad_(True)
    totals = [torch.zeros_like(weight) for weight in weights]
    for units in batches:
        total = likelihood(encoder, fitted, units)[0].sum()
        for sums, gradient in zip(totals, torch.autograd.grad(total, weights), strict=True):
            sums.addcmul_(gradient, gradient)
    return totals


def exact(encoder: Encoder, fitted: FittedHead, batches: Sequence[Units]) -> dict[str, Tensor]:
    """Ours."""

    def forward(units: Units) -> Forward:
        rows, mask = likelihood(encoder, fitted, units)
        return Forward(rows[None], torch.arange(len(rows), device=rows.device), mask)

    vectors = diagonal_fisher(encoder.model, batches, forward)
    return {name: torch.from_numpy(values) for name, values in vectors.items()}


def best_of(repeats: int, work: Callable[[], object], device: str) -> float:
    """The least of several wall times, seconds."""
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        if device != "cpu":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begin)
    return min(times)


def largest_error(
    encoder: Encoder, fitted: FittedHead, batches: Sequence[Units], singles: Sequence[Units]
) -> float:
    """Relative to the length of each part's vector, the largest over parts."""
    ours = exact(encoder, fitted, batches)
    reference = iter(by_backward(encoder, fitted, singles))
    worst = 0.0
    for name, part in find_parts(encoder.model).items():
        if part.kind not in ("linear", "norm"):
            continue
        plain = torch.cat([next(reference).flatten() for _ in part.module.parameters()]).cpu()
        error = (ours[name] * len(fitted.batcher) - plain).norm() / plain.norm()
        worst = max(worst, float(error))
    return worst


def padded_text_vectors(encoder: Encoder, texts: list[str], device: str) -> Tensor:
    """The loop that one writes first: batches in order, everything padded to 128."""
    rows = []
    for begin in range(0, len(texts), 32):
        tokens = encoder.tokenizer(
            texts[begin : begin + 32],
            padding="max_length",
            truncation=True,
            max_length=128,
            return_tensors="pt",
        ).to(device)
        with torch.no_grad():
            hidden = encoder.model(**tokens).last_hidden_state
        mask = tokens["attention_mask"][..., None]
        rows.append((hidden * mask).sum(1) / mask.sum(1))
    return torch.cat(rows)


def measure(encoder: Encoder, task: Task, device: str, repeats: int) -> None:
    """Print the line of one task."""
    fitted = fitted_head(encoder, task)
    batches = fitted.batcher.by_length(BATCH_TOKENS)
    singles = fitted.batcher.by_length(1)
    error = largest_error(encoder, fitted, batches, singles)
    loop = best_of(repeats, lambda: by_backward(encoder, fitted, singles), device)
    summed = best_of(repeats, lambda: by_backward(encoder, fitted, batches), device)
    ours = best_of(repeats, lambda: exact(encoder, fitted, batches), device)
    texts = [example.text for example in task.examples()]
    text = best_of(repeats, lambda: text_vectors(encoder, task, EncodingSettings()), device)
    padded = best_of(repeats, lambda: padded_text_vectors(encoder, texts, device), device)
    print(
        f"{task.name:9} Fisher {ours:.2f} s, loop {loop:.2f} s, batch-summed {summed:.2f} s: "
        f"{ours / loop:.2f} x the loop (aim: at most 1; CUDA 0.2), {ours / summed:.2f} x batch-summed "
        f"(aim: at most 2.5), largest relative error {error:.1e} | "
        f"TextEmb {text:.2f} s, padded {padded:.2f} s: {padded / text:.1f} x faster (aim: 2)",
        flush=True,
    )


def main() -> None:
    """Print one line a task."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--tasks", default="../shared/data/tasks")
    parser.add_argument("--names", nargs="+", default=TASKS, help="tasks of that folder")
    parser.add_argument("--encoder", default="offline")
    parser.add_argument("--examples", type=int, default=128)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    encoder = load_encoder(options.encoder)
    encoder.model.to(options.device).eval()
    print(f"torch {torch.__version__}, {options.device}, {torch.get_num_threads()} threads, "
          f"{options.examples} examples, best of {options.repeats}")  # fmt: skip
    for task in resolve_tasks([f"{options.tasks}/{name}" for name in options.names]):
        examples = list(itertools.islice(task.examples(), options.examples))
        measure(encoder, replace(task, splits={"train": examples}), options.device, options.repeats)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
