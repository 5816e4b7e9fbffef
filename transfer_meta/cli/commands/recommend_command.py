"""`transfer-meta recommend`: rank sources for a new target."""

from __future__ import annotations

import contextlib
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from transfer_meta.cli.shared.console import print_json, progress, show, tell
from transfer_meta.cli.shared.options import AsJson, split_list, with_options
from transfer_meta.cli.shared.task_options import MoreSources, ReadOptions
from transfer_meta.errors import InputError

if TYPE_CHECKING:
    from transfer_meta.recommender.recommend import RecommendSettings
    from transfer_meta.tasks.settings import ReadSettings


@dataclass(frozen=True, kw_only=True)
class RecommendOptions:
    """Options of ``recommend``."""

    sources: Annotated[
        list[str] | None,
        Option(
            metavar="NAMES|FILES", help="Names of known sources, or files; default: all known ones."
        ),
    ] = None
    top: Annotated[int, Option(help="Number of sources to show.")] = 5
    sources_at_once: Annotated[
        int,
        Option(
            metavar="N",
            help="Show sets of N sources too, 2 to 5: one after the other, or with multitask together.",
        ),
    ] = 1
    method: Annotated[str, Option(help="How the source is used: intermediate or multitask.")] = (
        "intermediate"
    )
    measure: Annotated[
        bool,
        Option(
            "--measure",
            help="Train on the target alone first: its learning curve, scores by number of examples, and how many"
            " labels bring as much as a source; minutes.",
        ),
    ] = False
    cost_per_hour: Annotated[
        float | None,
        Option(
            metavar="COST",
            help="Cost of an hour of training, for the cost of each way; with --measure.",
        ),
    ] = None
    mode: Annotated[
        str | None,
        Option(
            help="text (seconds), encoder, sources (a minute) or measured; default: sources if own ones were added,"
            " else encoder if installed, else text."
        ),
    ] = None
    description: Annotated[
        str | None,
        Option(help="Description of the target in a sentence; without TARGET all that is known of it."),
    ] = None
    encoder: Annotated[
        str | None,
        Option(help="Model to be tuned: a name on the Hub. Default: offline, the packaged one."),
    ] = None
    examples: Annotated[
        int | None, Option(min=1, help="Training examples of the target; default: those of its file.")
    ] = None
    types: Annotated[
        str | None, Option(metavar="TYPES", help="Rank sources of these task types only.")
    ] = None
    licence: Annotated[
        str | None, Option(metavar="LICENCES", help="Rank sources of these licences only.")
    ] = None
    max_size: Annotated[
        int | None, Option(min=1, help="Rank sources of at most N training examples.")
    ] = None
    outcomes: Annotated[
        list[Path] | None,
        Option(metavar="FILE", help="Own outcomes to learn from too: CSV, TSV or Parquet; repeatable."),
    ] = None
    tasks_folder: Annotated[
        Path | None,
        Option(
            metavar="DIR", help="Files and cards of the tasks of --outcomes; those that ship need none."
        ),
    ] = None
    model: Annotated[
        Path | None,
        Option(metavar="FOLDER", help="Written by `fit FILE --recommender`, in place of --outcomes."),
    ] = None
    checkpoints: Annotated[
        int, Option(min=0, help="Published checkpoints to show for --encoder, to start from.")
    ] = 3

    def to_settings(self, read: ReadSettings) -> RecommendSettings:
        """Return the library's settings."""
        from transfer_meta.recommender.recommend import RecommendSettings

        values: dict[str, Any] = {n: value for n, value in vars(self).items() if n != "sources"}
        for name in ("types", "licence"):
            values[name] = split_list(values[name])
        values["outcomes"] = tuple(values["outcomes"] or ())
        return RecommendSettings(**values, read=read)


@with_options
def recommend_command(
    target: Annotated[
        str | None,
        Argument(
            metavar="TARGET",
            help="The task to be helped: a file, a task card (.toml), demo:NAME or hf:DATASET.",
        ),
    ] = None,
    more_sources: MoreSources = None,
    *,
    options: RecommendOptions,
    html: Annotated[
        Path | None, Option(metavar="FILE", help="Write the answer as an HTML page.")
    ] = None,
    as_json: AsJson = False,
    reading: ReadOptions,
) -> None:
    """Rank sources by how much they are expected to help.

    For each source: the probability that it helps, the expected gain with its interval, and the reasons for and
    against it. If no source is likely to help, the answer says so.

    Example: transfer-meta recommend reviews.csv --column label=stars --top 3
    """
    from transfer_meta.recommender.recommend import recommend

    if html is not None and html.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--html: expected a file named .html, got '{html.name}'")
    reading.refuse_unused([] if target is None else [target])
    given = [*(options.sources or []), *(more_sources or [])]
    with contextlib.ExitStack() as stack:
        # A bar only in the mode that has progress to show.
        bar = functools.cache(lambda: stack.enter_context(progress("source encoders")))
        recommendation = recommend(
            target,
            sources=[name for names in given for name in _names(names)] or None,
            settings=options.to_settings(reading.to_settings()),
            tell=tell,
            on_progress=lambda done, total: bar()(done, total),
        )
    if html is not None:
        from transfer_meta.pages.recommendation_page import write_recommendation

        write_recommendation(recommendation, html)
        tell(f"wrote {html}")
    if as_json:
        print_json(recommendation.to_dict())
    elif html is None:
        show(recommendation)


def _names(given: str) -> tuple[str, ...]:
    """Return a path unchanged; split other text at commas."""
    return (given,) if Path(given).exists() else split_list(given)
