"""Options of plans and run stores, and opening what they name."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from transfer_meta.errors import InputError

if TYPE_CHECKING:
    from transfer_meta.runs.plan import Plan
    from transfer_meta.runs.store.run_store import Store

PlanPath = Annotated[Path, typer.Argument(metavar="PLAN.toml", help="What to run.")]
StoreAddress = Annotated[
    str,
    typer.Option(
        "--store",
        envvar="TRANSFER_META_STORE",
        help="The run store: a file (SQLite) or postgresql://USER:PASSWORD@HOST/DATABASE.",
    ),
]
CheckpointPath = Annotated[
    str | None,
    typer.Option(
        "--checkpoints",
        metavar="FOLDER|URL",
        help="Where checkpoints are: a folder, s3://, gs:// or another URL of fsspec; default: beside the store.",
        show_default=False,
    ),
]
DEFAULT_STORE = "runs.sqlite"


def open_both(plan: Path, store: str, *, create: bool) -> tuple[Plan, Store | None]:
    """A plan and its store, all that is wrong with either told at once.

    Without `create`, a SQLite store that is not there yet is none: None.
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
        return load_plan(plan, problems=problems), opened
    except InputError:
        if opened is not None:
            opened.close()
        if made:
            Path(str(url.database)).unlink(missing_ok=True)
        raise


def require(*modules: str, extra: str = "harness") -> None:
    """Raise an InputError that names the extra where a module is not installed."""
    from importlib.util import find_spec

    for module in modules:
        if find_spec(module) is None:
            raise InputError(
                f"this command needs {module}, which is not installed: pip install 'transfer-meta[{extra}]'"
            )


def say(line: str) -> None:
    """One line of progress."""
    print(line, file=sys.stderr, flush=True)
