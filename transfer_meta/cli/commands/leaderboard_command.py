"""``transfer-meta leaderboard``: predictors on tables under protocols, from files of results."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from transfer_meta.cli.shared.console import print_json, show, tell
from transfer_meta.cli.shared.options import AsJson, split_list, with_options

if TYPE_CHECKING:
    from transfer_meta.pages.leaderboard import LeaderboardSettings


@dataclass(frozen=True, kw_only=True)
class LeaderboardOptions:
    """Options of ``leaderboard``; the fields are those of `LeaderboardSettings`."""

    metric: Annotated[
        str, Option(help="spearman, regret@1, regret@3, ndcg, auroc, accuracy, f1, brier, …")
    ] = "spearman"
    tables: Annotated[
        str | None, Option(help="Names of tables, separated by commas; default: all with results.")
    ] = None
    protocols: Annotated[
        str | None, Option(help="Names, separated by commas; default: all with results.")
    ] = None
    predictors: Annotated[str | None, Option(help="Names, separated by commas; default: all.")] = None

    def to_settings(self) -> LeaderboardSettings:
        """Return the library's settings."""
        from transfer_meta.pages.leaderboard import LeaderboardSettings

        names = ("tables", "protocols", "predictors")
        return LeaderboardSettings(
            metric=self.metric, **{name: split_list(getattr(self, name)) for name in names}
        )


@with_options
def leaderboard_command(
    results: Annotated[
        list[Path] | None,
        Argument(
            metavar="[RESULTS]...",
            help="Files written by `benchmark --out`, or folders of such; default: those that ship.",
        ),
    ] = None,
    *,
    options: LeaderboardOptions,
    out: Annotated[
        Path | None, Option(metavar="FILE", help="Write a page (.html) or Markdown (.md) instead.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show how well predictors do on tables under protocols.

    Figures are those of files of results; nothing is computed. † marks a predictor that was developed with the
    outcomes of the table in view.

    Example: transfer-meta leaderboard --protocols leave-one-target-out --metric regret@3
    """
    from transfer_meta.pages.leaderboard import leaderboard

    board = leaderboard(results, options.to_settings())
    if out is not None:
        tell(f"leaderboard: {board.save(out)}")
    if as_json:
        print_json(board.to_dict())
    elif out is None:
        show(board)
