"""`transfer-meta sources`: the catalogue of data sets that can be taken as sources."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option, Typer

from transfer_meta.cli.shared.console import print_json, progress
from transfer_meta.cli.shared.options import AsJson, split_list, with_options
from transfer_meta.errors import InputError

if TYPE_CHECKING:
    from transfer_meta.results import Result
    from transfer_meta.tasks.catalogue import SourceFilter

sources_app = Typer(no_args_is_help=True, help="Show data sets that can be taken as sources.")


@dataclass(frozen=True, kw_only=True)
class FilterOptions:
    """Options that choose sources by their facts."""

    types: Annotated[
        str | None, Option(metavar="TYPES", help="Task types, separated by commas; default: all.")
    ] = None
    licence: Annotated[
        str | None, Option(metavar="LICENCES", help="Licences, separated by commas; default: all.")
    ] = None
    max_size: Annotated[
        int | None, Option(help="Largest number of training examples; default: any.")
    ] = None

    def to_settings(self) -> SourceFilter:
        """Return the library's settings."""
        from transfer_meta.tasks.catalogue import SourceFilter

        return SourceFilter(
            types=split_list(self.types), licence=split_list(self.licence), max_size=self.max_size
        )


@sources_app.command("list")
@with_options
def list_sources_command(*, options: FilterOptions, as_json: AsJson = False) -> None:
    """List the sources of the catalogue.

    Example: transfer-meta sources list --types question-answering --licence cc-by-sa-4.0
    """
    from transfer_meta.api.source_list import list_sources

    _print(list_sources(options.to_settings()), as_json)


@sources_app.command("show")
def show_source_command(
    name: Annotated[str, Argument(metavar="NAME", help="Name, alias or Hub id of a source.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Show what is known of a source: facts, how to read it, the outcomes that ship of it.

    Example: transfer-meta sources show squad_v2
    """
    from transfer_meta.api.source_facts import show_source

    _print(show_source(name), as_json)


@sources_app.command("find")
def find_sources_command(
    text: Annotated[str, Argument(metavar="TEXT", help="What your task is about, in a sentence.")],
    *,
    top: Annotated[int, Option(help="Number of sources.")] = 10,
    encoder: Annotated[
        str | None,
        Option(
            help="Compare sentence vectors of: offline, a folder, or a name on the Hugging Face Hub; none: compare"
            " words; default: offline if installed, else none."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find sources by description, the nearest first.

    Example: transfer-meta sources find "complaints of customers by what they are about" --top 5
    """
    from transfer_meta.api.source_list import FindSettings, find_sources

    _print(find_sources(text, FindSettings(top=top, encoder=encoder)), as_json)


@sources_app.command("check")
def check_sources_command(
    names: Annotated[
        list[str] | None,
        Argument(metavar="[NAME]...", help="Names, aliases or Hub ids; default: all sources."),
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Compare sources of the catalogue with what the Hugging Face Hub has; needs the network.

    Exit code 2 if one differs.

    Example: transfer-meta sources check squad_v2 sst2
    """
    from transfer_meta.api.source_checks import check_sources

    with progress("sources") as on_progress:
        found = check_sources(names or (), on_progress=on_progress)
    _print(found, as_json)
    if found.problems:
        raise InputError(found.caption)


def _print(found: Result, as_json: bool) -> None:
    if as_json:
        print_json(found.to_dict())
    else:
        print(found)
