"""How long source encoders take to read a target, and which way is faster.

    python tests/performance/sources.py TASK [--examples 500] [--sources 35]

Prints the time of the scores of all source encoders that are at hand (at most --sources) on --examples examples of
a task, without the cache; then one pass of a batch through several source encoders, the weights switched for each,
against all at once (the pretrained product on the stacked batch, and a batched low-rank product for each layer).
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from transfer_meta.encoding.encoders import load_encoder
from transfer_meta.encoding.source_encoders import (
    SourceEncoder,
    SwitchableEncoder,
    linear_layers,
    load_source_encoder,
)
from transfer_meta.encoding.source_files import find_source_encoders
from transfer_meta.encoding.source_scores import SourceScoreSettings, score_source_encoders
from transfer_meta.tasks.load import load_task


def at_once(encoder_model: nn.Module, sources: Sequence[SourceEncoder]) -> list[object]:
    """Let every linear layer add each source's low-rank product to its share of the batch."""

    def stacked(
        ups: Tensor, downs: Tensor, _: nn.Module, inputs: tuple[Tensor], output: Tensor
    ) -> Tensor:
        rows = inputs[0].reshape(len(sources), -1, inputs[0].shape[-1])
        added = torch.bmm(torch.bmm(rows, downs.transpose(1, 2)), ups.transpose(1, 2))
        return output + added.reshape(output.shape)

    hooks: list[object] = []
    for name, layer in linear_layers(encoder_model).items():
        ups = torch.stack([source.layers[name].up for source in sources])
        downs = torch.stack([source.layers[name].down for source in sources])
        hooks.append(layer.register_forward_hook(partial(stacked, ups, downs)))
    return hooks


def best_of(work: Callable[[], object], repeats: int = 5) -> float:
    """Least seconds of some repeats."""
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def compare(files: Mapping[str, Path], *, items: int = 32, tokens: int = 32) -> None:
    """Print the time of switched weights and of one stacked pass, for 2, 4 and 8 sources."""
    ids = torch.randint(1000, 20_000, (items, tokens))
    types = torch.zeros_like(ids)
    with torch.inference_mode():
        for number in (2, 4, 8):
            sources = [load_source_encoder(path) for path in itertools.islice(files.values(), number)]
            switchable = SwitchableEncoder(load_encoder("offline"))

            def switched(
                each: SwitchableEncoder = switchable, some: list[SourceEncoder] = sources
            ) -> None:
                for source in some:
                    each.use(source).vectors(ids, types, None)

            stacked = load_encoder("offline")
            at_once(stacked.model, sources)
            many = (ids.repeat(number, 1), types.repeat(number, 1), None)
            expected = switchable.use(sources[-1]).vectors(ids, types, None)
            torch.testing.assert_close(stacked.vectors(*many)[-items:], expected, atol=1e-3, rtol=1e-3)
            one, all_at_once = best_of(switched), best_of(partial(stacked.vectors, *many))
            print(
                f"{number} sources, {items} x {tokens} tokens: switched {1e3 * one:.0f} ms, at once"
                f" {1e3 * all_at_once:.0f} ms ({all_at_once / one:.2f} x)",
                flush=True,
            )


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("task")
    parser.add_argument("--examples", type=int, default=500)
    parser.add_argument("--sources", type=int, default=35)
    options = parser.parse_args()
    files = dict(itertools.islice(find_source_encoders().items(), options.sources))
    task = load_task(options.task)
    wall, cpu = time.perf_counter(), time.process_time()
    score_source_encoders(task, files, SourceScoreSettings(examples=options.examples, cache=False))
    print(
        f"{task.name}: {len(files)} source encoders x {options.examples} examples"
        f" {time.perf_counter() - wall:.1f} s ({time.process_time() - cpu:.1f} s of CPU), aim 60 s",
        flush=True,
    )
    compare(files)


if __name__ == "__main__":
    main()
