"""Options of profiling tasks, and profiling the tasks that a command names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from transfer_meta.cli.shared.console import progress, tell
from transfer_meta.errors import InputError
from transfer_meta.runs.parallel import Parallelism, each

if TYPE_CHECKING:
    from transfer_meta.features.text.vocabulary import Vocabulary
    from transfer_meta.records import CurveLog, TaskProfile
    from transfer_meta.tasks.settings import ReadSettings

EXAMPLES_BETWEEN_LINES = 500_000
"""Examples of a big file between two lines of progress."""


@dataclass(frozen=True, kw_only=True)
class ProfileOptions:
    """Options of profiling tasks."""

    vocabulary: Annotated[
        Path | None,
        Option(
            metavar="FILE",
            help="Known words, for oov_rate: a word list, word vectors (GloVe, word2vec) or a tokenizer.json,"
            " possibly compressed. Default: the words of the train split, for the tokens of the test split.",
        ),
    ] = None
    tokenizer: Annotated[
        Path | None,
        Option(
            metavar="FILE",
            help="A tokenizer.json, for subword_fertility. Default: that of --vocabulary.",
        ),
    ] = None
    curve: Annotated[
        list[str] | None,
        Option(
            metavar="[TASK=]FILE",
            help="Log of a single-task training run: CSV, JSONL, trainer_state.json, TensorBoard. A file with a"
            " column 'task' may hold many. Repeatable.",
        ),
    ] = None
    step: Annotated[
        str | None,
        Option(
            metavar="NAME", help="Column of the step in the --curve files; default: told by its name."
        ),
    ] = None
    train_loss: Annotated[
        str | None,
        Option(
            metavar="NAME",
            help="Column of the training loss in the --curve files; default: told by its name.",
        ),
    ] = None
    dev_loss: Annotated[
        str | None,
        Option(
            metavar="NAME",
            help="Column of the dev loss in the --curve files; default: that of the dev score's evaluation set.",
        ),
    ] = None
    dev_score: Annotated[
        str | None,
        Option(
            metavar="NAME",
            help="Column of the dev score in the --curve files; default: told by its name if there is one.",
        ),
    ] = None
    no_cache: Annotated[bool, Option("--no-cache", help="Neither read nor write cached profiles.")] = (
        False
    )

    def __post_init__(self) -> None:
        for name in ("step", "train_loss", "dev_loss", "dev_score"):
            if getattr(self, name) is not None and not self.curve:
                raise InputError(f"--{name.replace('_', '-')} has no effect without --curve")


def profile_all(
    names: Iterable[str], settings: ReadSettings, options: ProfileOptions, parallelism: Parallelism
) -> tuple[list[TaskProfile], list[str]]:
    """Return the profiles of the tasks named, and one message per task that failed."""
    from transfer_meta.features.profile_cache import cache_folder
    from transfer_meta.features.text.vocabulary import Vocabulary, load_tokenizer
    from transfer_meta.tasks.resolve import find_tasks

    known = Vocabulary.from_file(options.vocabulary) if options.vocabulary else None
    subwords = load_tokenizer(options.tokenizer) if options.tokenizer else None
    if subwords is None and known is not None and known.tokenizer_file is not None:
        try:
            subwords = load_tokenizer(known.tokenizer_file)
        except InputError as error:  # the words can be read without the tokenizers library
            tell(f"warning: no subword_fertility: {error}")
    found = find_tasks(names)
    logs = _read_curves(options)
    if "" in logs and len(found) > 1:
        raise InputError("--curve: which task's learning curve is it? Expected TASK=FILE")
    profile = _Profiler(
        settings=settings,
        vocabulary=known,
        tokenizer=subwords,
        logs=logs,
        # A single task is counted by all workers.
        workers=(parallelism.workers or 1) if len(found) == 1 else 1,
        cache=None if options.no_cache else cache_folder() / "profiles",
        tell=tell if parallelism.stay_here(len(found)) else None,
    )

    profiles: dict[str, TaskProfile] = {}
    failures: list[str] = []
    with progress("profiling tasks") as on_progress:
        for lines, result in each(profile, found, parallelism, on_progress=on_progress):
            for line in lines:
                tell(line)
            if not isinstance(result, InputError) and result.name in profiles:
                result = InputError(f"two tasks are named '{result.name}'; name one of them in a card")
            if isinstance(result, InputError):
                failures.append(str(result))
                if len(found) > 1:
                    tell(f"error: {result}")
            else:
                profiles[result.name] = result
    unused = [name for name in logs if name and name not in profiles]
    if unused and not failures:
        tell(f"warning: learning curves of no task here: {', '.join(unused)}")
    _tell_missing(list(profiles.values()))
    return list(profiles.values()), failures


@dataclass(frozen=True, kw_only=True)
class _Profiler:
    """Profiles one task by name, in any process; an error is returned, so that other tasks go on.

    Messages go to `tell`, or without it are returned beside the profile.
    """

    settings: ReadSettings
    vocabulary: Vocabulary | None
    tokenizer: Any
    logs: dict[str, CurveLog]
    workers: int
    cache: Path | None
    tell: Callable[[str], None] | None

    def __call__(self, name: str) -> tuple[list[str], TaskProfile | InputError]:
        from transfer_meta.features.profile_cache import ProfileCache
        from transfer_meta.features.task_profile import profile_task
        from transfer_meta.tasks.read import read_task

        lines: list[str] = []
        report = self.tell or lines.append
        try:
            task = read_task(name, self.settings)
            if task.notes:
                report(f"{task.name}: {'; '.join(task.notes)}")
            cache = None
            # The places of rows are not in the cache.
            if self.cache and not self.settings.verbose:
                cache = ProfileCache(self.cache, tell=lambda line: report(f"warning: {line}"))
            profile = profile_task(
                task,
                vocabulary=self.vocabulary,
                tokenizer=self.tokenizer,
                curve=self.logs.get(task.name, self.logs.get("")),
                workers=self.workers,
                cache=cache,
                on_examples=_counter(task.name),
            )
            if self.settings.verbose:
                for line in task.reading_notes(verbose=True)[len(task.reading_notes()) :]:
                    report(f"{task.name}: {line}")
        except InputError as error:
            return lines, error
        return lines, profile


def raise_failures(failures: Sequence[str]) -> None:
    """Raise an InputError if a task failed."""
    if len(failures) == 1:
        raise InputError(failures[0])
    if failures:
        raise InputError(f"{len(failures)} tasks failed, the first: {failures[0]}")


def _counter(name: str) -> Callable[[int], None]:
    """Return a function that prints the number of examples counted in a big task now and then."""
    last = 0

    def on_examples(examples: int) -> None:
        nonlocal last
        if examples // EXAMPLES_BETWEEN_LINES > last // EXAMPLES_BETWEEN_LINES:
            tell(f"{name}: {examples:,} examples")
        last = examples

    return on_examples


def _read_curves(options: ProfileOptions) -> dict[str, CurveLog]:
    """Return the training logs by task; that of a file which names no task under ""."""
    from transfer_meta.features.curves.curve_columns import CurveColumns
    from transfer_meta.features.curves.curve_files import read_curves

    columns = CurveColumns(
        step=options.step,
        train_loss=options.train_loss,
        dev_loss=options.dev_loss,
        dev_score=options.dev_score,
    )
    logs: dict[str, CurveLog] = {}
    for given in options.curve or ():
        # A path may contain an equals sign.
        name, equals, file = given.partition("=")
        if not equals or Path(given).exists():
            name, file = "", given
        found = read_curves(file, columns=columns, tell=tell)
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


def _tell_missing(profiles: Sequence[TaskProfile]) -> None:
    """Print the missing features, grouped by reason, and the notes on learning curves."""
    reasons: dict[tuple[str, str], list[str]] = defaultdict(list)
    for p in profiles:
        by_reason: dict[str, list[str]] = defaultdict(list)
        for feature, reason in p.missing.items():
            by_reason[reason].append(feature)
        for reason, features in by_reason.items():
            reasons[reason, ", ".join(features)].append(p.name)
        for note in p.notes:
            tell(f"{p.name}: {note}")
    for (reason, absent), tasks in reasons.items():
        whose = tasks[0] if len(tasks) == 1 else f"{len(tasks)} of {len(profiles)} tasks"
        tell(f"{whose}: no {absent} ({reason})")
