"""Options of plans and run stores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from transfer_meta.errors import InputError
from transfer_meta.errors import require as require
from transfer_meta.runs import DEFAULT_STORE as DEFAULT_STORE
from transfer_meta.runs import STORE_VARIABLE

PlanPath = Annotated[Path, Argument(metavar="PLAN.toml", help="The plan of runs.")]
StoreAddress = Annotated[
    str,
    Option(
        "--store",
        envvar=STORE_VARIABLE,
        help="The run store: a file (SQLite) or postgresql://USER:PASSWORD@HOST/DATABASE.",
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
    from transfer_meta.runs.store.connection import parse_url

    if parse_url(store).password:
        raise InputError(
            "--store holds a password, and Ray shows the command line to whoever reaches the cluster "
            f"(expected {remedy})"
        )
