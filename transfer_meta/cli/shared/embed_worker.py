"""One task to its vectors, in whichever process that is done."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfer_meta.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transfer_meta.encoding.embedder import Embedder, EmbedSettings
    from transfer_meta.records import FloatArray
    from transfer_meta.tasks import Task

CORE = "tfidf"
"""The one kind that needs no encoder."""


@dataclass(frozen=True)
class Recipe:
    """What an `Embedder` is made of, for every worker to make the same one."""

    encoder: str
    settings: EmbedSettings
    start: Path | None
    device: str
    store: str | None


def make_recipe(
    encoder: str,
    *,
    examples: int,
    max_length: int,
    max_tokens: int,
    fisher: str,
    draws: int,
    with_embeddings: bool,
    dimension: int | None,
    seed: int,
    start: Path | None,
    device: str,
    store: str | None,
) -> Recipe:
    """The encoder and its settings; an InputError where the harness is not installed."""
    try:
        from transfer_meta.encoding.embedder import EmbedSettings
        from transfer_meta.encoding.frozen_features import Reading
        from transfer_meta.encoding.taskemb import FisherSettings
    except ModuleNotFoundError as error:
        raise InputError(
            f"an encoder needs '{error.name}', which is not installed (pip install 'transfer-meta[harness]')"
        ) from error
    settings = EmbedSettings(
        max_examples=examples,
        reading=Reading(max_length, max_tokens),
        fisher=FisherSettings(fisher, draws=draws, embeddings=with_embeddings, seed=seed),
        dimension=dimension,
        projection_seed=seed,
    )
    return Recipe(encoder, settings, start, device, store)


@functools.lru_cache(maxsize=1)
def embedder_of(recipe: Recipe) -> Embedder:
    """The embedder of this process: its encoder is loaded once, its store opened once."""
    from transfer_meta.encoding.embedder import Embedder

    store = None
    if recipe.store is not None:
        from transfer_meta.runs.store.run_store import Store

        store = Store(recipe.store, create=True)
    return Embedder(
        recipe.encoder, recipe.settings, start=recipe.start, device=recipe.device, store=store
    )


def embed_settings(embedder: Embedder, kinds: Sequence[str]) -> dict[str, Any]:
    """What the vectors depend on, to be written beside them."""
    return {
        "encoder": embedder.name,
        "revision": embedder.revision,
        "kinds": {
            kind: {"examples": embedder.settings.max_examples}
            if kind == CORE
            else embedder.settings.of_kind(kind)
            for kind in kinds
        },
    }


def embed_task(
    task: Task,
    *,
    kinds: Sequence[str],
    recipe: Recipe | None,
    revision: str,
    examples: int,
) -> tuple[dict[str, FloatArray], list[dict[str, Any]]]:
    """The vectors of one task, and a row a kind to show."""
    from transfer_meta.features.vectors.hashed_tfidf import example_text, hashed_text_vector

    vectors: dict[str, FloatArray] = {}
    missing: dict[str, str] = {}
    stored: Sequence[str] = ()
    if CORE in kinds:
        texts = (example_text(example) for example in task.examples())
        vectors[CORE] = hashed_text_vector(texts, max_texts=examples)
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
    return vectors, rows
