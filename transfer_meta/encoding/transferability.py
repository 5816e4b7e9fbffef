"""Computation of transferability scores with an encoder, one row per source."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from transfer_meta.encoding.devices import find_devices
from transfer_meta.encoding.encoder import Encoder
from transfer_meta.encoding.encoders import load_encoder
from transfer_meta.encoding.fewshot import FewShot, class_probabilities, few_shot_loss
from transfer_meta.encoding.frozen_features import LabelledVectors, labelled_vectors
from transfer_meta.encoding.score_settings import ScoreSettings
from transfer_meta.encoding.source_encoders import SwitchableEncoder, load_source_encoder
from transfer_meta.encoding.source_files import is_source_encoder
from transfer_meta.encoding.taskemb import fit_head
from transfer_meta.encoding.tokens import checked_examples
from transfer_meta.errors import InputError, RunFailed, first_line, unknown
from transfer_meta.features.scores.label_transfer import leep, nce
from transfer_meta.features.scores.transferability_scores import (
    FEWSHOT,
    LABEL_SCORES,
    SCORES,
    transferability_scores,
)
from transfer_meta.records import OnProgress, TaskType
from transfer_meta.tasks.subsets import draw_examples
from transfer_meta.tasks.task import Task

_NUMERICAL = (ValueError, ArithmeticError, torch.linalg.LinAlgError)
"""Numerical failures, which leave one score empty."""
_WITH_CLASSES = (TaskType.CLASSIFICATION, TaskType.TOKEN_CLASSIFICATION)


def transferability_table(
    target: Task,
    sources: Sequence[Task],
    settings: ScoreSettings,
    *,
    on_progress: OnProgress | None = None,
) -> pd.DataFrame:
    """Compute the transferability scores of sources for a target, see `score_sources`.

    Parameters
    ----------
    target : Task
        Only training splits are read, here and of the sources.
    sources : sequence of Task
        Tasks with distinct names that differ from the target's.
    settings : ScoreSettings
    on_progress : callable, optional
        Called with the number of finished sources and of all sources.

    Returns
    -------
    DataFrame
        One row per source in the order given: ``source``, ``target``; one float column for each of
        `SCORES`, NaN if it does not apply; ``checkpoint``, empty for the pretrained encoder; ``missing``,
        the reasons for NaN (``leep, nce: …; gbc: …``).
    """
    checkpoints = settings.checkpoint
    names = _check_names(target, sources, checkpoints)
    place = find_devices(settings.device)[0]
    target = _sample(target, settings.examples, settings.seed)
    try:
        checked_examples(target)
    except RunFailed as error:
        raise InputError(str(error)) from error
    samples = [_sample(source, settings.examples, settings.seed) for source in sources]
    # Load each encoder once, and compute the target's vectors once per encoder.
    sources_of: dict[Path | None, list[Task]] = defaultdict(list)
    for source in samples:
        start = checkpoints.get(source.name)
        sources_of[Path(start) if start is not None else None].append(source)

    rows = {}
    for start, group in sources_of.items():
        loaded = _load(settings.encoder, start, [target, *group])
        loaded.model.to(place)
        scored = _score_target(loaded, target, settings)
        for source in group:
            of_head, no_head = _label_scores(loaded, source, scored.labelled, settings)
            scores, reasons = scored.scores | of_head, scored.missing | no_head
            missing = {
                name: reasons.get(name, "it is not a finite number")
                for name in SCORES
                if not np.isfinite(scores[name])
            }
            rows[source.name] = {
                "source": source.name,
                "target": target.name,
                **{name: np.nan if name in missing else scores[name] for name in SCORES},
                "checkpoint": "" if start is None else str(start),
                "missing": _by_reason(missing),
            }
            if on_progress is not None:
                on_progress(len(rows), len(sources))
    return pd.DataFrame([rows[name] for name in names])


@dataclass(frozen=True)
class _TargetScores:
    """The target's vectors under one encoder, and the scores that do not depend on a source's head."""

    labelled: LabelledVectors
    scores: dict[str, float]
    missing: dict[str, str]


def _score_target(encoder: Encoder, target: Task, settings: ScoreSettings) -> _TargetScores:
    labelled = labelled_vectors(encoder, target, settings.reading)
    scores, missing = transferability_scores(
        labelled.vectors, labelled.labels, regression=labelled.regression
    )
    # Draw examples instead of taking the first ones: files are often sorted by class.
    few_shot = FewShot(steps=settings.steps, seed=settings.seed)
    few = _sample(target, few_shot.examples, settings.seed)
    try:
        scores[FEWSHOT] = -few_shot_loss(encoder, few, few_shot, settings.reading)
    except (InputError, RunFailed) as error:
        scores[FEWSHOT], missing[FEWSHOT] = np.nan, str(error)
    except _NUMERICAL as error:
        scores[FEWSHOT], missing[FEWSHOT] = np.nan, f"cannot be computed: {first_line(error)}"
    return _TargetScores(labelled, scores, missing)


def _label_scores(
    encoder: Encoder, source: Task, target: LabelledVectors, settings: ScoreSettings
) -> tuple[dict[str, float], dict[str, str]]:
    """Return LEEP and NCE from a head fitted to the source, and the reasons for missing ones."""
    if target.regression:
        return {}, {}  # `transferability_scores` gives the reason
    if source.type not in _WITH_CLASSES:
        return {}, dict.fromkeys(LABEL_SCORES, f"the source's type is {source.type}: it has no classes")
    try:
        fitted = fit_head(encoder, source, settings.reading, steps=settings.head_steps)
        chances = class_probabilities(fitted, target.vectors)
        assert chances is not None
        return {
            "leep": leep(chances, target.labels),
            "nce": nce(chances.argmax(axis=1), target.labels),
        }, {}
    except (InputError, RunFailed) as error:
        return {}, dict.fromkeys(LABEL_SCORES, str(error))
    except _NUMERICAL as error:
        return {}, dict.fromkeys(LABEL_SCORES, f"cannot be computed: {first_line(error)}")


def _check_names(
    target: Task, sources: Sequence[Task], checkpoints: Mapping[str, str | Path]
) -> list[str]:
    """Return the names of the sources; an InputError if they are not distinct."""
    names = [source.name for source in sources]
    if not names:
        raise InputError("no source beside the target itself")
    if target.name in names:
        raise InputError(f"the target '{target.name}' is among the sources")
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"two sources are named '{twice}'")
    for name in checkpoints:
        if name not in names:
            raise unknown("source of a checkpoint", name, names)
    return names


def _sample(task: Task, examples: int, seed: int) -> Task:
    """Return the task with a random subset of its training examples only, in memory."""
    drawn, size = draw_examples(task, "train", examples, seed=seed)
    if not size:
        raise InputError(f"task '{task.name}' has no training examples")
    return replace(task, splits={"train": drawn})


def _load(encoder: str, start: Path | None, tasks: Sequence[Task]) -> Encoder:
    texts = (
        text
        for task in tasks
        for example in task.examples()
        for text in (example.text, example.text_pair or "", *example.choices)
    )
    try:
        if start is not None and is_source_encoder(start):
            return SwitchableEncoder(load_encoder(encoder)).use(load_source_encoder(start))
        return load_encoder(encoder, texts=texts, start=start)
    except RunFailed as error:
        raise InputError(f"checkpoint of source '{tasks[-1].name}': {error}") from error


def _by_reason(missing: Mapping[str, str]) -> str:
    """Format missing scores grouped by reason, in one line.

    Examples
    --------
    >>> _by_reason({"leep": "no classes", "gbc": "one class", "nce": "no classes"})
    'leep, nce: no classes; gbc: one class'
    """
    scores_of = defaultdict(list)
    for name, reason in missing.items():
        scores_of[reason].append(name)
    return "; ".join(f"{', '.join(scores)}: {reason}" for reason, scores in scores_of.items())
