"""`transfer-meta profile`: features of tasks."""

from __future__ import annotations

from transfer_meta.cli.shared.console import print_json, progress, show, tell
from transfer_meta.cli.shared.options import AsJson, GuardOption, OutFile, ParallelOptions, with_options
from transfer_meta.cli.shared.output_files import check_out, write_json, write_table
from transfer_meta.cli.shared.profile_options import ProfileOptions
from transfer_meta.cli.shared.task_options import ReadOptions, TaskNames


@with_options
def profile_command(
    names: TaskNames,
    *,
    options: ProfileOptions,
    parallel: ParallelOptions,
    out: OutFile = None,
    guard: GuardOption = True,
    as_json: AsJson = False,
    reading: ReadOptions,
) -> None:
    """Compute the features of tasks.

    Features are statistics of texts and labels, and of learning curves if given. Results are cached by content and
    settings. If a task cannot be read, the error is reported, the other tasks are profiled, and the exit code is 2.

    Example: transfer-meta profile reviews.train.csv --curve trainer_state.json --json
    """
    from transfer_meta.api.profiles import profile, raise_failures

    check_out(out, guard=guard)
    reading.refuse_unused(names)
    settings = options.to_settings(parallel, reading)
    with progress("profiling tasks") as on_progress:
        found = profile(names, settings, tell=tell, on_progress=on_progress, keep_going=True)
    if out is not None:
        if out.suffix.lower() == ".json":
            write_json(found.to_dict(), out)
        else:
            write_table(found.to_frame(), out, guard=guard)
    if as_json:
        print_json(found.to_dict())
    elif out is None:
        show(found)
    else:
        tell(f"wrote {out}: {len(found.profiles)} tasks")
    raise_failures(found.failures)
