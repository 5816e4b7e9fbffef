"""What passes between the loop that works a plan off and the engine that does the runs."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from transfer_meta.encoding.devices import card_bytes
from transfer_meta.errors import InputError, RunFailed, Stopped
from transfer_meta.runs.store.run_store import Claim
from transfer_meta.training.stage import Stage

if TYPE_CHECKING:
    from transfer_meta.runs.checkpoints.bucket import RemoteFile
    from transfer_meta.tasks import Task

Finetune = Callable[..., Any]


@dataclass(frozen=True)
class TaskSource:
    """Where a task is read from, and what was there when the plan was made.

    Parameters
    ----------
    name
        The task's name in the plan.
    address
        A data file, a task card or ``hf:NAME``.
    digest
        Digest of its content; "" where it is not known.
    """

    name: str
    address: str
    digest: str = ""

    def load(self) -> Task:
        """Read the task.

        Raises
        ------
        InputError
            It cannot be read.
        RunFailed
            It is not what it was when the plan was made.
        """
        from transfer_meta.tasks import Task

        if self.address.startswith("hf:"):
            path, _, revision = self.address.removeprefix("hf:").partition("@")
            task = Task.from_hub(path, name=self.name, revision=revision or None)
        else:
            task = Task.from_file(self.address, name=self.name)
        if self.digest and task.digest != self.digest:
            raise RunFailed(f"task '{self.name}' has changed since the plan was read: {self.address}")
        return task


@dataclass(frozen=True)
class Job:
    """One claimed run.

    Parameters
    ----------
    claim
        The right to do it.
    stage
        What to do.
    start
        The encoder to start from; None: the pretrained one.
    save
        Where to leave the encoder; None: nobody wants it.
    state
        Where to leave the state when stopped, and where an earlier attempt may have left it.
    """

    claim: Claim
    stage: Stage
    start: Path | RemoteFile | None
    save: Path | RemoteFile | None
    state: Path | RemoteFile

    @contextlib.contextmanager
    def local_files(self) -> Iterator[tuple[Path | None, Path | None, Path]]:
        """Paths of `start`, `save` and `state` on this machine, for as long as the run takes.

        Raises
        ------
        InputError
            A remote file cannot be read or written.
        """
        start: Any = self.start
        save: Any = self.save
        if isinstance(self.state, Path):
            yield start, save, self.state
            return
        from transfer_meta.runs.checkpoints.bucket import local_copies

        with local_copies(start, save, self.state) as files:
            yield files


@dataclass(frozen=True)
class Event:
    """The end of one job's attempt.

    Parameters
    ----------
    kind
        ``done`` (`value`: the result), ``failed`` (the reason, in one line), ``stopped`` (on request, state
        saved) or ``died`` (the process went away; what is known of why).
    job, value
        Whose end, and what came of it.
    """

    kind: str
    job: Job
    value: Any


class Engine(Protocol):
    """Where jobs are done: processes of this machine, or a cluster; `str` tells where that is."""

    def has_room(self, wanted: int) -> bool:
        """Whether a job can be handed over now; makes room for `wanted` more where it can."""

    def submit(self, job: Job) -> None:
        """Hand over a job; only when there is room."""

    def events(self, timeout_seconds: float) -> Iterator[Event]:
        """The ends of jobs; waits for the first for at most so long."""

    def stop(self) -> None:
        """Ask the jobs in hand to stop after their current step."""

    def close(self) -> None:
        """End everything, whatever is in hand."""


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
    """Do one job in this process.

    Parameters
    ----------
    job
        What to do.
    finetune
        What does a run.
    tasks
        Where the tasks are read from.
    loaded
        The tasks read by this process so far; more are added.
    device, cache, should_stop
        As `finetune` takes them.

    Returns
    -------
    kind, value
        ``done`` and the result, ``failed`` and the reason, ``stopped``, or ``crashed`` and the reason: an
        error that nobody foresaw, after which the process should not go on.
    """
    try:
        for name in job.stage.tasks:
            if name not in loaded:
                loaded[name] = tasks[name].load()
        with job.local_files() as (start, save, state):
            result = finetune(
                job.stage,
                {name: loaded[name] for name in job.stage.tasks},
                start=start,
                save=save,
                resume=state,
                device=device,
                cache=cache,
                should_stop=should_stop,
            )
    except Stopped:
        return "stopped", None
    except (RunFailed, InputError) as error:
        return "failed", str(error)
    except Exception as error:
        traceback.print_exc()
        first_line = str(error).strip().split("\n", 1)[0]
        return "crashed", f"{type(error).__name__}: {first_line}"
    if memory := card_bytes(device):
        result = replace(result, notes={**result.notes, "card_bytes": memory})
    return "done", result


def real_finetune() -> Finetune:
    """`transfer_meta.training.finetune.finetune`; it takes torch and transformers into the process."""
    from transfer_meta.training.finetune import finetune

    return finetune
