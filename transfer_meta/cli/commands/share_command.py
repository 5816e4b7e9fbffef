"""``transfer-meta push`` and ``pull``: share tables of outcomes and models."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from transfer_meta.cli.shared.console import print_json, progress, show, tell
from transfer_meta.cli.shared.options import AsJson, with_options

if TYPE_CHECKING:
    from transfer_meta.api.sharing import PushSettings


@dataclass(frozen=True, kw_only=True)
class PushOptions:
    """Options of ``push``; the fields are those of `PushSettings`."""

    title: Annotated[str | None, Option(help="Title of the card; default: the name.")] = None
    licence: Annotated[
        str | None, Option(help="Licence, for example cc-by-4.0; default: none is stated.")
    ] = None
    citation: Annotated[str | None, Option(help="How to cite it; default: not said.")] = None
    tasks: Annotated[
        Path | None, Option(metavar="FILE", help="Features of the tasks of a table, one row a task.")
    ] = None
    public: Annotated[
        bool, Option("--public", help="Let all see a repository of the Hub; default: private.")
    ] = False
    replace: Annotated[
        bool, Option("--replace", help="Replace what is shared at the address already.")
    ] = False

    def to_settings(self) -> PushSettings:
        """Return the library's settings."""
        from transfer_meta.api.sharing import PushSettings

        return PushSettings(**vars(self))


@with_options
def push_command(
    what: Annotated[
        str,
        Argument(
            metavar="WHAT",
            help="Folder of a model, table of outcomes, or run store (its outcomes and curves).",
        ),
    ],
    address: Annotated[
        str,
        Argument(metavar="ADDRESS", help="Folder, hf:OWNER/NAME, or s3:// or another URL of fsspec."),
    ],
    *,
    options: PushOptions,
    as_json: AsJson = False,
) -> None:
    """Copy outcomes or a model to a folder, a bucket or the Hugging Face Hub.

    The files, their sizes and where they go are listed first. Of a table only names and figures are copied. Log in
    to the Hub by `hf auth login` or HF_TOKEN.

    Example: transfer-meta push my_runs.csv hf:my-team/my-runs --licence cc-by-4.0
    """
    from transfer_meta.api.sharing import push

    with progress("files") as on_progress:
        found = push(what, address, options.to_settings(), tell=tell, on_progress=on_progress)
    print_json(found.to_dict()) if as_json else show(found)


def pull_command(
    address: Annotated[
        str,
        Argument(
            metavar="ADDRESS",
            help="Folder, hf:OWNER/NAME[@REVISION], or s3:// or another URL of fsspec.",
        ),
    ],
    *,
    out: Annotated[Path, Option(metavar="FOLDER", help="Where to write the files.")],
    as_json: AsJson = False,
) -> None:
    """Copy what was pushed, checked, to a folder.

    Example: transfer-meta pull hf:my-team/my-runs --out my_runs
    """
    from transfer_meta.api.sharing import pull

    with progress("bytes") as on_progress:
        found = pull(address, out, on_progress=on_progress)
    print_json(found.to_dict()) if as_json else show(found)
