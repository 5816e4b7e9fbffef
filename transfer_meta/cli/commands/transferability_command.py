"""`transfer-meta transferability`: score sources for a target with published measures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from typer import Option

from transfer_meta.cli.shared.console import print_json, print_records, progress, tell
from transfer_meta.cli.shared.encoding_options import EncodingOptions
from transfer_meta.cli.shared.options import AsJson, EncoderName, OutFile, parse_pairs, with_options
from transfer_meta.cli.shared.output_files import check_out, write_table
from transfer_meta.cli.shared.run_options import require
from transfer_meta.cli.shared.task_options import (
    MoreSources,
    ReadOptions,
    SourceTasks,
    TargetTask,
    find_target_and_sources,
    tell_reading,
)
from transfer_meta.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from transfer_meta.encoding.score_sources import ScoreSettings

PRETRAINED_NOTE = (
    "A source without a checkpoint has the pretrained encoder and a head fitted to its examples: its"
    " features are those of every such source, and only leep and nce tell them apart."
)


@dataclass(frozen=True, kw_only=True)
class TransferabilityOptions:
    """Options of ``transferability``."""

    encoder: EncoderName
    checkpoint: Annotated[
        list[str] | None,
        Option(
            metavar="SOURCE=FILE",
            help="Safetensors file of the encoder fine-tuned on a source, as `run --keep-checkpoints` writes it."
            " Repeatable.",
        ),
    ] = None
    steps: Annotated[int, Option(help="Steps of few-shot fine-tuning.")] = 20

    def to_settings(self, encoding: EncodingOptions) -> ScoreSettings:
        """Return the library's settings."""
        from transfer_meta.encoding.fewshot import FewShot
        from transfer_meta.encoding.score_sources import ScoreSettings

        return ScoreSettings(
            max_examples=encoding.examples,
            seed=encoding.seed,
            encoding=encoding.to_settings(),
            few_shot=FewShot(steps=self.steps, seed=encoding.seed),
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
    require("torch", "transformers")
    from transfer_meta.encoding.score_sources import SCORES, score_sources
    from transfer_meta.tasks.resolve import resolve_tasks

    check_out(out)
    settings = options.to_settings(encoding)
    checkpoints = parse_pairs("--checkpoint", options.checkpoint or (), form="SOURCE=FILE")
    names = find_target_and_sources(target, [*sources, *(more_sources or [])])
    goal, *candidates = resolve_tasks([names[0], *names[1]], reading.to_settings())
    if not goal.is_labelled:
        raise InputError(f"target '{goal.name}' has no labels, which every score needs")
    with progress("sources") as on_progress:
        frame = score_sources(
            target=goal,
            sources=candidates,
            encoder=options.encoder,
            checkpoints=checkpoints,
            settings=settings,
            device=encoding.device,
            on_progress=on_progress,
        )
    tell_reading([goal, *candidates], verbose=reading.verbose)
    if frame[list(SCORES)].isna().all(axis=None):
        raise InputError(f"no score: {frame['missing'].iloc[0]}")
    note = PRETRAINED_NOTE if (frame["checkpoint"] == "").any() else ""
    if out is not None:
        write_table(frame[["source", "target", *SCORES]], out)
        tell(f"wrote {out}: {len(frame)} pairs")
    if as_json:
        print_json(
            {
                "target": goal.name,
                "encoder": options.encoder,
                "examples": encoding.examples,
                "steps": options.steps,
                "seed": encoding.seed,
                "note": note,
                "scores": frame.to_dict("records"),
            }
        )
        return
    if out is None:
        state = frame["checkpoint"].ne("").map({True: "own", False: "pretrained"})
        shown = frame.assign(checkpoint=state)[["source", "checkpoint", *SCORES]]
        title = f"target {goal.name}, encoder {options.encoder}; higher is better"
        print_records(shown.to_dict("records"), title=title)
    for line in (note, *_missing(frame)):
        if line:
            tell(line) if out is not None else print(line)


def _missing(frame: pd.DataFrame) -> list[str]:
    """Return one line per reason for missing scores, with the sources concerned."""
    sources_of: dict[str, list[str]] = {}
    for source, reasons in zip(frame["source"], frame["missing"], strict=True):
        if reasons:
            sources_of.setdefault(reasons, []).append(source)
    return [f"{', '.join(sources)}: no {reasons}" for reasons, sources in sources_of.items()]
