"""Source encoders of the user's own: trained on the tasks of a plan or on one task, and removed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from transfer_meta.api.source_builder import BuiltSources, Recipe, SourceBuilder
from transfer_meta.api.source_files_result import SourceFiles
from transfer_meta.encoding.encoding_settings import OFFLINE_NAMES, check_positive
from transfer_meta.encoding.source_files import (
    PLAIN_NAME,
    SOURCE_SUFFIX,
    find_own_files,
    find_source_encoders,
    own_folder,
)
from transfer_meta.errors import GatheredInputError, InputError, nearest
from transfer_meta.records import OnProgress, Tell
from transfer_meta.runs.plan_file import PlanFile, PlanSource, read_plan_file
from transfer_meta.tasks.load import load_task
from transfer_meta.tasks.read import read_task
from transfer_meta.tasks.resolve import absolute_address, find_tasks
from transfer_meta.tasks.settings import ReadSettings
from transfer_meta.tasks.task import Task
from transfer_meta.training.training_settings import SOURCE_EXAMPLES, SOURCE_TRAINING, TrainingSettings


@dataclass(frozen=True, kw_only=True)
class BuildSettings:
    """Settings of `build_sources`.

    Parameters
    ----------
    out : str, Path or None
        Folder, in which each encoder has one of its own; by default that of the user's own sources.
    device : str
        ``auto`` (CUDA if there is any), ``cpu``, or ``cuda:N``.
    """

    out: str | Path | None = None
    device: str = "auto"


@dataclass(frozen=True, kw_only=True)
class AddSettings:
    """Settings of `add_source`.

    Parameters
    ----------
    name : str, optional
        Name of the source; by default that of the task.
    encoder : str
        ``offline``, a folder, or a name on the Hugging Face Hub.
    examples : int
        Maximum number of training examples.
    device : str
        ``auto`` (CUDA if there is any), ``cpu``, or ``cuda:N``.
    read : ReadSettings
        How to read files.

    Raises
    ------
    InputError
        A number below 1, or a name that cannot be that of a file.
    """

    name: str | None = None
    encoder: str = "offline"
    examples: int = SOURCE_EXAMPLES
    device: str = "auto"
    read: ReadSettings = field(default_factory=ReadSettings)

    def __post_init__(self) -> None:
        check_positive(self, "examples")
        if self.name is not None:
            _check_name(self.name)


@dataclass(frozen=True, kw_only=True)
class RemoveSettings:
    """Settings of `remove_source`.

    Parameters
    ----------
    encoder : str, optional
        Remove the files of one encoder; by default those of all.
    """

    encoder: str | None = None


def build_sources(
    plan: PlanSource,
    settings: BuildSettings | None = None,
    *,
    tell: Tell = lambda _: None,
    on_progress: OnProgress = lambda done, total: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> BuiltSources:
    """Train an encoder on each task of a plan and keep it as a source encoder.

    What is there, trained on the same data in the same way, is kept.  Ctrl-C and SIGTERM stop after the current
    step and save its state; call it again to continue.  With the encoder ``offline`` each source also leaves a
    profile and vectors, so that it can be ranked without its data.

    Parameters
    ----------
    plan : path or mapping
        A plan as `run` takes it, or one of ``[tasks]`` and ``encoder`` alone.  Its ``[training]`` counts if it has
        a ``lora_rank``, else `transfer_meta.training.training_settings.SOURCE_TRAINING`; its first regime says the
        examples.
    settings : BuildSettings, optional
    tell : callable
        Called with one line for each note and for each source that is done.
    on_progress : callable
        Called with the progress in percent, summed over the sources, and its end.
    should_stop : callable
        Called before every step; True stops as a signal does.

    Raises
    ------
    InputError
        Problems of the plan or the encoder, or a name that cannot be that of a file; nothing was trained.
    """
    settings = settings or BuildSettings()
    problems: list[str] = []
    file = read_plan_file(plan, problems, tasks_alone=True)
    for name in file.tasks:
        try:
            _check_name(name)
        except InputError as error:
            problems.append(str(error))
    if problems:
        lines = [f"{file.path.name}: {line}" for line in problems]
        if len(lines) == 1:
            raise InputError(lines[0])
        raise GatheredInputError(lines, consequence="nothing was started")
    notes: list[str] = []
    recipe = Recipe(
        encoder=file.encoder,
        training=_training(file, notes.append),
        examples=_examples(file, notes.append),
        device=settings.device,
        out=Path(settings.out) if settings.out is not None else own_folder(),
    )
    builder = SourceBuilder(recipe, tell=tell, on_progress=on_progress, should_stop=should_stop)
    for note in notes:
        tell(note)
    # Read when its turn comes: one that cannot be read is reported, and the others go on.
    return builder.build(
        [(name, a, partial(read_task, a, name=name)) for name, a in file.tasks.items()]
    )


def add_source(
    task: Any,
    settings: AddSettings | None = None,
    *,
    tell: Tell = lambda _: None,
    on_progress: OnProgress = lambda done, total: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> BuiltSources:
    """Train an encoder on a task and keep it among the user's own sources; see `build_sources`.

    The address of a file or of a data set of the Hub is kept too: `train` and `search` read it by the name.

    Parameters
    ----------
    task : str, Path, Task, DataFrame, Dataset, pair or mapping
        Whatever `load_task` takes.
    settings : AddSettings, optional
    tell : callable
        Called with one line for each note.
    on_progress : callable
        Called with the progress in percent and its end.
    should_stop : callable
        Called before every step; True stops as a signal does.

    Raises
    ------
    InputError
        A task or an encoder that cannot be loaded, a name that cannot be that of a file, or a training that failed.
    """
    settings = settings or AddSettings()
    read = None if isinstance(task, Task) else settings.read
    loaded = load_task(task, name=settings.name, settings=read)
    _check_name(loaded.name)
    recipe = Recipe(
        encoder=settings.encoder,
        training=SOURCE_TRAINING,
        examples=settings.examples,
        device=settings.device,
        out=own_folder(),
    )
    builder = SourceBuilder(recipe, tell=tell, on_progress=on_progress, should_stop=should_stop)
    address = ""
    if isinstance(task, str | Path):
        address = absolute_address(find_tasks([str(task)])[0])
    found = builder.build([(loaded.name, address, lambda: loaded)])
    if reason := found.rows["reason"].iloc[0]:
        raise InputError(f"{loaded.name}: {reason}")
    return found


def remove_source(name: str, settings: RemoveSettings | None = None) -> SourceFiles:
    """Delete a source of the user's own: its encoder, profile and vectors.

    Parameters
    ----------
    name : str
        Name of the source.
    settings : RemoveSettings, optional

    Raises
    ------
    InputError
        There is no such source, with the nearest name, or it ships with the package.
    """
    encoder = (settings or RemoveSettings()).encoder
    own = find_own_files(encoder)
    found = {key: files for key, files in own.items() if key[1] == name}
    if not found:
        if name in find_source_encoders(encoder or OFFLINE_NAMES[0]):
            raise InputError(f"source '{name}' ships with the package: it cannot be removed")
        names = sorted({key[1] for key in own})
        raise InputError(f"no source '{name}' of your own in {own_folder()}{nearest(name, names)}")
    for files in found.values():
        # The encoder first: what is left of an interrupted removal is no source.
        for suffix in sorted(files, key=lambda suffix: suffix != SOURCE_SUFFIX):
            try:
                files[suffix].unlink(missing_ok=True)
            except OSError as error:
                raise InputError(f"cannot remove '{files[suffix]}': {error.strerror}") from error
    rows = [(name, folder, "removed", "") for folder, _ in found]
    return SourceFiles.of(rows, str(own_folder()))


def _check_name(name: str) -> None:
    """Raise an InputError for a name that cannot be that of a file."""
    if not PLAIN_NAME.fullmatch(name):
        raise InputError(
            f"source name '{name}' (expected letters, digits, '_', '-' and '.', for it becomes the name of a file)"
        )


def _training(file: PlanFile, tell: Tell) -> TrainingSettings:
    if file.training.lora_rank is not None:
        return file.training
    tell(
        f"{file.path.name}: its [training] has no lora_rank, so that of source encoders is used: rank"
        f" {SOURCE_TRAINING.lora_rank}, {SOURCE_TRAINING.epochs} epochs"
    )
    return SOURCE_TRAINING


def _examples(file: PlanFile, tell: Tell) -> int:
    named = file.regimes[0].source
    if named is not None:
        return named
    tell(
        f"{file.path.name}: its regime names no number of source examples: at most {SOURCE_EXAMPLES} each"
    )
    return SOURCE_EXAMPLES
