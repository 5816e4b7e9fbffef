"""`transfer-meta profile`: tasks to their features; and what `pairs` needs of it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from transfer_meta.cli.tasks import takes_tasks
from transfer_meta.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from transfer_meta.features.curve_log import CurveLog
    from transfer_meta.records import TaskProfile

VocabularyFile = Annotated[
    Path | None,
    typer.Option(
        "--vocabulary",
        metavar="FILE",
        help="Known words, for oov_rate: a word list, word vectors (GloVe, word2vec) or a tokenizer.json;"
        " packed or not. Default: the words of the train split, for the tokens of the test split.",
        show_default=False,
    ),
]
TokenizerFile = Annotated[
    Path | None,
    typer.Option(
        "--tokenizer",
        metavar="FILE",
        help="A tokenizer.json, for subword_fertility. Default: that of --vocabulary.",
        show_default=False,
    ),
]
CurveFiles = Annotated[
    list[str] | None,
    typer.Option(
        "--curve",
        metavar="[TASK=]FILE",
        help="Log of a single-task training run: CSV, JSONL, trainer_state.json, TensorBoard. A file with a"
        " column 'task' may hold many. May be repeated.",
        show_default=False,
    ),
]
DevScore = Annotated[
    str | None,
    typer.Option(
        "--dev-score",
        metavar="NAME",
        help="The curve files' column with the dev score.",
        show_default=False,
    ),
]
Processes = Annotated[
    int, typer.Option("--processes", min=1, help="Processes that count, for big files.")
]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Neither read nor write cached profiles.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
OutFile = Annotated[
    Path | None,
    typer.Option(
        "--out", metavar="FILE", help="Write a table (.csv, .parquet) or .json.", show_default=False
    ),
]

_PAPER = ("size", "n_labels", "tokens_types", "oov_rate", "label_entropy", "fro_norm", "jsd")
_NUMBERS = ("size", "n_labels", "vocabulary_size", "half_iter")
_CURVE = ("slope_30", "log_fit_b", "loss_done_30")
# Examples after which a line says how far a big file has been read.
_BIG = 500_000


@takes_tasks
def profile(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="TASK...", help="A file, a task card (.toml), a folder of them, or hf:DATASET."
        ),
    ],
    *,
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
    """Compute the features of tasks: statistics of texts and labels, and of a learning curve where given.

    Results are cached by content and settings. A task that cannot be read is reported, the others go on, and
    the exit code is 2.

    For example: transfer-meta profile reviews.train.csv --curve trainer_state.json --json
    """
    check_out(out)
    profiles, failures = profile_all(
        names,
        settings,
        vocabulary=vocabulary,
        tokenizer=tokenizer,
        curves=curve or (),
        dev_score=dev_score,
        processes=processes,
        no_cache=no_cache,
    )
    if profiles:
        _show(profiles, out, as_json)
    raise_failures(failures)


def profile_all(
    names: Iterable[str],
    settings: Any,
    *,
    vocabulary: Path | None,
    tokenizer: Path | None,
    curves: Sequence[str],
    dev_score: str | None,
    processes: int,
    no_cache: bool,
) -> tuple[list[TaskProfile], list[str]]:
    """The profiles of the tasks that the user names, and one line for each task that failed."""
    from transfer_meta.cli.console import progress
    from transfer_meta.features.cache import ProfileCache
    from transfer_meta.features.profile import profile_task
    from transfer_meta.features.vocabulary import Vocabulary, load_tokenizer
    from transfer_meta.tasks.resolve import find_tasks, load_named

    known = Vocabulary.from_file(vocabulary) if vocabulary else None
    subwords = load_tokenizer(tokenizer) if tokenizer else None
    if subwords is None and known is not None and known.tokenizer_file is not None:
        try:
            subwords = load_tokenizer(known.tokenizer_file)
        except InputError as error:  # its words are known without the library that cuts with them
            tell(f"warning: no subword_fertility: {error}")
    cache = None if no_cache else ProfileCache(tell=lambda line: tell(f"warning: {line}"))
    found = find_tasks(names)
    logs = _read_curves(curves, dev_score)

    profiles: dict[str, TaskProfile] = {}
    failures: list[str] = []
    with progress("profiling tasks") as on_progress:
        for done, name in enumerate(found):
            on_progress(done, len(found))
            try:
                task = load_named(name, settings)
                if task.name in profiles:
                    raise InputError(f"two tasks are named '{task.name}'; name one of them in a card")
                if task.notes:
                    tell(f"{task.name}: {'; '.join(task.notes)}")
                profiles[task.name] = profile_task(
                    task,
                    vocabulary=known,
                    tokenizer=subwords,
                    curve=_curve_of(task.name, logs, alone=len(found) == 1),
                    processes=processes,
                    cache=cache,
                    on_examples=_Counted(task.name),
                )
            except InputError as error:
                failures.append(str(error))
                if len(found) > 1:
                    tell(f"error: {error}")
    _check_curves(logs, profiles, complete=not failures)
    _tell_missing(list(profiles.values()))
    return list(profiles.values()), failures


def raise_failures(failures: Sequence[str]) -> None:
    """End with exit code 2 where a task failed."""
    if len(failures) == 1:
        raise InputError(failures[0])
    if failures:
        raise InputError(f"{len(failures)} tasks failed, the first: {failures[0]}")


def check_out(out: Path | None) -> None:
    """Say before the work, not after it, that an output cannot be written."""
    if out is not None and out.suffix.lower() not in (".csv", ".parquet", ".json"):
        raise InputError(f"--out: expected a file named .csv, .parquet or .json, got '{out.name}'")


def write_table(frame: pd.DataFrame, out: Path) -> None:
    """Write a table as CSV or Parquet, by the suffix."""
    from transfer_meta.files import atomic_file

    with atomic_file(out) as path:
        if out.suffix.lower() == ".csv":
            frame.to_csv(path, index=False)
        else:
            frame.to_parquet(path, index=False)


def write_json(value: Any, out: Path) -> None:
    """Write a value as `print_json` prints it."""
    from contextlib import redirect_stdout

    from transfer_meta.cli.console import print_json
    from transfer_meta.files import atomic_file

    with atomic_file(out) as path, path.open("w", encoding="utf-8") as stream, redirect_stdout(stream):
        print_json(value)


def tell(line: str) -> None:
    """One line on stderr."""
    print(line, file=sys.stderr, flush=True)


class _Counted:
    """Says now and then how many examples of a big task have been counted."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._said = 0

    def __call__(self, examples: int) -> None:
        if examples // _BIG > self._said // _BIG:
            tell(f"{self._name}: {examples:,} examples")
        self._said = examples


def _read_curves(curves: Sequence[str], dev_score: str | None) -> dict[str, CurveLog]:
    """The training logs by task; "" for that of a file that names no task."""
    from transfer_meta.features.curve_files import read_curves

    logs: dict[str, CurveLog] = {}
    for given in curves:
        # A path may have an equals sign in it.
        name, equals, file = given.partition("=")
        if not equals or Path(given).exists():
            name, file = "", given
        found = read_curves(file, dev_score=dev_score)
        if name:
            if len(found) > 1 and name not in found:
                raise InputError(
                    f"--curve: {file} has no curve of task '{name}' (it has: {', '.join(found)})"
                )
            found = {name: found[name] if name in found else next(iter(found.values()))}
        if double := next((task for task in found if task in logs), None):
            raise InputError(f"--curve: two learning curves for task '{double}'")
        if "" in found and "" in logs:
            raise InputError(f"--curve: {file} does not say its task; expected TASK={file}")
        logs |= found
    return logs


def _curve_of(name: str, logs: dict[str, CurveLog], *, alone: bool) -> CurveLog | None:
    if "" in logs and not alone:
        raise InputError("--curve: which task's learning curve is it? Expected TASK=FILE")
    return logs.get(name, logs.get(""))


def _check_curves(
    logs: dict[str, CurveLog], profiles: dict[str, TaskProfile], *, complete: bool
) -> None:
    unused = [name for name in logs if name and name not in profiles]
    if unused and complete:
        tell(f"warning: learning curves of no task here: {', '.join(unused)}")


def _tell_missing(profiles: Sequence[TaskProfile]) -> None:
    """What is missing, one line a reason and not one a task; and what the curves' files had wrong."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for p in profiles:
        by_reason: dict[str, list[str]] = {}
        for feature, reason in p.missing.items():
            by_reason.setdefault(reason, []).append(feature)
        for reason, features in by_reason.items():
            reasons.setdefault((reason, ", ".join(features)), []).append(p.name)
        for note in p.notes:
            tell(f"{p.name}: {note}")
    for (reason, absent), tasks in reasons.items():
        whose = tasks[0] if len(tasks) == 1 else f"{len(tasks)} of {len(profiles)} tasks"
        tell(f"{whose}: no {absent} ({reason})")


def _show(profiles: Sequence[TaskProfile], out: Path | None, as_json: bool) -> None:
    import json

    from transfer_meta.cli.console import print_json, print_table

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
