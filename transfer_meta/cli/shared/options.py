"""Options that several commands share, and groups of options as dataclasses."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from typer import Context, Option

from transfer_meta.errors import InputError

Features = Annotated[
    str | None, Option(help="Feature set (all, all-refit, data, curve, …) or a regular expression.")
]
EncoderName = Annotated[str, Option(help="'offline', a folder, or a name on the Hugging Face Hub.")]
Seed = Annotated[int, Option(min=0, help="Seed of everything that is drawn at random.")]
WorkersOption = Annotated[int | None, Option(help="Worker processes; default: one per core.")]
AsJson = Annotated[bool, Option("--json", help="Print JSON instead of tables.")]
OutFile = Annotated[
    Path | None, Option(metavar="FILE", help="Write a table (.csv, .parquet) or .json.")
]
GuardOption = Annotated[
    bool,
    Option(
        "--guard/--no-guard",
        help="CSV: write an apostrophe before text that a spreadsheet would take for a formula (= + - @).",
    ),
]


def with_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a command: each parameter annotated with a dataclass becomes one option per field.

    The fields are annotated as typer options or arguments. The command is called with an instance of the dataclass.
    Annotations are evaluated when the program starts, so that the dataclass must be importable cheaply.
    """
    own = inspect.signature(command, eval_str=True)
    groups = {
        p.name: p.annotation
        for p in own.parameters.values()
        if dataclasses.is_dataclass(p.annotation) and isinstance(p.annotation, type)
    }
    parameters: list[inspect.Parameter] = []
    for parameter in own.parameters.values():
        group = groups.get(parameter.name)
        parameters += [parameter] if group is None else _parameters_of(group)

    @functools.wraps(command)
    def decorated(**values: Any) -> Any:
        made = {}
        for keyword, group in groups.items():
            names = [field.name for field in dataclasses.fields(group) if field.name in values]
            made[keyword] = group(**{name: values.pop(name) for name in names})
        return command(**values, **made)

    decorated.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    decorated.__annotations__ = {p.name: p.annotation for p in parameters}
    return decorated


def _parameters_of(group: Any) -> Iterator[inspect.Parameter]:
    types = get_type_hints(group, include_extras=True)
    for field in dataclasses.fields(group):
        required = field.default is dataclasses.MISSING
        yield inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if required else field.default,
            annotation=types[field.name],
        )


def is_given(context: Context, option: str) -> bool:
    """Return whether an option was given on the command line."""
    source = context.get_parameter_source(option)
    return source is not None and source.name == "COMMANDLINE"


def refuse_ignored(context: Context, options: Iterable[str], reason: str) -> None:
    """Raise an InputError if one of the options was given, because it has no effect for `reason`."""
    for option in options:
        if is_given(context, option):
            raise InputError(f"--{option.replace('_', '-')} has no effect {reason}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ParallelOptions:
    """Options for processing several tasks in parallel."""

    workers: Annotated[
        int | None, Option(help="Worker processes; default: 1, or with Ray one per CPU of the cluster.")
    ] = None
    engine: Annotated[str, Option(help="Where to process tasks: local or ray (a cluster).")] = "local"
    address: Annotated[
        str | None, Option(help="Ray: auto, local, or HOST:PORT of the cluster's head; default: auto.")
    ] = None


def settings_of(options: Any, kind: type) -> dict[str, Any]:
    """Return those fields of a group of options that a class of settings has too."""
    names = {field.name for field in dataclasses.fields(kind)}
    return {name: value for name, value in vars(options).items() if name in names}


def parse_pairs(option: str, pairs: Iterable[str], *, form: str) -> dict[str, str]:
    """Return pairs such as ``NAME=VALUE`` as a mapping.

    Raises
    ------
    InputError
        A pair without a name or a value, or a name given twice.

    Examples
    --------
    >>> parse_pairs("--columns", ["source=aux", "target=main"], form="ours=theirs")
    {'source': 'aux', 'target': 'main'}
    """
    found: dict[str, str] = {}
    for pair in pairs:
        name, _, value = pair.partition("=")
        if not (name and value):
            raise InputError(f"{option}: expected {form}, got '{pair}'")
        if name in found:
            raise InputError(f"{option}: two values for '{name}': '{found[name]}' and '{value}'")
        found[name] = value
    return found


def split_list(text: str | None) -> tuple[str, ...]:
    """Return the parts of a list separated by commas.

    Examples
    --------
    >>> split_list("a, b")
    ('a', 'b')
    """
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def count_workers(workers: int | None) -> int:
    """Return the requested number of workers, by default the number of cores available to this process."""
    if workers is not None:
        return workers
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
