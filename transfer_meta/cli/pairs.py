"""`transfer-meta pairs`: sources and a target to one row of features a pair."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from transfer_meta.cli.profile import (
    AsJson,
    CurveFiles,
    DevScore,
    NoCache,
    OutFile,
    Processes,
    TokenizerFile,
    VocabularyFile,
    check_out,
    profile_all,
    raise_failures,
    tell,
    write_json,
    write_table,
)
from transfer_meta.cli.tasks import takes_tasks
from transfer_meta.errors import InputError

_COLUMNS = (
    "ratio.size", "pair.jsd", "pair.types_jaccard", "pair.tokens_covered_target", "pair.tfidf_cosine",
    "pair.labels_jaccard", "pair.examples_covered_target", "pair.same_type",
)  # fmt: skip


@takes_tasks
def pairs(
    more_sources: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SOURCE]...", help="Further sources.", show_default=False),
    ] = None,
    *,
    target: Annotated[
        str,
        typer.Option(
            "--target", metavar="TASK", help="The task that may be helped.", show_default=False
        ),
    ],
    sources: Annotated[
        list[str],
        typer.Option(
            "--sources",
            metavar="TASK...",
            help="The tasks that may help: files, task cards, folders of them, hf:DATASET.",
            show_default=False,
        ),
    ],
    vocabulary: VocabularyFile = None,
    tokenizer: TokenizerFile = None,
    curve: CurveFiles = None,
    dev_score: DevScore = None,
    processes: Processes = 1,
    no_cache: NoCache = False,
    out: OutFile = None,
    as_json: AsJson = False,
    settings: Any,
) -> None:
    """Compare sources with a target: features of both, their ratios, overlaps and divergences.

    The target itself is left out where it is among the sources.

    For example: transfer-meta pairs --target reviews.train.csv --sources tasks/ news.jsonl --out pairs.csv
    """
    from transfer_meta.cli.console import print_json, print_table
    from transfer_meta.features.pairs import pair_features
    from transfer_meta.tasks.resolve import find_tasks, load_named

    check_out(out)
    targets = find_tasks([target])
    if len(targets) != 1:
        raise InputError(f"--target: expected one task, got {len(targets)} in '{target}'")
    name = load_named(targets[0], settings).name
    others = [other for other in find_tasks([*sources, *(more_sources or [])]) if other != targets[0]]
    profiles, failures = profile_all(
        [targets[0], *others],
        settings,
        vocabulary=vocabulary,
        tokenizer=tokenizer,
        curves=curve or (),
        dev_score=dev_score,
        processes=processes,
        no_cache=no_cache,
    )
    by_name = {p.name: p for p in profiles}
    if name not in by_name or len(by_name) == 1:
        raise_failures(failures)
        raise InputError("no source beside the target itself")
    goal = by_name.pop(name)
    frame = pair_features(sources=list(by_name.values()), target=goal)

    rows = frame.to_dict("records")
    if out is not None:
        write_json(rows, out) if out.suffix.lower() == ".json" else write_table(frame, out)
        tell(f"wrote {out}: {len(frame)} pairs")
    if as_json:
        print_json(rows)
    elif out is None:
        shown = frame[["source", *_COLUMNS]].to_numpy(dtype=object).tolist()
        print_table(
            ["source", *(c.removeprefix("pair.") for c in _COLUMNS)], shown, title=f"target {name}"
        )
    raise_failures(failures)
