"""Options of profiling tasks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

if TYPE_CHECKING:
    from transfer_meta.api.profiles import ProfileSettings
    from transfer_meta.cli.shared.options import ParallelOptions
    from transfer_meta.cli.shared.task_options import ReadOptions


@dataclass(frozen=True, kw_only=True)
class ProfileOptions:
    """Options of profiling tasks."""

    vocabulary: Annotated[
        Path | None,
        Option(
            metavar="FILE",
            help="Known words, for oov_rate: a word list, word vectors (GloVe, word2vec) or a tokenizer.json,"
            " possibly compressed. Default: the words of the train split, for the tokens of the test split.",
        ),
    ] = None
    tokenizer: Annotated[
        Path | None,
        Option(
            metavar="FILE",
            help="A tokenizer.json, for subword_fertility. Default: that of --vocabulary.",
        ),
    ] = None
    curve: Annotated[
        list[str] | None,
        Option(
            metavar="[TASK=]FILE",
            help="Log of a single-task training run: CSV, JSONL, trainer_state.json, TensorBoard. A file with a"
            " column 'task' may hold many. Repeatable.",
        ),
    ] = None
    step: Annotated[
        str | None,
        Option(
            metavar="NAME", help="Column of the step in the --curve files; default: told by its name."
        ),
    ] = None
    train_loss: Annotated[
        str | None,
        Option(
            metavar="NAME",
            help="Column of the training loss in the --curve files; default: told by its name.",
        ),
    ] = None
    dev_loss: Annotated[
        str | None,
        Option(
            metavar="NAME",
            help="Column of the dev loss in the --curve files; default: that of the dev score's evaluation set.",
        ),
    ] = None
    dev_score: Annotated[
        str | None,
        Option(
            metavar="NAME",
            help="Column of the dev score in the --curve files; default: told by its name if there is one.",
        ),
    ] = None
    no_cache: Annotated[bool, Option("--no-cache", help="Neither read nor write cached profiles.")] = (
        False
    )

    def to_settings(self, parallel: ParallelOptions, reading: ReadOptions) -> ProfileSettings:
        """Return the library's settings."""
        from transfer_meta.api.profiles import ProfileSettings

        values: dict[str, Any] = {**vars(self), **vars(parallel)}
        cache = not values.pop("no_cache")
        return ProfileSettings(cache=cache, read=reading.to_settings(), **values)
