"""`transfer-meta transferability`: score sources for a target with published measures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from typer import Option

from transfer_meta.cli.shared.console import print_json, progress, show, tell
from transfer_meta.cli.shared.encoding_options import EncodingOptions
from transfer_meta.cli.shared.options import (
    AsJson,
    EncoderName,
    GuardOption,
    OutFile,
    parse_pairs,
    with_options,
)
from transfer_meta.cli.shared.output_files import check_out, write_table
from transfer_meta.cli.shared.task_options import MoreSources, ReadOptions, SourceTasks, TargetTask

if TYPE_CHECKING:
    from transfer_meta.encoding.score_settings import ScoreSettings


@dataclass(frozen=True, kw_only=True)
class TransferabilityOptions:
    """Options of ``transferability``."""

    encoder: EncoderName
    checkpoint: Annotated[
        list[str] | None,
        Option(
            metavar="SOURCE=FILE",
            help="Safetensors file of the encoder fine-tuned on a source, as `run --keep-checkpoints` or"
            " `sources build` writes it. Repeatable.",
        ),
    ] = None
    steps: Annotated[int, Option(help="Steps of few-shot fine-tuning.")] = 20

    def to_settings(self, encoding: EncodingOptions, reading: ReadOptions) -> ScoreSettings:
        """Return the library's settings."""
        from transfer_meta.encoding.score_settings import ScoreSettings

        return ScoreSettings(
            encoder=self.encoder,
            checkpoint=parse_pairs("--checkpoint", self.checkpoint or (), form="SOURCE=FILE"),
            steps=self.steps,
            read=reading.to_settings(),
            **vars(encoding),
        )


@with_options
def transferability_command(
    more_sources: MoreSources = None,
    *,
    target: TargetTask,
    sources: SourceTasks,
    options: TransferabilityOptions,
    encoding: EncodingOptions,
    out: OutFile = None,
    guard: GuardOption = True,
    as_json: AsJson = False,
    reading: ReadOptions,
) -> None:
    """Score sources for a target with published measures.

    The measures are LogME, H-score, TransRate, GBC, kNN, linear probe, LEEP, NCE and the few-shot loss. Higher is
    better in every column; leep, nce, gbc and the negated loss are at most 0. Sources without a checkpoint have the
    pretrained encoder, with a head fitted to their examples: they differ in leep and nce only. --out writes source,
    target and the scores, which a table of outcomes may hold as features of the pair.

    Example: transfer-meta transferability --target rte.train.jsonl --sources tasks/ --encoder offline
    """
    from transfer_meta.encoding.score_sources import score_sources
    from transfer_meta.features.scores.transferability_scores import SCORES

    check_out(out, guard=guard)
    reading.refuse_unused([target, *sources, *(more_sources or [])])
    settings = options.to_settings(encoding, reading)
    with progress("sources") as on_progress:
        found = score_sources(
            target, [*sources, *(more_sources or [])], settings, tell=tell, on_progress=on_progress
        )
    if out is not None:
        write_table(found.scores[["source", "target", *SCORES]], out, guard=guard)
        tell(f"wrote {out}: {len(found.scores)} pairs")
    if as_json:
        print_json(found.to_dict())
    elif out is None:
        show(found)
    else:
        for line in found.remarks:
            tell(line)
