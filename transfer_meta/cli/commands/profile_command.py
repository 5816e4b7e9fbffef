"""`transfer-meta profile`: tasks to their features."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from transfer_meta.cli.shared.options import AsJson, OutFile, takes_parallelism
from transfer_meta.cli.shared.output_files import check_out, tell, write_json, write_table
from transfer_meta.cli.shared.profile_options import profile_all, raise_failures, takes_profiling
from transfer_meta.cli.shared.task_options import takes_tasks

if TYPE_CHECKING:
    import pandas as pd

    from transfer_meta.records import TaskProfile

_PAPER = ("size", "n_labels", "tokens_types", "oov_rate", "label_entropy", "fro_norm", "jsd")
_NUMBERS = ("size", "n_labels", "vocabulary_size", "half_iter")
_CURVE = ("slope_30", "log_fit_b", "loss_done_30")


@takes_tasks
@takes_profiling
@takes_parallelism
def profile_command(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="TASK...", help="A file, a task card (.toml), a folder of them, or hf:DATASET."
        ),
    ],
    *,
    profiling: Any,
    parallelism: Any,
    out: OutFile = None,
    as_json: AsJson = False,
    settings: Any,
) -> None:
    """Compute the features of tasks: statistics of texts and labels, and of a learning curve where given.

    Results are cached by content and settings. A task that cannot be read is reported, the others go on, and
    the exit code is 2.

    For example: transfer-meta profile reviews.train.csv --curve trainer_state.json --json

    Several at once: transfer-meta profile tasks/ --workers 8, or on a cluster with --engine ray
    """
    check_out(out)
    profiles, failures = profile_all(names, settings, profiling, parallelism)
    if profiles:
        _show(profiles, out, as_json)
    raise_failures(failures)


def _show(profiles: Sequence[TaskProfile], out: Path | None, as_json: bool) -> None:
    import json

    from transfer_meta.cli.shared.console import print_json, print_table

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
        curves = [name for name in _CURVE if any(name in p.features for p in profiles)]
        columns = [*_PAPER, *curves]
        rows = [[p.name, str(p.type), *(_cell(p, name) for name in columns)] for p in profiles]
        print_table(["task", "type", *columns], rows)


def _cell(profile: TaskProfile, name: str) -> float | int | None:
    """A feature for a table, numbers of things without decimals."""
    value = profile.features.get(name)
    return int(value) if value is not None and name in _NUMBERS and value.is_integer() else value


def _frame(profiles: Sequence[TaskProfile]) -> pd.DataFrame:
    """One row a task: its name, type, features, and which of them are missing."""
    import pandas as pd

    rows = [
        {"task": p.name, "type": str(p.type), **p.features, "missing": ",".join(p.missing)}
        for p in profiles
    ]
    frame = pd.DataFrame(rows)
    return frame[[c for c in frame if c != "missing"] + ["missing"]]
