"""`transfer-meta embed`: vectors of tasks and their similarities."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Context, Option

from transfer_meta.cli.shared.console import print_json, progress, show, tell
from transfer_meta.cli.shared.encoding_options import EncodingOptions
from transfer_meta.cli.shared.options import AsJson, ParallelOptions, refuse_ignored, with_options
from transfer_meta.cli.shared.run_options import without_password
from transfer_meta.cli.shared.task_options import ReadOptions, TaskNames
from transfer_meta.encoding.encoding_settings import (
    CORE_KIND,
    DEFAULT_KINDS,
    KINDS_WITH_ENCODER,
    LoraSettings,
)

if TYPE_CHECKING:
    from transfer_meta.api.embedding import EmbedSettings


@dataclass(frozen=True, kw_only=True)
class EmbedOptions:
    """Options of ``embed``."""

    encoder: Annotated[
        str | None,
        Option(
            help="'offline', a folder, or a name on the Hugging Face Hub, decoders too. Default: none, kind tfidf."
        ),
    ] = None
    kinds: Annotated[
        str | None,
        Option(
            help=f"Among {', '.join((CORE_KIND, *KINDS_WITH_ENCODER))}."
            f" Default with an encoder: {','.join(DEFAULT_KINDS)}."
        ),
    ] = None
    fisher: Annotated[
        str, Option(help="TaskEmb: empirical, theoretical, batch-summed or gradient.")
    ] = "empirical"
    draws: Annotated[int, Option(help="Labels drawn per example by --fisher theoretical.")] = 1
    embeddings: Annotated[
        bool, Option("--embeddings", help="TaskEmb: include the word embeddings.")
    ] = False
    dimension: Annotated[
        int,
        Option(min=0, help="taskemb, loraemb: project longer components to this length; 0: keep them."),
    ] = 1024
    lora_rank: Annotated[
        int, Option(help="loraemb, and taskemb of a decoder: rank of the updates of linear layers.")
    ] = LoraSettings.rank
    lora_steps: Annotated[int, Option(help="The same: number of updates, of 16 examples each.")] = (
        LoraSettings.steps
    )
    learning_rate: Annotated[float, Option(help="The same: peak learning rate.")] = (
        LoraSettings.learning_rate
    )
    start: Annotated[Path | None, Option(help="Safetensors file of a fine-tuned encoder.")] = None
    store: Annotated[
        str | None,
        Option(
            callback=without_password,
            help="Run store to read and keep vectors in: a file (SQLite) or a URL.",
        ),
    ] = None

    def to_settings(
        self, encoding: EncodingOptions, parallel: ParallelOptions, reading: ReadOptions
    ) -> EmbedSettings:
        """Return the library's settings."""
        from transfer_meta.api.embedding import EmbedSettings

        values: dict[str, Any] = {**vars(self), **vars(encoding), **vars(parallel)}
        values["kinds"] = self.kinds or ""
        return EmbedSettings(read=reading.to_settings(), **values)


@with_options
def embed_command(
    context: Context,
    names: TaskNames,
    *,
    options: EmbedOptions,
    encoding: EncodingOptions,
    out: Annotated[Path | None, Option(help="File for the vectors: .npz or .safetensors.")] = None,
    as_json: AsJson = False,
    parallel: ParallelOptions,
    reading: ReadOptions,
) -> None:
    """Embed tasks as vectors and show their similarities.

    Example: transfer-meta embed data/ --encoder offline --kinds textemb,taskemb --out vectors.npz
    """
    from transfer_meta.api.embedding import embed
    from transfer_meta.features.vectors.vector_files import check_suffix

    reading.refuse_unused(names)
    settings = options.to_settings(encoding, parallel, reading)
    for name, reason in settings.unused_fields():
        refuse_ignored(context, [name], reason)
    if out is not None:
        check_suffix(out)
    with progress("tasks") as on_progress:
        found = embed(names, settings, tell=tell, on_progress=on_progress)
    if out is not None:
        found.save(out)
    if as_json:
        print_json(found.to_dict())
    else:
        show(found)
