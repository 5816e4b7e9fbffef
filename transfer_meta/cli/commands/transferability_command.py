"""`transfer-meta transferability`: sources scored for a target by the published measures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from transfer_meta.cli.shared.options import (
    AsJson,
    MoreSources,
    OutFile,
    SourceTasks,
    TargetTask,
    find_target_and_sources,
)
from transfer_meta.cli.shared.output_files import check_out, tell, write_records
from transfer_meta.cli.shared.run_options import require
from transfer_meta.cli.shared.task_options import takes_tasks
from transfer_meta.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

_SHARED = (
    "Without a checkpoint a source has the pretrained encoder and a head fitted to its examples: its"
    " features are those of every such source, and only leep and nce tell them apart."
)


@takes_tasks
def transferability_command(
    more_sources: MoreSources = None,
    *,
    target: TargetTask,
    sources: SourceTasks,
    encoder: Annotated[
        str,
        typer.Option(
            "--encoder",
            help="'offline', a folder, or a name on the Hugging Face Hub.",
            show_default=False,
        ),
    ],
    checkpoint: Annotated[
        list[str] | None,
        typer.Option(
            "--checkpoint",
            metavar="SOURCE=FILE",
            help="Safetensors of the encoder fine-tuned on a source, as run --keep-checkpoints leaves it."
            " May be repeated.",
            show_default=False,
        ),
    ] = None,
    examples: Annotated[int, typer.Option("--examples", help="Training examples drawn a task.")] = 500,
    steps: Annotated[int, typer.Option("--steps", help="Steps of few-shot fine-tuning.")] = 20,
    max_length: Annotated[int, typer.Option("--max-length", min=8, help="Tokens an input.")] = 128,
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", min=1, help="Padded tokens a pass: the bound on memory.")
    ] = 4096,
    seed: Annotated[int, typer.Option("--seed", help="Of the examples drawn, and their order.")] = 0,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, or cuda:N.")] = "cpu",
    out: OutFile = None,
    as_json: AsJson = False,
    settings: Any,
) -> None:
    """Score sources for a target: LogME, H-score, TransRate, GBC, kNN, linear probe, LEEP, NCE, few-shot loss.

    Higher is better in every column; leep, nce, gbc and the negated loss are at most 0. A source without a
    checkpoint has the pretrained encoder with a head fitted to its examples: only leep and nce then differ
    between sources. --out writes source, target and the scores: features of the pair in a table of outcomes.

    For example: transfer-meta transferability --target rte.train.jsonl --sources tasks/ --encoder offline
    """
    require("torch", "transformers")
    from transfer_meta.cli.shared.console import print_json, print_table, progress
    from transfer_meta.encoding.fewshot import FewShot
    from transfer_meta.encoding.frozen_features import Reading
    from transfer_meta.encoding.score_sources import SCORES, ScoreSettings, score_sources
    from transfer_meta.tasks.resolve import resolve_tasks

    check_out(out)
    score_settings = ScoreSettings(
        max_examples=examples,
        seed=seed,
        reading=Reading(max_length, max_tokens),
        few_shot=FewShot(steps=steps, seed=seed),
    )
    first, others = find_target_and_sources(target, [*sources, *(more_sources or [])])
    goal, *candidates = resolve_tasks([first, *others], settings)
    with progress("sources") as on_progress:
        frame = score_sources(
            target=goal,
            sources=candidates,
            encoder=encoder,
            checkpoints=_checkpoints(checkpoint or ()),
            settings=score_settings,
            device=device,
            on_progress=on_progress,
        )
    if frame[list(SCORES)].isna().all(axis=None):
        raise InputError(f"no score: {frame['missing'].iloc[0]}")
    note = _SHARED if (frame["checkpoint"] == "").any() else ""
    if out is not None:
        write_records(frame[["source", "target", *SCORES]], out)
        tell(f"wrote {out}: {len(frame)} pairs")
    if as_json:
        print_json(
            {
                "target": goal.name,
                "encoder": encoder,
                "examples": examples,
                "steps": steps,
                "seed": seed,
                "note": note,
                "scores": frame.to_dict("records"),
            }
        )
        return
    if out is None:
        columns = ["source", "checkpoint", *SCORES]
        shown = frame.assign(
            checkpoint=frame["checkpoint"].ne("").map({True: "own", False: "pretrained"})
        )
        rows = shown[columns].to_numpy(dtype=object).tolist()
        print_table(columns, rows, title=f"target {goal.name}, encoder {encoder}; higher is better")
    for line in (note, *_missing(frame)):
        if line:
            tell(line) if out is not None else print(line)


def _checkpoints(given: list[str] | tuple[()]) -> dict[str, str]:
    """``SOURCE=FILE`` as a mapping."""
    files: dict[str, str] = {}
    for pair in given:
        source, equals, file = pair.partition("=")
        if not (source and equals and file):
            raise InputError(f"--checkpoint: expected SOURCE=FILE, got '{pair}'")
        if source in files:
            raise InputError(f"--checkpoint: two files for source '{source}'")
        files[source] = file
    return files


def _missing(frame: pd.DataFrame) -> list[str]:
    """One line for each reason why scores are missing, with the sources that it holds for."""
    sources_of: dict[str, list[str]] = {}
    for source, reasons in zip(frame["source"], frame["missing"], strict=True):
        if reasons:
            sources_of.setdefault(reasons, []).append(source)
    return [f"{', '.join(sources)}: no {reasons}" for reasons, sources in sources_of.items()]
