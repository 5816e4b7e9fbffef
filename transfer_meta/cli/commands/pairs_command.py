"""`transfer-meta pairs`: sources and a target to one row of features a pair."""

from __future__ import annotations

from typing import Any

from transfer_meta.cli.shared.options import (
    AsJson,
    MoreSources,
    OutFile,
    SourceTasks,
    TargetTask,
    find_target_and_sources,
    takes_parallelism,
)
from transfer_meta.cli.shared.output_files import check_out, tell, write_records
from transfer_meta.cli.shared.profile_options import profile_all, raise_failures, takes_profiling
from transfer_meta.cli.shared.task_options import takes_tasks
from transfer_meta.errors import InputError

_COLUMNS = (
    "ratio.size", "pair.jsd", "pair.types_jaccard", "pair.tokens_covered_target", "pair.tfidf_cosine",
    "pair.labels_jaccard", "pair.examples_covered_target", "pair.same_type",
)  # fmt: skip


@takes_tasks
@takes_profiling
@takes_parallelism
def pairs_command(
    more_sources: MoreSources = None,
    *,
    target: TargetTask,
    sources: SourceTasks,
    profiling: Any,
    parallelism: Any,
    out: OutFile = None,
    as_json: AsJson = False,
    settings: Any,
) -> None:
    """Compare sources with a target: features of both, their ratios, overlaps and divergences.

    The target itself is left out where it is among the sources.

    For example: transfer-meta pairs --target reviews.train.csv --sources tasks/ news.jsonl --out pairs.csv
    """
    from transfer_meta.cli.shared.console import print_json, print_table
    from transfer_meta.features.pair_features import pair_features
    from transfer_meta.tasks.resolve import load_named

    check_out(out)
    first, others = find_target_and_sources(target, [*sources, *(more_sources or [])])
    name = load_named(first, settings).name
    profiles, failures = profile_all([first, *others], settings, profiling, parallelism)
    by_name = {p.name: p for p in profiles}
    if name not in by_name or len(by_name) == 1:
        raise_failures(failures)
        raise InputError("no source beside the target itself")
    goal = by_name.pop(name)
    frame = pair_features(sources=list(by_name.values()), target=goal)

    rows = frame.to_dict("records")
    if out is not None:
        write_records(frame, out)
        tell(f"wrote {out}: {len(frame)} pairs")
    if as_json:
        print_json(rows)
    elif out is None:
        shown = frame[["source", *_COLUMNS]].to_numpy(dtype=object).tolist()
        print_table(
            ["source", *(c.removeprefix("pair.") for c in _COLUMNS)], shown, title=f"target {name}"
        )
    raise_failures(failures)
