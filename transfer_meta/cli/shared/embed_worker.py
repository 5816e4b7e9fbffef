"""Embedding one task, in any worker process."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfer_meta.errors import InputError

if TYPE_CHECKING:
    from transfer_meta.encoding.embedder import Embedder, EmbedSettings
    from transfer_meta.records import FloatArray
    from transfer_meta.tasks import Task

CORE = "tfidf"
"""The only kind of task vector that needs no encoder."""


@dataclass(frozen=True)
class EmbedderRecipe:
    """Arguments from which every worker makes the same `Embedder`."""

    encoder: str
    settings: EmbedSettings
    start: Path | None
    device: str
    store: str | None


@functools.lru_cache(maxsize=1)
def embedder_of(recipe: EmbedderRecipe) -> Embedder:
    """Return the embedder of this process, made only once."""
    from transfer_meta.encoding.devices import find_devices
    from transfer_meta.encoding.embedder import Embedder

    store = None
    if recipe.store is not None:
        from transfer_meta.runs.store.run_store import Store

        store = Store(recipe.store, create=True)
    return Embedder(
        recipe.encoder,
        recipe.settings,
        start=recipe.start,
        device=find_devices(recipe.device)[0],
        store=store,
    )


def core_settings(examples: int, seed: int) -> dict[str, Any]:
    """Return the settings that vectors of kind `CORE` depend on."""
    return {"examples": examples, "sample_seed": seed}


def describe_embedding(embedder: Embedder, kinds: Sequence[str]) -> dict[str, Any]:
    """Return the settings that the vectors depend on, to be stored beside them."""
    settings = embedder.settings
    return {
        "encoder": embedder.name,
        "revision": embedder.revision,
        "kinds": {
            kind: core_settings(settings.max_examples, settings.sample_seed)
            if kind == CORE
            else settings.of_kind(kind)
            for kind in kinds
        },
    }


def embed_task(
    task: Task,
    *,
    kinds: Sequence[str],
    recipe: EmbedderRecipe | None,
    revision: str,
    examples: int,
    seed: int,
) -> tuple[dict[str, FloatArray], list[dict[str, Any]], Task]:
    """Return the vectors of one task, one row to show per kind, and the task, which knows what was left out.

    `revision` is that of the encoder in the calling process; an encoder that differs in a worker is an InputError.
    """
    from transfer_meta.features.vectors.hashed_tfidf import example_text, hashed_text_vector
    from transfer_meta.tasks.subsets import draw_examples

    vectors: dict[str, FloatArray] = {}
    missing: dict[str, str] = {}
    stored: Sequence[str] = ()
    if CORE in kinds:
        sample, _ = draw_examples(task, "train", examples, seed=seed)
        vectors[CORE] = hashed_text_vector(map(example_text, sample), max_texts=examples)
    if recipe is not None:
        embedder = embedder_of(recipe)
        if embedder.revision != revision:
            raise InputError(
                f"a worker has encoder '{recipe.encoder}' of revision {embedder.revision[:12]} "
                f"(expected {revision[:12]}, as where the command is run)"
            )
        result = embedder.embed(task, [kind for kind in kinds if kind != CORE])
        vectors |= result.vectors
        missing, stored = dict(result.missing), result.stored
    rows = []
    for kind in kinds:
        of_kind = [v for name, v in vectors.items() if name.partition(".")[0] == kind]
        rows.append(
            {
                "task": task.name,
                "type": str(task.type),
                "kind": kind,
                "components": len(of_kind),
                "numbers": sum(map(len, of_kind)),
                "stored": kind in stored,
                "missing": missing.get(kind),
            }
        )
    return vectors, rows, task
