"""`transfer-meta sources`: data sets that can be taken as sources, and source encoders of one's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option, Typer

from transfer_meta.cli.shared.console import print_json, progress, show, tell
from transfer_meta.cli.shared.options import AsJson, EncoderName, split_list, with_options
from transfer_meta.cli.shared.run_options import PlanPath
from transfer_meta.cli.shared.task_options import ReadOptions
from transfer_meta.errors import InputError
from transfer_meta.training.training_settings import SOURCE_EXAMPLES

if TYPE_CHECKING:
    from transfer_meta.api.own_sources import AddSettings
    from transfer_meta.api.source_builder import BuiltSources
    from transfer_meta.api.source_exchange import ExchangeSettings
    from transfer_meta.api.source_list import ListSettings
    from transfer_meta.results import Result

sources_app = Typer(
    no_args_is_help=True,
    help="Show data sets that can be taken as sources; train and exchange sources of your own.",
)
DeviceName = Annotated[str, Option(help="auto (CUDA if there is any), cpu, or cuda:N.")]
OneEncoder = Annotated[
    str | None, Option(help="Only the sources of one encoder; default: of all encoders.")
]


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

    trained: Annotated[bool, Option("--trained", help="Only sources that have a source encoder.")] = (
        False
    )
    encoder: EncoderName = "offline"

    def to_settings(self) -> ListSettings:
        """Return the library's settings."""
        from transfer_meta.api.source_list import ListSettings

        values = {"types": split_list(self.types), "licence": split_list(self.licence)}
        return ListSettings(**vars(self) | values)


@sources_app.command("list")
@with_options
def list_sources_command(*, options: FilterOptions, as_json: AsJson = False) -> None:
    """List the sources of the catalogue, and your own.

    The column encoder says which have a source encoder: yes, it ships; own, it is one of yours.

    Examples: transfer-meta sources list --types question-answering --licence cc-by-sa-4.0;
    transfer-meta sources list --trained
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


@sources_app.command("build")
@with_options
def build_sources_command(
    plan: PlanPath,
    *,
    out: Annotated[
        Path | None, Option(metavar="FOLDER", help="Where to keep them; default: your own sources.")
    ] = None,
    device: DeviceName = "auto",
    as_json: AsJson = False,
) -> int:
    """Train an encoder on each task of a plan and keep it as a source encoder.

    The plan is that of `transfer-meta run`, or has the tasks and the encoder alone. Its training counts if it sets
    lora_rank, and the number of source examples of its first regime. Source encoders that are there, of the same
    data and training, are kept. Ctrl-C and SIGTERM stop after the current step and save its state; to continue,
    repeat the command. Exit code 1 if a task failed.

    Example: transfer-meta sources build plan.toml --out source_encoders
    """
    from transfer_meta.api.own_sources import BuildSettings, build_sources

    settings = BuildSettings(out=out, device=device)
    with progress("source encoders, percent") as on_progress:
        found = build_sources(plan, settings, tell=tell, on_progress=on_progress)
    return _print_built(found, as_json)


@dataclass(frozen=True, kw_only=True)
class AddOptions:
    """Options of ``sources add``."""

    name: Annotated[
        str | None, Option(help="Name of the source; default: that of the task's files.")
    ] = None
    encoder: EncoderName = "offline"
    examples: Annotated[int, Option(help="Largest number of training examples.")] = SOURCE_EXAMPLES
    device: DeviceName = "auto"

    def to_settings(self, reading: ReadOptions) -> AddSettings:
        """Return the library's settings."""
        from transfer_meta.api.own_sources import AddSettings

        return AddSettings(**vars(self), read=reading.to_settings())


@sources_app.command("add")
@with_options
def add_source_command(
    task: Annotated[
        str,
        Argument(
            metavar="TASK", help="A file, a task card (.toml), a folder, demo:NAME or hf:DATASET."
        ),
    ],
    *,
    options: AddOptions,
    as_json: AsJson = False,
    reading: ReadOptions,
) -> int:
    """Train an encoder on a task and keep it among your own sources.

    The encoder is trained with LoRA (rank 16, 4 epochs), which takes a minute or a few on two cores. Ctrl-C stops
    after the current step and saves its state; to continue, repeat the command.

    Example: transfer-meta sources add tickets.train.csv --name tickets
    """
    from transfer_meta.api.own_sources import add_source

    reading.refuse_unused([task])
    settings = options.to_settings(reading)
    with progress("source encoder, percent") as on_progress:
        found = add_source(task, settings, tell=tell, on_progress=on_progress)
    return _print_built(found, as_json)


@sources_app.command("remove")
def remove_source_command(
    name: Annotated[str, Argument(metavar="NAME", help="Name of a source of your own.")],
    *,
    encoder: OneEncoder = None,
    as_json: AsJson = False,
) -> None:
    """Delete a source of your own: its encoder, profile and vectors.

    Example: transfer-meta sources remove tickets
    """
    from transfer_meta.api.own_sources import RemoveSettings, remove_source

    _print(remove_source(name, RemoveSettings(encoder=encoder)), as_json)


@dataclass(frozen=True, kw_only=True)
class ExchangeOptions:
    """Options of ``sources push`` and ``sources pull``; the fields are those of `ExchangeSettings`."""

    encoder: OneEncoder = None
    replace: Annotated[
        bool,
        Option("--replace", help="Replace files with another content; default: keep what is there."),
    ] = False

    def to_settings(self) -> ExchangeSettings:
        """Return the library's settings."""
        from transfer_meta.api.source_exchange import ExchangeSettings

        return ExchangeSettings(**vars(self))


@sources_app.command("push")
@with_options
def push_sources_command(
    destination: Annotated[
        str,
        Argument(
            metavar="FOLDER|URL",
            help="Folder, hf:OWNER/NAME, or s3://, gs:// or another URL of fsspec.",
        ),
    ],
    *,
    options: ExchangeOptions,
    as_json: AsJson = False,
) -> None:
    """Copy your own sources to a folder or a bucket.

    Example: transfer-meta sources push s3://bucket/sources
    """
    from transfer_meta.api.source_exchange import push_sources

    with progress("sources") as on_progress:
        found = push_sources(destination, options.to_settings(), on_progress=on_progress)
    _print(found, as_json)


@sources_app.command("pull")
@with_options
def pull_sources_command(
    origin: Annotated[
        str,
        Argument(
            metavar="FOLDER|URL",
            help="Folder, hf:OWNER/NAME, or s3://, gs:// or another URL of fsspec.",
        ),
    ],
    *,
    options: ExchangeOptions,
    as_json: AsJson = False,
) -> None:
    """Copy sources that were pushed to a folder or a bucket to your own.

    Sources with a broken or foreign file are left out and listed.

    Example: transfer-meta sources pull /team/sources --encoder offline
    """
    from transfer_meta.api.source_exchange import pull_sources

    with progress("sources") as on_progress:
        found = pull_sources(origin, options.to_settings(), on_progress=on_progress)
    _print(found, as_json)


def _print_built(found: BuiltSources, as_json: bool) -> int:
    _print(found, as_json)
    if found.left:
        tell(found.caption)
    return found.exit_code


def _print(found: Result, as_json: bool) -> None:
    if as_json:
        print_json(found.to_dict())
    else:
        show(found)
