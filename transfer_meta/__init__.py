"""Predict which source task helps a target task, and by how much, before training on it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from transfer_meta._version import __version__

# Public names and where they live; each is loaded when it is first used, so that the import stays light.
_PUBLIC = {
    "AddSettings": "transfer_meta.api.own_sources",
    "Applied": "transfer_meta.api.apply_result",
    "ApplySettings": "transfer_meta.api.apply_model",
    "BenchmarkResult": "transfer_meta.evaluation.benchmark",
    "BenchmarkSettings": "transfer_meta.evaluation.benchmark",
    "BuildSettings": "transfer_meta.api.own_sources",
    "BuiltSources": "transfer_meta.api.source_builder",
    "CatalogueSource": "transfer_meta.tasks.catalogue",
    "Diagnosis": "transfer_meta.api.doctor",
    "EmbedSettings": "transfer_meta.api.embedding",
    "Example": "transfer_meta.records",
    "ExchangeSettings": "transfer_meta.api.source_exchange",
    "ExportSettings": "transfer_meta.runs.export",
    "Exported": "transfer_meta.runs.export",
    "FindSettings": "transfer_meta.api.source_list",
    "FitSettings": "transfer_meta.model",
    "Importance": "transfer_meta.feature_importance",
    "ImportanceSettings": "transfer_meta.feature_importance",
    "InputError": "transfer_meta.errors",
    "Leaderboard": "transfer_meta.pages.leaderboard",
    "LeaderboardSettings": "transfer_meta.pages.leaderboard",
    "LearningCurve": "transfer_meta.records",
    "ListSettings": "transfer_meta.api.source_list",
    "Model": "transfer_meta.model",
    "Outcome": "transfer_meta.records",
    "OutcomeList": "transfer_meta.api.outcome_list",
    "OutcomeTable": "transfer_meta.outcomes.tables",
    "OwnRecommender": "transfer_meta.recommender.own_recommender",
    "OwnRecommenderSettings": "transfer_meta.recommender.own_recommender",
    "PairFeatures": "transfer_meta.api.pairs",
    "PlanPreview": "transfer_meta.runs.plan_preview",
    "Predictions": "transfer_meta.model",
    "ProfileSettings": "transfer_meta.api.profiles",
    "Profiles": "transfer_meta.api.profiles",
    "PushSettings": "transfer_meta.api.sharing",
    "ReadSettings": "transfer_meta.tasks",
    "RecommendSettings": "transfer_meta.recommender.recommend",
    "Recommendation": "transfer_meta.recommender.recommendation",
    "RemoveSettings": "transfer_meta.api.own_sources",
    "Report": "transfer_meta.pages.build",
    "ReportSettings": "transfer_meta.pages.build",
    "RunSettings": "transfer_meta.runs.run_plan",
    "RunStatus": "transfer_meta.runs.run_status",
    "RunSummary": "transfer_meta.runs.run_plan",
    "ScoreSettings": "transfer_meta.encoding.score_settings",
    "SearchResult": "transfer_meta.api.source_search",
    "SearchSettings": "transfer_meta.api.source_search",
    "ServeSettings": "transfer_meta.web.serve_settings",
    "Shared": "transfer_meta.api.sharing",
    "SourceChecks": "transfer_meta.api.source_checks",
    "SourceFacts": "transfer_meta.api.source_facts",
    "SourceFiles": "transfer_meta.api.source_files_result",
    "SourceFilter": "transfer_meta.tasks.catalogue",
    "SourceList": "transfer_meta.api.source_list",
    "SourceScores": "transfer_meta.encoding.score_sources",
    "TableSettings": "transfer_meta.outcomes.table_settings",
    "Task": "transfer_meta.tasks",
    "TaskProfile": "transfer_meta.records",
    "TaskReports": "transfer_meta.api.task_checks",
    "TaskType": "transfer_meta.records",
    "TaskVectors": "transfer_meta.api.embedding",
    "TextPredictions": "transfer_meta.training.text_predictions",
    "TrainResult": "transfer_meta.api.train_result",
    "TrainSettings": "transfer_meta.api.train_settings",
    "TrainedWay": "transfer_meta.api.train_result",
    "TrainedModel": "transfer_meta.training.trained_model",
    "add_source": "transfer_meta.api.own_sources",
    "apply_model": "transfer_meta.api.apply_model",
    "benchmark": "transfer_meta.evaluation.benchmark",
    "build_metadataset": "transfer_meta.metadataset",
    "build_sources": "transfer_meta.api.own_sources",
    "check_sources": "transfer_meta.api.source_checks",
    "check_tasks": "transfer_meta.api.task_checks",
    "demo_task": "transfer_meta.tasks",
    "doctor": "transfer_meta.api.doctor",
    "embed": "transfer_meta.api.embedding",
    "export": "transfer_meta.runs.export",
    "find_sources": "transfer_meta.api.source_list",
    "fit": "transfer_meta.model",
    "fit_own_recommender": "transfer_meta.recommender.own_recommender",
    "importance": "transfer_meta.feature_importance",
    "leaderboard": "transfer_meta.pages.leaderboard",
    "list_outcomes": "transfer_meta.api.outcome_list",
    "list_sources": "transfer_meta.api.source_list",
    "load_model": "transfer_meta.model",
    "load_outcomes": "transfer_meta.outcomes.tables",
    "load_task": "transfer_meta.tasks",
    "load_trained": "transfer_meta.training.trained_model",
    "make_predictor": "transfer_meta.predictors",
    "pair_features": "transfer_meta.api.pairs",
    "plan": "transfer_meta.runs.plan_preview",
    "profile": "transfer_meta.api.profiles",
    "pull": "transfer_meta.api.sharing",
    "pull_sources": "transfer_meta.api.source_exchange",
    "push": "transfer_meta.api.sharing",
    "push_sources": "transfer_meta.api.source_exchange",
    "recommend": "transfer_meta.recommender.recommend",
    "recommend_sets": "transfer_meta.api.recommended_sets",
    "remove_source": "transfer_meta.api.own_sources",
    "report": "transfer_meta.pages.build",
    "run": "transfer_meta.runs.run_plan",
    "run_status": "transfer_meta.runs.run_status",
    "score_sources": "transfer_meta.encoding.score_sources",
    "search": "transfer_meta.api.source_search",
    "serve": "transfer_meta.web.serve",
    "show_source": "transfer_meta.api.source_facts",
    "train": "transfer_meta.api.train",
    "write_recommendation": "transfer_meta.pages.recommendation_page",
}

__all__ = ["__version__", *sorted(_PUBLIC)]

if TYPE_CHECKING:
    from transfer_meta.api.apply_model import ApplySettings as ApplySettings
    from transfer_meta.api.apply_model import apply_model as apply_model
    from transfer_meta.api.apply_result import Applied as Applied
    from transfer_meta.api.doctor import Diagnosis as Diagnosis
    from transfer_meta.api.doctor import doctor as doctor
    from transfer_meta.api.embedding import EmbedSettings as EmbedSettings
    from transfer_meta.api.embedding import TaskVectors as TaskVectors
    from transfer_meta.api.embedding import embed as embed
    from transfer_meta.api.outcome_list import OutcomeList as OutcomeList
    from transfer_meta.api.outcome_list import list_outcomes as list_outcomes
    from transfer_meta.api.own_sources import AddSettings as AddSettings
    from transfer_meta.api.own_sources import BuildSettings as BuildSettings
    from transfer_meta.api.own_sources import RemoveSettings as RemoveSettings
    from transfer_meta.api.own_sources import add_source as add_source
    from transfer_meta.api.own_sources import build_sources as build_sources
    from transfer_meta.api.own_sources import remove_source as remove_source
    from transfer_meta.api.pairs import PairFeatures as PairFeatures
    from transfer_meta.api.pairs import pair_features as pair_features
    from transfer_meta.api.profiles import Profiles as Profiles
    from transfer_meta.api.profiles import ProfileSettings as ProfileSettings
    from transfer_meta.api.profiles import profile as profile
    from transfer_meta.api.recommended_sets import recommend_sets as recommend_sets
    from transfer_meta.api.sharing import PushSettings as PushSettings
    from transfer_meta.api.sharing import Shared as Shared
    from transfer_meta.api.sharing import pull as pull
    from transfer_meta.api.sharing import push as push
    from transfer_meta.api.source_builder import BuiltSources as BuiltSources
    from transfer_meta.api.source_checks import SourceChecks as SourceChecks
    from transfer_meta.api.source_checks import check_sources as check_sources
    from transfer_meta.api.source_exchange import ExchangeSettings as ExchangeSettings
    from transfer_meta.api.source_exchange import pull_sources as pull_sources
    from transfer_meta.api.source_exchange import push_sources as push_sources
    from transfer_meta.api.source_facts import SourceFacts as SourceFacts
    from transfer_meta.api.source_facts import show_source as show_source
    from transfer_meta.api.source_files_result import SourceFiles as SourceFiles
    from transfer_meta.api.source_list import FindSettings as FindSettings
    from transfer_meta.api.source_list import ListSettings as ListSettings
    from transfer_meta.api.source_list import SourceList as SourceList
    from transfer_meta.api.source_list import find_sources as find_sources
    from transfer_meta.api.source_list import list_sources as list_sources
    from transfer_meta.api.source_search import SearchResult as SearchResult
    from transfer_meta.api.source_search import SearchSettings as SearchSettings
    from transfer_meta.api.source_search import search as search
    from transfer_meta.api.task_checks import TaskReports as TaskReports
    from transfer_meta.api.task_checks import check_tasks as check_tasks
    from transfer_meta.api.train import train as train
    from transfer_meta.api.train_result import TrainedWay as TrainedWay
    from transfer_meta.api.train_result import TrainResult as TrainResult
    from transfer_meta.api.train_settings import TrainSettings as TrainSettings
    from transfer_meta.encoding.score_settings import ScoreSettings as ScoreSettings
    from transfer_meta.encoding.score_sources import SourceScores as SourceScores
    from transfer_meta.encoding.score_sources import score_sources as score_sources
    from transfer_meta.errors import InputError as InputError
    from transfer_meta.evaluation.benchmark import BenchmarkResult as BenchmarkResult
    from transfer_meta.evaluation.benchmark import BenchmarkSettings as BenchmarkSettings
    from transfer_meta.evaluation.benchmark import benchmark as benchmark
    from transfer_meta.feature_importance import Importance as Importance
    from transfer_meta.feature_importance import ImportanceSettings as ImportanceSettings
    from transfer_meta.feature_importance import importance as importance
    from transfer_meta.metadataset import build_metadataset as build_metadataset
    from transfer_meta.model import FitSettings as FitSettings
    from transfer_meta.model import Model as Model
    from transfer_meta.model import Predictions as Predictions
    from transfer_meta.model import fit as fit
    from transfer_meta.model import load_model as load_model
    from transfer_meta.outcomes.table_settings import TableSettings as TableSettings
    from transfer_meta.outcomes.tables import OutcomeTable as OutcomeTable
    from transfer_meta.outcomes.tables import load_outcomes as load_outcomes
    from transfer_meta.pages.build import Report as Report
    from transfer_meta.pages.build import ReportSettings as ReportSettings
    from transfer_meta.pages.build import report as report
    from transfer_meta.pages.leaderboard import Leaderboard as Leaderboard
    from transfer_meta.pages.leaderboard import LeaderboardSettings as LeaderboardSettings
    from transfer_meta.pages.leaderboard import leaderboard as leaderboard
    from transfer_meta.pages.recommendation_page import write_recommendation as write_recommendation
    from transfer_meta.predictors import make_predictor as make_predictor
    from transfer_meta.recommender.own_recommender import OwnRecommender as OwnRecommender
    from transfer_meta.recommender.own_recommender import (
        OwnRecommenderSettings as OwnRecommenderSettings,
    )
    from transfer_meta.recommender.own_recommender import fit_own_recommender as fit_own_recommender
    from transfer_meta.recommender.recommend import RecommendSettings as RecommendSettings
    from transfer_meta.recommender.recommend import recommend as recommend
    from transfer_meta.recommender.recommendation import Recommendation as Recommendation
    from transfer_meta.records import Example as Example
    from transfer_meta.records import LearningCurve as LearningCurve
    from transfer_meta.records import Outcome as Outcome
    from transfer_meta.records import TaskProfile as TaskProfile
    from transfer_meta.records import TaskType as TaskType
    from transfer_meta.runs.export import Exported as Exported
    from transfer_meta.runs.export import ExportSettings as ExportSettings
    from transfer_meta.runs.export import export as export
    from transfer_meta.runs.plan_preview import PlanPreview as PlanPreview
    from transfer_meta.runs.plan_preview import plan as plan
    from transfer_meta.runs.run_plan import RunSettings as RunSettings
    from transfer_meta.runs.run_plan import RunSummary as RunSummary
    from transfer_meta.runs.run_plan import run as run
    from transfer_meta.runs.run_status import RunStatus as RunStatus
    from transfer_meta.runs.run_status import run_status as run_status
    from transfer_meta.tasks import ReadSettings as ReadSettings
    from transfer_meta.tasks import Task as Task
    from transfer_meta.tasks import demo_task as demo_task
    from transfer_meta.tasks import load_task as load_task
    from transfer_meta.tasks.catalogue import CatalogueSource as CatalogueSource
    from transfer_meta.tasks.catalogue import SourceFilter as SourceFilter
    from transfer_meta.training.text_predictions import TextPredictions as TextPredictions
    from transfer_meta.training.trained_model import TrainedModel as TrainedModel
    from transfer_meta.training.trained_model import load_trained as load_trained
    from transfer_meta.web.serve import serve as serve
    from transfer_meta.web.serve_settings import ServeSettings as ServeSettings


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'transfer_meta' has no attribute '{name}'")
    value = getattr(importlib.import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
