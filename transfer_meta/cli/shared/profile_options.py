"""What `profile` and `pairs` share: the options of counting tasks, and the counting."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from transfer_meta.cli.shared.options import gathers
from transfer_meta.cli.shared.output_files import tell
from transfer_meta.errors import InputError
from transfer_meta.runs.parallel import Parallelism, each

if TYPE_CHECKING:
    from transfer_meta.features.curves.curve_log import CurveLog
    from transfer_meta.features.text.vocabulary import Vocabulary
    from transfer_meta.records import TaskProfile
    from transfer_meta.tasks.settings import ReadSettings

# Examples after which a line says how far a big file has been read.
_BIG = 500_000


@dataclass(frozen=True, kw_only=True)
class Profiling:
    """How tasks are profiled; each field is an option."""

    vocabulary: Annotated[
        Path | None,
        typer.Option(
            "--vocabulary",
            metavar="FILE",
            help="Known words, for oov_rate: a word list, word vectors (GloVe, word2vec) or a tokenizer.json;"
            " packed or not. Default: the words of the train split, for the tokens of the test split.",
            show_default=False,
        ),
    ] = None
    tokenizer: Annotated[
        Path | None,
        typer.Option(
            "--tokenizer",
            metavar="FILE",
            help="A tokenizer.json, for subword_fertility. Default: that of --vocabulary.",
            show_default=False,
        ),
    ] = None
    curve: Annotated[
        list[str] | None,
        typer.Option(
            "--curve",
            metavar="[TASK=]FILE",
            help="Log of a single-task training run: CSV, JSONL, trainer_state.json, TensorBoard. A file with a"
            " column 'task' may hold many. May be repeated.",
            show_default=False,
        ),
    ] = None
    dev_score: Annotated[
        str | None,
        typer.Option(
            "--dev-score",
            metavar="NAME",
            help="The curve files' column with the dev score.",
            show_default=False,
        ),
    ] = None
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Neither read nor write cached profiles.")
    ] = False


takes_profiling = gathers("profiling", Profiling)
"""Give a command the options of `Profiling`; it gets them as one keyword, ``profiling``."""


def profile_all(
    names: Iterable[str],
    settings: ReadSettings,
    profiling: Profiling,
    parallelism: Parallelism | None = None,
) -> tuple[list[TaskProfile], list[str]]:
    """The profiles of the tasks that the user names, and one line for each task that failed."""
    from transfer_meta.cli.shared.console import progress
    from transfer_meta.features.profile_cache import cache_folder
    from transfer_meta.features.text.vocabulary import Vocabulary, load_tokenizer
    from transfer_meta.tasks.resolve import find_tasks

    parallelism = parallelism or Parallelism()
    known = Vocabulary.from_file(profiling.vocabulary) if profiling.vocabulary else None
    subwords = load_tokenizer(profiling.tokenizer) if profiling.tokenizer else None
    if subwords is None and known is not None and known.tokenizer_file is not None:
        try:
            subwords = load_tokenizer(known.tokenizer_file)
        except InputError as error:  # its words are known without the library that cuts with them
            tell(f"warning: no subword_fertility: {error}")
    found = find_tasks(names)
    logs = _read_curves(profiling.curve or (), profiling.dev_score)
    profile = _Profiler(
        settings=settings,
        vocabulary=known,
        tokenizer=subwords,
        logs=logs,
        alone=len(found) == 1,
        # One task alone is counted by all of the workers.
        workers=(parallelism.workers or 1) if len(found) == 1 else 1,
        cache=None if profiling.no_cache else cache_folder() / "profiles",
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
    _check_curves(logs, profiles, complete=not failures)
    _tell_missing(list(profiles.values()))
    return list(profiles.values()), failures


@dataclass(frozen=True, kw_only=True)
class _Profiler:
    """Profiles a task by its name, in whatever process; an error is a result, so that the others go on.

    What it has to say, it says by `tell`, or without one beside the profile.
    """

    settings: ReadSettings
    vocabulary: Vocabulary | None
    tokenizer: Any
    logs: dict[str, CurveLog]
    alone: bool
    workers: int
    cache: Path | None
    tell: Callable[[str], None] | None

    def __call__(self, name: str) -> tuple[list[str], TaskProfile | InputError]:
        from transfer_meta.features.profile_cache import ProfileCache
        from transfer_meta.features.task_profile import profile_task
        from transfer_meta.tasks.resolve import load_named

        lines: list[str] = []
        say = self.tell or lines.append
        try:
            task = load_named(name, self.settings)
            if task.notes:
                say(f"{task.name}: {'; '.join(task.notes)}")
            profile = profile_task(
                task,
                vocabulary=self.vocabulary,
                tokenizer=self.tokenizer,
                curve=_curve_of(task.name, self.logs, alone=self.alone),
                workers=self.workers,
                cache=ProfileCache(self.cache, tell=lambda line: say(f"warning: {line}"))
                if self.cache
                else None,
                on_examples=_Counted(task.name),
            )
        except InputError as error:
            return lines, error
        return lines, profile


def raise_failures(failures: Sequence[str]) -> None:
    """End with exit code 2 where a task failed."""
    if len(failures) == 1:
        raise InputError(failures[0])
    if failures:
        raise InputError(f"{len(failures)} tasks failed, the first: {failures[0]}")


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
    from transfer_meta.features.curves.curve_files import read_curves

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
