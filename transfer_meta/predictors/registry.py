"""Registry of predictors by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from transfer_meta.errors import unknown
from transfer_meta.predictors.base import TransferPredictor
from transfer_meta.predictors.boosting import LightGBMPredictor
from transfer_meta.predictors.controls import (
    ConstantPredictor,
    RandomFingerprintsPredictor,
    RandomPredictor,
    TargetGainRatePredictor,
    TargetIdentityPredictor,
)
from transfer_meta.predictors.default import DefaultPredictor
from transfer_meta.predictors.elimination import EliminationPredictor, OptimisticElimination
from transfer_meta.predictors.gp import GaussianProcessPredictor
from transfer_meta.predictors.group_ridge import GroupRidgePredictor
from transfer_meta.predictors.knn_targets import NearestTargetsPredictor
from transfer_meta.predictors.lambdarank import LambdaRankPredictor, LangRankPredictor
from transfer_meta.predictors.logistic import LogisticPredictor
from transfer_meta.predictors.ridge import RidgePredictor
from transfer_meta.predictors.rules import RulePredictor
from transfer_meta.predictors.set_ridge import SetRidgePredictor
from transfer_meta.predictors.single_feature import SimilarityPredictor
from transfer_meta.predictors.source_popularity import SourcePopularityPredictor
from transfer_meta.predictors.tuning import TunedPredictor
from transfer_meta.predictors.within_target_logistic import RelativeLogisticPredictor

GRADIENT_FEATURES = ("grad_30", "slope_30")

SIMILARITIES: dict[str, tuple[str, ...]] = {
    "tfidf": ("mean_tfidf", "tfidf_cosine"),
    "textemb": ("mean_textemb",),
    "taskemb": ("rrf_taskemb",),
    "taskemb-centred": ("centred_taskemb",),
    "descemb": ("mean_descemb",),
    "text+task": ("rrf_text_task",),
    "logme": ("logme",),
    "h-score": ("h_score_shrunk", "h_score"),
    "leep": ("leep",),
    "nce": ("nce",),
    "transrate": ("transrate",),
    "gbc": ("gbc",),
    "few-shot": ("fewshot_neg_loss",),
    "set-mean": ("set_mean",),
    "set-max": ("set_max",),
    "set-sum": ("set_sum",),
    "set-size": ("set_size",),
}
"""Pair features (`similarity_features`, `transferability_scores`, `set_features`) that rank sources by themselves.

Of several, the first one in the table is used.
"""

PREDICTORS: dict[str, Callable[[], TransferPredictor]] = {
    "always-gain": lambda: ConstantPredictor(1.0),
    "always-loss": lambda: ConstantPredictor(0.0),
    "random": RandomPredictor,
    "target-identity": TargetIdentityPredictor,
    "target-gain-rate": TargetGainRatePredictor,
    "source-popularity": SourcePopularityPredictor,
    "size-rule": lambda: RulePredictor("size"),
    "curve-gradient-rule": lambda: RulePredictor(GRADIENT_FEATURES, flatter_target=True),
    "random-fingerprints": RandomFingerprintsPredictor,
    **{name: partial(SimilarityPredictor, feature) for name, feature in SIMILARITIES.items()},
    "logistic": LogisticPredictor,
    "logistic-rfe": EliminationPredictor,
    "logistic-rfe-optimistic": OptimisticElimination,
    "logistic-tuned": lambda: TunedPredictor(LogisticPredictor()),
    "lightgbm": LightGBMPredictor,
    "lightgbm-regressor": lambda: LightGBMPredictor(objective="regression"),
    "lightgbm-tuned": lambda: TunedPredictor(LightGBMPredictor()),
    "knn-targets": NearestTargetsPredictor,
    "ridge": RidgePredictor,
    "ridge-without-history": lambda: RidgePredictor(history=False),
    "ridge-by-group": GroupRidgePredictor,
    "logistic-relative": RelativeLogisticPredictor,
    "gp": GaussianProcessPredictor,
    "lambdarank": LambdaRankPredictor,
    "lambdarank-tuned": lambda: TunedPredictor(LambdaRankPredictor()),
    "lambdarank-langrank": LangRankPredictor,
    "default": DefaultPredictor,
    "set-ridge": SetRidgePredictor,
}

TUNED = tuple(name for name in PREDICTORS if name.endswith("-tuned"))
OF_SETS = tuple(name for name in PREDICTORS if name.startswith("set-"))
"""Predictors of sets of sources, which a benchmark runs unasked on tables that have some."""
UNTUNED = tuple(name for name in PREDICTORS if name not in (*TUNED, *OF_SETS))
"""Predictors that a benchmark runs unasked on every table."""
BY_TARGET = tuple(name for name in PREDICTORS if name not in TUNED and PREDICTORS[name]().uses_names)
"""Predictors that learn from whole targets; a protocol of random pairs leaves them out."""


def make_predictor(name: str, *, random_state: int | None = None) -> TransferPredictor:
    """Return a new predictor.

    Parameters
    ----------
    name : str
        A name of `PREDICTORS`.
    random_state : int, optional
        Seed, for predictors that have one.

    Examples
    --------
    >>> make_predictor("logistic")
    LogisticPredictor()
    """
    if name not in PREDICTORS:
        raise unknown("predictor", name, PREDICTORS)
    predictor = PREDICTORS[name]()
    if random_state is not None and "random_state" in predictor.get_params():
        predictor.set_params(random_state=random_state)
    return predictor
