"""A queue of the web page whose jobs are done in this process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from transfer_meta.web.jobs import RUNNING, JobQueue, QueuedJob
from transfer_meta.web.worker import answer_job


class InlineQueue(JobQueue):
    """A queue whose jobs are done as they are submitted."""

    def start(self) -> None:
        pass

    def _add(self, kind: str, parameters: Mapping[str, Any], **more: Any) -> QueuedJob:
        # What is not JSON would not reach a worker process.
        job = super()._add(kind, json.loads(json.dumps(parameters)), **more)
        job.state = RUNNING
        request = {"kind": kind, "folder": str(job.folder), "parameters": job.parameters}
        answer_job(request, lambda message: self._follow(job, json.loads(json.dumps(message))) and None)
        return job
