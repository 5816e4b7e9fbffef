"""`transfer-meta apply`: predictions of a trained model for a file."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from transfer_meta.cli.shared.console import data_stdout, print_json, progress, show, tell
from transfer_meta.cli.shared.options import AsJson, with_options
from transfer_meta.cli.shared.task_options import ReadOptions
from transfer_meta.errors import InputError

if TYPE_CHECKING:
    from transfer_meta.api.apply_model import ApplySettings


@dataclass(frozen=True, kw_only=True)
class ApplyOptions:
    """Options of ``apply``."""

    out: Annotated[
        Path | None,
        Option(
            metavar="FILE", help="File for the predictions (.csv or .jsonl); default: CSV on stdout."
        ),
    ] = None
    device: Annotated[str, Option(help="auto, cpu, or cuda:N.")] = "auto"
    probabilities: Annotated[
        bool, Option("--probabilities", help="Classification: also the probability of every class.")
    ] = False

    def to_settings(self, reading: ReadOptions) -> ApplySettings:
        """Return the library's settings."""
        from transfer_meta.api.apply_model import ApplySettings

        return ApplySettings(read=reading.to_settings(), **vars(self))


@with_options
def apply_command(
    model: Annotated[
        str,
        Argument(
            metavar="MODEL", help="Folder that `train` wrote, or a transformers model with a head."
        ),
    ],
    file: Annotated[
        str,
        Argument(
            metavar="FILE",
            help="Texts, with or without labels: a data file, .txt (one a line), demo:NAME, hf:DATASET.",
        ),
    ],
    *,
    options: ApplyOptions,
    as_json: AsJson = False,
    reading: ReadOptions,
) -> None:
    """Predict with a trained model for every text of a file.

    Writes the class with its probability, the number, the entities or tags, the answer, the choice, or the text, by
    the model's type, in the order of the file; row is the line or row of the text there. If the file has labels,
    scores are printed on stderr. --json prints a summary.

    Example: transfer-meta apply model/ new.csv --out predictions.csv
    """
    from transfer_meta.api.apply_model import apply_model

    if as_json and options.out is None:
        raise InputError("--json prints a summary on stdout; name a file for the predictions by --out")
    reading.refuse_unused([file])
    settings = options.to_settings(reading)
    stream = data_stdout() if options.out is None else None
    with progress("texts") as on_progress:
        found = apply_model(model, file, settings, stream=stream, tell=tell, on_progress=on_progress)
    if as_json:
        print_json(found.to_dict())
    else:
        show(found, stream=sys.stderr)
