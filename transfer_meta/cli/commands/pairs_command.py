"""`transfer-meta pairs`: features of each pair of a source and a target."""

from __future__ import annotations

from transfer_meta.cli.shared.console import print_json, progress, show, tell
from transfer_meta.cli.shared.options import AsJson, GuardOption, OutFile, ParallelOptions, with_options
from transfer_meta.cli.shared.output_files import check_out, write_table
from transfer_meta.cli.shared.profile_options import ProfileOptions
from transfer_meta.cli.shared.task_options import MoreSources, ReadOptions, SourceTasks, TargetTask


@with_options
def pairs_command(
    more_sources: MoreSources = None,
    *,
    target: TargetTask,
    sources: SourceTasks,
    options: ProfileOptions,
    parallel: ParallelOptions,
    out: OutFile = None,
    guard: GuardOption = True,
    as_json: AsJson = False,
    reading: ReadOptions,
) -> None:
    """Compute the features of sources paired with a target.

    Features are those of both tasks, their ratios, overlaps and divergences. If the target is among the sources, it
    is left out.

    Example: transfer-meta pairs --target reviews.train.csv --sources tasks/ news.jsonl --out pairs.csv
    """
    from transfer_meta.api.pairs import pair_features
    from transfer_meta.api.profiles import raise_failures

    check_out(out, guard=guard)
    reading.refuse_unused([target, *sources, *(more_sources or [])])
    settings = options.to_settings(parallel, reading)
    with progress("profiling tasks") as on_progress:
        found = pair_features(
            target,
            [*sources, *(more_sources or [])],
            settings,
            tell=tell,
            on_progress=on_progress,
            keep_going=True,
        )
    if out is not None:
        write_table(found.to_frame(), out, guard=guard)
        tell(f"wrote {out}: {len(found.features)} pairs")
    if as_json:
        print_json(found.to_dict())
    elif out is None:
        show(found)
    raise_failures(found.failures)
