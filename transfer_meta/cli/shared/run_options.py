"""Options of plans and run stores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, CallbackParam, Context, Option

from transfer_meta.errors import InputError
from transfer_meta.errors import require as require
from transfer_meta.runs import DEFAULT_STORE as DEFAULT_STORE
from transfer_meta.runs import STORE_VARIABLE


def without_password(context: Context, parameter: CallbackParam, value: str | None) -> str | None:
    """Refuse a password in an option; `ps` shows the command line to all users of the machine."""
    source = context.get_parameter_source(parameter.name or "")
    if value and "://" in value and source is not None and source.name == "COMMANDLINE":
        from transfer_meta.runs.store.connection import holds_password, parse_url

        if holds_password(parse_url(value)):
            raise InputError(
                "--store holds a password, which `ps` shows to other users of this machine (expected the URL in "
                f"{STORE_VARIABLE}, or the password in ~/.pgpass)"
            )
    return value


PlanPath = Annotated[Path, Argument(metavar="PLAN.toml", help="The plan of runs.")]
StoreAddress = Annotated[
    str,
    Option(
        "--store",
        envvar=STORE_VARIABLE,
        callback=without_password,
        help="The run store: a file (SQLite) or postgresql://USER@HOST/DATABASE.",
    ),
]
CheckpointPath = Annotated[
    str | None,
    Option(
        "--checkpoints",
        metavar="FOLDER|URL",
        help="Folder, or s3://, gs:// or another URL of fsspec, for checkpoints; default: beside the store.",
    ),
]
DeviceNames = Annotated[str, Option("--device", help="auto, cpu, or CUDA devices: cuda:0,cuda:1.")]
DeviceWorkers = Annotated[
    int | None, Option("--workers", help="Worker processes; default: one per device.")
]


def refuse_password(store: str, remedy: str) -> None:
    """Raise an InputError if the URL of a store for Ray holds a password."""
    from transfer_meta.runs.store.connection import holds_password, parse_url

    if holds_password(parse_url(store)):
        raise InputError(
            "--store holds a password, and Ray shows the command line to whoever reaches the cluster "
            f"(expected {remedy})"
        )
