"""`transfer-meta search`: find the best source for a target with few training runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from transfer_meta.cli.shared.console import print_json, show, tell
from transfer_meta.cli.shared.options import AsJson, EncoderName, Seed, with_options
from transfer_meta.cli.shared.run_options import (
    DEFAULT_STORE,
    CheckpointPath,
    DeviceNames,
    DeviceWorkers,
    StoreAddress,
)
from transfer_meta.cli.shared.task_options import MoreSources

if TYPE_CHECKING:
    from transfer_meta.api.source_search import SearchSettings


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """Options of ``search``; the fields are ``sources`` and those of `SearchSettings`."""

    sources: Annotated[
        list[str] | None,
        Option(
            metavar="TASK...",
            help="Tasks that may help: files, task cards, folders, demo:NAME, hf:DATASET, names of sources that"
            " were added, or sets of them: 'ONE>TWO', ONE+TWO; default: all that were added.",
        ),
    ] = None
    budget: Annotated[str, Option(help="Full runs or a time: 20runs, 2h, 90min.")] = "20runs"
    prior: Annotated[
        str,
        Option(
            metavar="auto|none|FILE",
            help="Gains to expect: those of `recommend`, none, or a table with columns source and gain.",
        ),
    ] = "auto"
    regime: Annotated[str, Option(help="Training examples, SOURCE-TARGET.")] = "1000-full"
    epochs: Annotated[int, Option(min=1, help="Epochs of a full run.")] = 4
    seed: Seed = 0
    encoder: EncoderName = "offline"
    store: StoreAddress = DEFAULT_STORE
    checkpoints: CheckpointPath = None
    device: DeviceNames = "auto"
    workers: DeviceWorkers = None

    def to_settings(self) -> SearchSettings:
        """Return the library's settings."""
        from transfer_meta.api.source_search import SearchSettings

        return SearchSettings(**{name: v for name, v in vars(self).items() if name != "sources"})


@with_options
def search_command(
    target: Annotated[
        str,
        Argument(
            metavar="TARGET",
            help="The task to be helped: a file, a card, demo:NAME, hf:DATASET, or the name of one of the sources.",
        ),
    ],
    more_sources: MoreSources = None,
    *,
    options: SearchOptions,
    as_json: AsJson = False,
) -> int:
    """Find the best source with few training runs.

    The most promising sources get short runs, the best of them longer ones. A run counts by its share of the
    epochs; training on the target alone is not counted. Runs in the store are not repeated: to continue after
    Ctrl-C, repeat the command.

    Example: transfer-meta search sst2 --sources tasks/ --budget 20runs
    """
    from transfer_meta.api.source_search import search

    found = search(
        target, [*(options.sources or []), *(more_sources or [])], options.to_settings(), tell=tell
    )
    if not found.sources:
        tell(found.verdict)
    elif as_json:
        print_json(found.to_dict())
    else:
        show(found)
    return found.exit_code
