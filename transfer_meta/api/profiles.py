"""Profiles of several tasks: features of texts, labels and learning curves."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from transfer_meta.errors import InputError
from transfer_meta.features.curves.curve_columns import CurveColumns
from transfer_meta.features.curves.curve_files import read_curves
from transfer_meta.features.profile_cache import ProfileCache, cache_folder
from transfer_meta.features.task_profile import profile_task
from transfer_meta.features.text.vocabulary import Vocabulary, load_tokenizer
from transfer_meta.records import CurveLog, OnProgress, TaskProfile, Tell
from transfer_meta.results import Result, frame_as_html, table_as_text
from transfer_meta.runs.parallel import Parallelism, each
from transfer_meta.tasks.load import TaskItem, expand_tasks, load_task
from transfer_meta.tasks.settings import ReadSettings
from transfer_meta.tasks.task import Task

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FEATURES_OF_PAPER = ("size", "n_labels", "tokens_types", "oov_rate", "label_entropy", "fro_norm", "jsd")
WHOLE_NUMBERS = ("size", "n_labels", "vocabulary_size", "half_iter")
FEATURES_OF_CURVE = ("slope_30", "log_fit_b", "loss_done_30")
OPTIONS_OF_CURVE = ("step", "train_loss", "dev_loss", "dev_score")
EXAMPLES_BETWEEN_LINES = 500_000
"""Examples of a big file between two lines of progress."""


@dataclass(frozen=True, kw_only=True)
class ProfileSettings(Parallelism):
    """Settings of `profile` and `pair_features`; those of `Parallelism` are among them.

    Parameters
    ----------
    vocabulary : str or Path, optional
        Known words, for ``oov_rate``: a word list, word vectors (GloVe, word2vec) or a ``tokenizer.json``.  By
        default the words of the train split, for the tokens of the test split.
    tokenizer : str or Path, optional
        A ``tokenizer.json``, for ``subword_fertility``; by default that of `vocabulary`.
    curve : path, sequence of paths, or mapping of task to path, optional
        Logs of single-task training runs (CSV, JSONL, ``trainer_state.json``, TensorBoard).  In place of a mapping
        a path may be written ``TASK=FILE``.  A file with a column ``task`` may hold many.
    step, train_loss, dev_loss, dev_score : str, optional
        Columns of the `curve` files; by default told by their names.
    cache : bool
        Whether to read and write cached profiles.
    read : ReadSettings
        How to read files.

    Raises
    ------
    InputError
        A column without `curve`, and what `Parallelism` raises.
    """

    vocabulary: str | Path | None = None
    tokenizer: str | Path | None = None
    curve: str | Path | Sequence[str | Path] | Mapping[str, str | Path] | None = None
    step: str | None = None
    train_loss: str | None = None
    dev_loss: str | None = None
    dev_score: str | None = None
    cache: bool = True
    read: ReadSettings = field(default_factory=ReadSettings)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in OPTIONS_OF_CURVE:
            if getattr(self, name) is not None and not self.curve:
                raise InputError(f"--{name.replace('_', '-')} has no effect without --curve")


@dataclass(frozen=True, eq=False)
class Profiles(Result):
    """Profiles of tasks.

    Parameters
    ----------
    profiles : tuple of TaskProfile
    failures : tuple of str
        One message per task that could not be profiled.
    """

    profiles: tuple[TaskProfile, ...]
    failures: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> TaskProfile:
        """Return the profile of a task by its name."""
        return {p.name: p for p in self.profiles}[name]

    @property
    def caption(self) -> str:
        """Name and type of a single task, and the tasks that failed."""
        single = f"{self.profiles[0].name} ({self.profiles[0].type})" if len(self.profiles) == 1 else ""
        return "; ".join([single] * bool(single) + [f"failed: {line}" for line in self.failures])

    def to_frame(self) -> pd.DataFrame:
        """Return one row per task: ``task``, ``type``, the features, ``missing`` (names of those missing)."""
        frame = pd.DataFrame(
            {"task": p.name, "type": str(p.type), **p.features, "missing": ",".join(p.missing)}
            for p in self.profiles
        )
        return frame[[c for c in frame if c != "missing"] + ["missing"]]

    def to_dict(self) -> list[dict[str, Any]]:
        """Return one object per task, as `TaskProfile.to_json` writes it."""
        return [json.loads(p.to_json()) for p in self.profiles]

    def plot(self, axes: Axes | None = None) -> Axes:
        """Draw a heat map of the main features, standardised over the tasks; of one task bars of all features."""
        from transfer_meta.figures.heatmap import standardised_heatmap, value_bars

        if len(self.profiles) == 1:
            only = self.profiles[0]
            axes = value_bars(dict(self._table()[1]), axes, logarithmic=True)
            axes.set_title(f"{only.name} ({only.type})", fontsize=10)
            return axes
        columns, rows = self._table()
        table = pd.DataFrame(rows, columns=columns).set_index("task").drop(columns="type")
        axes = standardised_heatmap(table, axes)
        axes.set_title("features, each standardised over the tasks", fontsize=10)
        return axes

    def __str__(self) -> str:
        columns, rows = self._table()
        only = self.profiles[0]
        title = f"{only.name} ({only.type})" if len(self.profiles) == 1 else None
        return table_as_text(columns, rows, title=title)

    def _repr_html_(self) -> str:
        import html

        columns, rows = self._table()
        table = frame_as_html(pd.DataFrame(rows, columns=columns, dtype=object))
        return f"<p>{html.escape(self.caption)}</p>{table}" if self.caption else table

    def _table(self) -> tuple[list[str], list[list[Any]]]:
        """Return columns and rows to show: all features of one task, the main features of several."""
        if len(self.profiles) == 1:
            only = self.profiles[0]
            rows = [[name, _cell(only, name)] for name in only.features if name not in only.missing]
            return ["feature", "value"], rows
        curves = [n for n in FEATURES_OF_CURVE if any(n in p.features for p in self.profiles)]
        names = [*FEATURES_OF_PAPER, *curves]
        rows = [[p.name, str(p.type), *(_cell(p, name) for name in names)] for p in self.profiles]
        return ["task", "type", *names], rows


def profile(
    tasks: Any,
    settings: ProfileSettings | None = None,
    *,
    tell: Tell = lambda _: None,
    on_progress: OnProgress = lambda done, total: None,
    keep_going: bool = False,
) -> Profiles:
    """Compute the features of tasks: statistics of texts and labels, and of learning curves if given.

    Parameters
    ----------
    tasks : sequence, or what `load_task` takes
        One or several tasks, or folders of tasks; see `transfer_meta.tasks.load_tasks`.
    settings : ProfileSettings, optional
    tell : callable
        Called with a line for what was detected, and for features that are missing.
    on_progress : callable
        Called with the number of finished tasks and of all tasks.
    keep_going : bool
        Whether a task that cannot be read is named among the failures of the result instead of being an error.

    Raises
    ------
    InputError
        No tasks, a task that cannot be read, two tasks of one name, a vocabulary, a tokenizer or a log that cannot
        be read, or a log that does not say its task.

    Examples
    --------
    >>> films = (["a fine film", "a dull film", "fine"], ["good", "bad", "good"])
    >>> profile(films, ProfileSettings(cache=False)).to_frame()[["size", "n_labels"]].to_dict("records")
    [{'size': 3.0, 'n_labels': 2.0}]
    """
    settings = settings or ProfileSettings()
    found, failures = profile_items(expand_tasks(tasks), settings, tell=tell, on_progress=on_progress)
    profiles = tuple(p for p in found if p is not None)
    if failures and not (keep_going and profiles):
        raise_failures(failures)
    return Profiles(profiles, tuple(failures))


def profile_items(
    items: Sequence[TaskItem], settings: ProfileSettings, *, tell: Tell, on_progress: OnProgress
) -> tuple[list[TaskProfile | None], list[str]]:
    """Return the profile of each task, None for one that failed, and one message per task that failed."""
    known = Vocabulary.from_file(settings.vocabulary) if settings.vocabulary else None
    subwords = load_tokenizer(Path(settings.tokenizer)) if settings.tokenizer else None
    if subwords is None and known is not None and known.tokenizer_file is not None:
        try:
            subwords = load_tokenizer(known.tokenizer_file)
        except InputError as error:  # the words can be read without the tokenizers library
            tell(f"warning: no subword_fertility: {error}")
    logs = _read_logs(settings, tell)
    if "" in logs and len(items) > 1:
        raise InputError("--curve: which task's learning curve is it? Expected TASK=FILE")
    work = _Profiler(
        read=settings.read,
        vocabulary=known,
        tokenizer=subwords,
        logs=logs,
        # A single task is counted by all workers.
        workers=(settings.workers or 1) if len(items) == 1 else 1,
        cache=cache_folder() / "profiles" if settings.cache else None,
        tell=tell if settings.stay_here(len(items)) else None,
    )
    found: list[TaskProfile | None] = []
    names: set[str] = set()
    failures: list[str] = []
    for lines, result in each(work, items, settings, on_progress=on_progress):
        for line in lines:
            tell(line)
        if not isinstance(result, InputError) and result.name in names:
            result = InputError(f"two tasks are named '{result.name}'; name one of them in a card")
        if isinstance(result, InputError):
            found.append(None)
            failures.append(str(result))
            if len(items) > 1:
                tell(f"error: {result}")
        else:
            found.append(result)
            names.add(result.name)
    unused = [name for name in logs if name and name not in names]
    if unused and not failures:
        tell(f"warning: learning curves of no task here: {', '.join(unused)}")
    _tell_missing([p for p in found if p is not None], tell)
    return found, failures


def raise_failures(failures: Sequence[str]) -> None:
    """Raise an InputError if a task failed."""
    if len(failures) == 1:
        raise InputError(failures[0])
    if failures:
        raise InputError(f"{len(failures)} tasks failed, the first: {failures[0]}")


@dataclass(frozen=True, kw_only=True)
class _Profiler:
    """Profiles one task, in any process; an error is returned, so that other tasks go on.

    Messages go to `tell`, or without it are returned beside the profile.
    """

    read: ReadSettings
    vocabulary: Vocabulary | None
    tokenizer: Any
    logs: dict[str, CurveLog]
    workers: int
    cache: Path | None
    tell: Tell | None

    def __call__(self, item: TaskItem) -> tuple[list[str], TaskProfile | InputError]:
        lines: list[str] = []
        report = self.tell or lines.append
        data, name = item
        try:
            task = load_task(data, name=name, settings=None if isinstance(data, Task) else self.read)
            if task.notes:
                report(f"{task.name}: {'; '.join(task.notes)}")
            cache = None
            # The places of rows are not in the cache.
            if self.cache and not self.read.verbose:
                cache = ProfileCache(self.cache, tell=lambda line: report(f"warning: {line}"))
            found = profile_task(
                task,
                vocabulary=self.vocabulary,
                tokenizer=self.tokenizer,
                curve=self.logs.get(task.name, self.logs.get("")),
                workers=self.workers,
                cache=cache,
                on_examples=_counter(task.name, self.tell or (lambda _: None)),
            )
            if self.read.verbose:
                for line in task.reading_notes(verbose=True)[len(task.reading_notes()) :]:
                    report(f"{task.name}: {line}")
        except InputError as error:
            return lines, error
        return lines, found


def _counter(name: str, tell: Tell) -> Callable[[int], None]:
    """Return a function that tells the number of examples counted in a big task now and then."""
    last = 0

    def on_examples(examples: int) -> None:
        nonlocal last
        if examples // EXAMPLES_BETWEEN_LINES > last // EXAMPLES_BETWEEN_LINES:
            tell(f"{name}: {examples:,} examples")
        last = examples

    return on_examples


def _read_logs(settings: ProfileSettings, tell: Tell) -> dict[str, CurveLog]:
    """Return the training logs by task; that of a file which names no task under ""."""
    columns = CurveColumns(**{name: getattr(settings, name) for name in OPTIONS_OF_CURVE})
    logs: dict[str, CurveLog] = {}
    for name, file in _named_curves(settings.curve):
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


def _named_curves(
    curve: str | Path | Sequence[str | Path] | Mapping[str, str | Path] | None,
) -> list[tuple[str, str]]:
    """Return the files of learning curves, each with the task named for it or ""."""
    if isinstance(curve, Mapping):
        return [(name, str(file)) for name, file in curve.items()]
    named = []
    for given in map(str, [curve] if isinstance(curve, str | Path) else curve or ()):
        # A path may contain an equals sign.
        name, equals, file = given.partition("=")
        named.append(("", given) if not equals or Path(given).exists() else (name, file))
    return named


def _tell_missing(profiles: Sequence[TaskProfile], tell: Tell) -> None:
    """Pass on the missing features, grouped by reason, and the notes on learning curves."""
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


def _cell(profile: TaskProfile, name: str) -> float | int | None:
    """Return a feature for a table, counts as integers."""
    value = profile.features.get(name)
    return int(value) if value is not None and name in WHOLE_NUMBERS and value.is_integer() else value
