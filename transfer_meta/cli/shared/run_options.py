"""Options of plans and run stores, and opening what they name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from transfer_meta.cli.shared.console import tell
from transfer_meta.errors import InputError

if TYPE_CHECKING:
    from transfer_meta.runs.plan import Plan
    from transfer_meta.runs.store.run_store import Store

DEFAULT_STORE = "runs.sqlite"
PlanPath = Annotated[Path, Argument(metavar="PLAN.toml", help="The plan of runs.")]
StoreAddress = Annotated[
    str,
    Option(
        "--store",
        envvar="TRANSFER_META_STORE",
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


def open_both(plan: Path, store: str, *, create: bool) -> tuple[Plan, Store | None]:
    """Open a plan and its store; the problems of both are reported together.

    Without `create`, the store is None if it is a SQLite file that does not exist.
    """
    from transfer_meta.runs.plan import load_plan
    from transfer_meta.runs.store.connection import parse_url
    from transfer_meta.runs.store.run_store import Store

    problems: list[str] = []
    opened = None
    made = False
    try:
        url = parse_url(store)
        is_new = url.drivername == "sqlite" and not Path(str(url.database)).exists()
        if create or not is_new:
            made = is_new
            opened = Store(store, create=create)
    except InputError as error:
        problems.append(str(error))
    try:
        loaded = load_plan(plan, problems=problems)
    except InputError:
        if opened is not None:
            opened.close()
        if made:
            Path(str(url.database)).unlink(missing_ok=True)
        raise
    for note in loaded.notes:
        tell(note)
    return loaded, opened


def refuse_password(store: str, remedy: str) -> None:
    """Raise an InputError if the URL of a store for Ray holds a password."""
    from transfer_meta.runs.store.connection import parse_url

    if parse_url(store).password:
        raise InputError(
            "--store holds a password, and Ray shows the command line to whoever reaches the cluster "
            f"(expected {remedy})"
        )


def require(*modules: str, extra: str = "harness") -> None:
    """Raise an InputError that names the extra to install if a module is missing."""
    from importlib.util import find_spec

    for module in modules:
        if find_spec(module) is None:
            raise InputError(
                f"this command needs {module}, which is not installed: pip install 'transfer-meta[{extra}]'"
            )
