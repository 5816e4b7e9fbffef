"""An engine that executes runs in this process: no worker has to start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from transfer_meta.runs.engine import Event, Job, TaskSource, do_job, real_finetune
from transfer_meta.tasks import Task


class InlineEngine:
    """Executes a job when its events are asked for; the arguments are those of `LocalEngine`."""

    def __init__(
        self, slots: Sequence[str], tasks: Mapping[str, TaskSource], *, cache: Path | None = None
    ) -> None:
        self.device, self.tasks, self.cache = slots[0], tasks, cache
        self.loaded: dict[str, Task] = {}
        self.jobs: list[Job] = []
        self.done: list[Job] = []

    def has_room(self, wanted: int) -> bool:
        return not self.jobs

    def submit(self, job: Job) -> None:
        self.jobs.append(job)

    def events(self, timeout_seconds: float) -> Iterator[Event]:
        while self.jobs:
            job = self.jobs.pop()
            kind, value = do_job(
                job,
                real_finetune(),
                self.tasks,
                self.loaded,
                device=self.device,
                cache=self.cache,
                should_stop=lambda: False,
            )
            self.done.append(job)
            yield Event("failed" if kind == "crashed" else kind, job, value)

    def stop(self) -> None:
        pass

    def close(self) -> None:
        pass
