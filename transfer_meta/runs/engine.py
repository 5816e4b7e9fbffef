"""Interface between the plan driver and the engines that execute runs."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from transfer_meta.encoding.devices import card_bytes
from transfer_meta.errors import (
    InputError,
    RunFailed,
    StartUnusable,
    Stopped,
    disk_error,
    first_line,
)
from transfer_meta.runs.checkpoints.local_copies import local_copies
from transfer_meta.runs.checkpoints.remote_file import RemoteFile
from transfer_meta.runs.store.run_store import Claim
from transfer_meta.training.stage import Stage

if TYPE_CHECKING:
    from transfer_meta.tasks import Task

Finetune = Callable[..., Any]


@dataclass(frozen=True)
class TaskSource:
    """Address of a task and the digest of its content.

    Parameters
    ----------
    name : str
        Name of the task in the plan.
    address : str
        A data file, a task card or ``hf:NAME``.
    digest : str
        Digest of the content when the plan was made; "" if unknown.
    """

    name: str
    address: str
    digest: str = ""

    def load(self) -> Task:
        """Read the task; its dev split is its test split if it has no other.

        Raises
        ------
        InputError
            The task cannot be read.
        RunFailed
            Its content has changed since the plan was made.
        """
        from transfer_meta.tasks import read_task

        task = read_task(self.address, name=self.name).with_test()
        if self.digest and task.digest != self.digest:
            raise RunFailed(f"task '{self.name}' has changed since the plan was read: {self.address}")
        return task


@dataclass(frozen=True)
class Job:
    """A claimed run with its files.

    Parameters
    ----------
    claim : Claim
        Claim on the run.
    stage : Stage
        What to train.
    start : Path, RemoteFile or None
        The encoder to start from; None for the pretrained one.
    save : Path, RemoteFile or None
        Where to save the encoder; None to discard it.
    state : Path or RemoteFile
        Where the state is saved when the run is stopped, and read when it is resumed.
    model : Path, RemoteFile or None
        Where to save the whole trained model (`transfer_meta.training.trained_file`); None to discard it.
    """

    claim: Claim
    stage: Stage
    start: Path | RemoteFile | None
    save: Path | RemoteFile | None
    state: Path | RemoteFile
    model: Path | RemoteFile | None = None

    @contextlib.contextmanager
    def local_files(self) -> Iterator[tuple[Path | None, Path | None, Path, Path | None]]:
        """Provide `start`, `save`, `state` and `model` as paths on this machine while the run takes place.

        Raises
        ------
        InputError
            A remote file cannot be read or written.
        """
        # All are of one kind: paths or remote files.
        start: Any = self.start
        save: Any = self.save
        model: Any = self.model
        if isinstance(self.state, Path):
            yield start, save, self.state, model
        else:
            with local_copies(start, save, self.state, model) as files:
                yield files


@dataclass(frozen=True)
class Event:
    """End of an attempt at a job.

    Parameters
    ----------
    kind : str
        ``done`` (`value` is the `RunResult`), ``failed`` (the reason, one line), ``stopped`` (on request; why the
        state could not be saved, or None), ``died`` (the process ended; the known cause), ``start`` (the encoder
        to start from cannot be used; why) or ``disk`` (the disk is full or read-only, as it will be for others).
    job : Job
        The job that ended.
    value : RunResult, str or None
        See `kind`.
    """

    kind: str
    job: Job
    value: Any


class Engine(Protocol):
    """Executes jobs, in processes of this machine or on a cluster; `str` says where."""

    def has_room(self, wanted: int) -> bool:
        """Return whether a job can be submitted now; may start workers for up to `wanted` jobs."""

    def submit(self, job: Job) -> None:
        """Submit a job; call only if there is room."""

    def events(self, timeout_seconds: float) -> Iterator[Event]:
        """Yield the jobs that ended, after waiting for the first one up to the timeout."""

    def stop(self) -> None:
        """Ask the running jobs to stop after their current step."""

    def close(self) -> None:
        """Release all workers; jobs that still run are ended."""


def do_job(
    job: Job,
    finetune: Finetune,
    tasks: Mapping[str, TaskSource],
    loaded: dict[str, Task],
    *,
    device: str,
    cache: Path | None,
    should_stop: Callable[[], bool],
) -> tuple[str, Any]:
    """Execute a job in this process.

    Parameters
    ----------
    job : Job
    finetune : callable
        `transfer_meta.training.finetune.finetune` or a substitute.
    tasks : mapping of str to TaskSource
    loaded : dict of str to Task
        Tasks that this process has read so far; extended in place.
    device, cache, should_stop
        Arguments of `finetune`.

    Returns
    -------
    kind : str
        A kind of `Event`, or ``crashed``: an unforeseen error, after which the process should not be used again.
    value : RunResult, str or None
        The result or the reason.
    """
    try:
        for name in job.stage.tasks:
            if name not in loaded:
                loaded[name] = tasks[name].load()
        with job.local_files() as (start, save, state, model):
            result = finetune(
                job.stage,
                {name: loaded[name] for name in job.stage.tasks},
                start=start,
                save=save,
                resume=state,
                device=device,
                cache=cache,
                should_stop=should_stop,
                **({"save_model": model} if model else {}),
            )
    except Stopped as stopped:
        return "stopped", stopped.unsaved or None
    except StartUnusable as error:
        return "start", str(error)
    except (RunFailed, InputError) as error:
        full = disk_error(error)
        return ("disk", full) if full else ("failed", str(error))
    except Exception as error:
        if full := disk_error(error):
            return "disk", full
        traceback.print_exc()
        return "crashed", first_line(f"{type(error).__name__}: {str(error).strip()}")
    if memory := card_bytes(device):
        result = replace(result, notes={**result.notes, "card_bytes": memory})
    return "done", result


def real_finetune() -> Finetune:
    """Return `transfer_meta.training.finetune.finetune`, importing torch and transformers."""
    from transfer_meta.training.finetune import finetune

    return finetune
