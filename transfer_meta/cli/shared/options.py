"""Options that several commands share, and what they mean."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from transfer_meta.errors import InputError

if TYPE_CHECKING:
    from transfer_meta.outcomes.tables import OutcomeTable

Dataset = Annotated[
    str,
    typer.Argument(metavar="NAME|FILE", help="A shipped table's name, or a CSV, TSV or Parquet file."),
]
TasksFile = Annotated[
    Path | None,
    typer.Option("--tasks", help="File of task features, one row a task.", show_default=False),
]
ColumnsOption = Annotated[
    str | None,
    typer.Option(
        "--columns",
        help="Rename columns: ours=theirs, for example source=aux,target=main.",
        show_default=False,
    ),
]
VectorsOption = Annotated[
    Path | None,
    typer.Option(
        "--vectors",
        help="Task vectors (.npz, .safetensors, from `embed`): their similarities become pair features.",
        show_default=False,
    ),
]
Features = Annotated[
    str | None,
    typer.Option(
        "--features",
        help="Feature set (all, all-refit, data, curve, …) or a regular expression over columns.",
        show_default=False,
    ),
]
Seed = Annotated[int, typer.Option("--seed", help="Seed of shuffles and fits.")]
WorkersOption = Annotated[
    int | None,
    typer.Option("--workers", help="Worker processes; default: all cores.", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON instead of tables.")]
OutFile = Annotated[
    Path | None,
    typer.Option(
        "--out", metavar="FILE", help="Write a table (.csv, .parquet) or .json.", show_default=False
    ),
]
TargetTask = Annotated[
    str,
    typer.Option("--target", metavar="TASK", help="The task that may be helped.", show_default=False),
]
SourceTasks = Annotated[
    list[str],
    typer.Option(
        "--sources",
        metavar="TASK...",
        help="The tasks that may help: files, task cards, folders of them, hf:DATASET.",
        show_default=False,
    ),
]
MoreSources = Annotated[
    list[str] | None,
    typer.Argument(metavar="[SOURCE]...", help="Further sources.", show_default=False),
]


def gathers(
    keyword: str, gather: Callable[..., Any]
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a command: it gets the parameters of `gather` as options, and what `gather` makes of them.

    Parameters
    ----------
    keyword
        The command's parameter in whose place the options stand: for keywords only, annotated with `Any`, since
        annotations are looked up when the program starts.
    gather
        A function or dataclass whose parameters are annotated as options.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        own = inspect.signature(command, eval_str=True)
        options = [
            p.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for p in inspect.signature(gather, eval_str=True).parameters.values()
        ]
        parameters: list[inspect.Parameter] = []
        for parameter in own.parameters.values():
            parameters += options if parameter.name == keyword else [parameter]

        @functools.wraps(command)
        def with_options(*args: Any, **values: Any) -> Any:
            said = {p.name: values.pop(p.name) for p in options if p.name in values}
            return command(*args, **{keyword: gather(**said)}, **values)

        with_options.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
        with_options.__annotations__ = {p.name: p.annotation for p in parameters}
        return with_options

    return decorate


def _parallelism(
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            help="Worker processes; default: 1, or with Ray one a CPU of the cluster.",
            show_default=False,
        ),
    ] = None,
    engine: Annotated[
        str, typer.Option("--engine", help="Where tasks are worked on: local, or ray: a cluster.")
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            help="Ray: auto, local, or HOST:PORT of the cluster's head; default: auto.",
            show_default=False,
        ),
    ] = None,
) -> Any:
    from transfer_meta.runs.parallel import Parallelism

    return Parallelism(workers=workers, engine=engine, address=address)


takes_parallelism = gathers("parallelism", _parallelism)
"""Give a command the options of working on tasks in parallel; it gets them as ``parallelism``, a `Parallelism`."""


def load(
    dataset: str, tasks: Path | None, columns: str | None, vectors: Path | None = None
) -> OutcomeTable:
    """The outcome table that the arguments of a command name."""
    from transfer_meta.outcomes.tables import load_outcomes

    table = load_outcomes(dataset, tasks=tasks, columns=parse_columns(columns))
    if vectors is None:
        return table
    from transfer_meta.metadataset import with_similarities

    return with_similarities(table, load_task_space(vectors)[0])


def load_task_space(path: Path | None) -> tuple[dict[str, Any], dict[str, str]]:
    """Vectors and types of tasks from a file that ``embed`` wrote; nothing where there is none."""
    if path is None:
        return {}, {}
    from transfer_meta.features.vectors.vector_files import load_vectors

    vectors, settings = load_vectors(path)
    return vectors, settings.get("types", {})


def find_target_and_sources(target: str, sources: Iterable[str]) -> tuple[str, list[str]]:
    """The one task that ``--target`` names, and the sources beside it, as `tasks.resolve.find_tasks` has them."""
    from transfer_meta.tasks.resolve import find_tasks

    found = find_tasks([target])
    if len(found) != 1:
        raise InputError(f"--target: expected one task, got {len(found)} in '{target}'")
    return found[0], [source for source in find_tasks(sources) if source != found[0]]


def parse_columns(text: str | None) -> dict[str, str]:
    """``source=aux,target=main`` as a mapping of our names to theirs.

    Examples
    --------
    >>> parse_columns("source=aux,target=main")
    {'source': 'aux', 'target': 'main'}
    """
    renamed = {}
    for part in split_list(text):
        ours, equals, theirs = (piece.strip() for piece in part.partition("="))
        if not (ours and equals and theirs):
            raise InputError(f"--columns got '{part}', expected ours=theirs, for example source=aux")
        renamed[ours] = theirs
    return renamed


def split_list(text: str | None) -> tuple[str, ...]:
    """The parts of a list that commas separate.

    Examples
    --------
    >>> split_list("a, b")
    ('a', 'b')
    """
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def cores(workers: int | None) -> int:
    """The number of workers asked for, or of the cores at hand."""
    return (
        workers
        if workers is not None
        else len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else 1
    )
