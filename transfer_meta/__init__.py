"""Predict which source task helps a target task, and by how much, before training on it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from transfer_meta._version import __version__

# Public names and where they live; each is loaded when it is first used, so that the import stays light.
_PUBLIC = {
    "BenchmarkSettings": "transfer_meta.evaluation.benchmark",
    "Example": "transfer_meta.records",
    "InputError": "transfer_meta.errors",
    "LearningCurve": "transfer_meta.records",
    "Outcome": "transfer_meta.records",
    "OutcomeTable": "transfer_meta.outcomes.tables",
    "RecommendSettings": "transfer_meta.recommender.recommend",
    "ReadSettings": "transfer_meta.tasks",
    "TableSettings": "transfer_meta.outcomes.table_settings",
    "Task": "transfer_meta.tasks",
    "TaskProfile": "transfer_meta.records",
    "TaskType": "transfer_meta.records",
    "benchmark": "transfer_meta.evaluation.benchmark",
    "build_metadataset": "transfer_meta.metadataset",
    "feature_importance": "transfer_meta.feature_importance",
    "fit_model": "transfer_meta.model",
    "load_model": "transfer_meta.model",
    "load_outcomes": "transfer_meta.outcomes.tables",
    "make_predictor": "transfer_meta.predictors",
    "read_frame": "transfer_meta.tasks",
    "read_hub": "transfer_meta.tasks",
    "read_task": "transfer_meta.tasks",
    "recommend": "transfer_meta.recommender.recommend",
    "score_sources": "transfer_meta.encoding.score_sources",
}

__all__ = ["__version__", *sorted(_PUBLIC)]

if TYPE_CHECKING:
    from transfer_meta.encoding.score_sources import score_sources as score_sources
    from transfer_meta.errors import InputError as InputError
    from transfer_meta.evaluation.benchmark import BenchmarkSettings as BenchmarkSettings
    from transfer_meta.evaluation.benchmark import benchmark as benchmark
    from transfer_meta.feature_importance import feature_importance as feature_importance
    from transfer_meta.metadataset import build_metadataset as build_metadataset
    from transfer_meta.model import fit_model as fit_model
    from transfer_meta.model import load_model as load_model
    from transfer_meta.outcomes.table_settings import TableSettings as TableSettings
    from transfer_meta.outcomes.tables import OutcomeTable as OutcomeTable
    from transfer_meta.outcomes.tables import load_outcomes as load_outcomes
    from transfer_meta.predictors import make_predictor as make_predictor
    from transfer_meta.recommender.recommend import RecommendSettings as RecommendSettings
    from transfer_meta.recommender.recommend import recommend as recommend
    from transfer_meta.records import Example as Example
    from transfer_meta.records import LearningCurve as LearningCurve
    from transfer_meta.records import Outcome as Outcome
    from transfer_meta.records import TaskProfile as TaskProfile
    from transfer_meta.records import TaskType as TaskType
    from transfer_meta.tasks import ReadSettings as ReadSettings
    from transfer_meta.tasks import Task as Task
    from transfer_meta.tasks import read_frame as read_frame
    from transfer_meta.tasks import read_hub as read_hub
    from transfer_meta.tasks import read_task as read_task


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'transfer_meta' has no attribute '{name}'")
    value = getattr(importlib.import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
