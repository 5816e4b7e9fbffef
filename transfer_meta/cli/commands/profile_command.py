"""`transfer-meta profile`: features of tasks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from transfer_meta.cli.shared.console import print_json, print_table, tell
from transfer_meta.cli.shared.options import AsJson, OutFile, ParallelOptions, with_options
from transfer_meta.cli.shared.output_files import check_out, write_json, write_table
from transfer_meta.cli.shared.profile_options import ProfileOptions, profile_all, raise_failures
from transfer_meta.cli.shared.task_options import ReadOptions, TaskNames

if TYPE_CHECKING:
    import pandas as pd

    from transfer_meta.records import TaskProfile

FEATURES_OF_PAPER = ("size", "n_labels", "tokens_types", "oov_rate", "label_entropy", "fro_norm", "jsd")
WHOLE_NUMBERS = ("size", "n_labels", "vocabulary_size", "half_iter")
FEATURES_OF_CURVE = ("slope_30", "log_fit_b", "loss_done_30")


@with_options
def profile_command(
    names: TaskNames,
    *,
    options: ProfileOptions,
    parallel: ParallelOptions,
    out: OutFile = None,
    as_json: AsJson = False,
    reading: ReadOptions,
) -> None:
    """Compute the features of tasks.

    Features are statistics of texts and labels, and of learning curves if given. Results are cached by content and
    settings. If a task cannot be read, the error is reported, the other tasks are profiled, and the exit code is 2.

    Example: transfer-meta profile reviews.train.csv --curve trainer_state.json --json
    """
    check_out(out)
    profiles, failures = profile_all(names, reading.to_settings(), options, parallel.to_settings())
    if profiles:
        _show(profiles, out, as_json)
    raise_failures(failures)


def _show(profiles: Sequence[TaskProfile], out: Path | None, as_json: bool) -> None:
    if as_json or (out is not None and out.suffix.lower() == ".json"):
        value = [json.loads(p.to_json()) for p in profiles]
        if out is not None:
            write_json(value, out)
        if as_json:
            print_json(value)
            return
    if out is not None:
        if out.suffix.lower() != ".json":
            write_table(_frame(profiles), out)
        tell(f"wrote {out}: {len(profiles)} tasks")
    elif len(profiles) == 1:
        only = profiles[0]
        rows = [[name, _cell(only, name)] for name in only.features if name not in only.missing]
        print_table(["feature", "value"], rows, title=f"{only.name} ({only.type})")
    else:
        curves = [name for name in FEATURES_OF_CURVE if any(name in p.features for p in profiles)]
        columns = [*FEATURES_OF_PAPER, *curves]
        rows = [[p.name, str(p.type), *(_cell(p, name) for name in columns)] for p in profiles]
        print_table(["task", "type", *columns], rows)


def _cell(profile: TaskProfile, name: str) -> float | int | None:
    """Return a feature for a table, counts as integers."""
    value = profile.features.get(name)
    return int(value) if value is not None and name in WHOLE_NUMBERS and value.is_integer() else value


def _frame(profiles: Sequence[TaskProfile]) -> pd.DataFrame:
    """Return one row per task: name, type, features, and the names of those missing."""
    import pandas as pd

    frame = pd.DataFrame(
        {"task": p.name, "type": str(p.type), **p.features, "missing": ",".join(p.missing)}
        for p in profiles
    )
    return frame[[c for c in frame if c != "missing"] + ["missing"]]
