"""`transfer-meta recommend`: a new task in, the sources worth trying out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from transfer_meta.cli.shared.options import AsJson, split_list
from transfer_meta.cli.shared.task_options import takes_tasks
from transfer_meta.errors import InputError

if TYPE_CHECKING:
    from transfer_meta.recommender.recommendation import Recommendation

MODE_MEANINGS = {
    "text": "the target's text (statistics and words)",
    "encoder": "the target's text, also through the encoder",
    "measured": "the target's text and a training run on it",
}


@takes_tasks
def recommend_command(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="The task to be helped: a file, a task card (.toml), or hf:DATASET.",
            show_default=False,
        ),
    ],
    more_sources: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SOURCE]...", help="Further sources.", show_default=False),
    ] = None,
    *,
    sources: Annotated[
        list[str] | None,
        typer.Option(
            "--sources",
            metavar="NAMES|FILES",
            help="Known sources by name, or files of your own. Default: all known ones.",
            show_default=False,
        ),
    ] = None,
    top: Annotated[int, typer.Option("--top", help="How many sources to show.")] = 5,
    method: Annotated[
        str, typer.Option("--method", help="How the source is used: intermediate or multitask.")
    ] = "intermediate",
    measure: Annotated[
        bool,
        typer.Option("--measure", help="Train on the target alone first, a minute or so: knows most."),
    ] = False,
    mode: Annotated[
        str | None,
        typer.Option(
            "--mode",
            help="text (seconds), encoder or measured. Default: what is installed, short of training.",
            show_default=False,
        ),
    ] = None,
    description: Annotated[
        str | None,
        typer.Option("--description", help="What the target is, in a sentence.", show_default=False),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="F", help="Write the answer as a page.", show_default=False),
    ] = None,
    as_json: AsJson = False,
    settings: Any,
) -> None:
    """Rank source tasks by how much training on each first is expected to help a target.

    Gives for each source the probability that it helps, the expected gain with its interval, and what
    speaks for and against it; and says so where no source is likely to help.

    For example: transfer-meta recommend reviews.csv --column label=stars --top 3
    """
    from transfer_meta.cli.shared.console import print_json
    from transfer_meta.cli.shared.output_files import tell
    from transfer_meta.recommender.recommend import recommend as find

    if html is not None and html.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--html: expected a file named .html, got '{html.name}'")
    asked = [name for given in [*(sources or []), *(more_sources or [])] for name in _names(given)]
    answer = find(
        target,
        sources=asked or None,
        top=top,
        method=method,
        mode=mode,
        measure=measure,
        description=description,
        settings=settings,
        tell=tell,
    )
    if html is not None:
        from transfer_meta.report.recommendation_page import write_advice

        write_advice(answer, html)
        tell(f"wrote {html}")
    if as_json:
        print_json(answer.to_dict())
    elif html is None:
        _print(answer)


def _names(given: str) -> tuple[str, ...]:
    """A path as it stands; otherwise names between commas."""
    return (given,) if Path(given).exists() else split_list(given)


def _print(answer: Recommendation) -> None:
    from transfer_meta.cli.shared.console import print_table
    from transfer_meta.recommender.recommendation import percent

    figures = answer.model["figures"]
    coverage = f"{100 * figures['coverage_promised']:.0f} % interval"
    print(f"{answer.target}: {answer.verdict}\n")
    rows = [
        (
            s.rank,
            s.source,
            f"{100 * s.probability:.0f} %",
            percent(s.expected_gain),
            f"{percent(s.low)} to {percent(s.high)}",
            s.n_outcomes,
            "shares text" if s.near_duplicate else "",
        )
        for s in answer.sources
    ]
    print_table(("", "source", "helps", "expected gain", coverage, "outcomes", ""), rows)
    print()
    for s in answer.sources:
        print(f"{s.source}")
        for sign, word in ((1, "for"), (-1, "against")):
            for reason in [r for r in s.reasons if r.effect * sign > 0]:
                print(f"  {word:<8} {percent(reason.effect):>7}  {reason.feature}: {reason.text}")
    print()
    for note in answer.notes:
        print(f"- {note}")
    print(
        f"Mode {answer.mode}: {MODE_MEANINGS[answer.mode]}. Learned from {answer.model['n_outcomes']:,} outcomes on"
        f" {answer.model['n_targets']} targets; held-out targets: rank correlation {figures['spearman']:.2f},"
        f" interval covers {100 * figures['coverage']:.0f} %, calibration error {figures['calibration_error']:.2f}."
    )
