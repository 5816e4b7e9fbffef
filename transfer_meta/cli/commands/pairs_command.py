"""`transfer-meta pairs`: features of each pair of a source and a target."""

from __future__ import annotations

from transfer_meta.cli.shared.console import print_json, print_table, tell
from transfer_meta.cli.shared.options import AsJson, OutFile, ParallelOptions, with_options
from transfer_meta.cli.shared.output_files import check_out, write_table
from transfer_meta.cli.shared.profile_options import ProfileOptions, profile_all, raise_failures
from transfer_meta.cli.shared.task_options import (
    MoreSources,
    ReadOptions,
    SourceTasks,
    TargetTask,
    find_target_and_sources,
)
from transfer_meta.errors import InputError

COLUMNS_SHOWN = (
    "ratio.size", "pair.jsd", "pair.types_jaccard", "pair.tokens_covered_target", "pair.tfidf_cosine",
    "pair.labels_jaccard", "pair.examples_covered_target", "pair.same_type",
)  # fmt: skip


@with_options
def pairs_command(
    more_sources: MoreSources = None,
    *,
    target: TargetTask,
    sources: SourceTasks,
    options: ProfileOptions,
    parallel: ParallelOptions,
    out: OutFile = None,
    as_json: AsJson = False,
    reading: ReadOptions,
) -> None:
    """Compute the features of sources paired with a target.

    Features are those of both tasks, their ratios, overlaps and divergences. If the target is among the sources, it
    is left out.

    Example: transfer-meta pairs --target reviews.train.csv --sources tasks/ news.jsonl --out pairs.csv
    """
    from transfer_meta.features.pair_features import pair_features
    from transfer_meta.tasks.read import read_task

    check_out(out)
    first, others = find_target_and_sources(target, [*sources, *(more_sources or [])])
    settings = reading.to_settings()
    name = read_task(first, settings).name
    profiles, failures = profile_all([first, *others], settings, options, parallel.to_settings())
    by_name = {p.name: p for p in profiles}
    if name not in by_name or len(by_name) == 1:
        raise_failures(failures)
        raise InputError("no source beside the target itself")
    goal = by_name.pop(name)
    frame = pair_features(sources=list(by_name.values()), target=goal)

    rows = frame.to_dict("records")
    if out is not None:
        write_table(frame, out)
        tell(f"wrote {out}: {len(frame)} pairs")
    if as_json:
        print_json(rows)
    elif out is None:
        shown = frame[["source", *COLUMNS_SHOWN]].to_numpy(dtype=object).tolist()
        print_table(
            ["source", *(c.removeprefix("pair.") for c in COLUMNS_SHOWN)], shown, title=f"target {name}"
        )
    raise_failures(failures)
