"""`transfer-meta embed`: tasks to vectors, and which of them lie near each other."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from transfer_meta.cli.shared.embed_worker import (
    CORE,
    embed_settings,
    embed_task,
    embedder_of,
    make_recipe,
)
from transfer_meta.cli.shared.options import split_list, takes_parallelism
from transfer_meta.cli.shared.task_options import takes_tasks
from transfer_meta.errors import InputError, unknown
from transfer_meta.runs.parallel import Parallelism, each

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from transfer_meta.records import FloatArray

KINDS_WITH_ENCODER = ("textemb", "taskemb", "descemb", "labelemb", "classemb")
DEFAULT_KINDS = "textemb,taskemb"


@takes_tasks
@takes_parallelism
def embed_command(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="TASK...", help="A file, a task card (.toml), a folder of them, or hf:DATASET."
        ),
    ],
    *,
    encoder: Annotated[
        str | None,
        typer.Option(
            "--encoder",
            help="'offline', a folder, or a name on the Hugging Face Hub. Default: none, kind tfidf.",
            show_default=False,
        ),
    ] = None,
    kinds: Annotated[
        str | None,
        typer.Option(
            "--kinds",
            help=f"Among {CORE}, {', '.join(KINDS_WITH_ENCODER)}. Default with an encoder: {DEFAULT_KINDS}.",
            show_default=False,
        ),
    ] = None,
    examples: Annotated[
        int, typer.Option("--examples", help="The first so many training examples.")
    ] = 500,
    max_length: Annotated[int, typer.Option("--max-length", min=8, help="Tokens an input.")] = 128,
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", min=1, help="Padded tokens a pass: the bound on memory.")
    ] = 4096,
    fisher: Annotated[
        str,
        typer.Option("--fisher", help="TaskEmb: empirical, theoretical, batch-summed or gradient."),
    ] = "empirical",
    draws: Annotated[
        int, typer.Option("--draws", help="Labels an example of --fisher theoretical.")
    ] = 1,
    with_embeddings: Annotated[
        bool, typer.Option("--embeddings", help="TaskEmb: the word embeddings too.")
    ] = False,
    dimension: Annotated[
        int,
        typer.Option(
            "--dimension", min=0, help="TaskEmb: project longer components to so many numbers; 0: none."
        ),
    ] = 1024,
    seed: Annotated[int, typer.Option("--seed", help="Of drawn labels and of the projection.")] = 0,
    start: Annotated[
        Path | None,
        typer.Option("--start", help="Safetensors file of a fine-tuned encoder.", show_default=False),
    ] = None,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda or cuda:N.")] = "cpu",
    store: Annotated[
        str | None,
        typer.Option(
            "--store",
            help="Run store where vectors are looked up and kept: a file (SQLite) or a URL.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Write the vectors: .npz or .safetensors.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of tables.")] = False,
    parallelism: Any,
    settings: Any,
) -> None:
    """Embed tasks as vectors; with several, also how near they are to each other.

    For example: transfer-meta embed data/ --encoder offline --kinds textemb,taskemb --out vectors.npz

    Several at once: transfer-meta embed data/ --encoder offline --workers 4, or on a cluster with --engine ray
    """
    from transfer_meta.cli.shared.console import print_json, progress
    from transfer_meta.features.vectors.vector_files import check_suffix, save_vectors
    from transfer_meta.tasks.resolve import resolve_tasks

    wanted = _kinds(kinds, encoder)
    if out is not None:
        check_suffix(out)
    tasks = resolve_tasks(names, settings)
    recipe, revision = None, ""
    vector_settings: dict[str, Any] = {"encoder": "", "kinds": {CORE: {"examples": examples}}}
    if encoder is not None and set(wanted) != {CORE}:
        recipe = make_recipe(
            encoder,
            examples=examples,
            max_length=max_length,
            max_tokens=max_tokens,
            fisher=fisher,
            draws=draws,
            with_embeddings=with_embeddings,
            dimension=dimension or None,
            seed=seed,
            start=start,
            device=device,
            store=_checked(store, parallelism),
        )
        embedder_of.cache_clear()  # files may have changed since an earlier call in this process
        embedder = embedder_of(recipe)
        revision, vector_settings = embedder.revision, embed_settings(embedder, wanted)
    work = functools.partial(
        embed_task, kinds=wanted, recipe=recipe, revision=revision, examples=examples
    )
    vectors: dict[str, dict[str, FloatArray]] = {}
    rows = []
    with progress("tasks") as on_progress:
        done = each(work, tasks, parallelism, on_progress=on_progress)
        for task, (of_task, shown) in zip(tasks, done, strict=True):
            vectors[task.name] = of_task
            rows += shown
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


def _kinds(kinds: str | None, encoder: str | None) -> tuple[str, ...]:
    """The kinds asked for; an InputError where one needs an encoder that there is not."""
    wanted = split_list(kinds) or (CORE,) if encoder is None else split_list(kinds or DEFAULT_KINDS)
    for kind in wanted:
        if kind not in (CORE, *KINDS_WITH_ENCODER):
            raise unknown("kind of task vector", kind, (CORE, *KINDS_WITH_ENCODER))
        if kind != CORE and encoder is None:
            raise InputError(f"kind '{kind}' needs an encoder (--encoder offline, or another)")
    return wanted


def _checked(store: str | None, parallelism: Parallelism) -> str | None:
    """The store's address, if every worker can open it."""
    if store is None or parallelism.engine == "local":
        return store
    from transfer_meta.runs.store.connection import parse_url

    url = parse_url(store)
    if url.drivername == "sqlite":
        raise InputError(
            f"--store {store} is a SQLite file, which only the processes of one machine can share "
            "(expected with --engine ray: --store postgresql://HOST/DATABASE)"
        )
    if url.password:
        raise InputError(
            "--store holds a password, and Ray shows the command line to whoever reaches the cluster "
            "(expected the password in ~/.pgpass)"
        )
    return store


def _similarities(vectors: Mapping[str, Mapping[str, FloatArray]]) -> pd.DataFrame:
    """Every ordered pair of tasks: columns source, target, then those of `similarity_features`."""
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
    from transfer_meta.cli.shared.console import print_table

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
