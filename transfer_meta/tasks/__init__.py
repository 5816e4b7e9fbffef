"""Tasks, read from files, task cards, data frames or the Hugging Face Hub."""

from transfer_meta.tasks.hub import read_hub
from transfer_meta.tasks.load import load_task, load_tasks
from transfer_meta.tasks.read import demo_task, read_frame, read_task
from transfer_meta.tasks.resolve import resolve_tasks
from transfer_meta.tasks.settings import ReadSettings
from transfer_meta.tasks.task import Task

__all__ = [
    "ReadSettings",
    "Task",
    "demo_task",
    "load_task",
    "load_tasks",
    "read_frame",
    "read_hub",
    "read_task",
    "resolve_tasks",
]
