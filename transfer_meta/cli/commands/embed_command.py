"""`transfer-meta embed`: task vectors, and which tasks are near each other."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Context, Option

from transfer_meta.cli.shared.console import print_json, print_table, progress
from transfer_meta.cli.shared.embed_worker import (
    CORE,
    EmbedderRecipe,
    core_settings,
    describe_embedding,
    embed_task,
    embedder_of,
)
from transfer_meta.cli.shared.encoding_options import EncodingOptions
from transfer_meta.cli.shared.options import (
    AsJson,
    ParallelOptions,
    refuse_ignored,
    split_list,
    with_options,
)
from transfer_meta.cli.shared.run_options import refuse_password, require
from transfer_meta.cli.shared.task_options import ReadOptions, TaskNames, tell_reading
from transfer_meta.errors import InputError, unknown
from transfer_meta.runs.parallel import Parallelism, each

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from transfer_meta.encoding.embedder import EmbedSettings
    from transfer_meta.records import FloatArray

KINDS_WITH_ENCODER = ("textemb", "taskemb", "descemb", "labelemb", "classemb")
DEFAULT_KINDS = "textemb,taskemb"
OPTIONS_OF_ENCODER = ("encoder", "max_length", "max_tokens", "start", "device", "store")
OPTIONS_OF_TASKEMB = ("fisher", "draws", "embeddings", "dimension")


@dataclass(frozen=True, kw_only=True)
class EmbedOptions:
    """Options of ``embed``."""

    encoder: Annotated[
        str | None,
        Option(
            help="'offline', a folder, or a name on the Hugging Face Hub. Default: none, kind tfidf."
        ),
    ] = None
    kinds: Annotated[
        str | None,
        Option(
            help=f"Among {CORE}, {', '.join(KINDS_WITH_ENCODER)}. Default with an encoder: {DEFAULT_KINDS}."
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
        int, Option(min=0, help="TaskEmb: project longer components to this length; 0: keep them.")
    ] = 1024
    start: Annotated[Path | None, Option(help="Safetensors file of a fine-tuned encoder.")] = None
    store: Annotated[
        str | None, Option(help="Run store to read and keep vectors in: a file (SQLite) or a URL.")
    ] = None

    @property
    def chosen_kinds(self) -> tuple[str, ...]:
        """The kinds of vectors to make; an InputError if one needs an encoder and there is none."""
        default = CORE if self.encoder is None else DEFAULT_KINDS
        chosen = split_list(self.kinds) or split_list(default)
        for kind in chosen:
            if kind not in (CORE, *KINDS_WITH_ENCODER):
                raise unknown("kind of task vector", kind, (CORE, *KINDS_WITH_ENCODER))
            if kind != CORE and self.encoder is None:
                raise InputError(f"kind '{kind}' needs an encoder (--encoder offline, or another)")
        return chosen

    def to_settings(self, encoding: EncodingOptions) -> EmbedSettings:
        """Return the library's settings."""
        from transfer_meta.encoding.embedder import EmbedSettings
        from transfer_meta.encoding.taskemb import FisherSettings

        return EmbedSettings(
            max_examples=encoding.examples,
            encoding=encoding.to_settings(),
            fisher=FisherSettings(
                self.fisher, draws=self.draws, embeddings=self.embeddings, seed=encoding.seed
            ),
            dimension=self.dimension or None,
            projection_seed=encoding.seed,
            sample_seed=encoding.seed,
        )


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
    from transfer_meta.features.vectors.vector_files import check_suffix, save_vectors
    from transfer_meta.tasks.resolve import resolve_tasks

    kinds = options.chosen_kinds
    _refuse_ignored(context, kinds, options)
    if out is not None:
        check_suffix(out)
    parallelism = parallel.to_settings()
    tasks = resolve_tasks(names, reading.to_settings())
    recipe, revision = None, ""
    vector_settings: dict[str, Any] = {
        "encoder": "",
        "kinds": {CORE: core_settings(encoding.examples, encoding.seed)},
    }
    if options.encoder is not None and set(kinds) != {CORE}:
        require("torch", "transformers")
        recipe = EmbedderRecipe(
            options.encoder,
            options.to_settings(encoding),
            options.start,
            encoding.device,
            _checked_store(options.store, parallelism),
        )
        embedder_of.cache_clear()  # files may have changed since an earlier call in this process
        embedder = embedder_of(recipe)
        revision, vector_settings = embedder.revision, describe_embedding(embedder, kinds)
    work = functools.partial(
        embed_task,
        kinds=kinds,
        recipe=recipe,
        revision=revision,
        examples=encoding.examples,
        seed=encoding.seed,
    )
    vectors: dict[str, dict[str, FloatArray]] = {}
    rows, read = [], []
    with progress("tasks") as on_progress:
        done = each(work, tasks, parallelism, on_progress=on_progress)
        for of_task, shown, task in done:
            vectors[task.name] = of_task
            rows += shown
            read.append(task)
    tell_reading(read, verbose=reading.verbose)
    if not any(vectors.values()):
        raise InputError(f"no vectors: {rows[0]['missing']}")
    if out is not None:
        types = {task.name: str(task.type) for task in tasks}
        save_vectors(out, vectors, {**vector_settings, "types": types})
    similarities = _similarities(vectors)
    if as_json:
        print_json(
            {**vector_settings, "vectors": rows, "similarities": similarities.to_dict("records")}
        )
    else:
        _print(rows, similarities)


def _refuse_ignored(context: Context, kinds: Sequence[str], options: EmbedOptions) -> None:
    if set(kinds) == {CORE}:
        refuse_ignored(context, OPTIONS_OF_ENCODER, f"on kind {CORE}, which needs no encoder")
    if "taskemb" not in kinds:
        refuse_ignored(context, OPTIONS_OF_TASKEMB, "without kind taskemb")
    if options.fisher != "theoretical":
        refuse_ignored(context, ["draws"], "without --fisher theoretical")
    if set(kinds) <= {"descemb", "labelemb"}:
        refuse_ignored(
            context, ["examples", "seed"], f"on kinds {', '.join(kinds)}, which read no examples"
        )


def _checked_store(store: str | None, parallelism: Parallelism) -> str | None:
    """Return the store's address; an InputError if a worker of a cluster could not open it."""
    if store is None or parallelism.engine == "local":
        return store
    from transfer_meta.runs.store.connection import parse_url

    if parse_url(store).drivername == "sqlite":
        raise InputError(
            f"--store {store} is a SQLite file, which only the processes of one machine can share "
            "(expected with --engine ray: --store postgresql://HOST/DATABASE)"
        )
    refuse_password(store, "the password in ~/.pgpass")
    return store


def _similarities(vectors: Mapping[str, Mapping[str, FloatArray]]) -> pd.DataFrame:
    """Return a row per ordered pair of tasks: source, target and the columns of `similarity_features`."""
    import pandas as pd

    from transfer_meta.features.vectors.similarities import similarity_features

    tables = []
    for target, of_target in vectors.items():
        sources = {name: of_source for name, of_source in vectors.items() if name != target}
        if sources and of_target:
            table = similarity_features(target=of_target, sources=sources)
            table.insert(0, "target", target)
            tables.append(table.reset_index())
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _print(rows: Sequence[Mapping[str, Any]], similarities: pd.DataFrame) -> None:
    columns = ("task", "type", "kind", "components", "numbers")
    shown = [
        (*(row[c] for c in columns), row["missing"] or ("stored" if row["stored"] else "computed"))
        for row in rows
    ]
    print_table([*columns, ""], shown)
    if similarities.empty:
        return
    measures = [str(c) for c in similarities if str(c).startswith(("mean_", "centred_"))]
    measures = [m for m in [*measures, "rrf_all", "rrf_centred"] if similarities[m].notna().any()]
    nearest = []
    for target, group in similarities.groupby("target", sort=False):
        by_source = group.set_index("source")[measures].astype(float)
        best = [str(of.idxmax()) if of.notna().any() else None for _, of in by_source.items()]
        nearest.append((str(target), *best))
    print_table(["task", *measures], nearest, title="Nearest task by")
