"""`transfer-meta train`: train a target alone and with a source, and keep the better model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from transfer_meta.cli.shared.console import print_json, show, tell
from transfer_meta.cli.shared.options import AsJson, EncoderName, with_options
from transfer_meta.cli.shared.run_options import DEFAULT_STORE, DeviceNames, StoreAddress
from transfer_meta.cli.shared.task_options import MoreSources

if TYPE_CHECKING:
    from transfer_meta.api.train_settings import TrainSettings


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """Options of ``train``; the fields are those of `TrainSettings`."""

    out: Annotated[Path, Option(metavar="FOLDER", help="Folder of the model.")] = Path("model")
    source: Annotated[
        list[str] | None,
        Option(
            metavar="SOURCE",
            help="A name, a file, hf:DATASET, checkpoint:ENCODER, none, or auto (what `recommend` puts first), the"
            " default. Several: 'ONE>TWO' (one after the other; so is a repeated option) or ONE+TWO (together).",
        ),
    ] = None
    sources: Annotated[
        list[str] | None,
        Option(metavar="TASK...", help="Tasks that may serve as sources: files, task cards, folders."),
    ] = None
    mix: Annotated[
        bool, Option("--mix", help="Train on sources and target together, not one after the other.")
    ] = False
    mix_by: Annotated[
        str, Option(metavar="WAY", help="With --mix: sampling, to-target, uncertainty or soft.")
    ] = "sampling"
    curriculum: Annotated[
        str | None,
        Option(
            metavar="ORDER", help="Examples by length: naive (short ones first), mixed or combined."
        ),
    ] = None
    tries: Annotated[
        int, Option(help="Sources that auto tries; short runs decide which one is trained on in full.")
    ] = 2
    encoder: EncoderName = "offline"
    seeds: Annotated[int, Option(help="Number of seeds.")] = 3
    examples: Annotated[
        int | None, Option(help="Training examples of the target; default: all but those held out.")
    ] = None
    source_examples: Annotated[int, Option(help="Training examples of each source.")] = 1000
    epochs: Annotated[int, Option(help="Epochs of a run.")] = 4
    learning_rate: Annotated[
        float | None, Option(help="Default: 2e-4, for large encoders 3e-5; LoRA: 1e-3 and 3e-4.")
    ] = None
    max_length: Annotated[
        int, Option(help="Tokens of a text; of a decoder those of prompt and answer together.")
    ] = 128
    long_inputs: Annotated[
        str,
        Option(
            metavar="WAY",
            help="What is read of longer texts: head, tail, head-tail, segments, votes or memory.",
        ),
    ] = "head"
    device: DeviceNames = "auto"
    precision: Annotated[str, Option(help="auto, fp32 or bf16.")] = "auto"
    lora_rank: Annotated[
        int | None, Option(help="Rank of LoRA updates; default: all weights are trained.")
    ] = None
    store: StoreAddress = DEFAULT_STORE
    overwrite: Annotated[
        bool, Option("--overwrite", help="Replace the model that is in the folder.")
    ] = False

    def to_settings(self, more_sources: list[str]) -> TrainSettings:
        """Return the library's settings."""
        from transfer_meta.api.train_settings import TrainSettings

        values: dict[str, Any] = dict(vars(self))
        sources = [*(self.sources or []), *more_sources]
        return TrainSettings(**values | {"source": self.source or (), "sources": sources})


@with_options
def train_command(
    target: Annotated[
        str,
        Argument(
            metavar="TARGET",
            help="The task to train for: a file, a card, demo:NAME, hf:DATASET, or the name of one of --sources.",
        ),
    ],
    more_sources: MoreSources = None,
    *,
    options: TrainOptions,
    as_json: AsJson = False,
) -> int:
    """Train with a source and without, keep the better model.

    All get the same examples and seeds; what is better on held-out examples becomes a Hugging Face folder with
    head, tokenizer and model card. If no source helps, that is the model of the target alone.
    Runs in the store are not repeated: to continue after Ctrl-C, repeat the command.

    Example: transfer-meta train demo:urgency --sources demo:topic demo:reviews --out model
    """
    from transfer_meta.api.train import train

    result = train(target, options.to_settings(more_sources or []), tell=tell)
    if result.kept is None:
        tell(result.verdict)
    elif as_json:
        print_json(result.to_dict())
    else:
        show(result)
    return result.exit_code
