"""`transfer-meta serve`: the local web page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from typer import Option

from transfer_meta.cli.shared.console import tell
from transfer_meta.cli.shared.options import split_list, with_options
from transfer_meta.cli.shared.run_options import without_password
from transfer_meta.runs import STORE_VARIABLE


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """Options of ``serve``."""

    host: Annotated[
        str, Option(help="Address to listen on; any but this machine's own needs a token.")
    ] = "127.0.0.1"
    port: Annotated[int, Option(min=0, max=65535, help="Port; 0 for a free one.")] = 8760
    names: Annotated[
        str | None,
        Option(
            metavar="NAMES", help="Further host names by which browsers reach the page, as of a proxy."
        ),
    ] = None
    store: Annotated[
        str | None,
        Option(
            envvar=STORE_VARIABLE,
            callback=without_password,
            help="The run store to show; default: runs.sqlite, if it is there.",
        ),
    ] = None
    allow_runs: Annotated[bool, Option("--allow-runs", help="Let plans be started from the page.")] = (
        False
    )
    workers: Annotated[int, Option(min=1, help="Jobs that compute at a time.")] = 1
    max_upload: Annotated[int, Option(min=1, metavar="MB", help="Limit of an upload in megabytes.")] = (
        40
    )
    memory: Annotated[
        float, Option(min=1, metavar="GB", help="Limit of a job's memory in gigabytes (Linux only).")
    ] = 8.0


@with_options
def serve_command(*, options: ServeOptions) -> None:
    """Serve a local web page: hand in a task, get sources; look at outcomes; watch runs.

    The page is for this machine alone, unless --host says otherwise; browsers then need a token, from the
    environment variable TRANSFER_META_TOKEN or a new one, which is in the address that is printed.

    Example: transfer-meta serve
    """
    from transfer_meta.web.serve import serve
    from transfer_meta.web.serve_settings import ServeSettings

    values = vars(options) | {"names": split_list(options.names)}
    serve(ServeSettings(**values), tell=lambda address: tell(f"{address} (Ctrl-C stops)"))
