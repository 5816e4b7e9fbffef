"""Reading a task from files, data frames or the Hugging Face Hub."""

from transfer_meta.tasks.resolve import resolve_tasks
from transfer_meta.tasks.settings import ReadSettings
from transfer_meta.tasks.task import Task

__all__ = ["ReadSettings", "Task", "resolve_tasks"]
