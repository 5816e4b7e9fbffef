"""What source checkpoints are worth for a target by the published scores, one row a source."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from transfer_meta.encoding.bilstm import words_of
from transfer_meta.encoding.devices import find_devices
from transfer_meta.encoding.encoders import BILSTM, Encoder, load_encoder
from transfer_meta.encoding.fewshot import FewShot, class_probabilities, few_shot_loss
from transfer_meta.encoding.frozen_features import LabelledVectors, Reading, labelled_vectors
from transfer_meta.encoding.taskemb import checked_examples, fit_head
from transfer_meta.errors import InputError, RunFailed, unknown
from transfer_meta.features.scores.label_transfer import leep, nce
from transfer_meta.features.scores.transferability_scores import (
    FEATURE_SCORES,
    LABEL_SCORES,
    transferability_scores,
)
from transfer_meta.records import TaskType
from transfer_meta.tasks.subsets import choose
from transfer_meta.tasks.task import Task

FEWSHOT = "fewshot_neg_loss"
SCORES = (*FEATURE_SCORES, *LABEL_SCORES, FEWSHOT)
_WITH_CLASSES = (TaskType.CLASSIFICATION, TaskType.TOKEN_CLASSIFICATION)


@dataclass(frozen=True)
class ScoreSettings:
    """How sources are scored.

    Parameters
    ----------
    max_examples
        Training examples of each task, drawn without replacement; all of a smaller task.
    seed
        Of the draw.
    reading
        Lengths and the bound on memory.
    head_steps
        Most steps of the fit of a source's head.
    few_shot
        How few steps on how few examples, themselves drawn from the target's.
    """

    max_examples: int = 500
    seed: int = 0
    reading: Reading = field(default_factory=Reading)
    head_steps: int = 50
    few_shot: FewShot = field(default_factory=FewShot)

    def __post_init__(self) -> None:
        for name in ("max_examples", "head_steps"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} = {getattr(self, name)} (expected at least 1)")


def score_sources(
    *,
    target: Task,
    sources: Sequence[Task],
    encoder: str,
    checkpoints: Mapping[str, str | Path] | None = None,
    settings: ScoreSettings | None = None,
    device: str = "cpu",
    on_progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Score sources for a target: the higher a score, the better the source.

    A source is a checkpoint (its fine-tuned encoder) and a head.  The head is always fitted here, to the
    frozen features of the source's own examples, since fine-tuning runs keep encoders alone.  A source
    **without a checkpoint has the pretrained encoder**: its features of the target are those of every
    other such source, and so are all scores but LEEP and NCE, which read the head.

    ================  ======================================================  ===================
    column            what it is                                              from
    ================  ======================================================  ===================
    logme             log-evidence at its maximum, nats an example and class  You et al. 2021
    h_score           tr(cov⁺ · cov of class means), 0 to classes - 1         Bao et al. 2019
    h_score_shrunk    the same with Ledoit & Wolf's covariance                Ibrahim et al. 2022
    transrate         R(Z) - R(Z | Y) in nats, of features of unit size       Huang et al. 2022
    gbc               -Σ over class pairs of exp(-Bhattacharyya), at most 0   Pándy et al. 2022
    knn               accuracy or R² of 5 neighbours, leave-one-out           Renggli et al. 2022
    linear_probe      accuracy or R² of a linear model, 5 folds               Renggli et al. 2022
    leep              mean log-likelihood of the labels, nats, at most 0      Nguyen et al. 2020
    nce               -H(target class | source class), nats, at most 0        Tran et al. 2019
    fewshot_neg_loss  -loss after k steps of fine-tuning, at most 0: nats a   Poth et al. 2021
                      label, or squared error in the labels' variance
    ================  ======================================================  ===================

    LEEP, NCE, GBC and the negated loss are at most 0, nearer to 0 being better: their signs are such that
    no column has to be turned round.  Compare sources on one target, not targets.

    Parameters
    ----------
    target : Task
        Only its training split is read, as with the sources.
    sources : sequence of Task
        Of different names, the target not among them.
    encoder : str
        See `transfer_meta.encoding.encoders.load_encoder`.
    checkpoints : mapping of source name to path, optional
        Safetensors that ``transfer-meta run --keep-checkpoints`` left: the encoder fine-tuned on a source.
    settings : ScoreSettings, optional
    device : str
        ``cpu``, ``cuda:0``, or ``auto``.
    on_progress : callable, optional
        Called with the sources done and their number.

    Returns
    -------
    DataFrame
        One row a source in their order: ``source``, ``target``; a float column for each of `SCORES`, NaN
        where it does not apply; ``checkpoint``, empty for the pretrained encoder; ``missing``, why scores
        are NaN (``leep, nce: …; gbc: …``), empty if none is.  By ``source`` and ``target`` it merges into a
        table of outcomes, where the scores are features of the pair.

    Raises
    ------
    InputError
        An unknown encoder or device, a checkpoint of no source or that does not fit the encoder, a target
        without examples or with labels that cannot be learned from, no or equally named sources.

    References
    ----------
    See the functions of `transfer_meta.features.scores`; Renggli et al. 2022, "Which model to
    transfer? Finding the needle in the growing haystack"; Poth et al. 2021, "What to pre-train on?
    Efficient intermediate task selection".
    """
    settings, checkpoints = settings or ScoreSettings(), checkpoints or {}
    names = _check_names(target, sources, checkpoints)
    place = find_devices(device)[0]
    target = _sample(target, settings.max_examples, settings.seed)
    try:
        checked_examples(target)
    except RunFailed as error:
        raise InputError(str(error)) from error
    samples = [_sample(source, settings.max_examples, settings.seed) for source in sources]
    # Each encoder is loaded once, and the target read once with it.
    sources_of: dict[Path | None, list[Task]] = defaultdict(list)
    for source in samples:
        start = checkpoints.get(source.name)
        sources_of[Path(start) if start is not None else None].append(source)

    rows = {}
    for start, group in sources_of.items():
        loaded = _load(encoder, start, [target, *group])
        loaded.model.to(place)
        view = _view(loaded, target, settings)
        for source in group:
            of_head, no_head = _label_scores(loaded, source, view.labelled, settings)
            scores, reasons = view.scores | of_head, view.missing | no_head
            missing = {
                name: reasons.get(name, "it is not a number")
                for name in SCORES
                if np.isnan(scores[name])
            }
            rows[source.name] = {
                "source": source.name,
                "target": target.name,
                **{name: scores[name] for name in SCORES},
                "checkpoint": "" if start is None else str(start),
                "missing": _by_reason(missing),
            }
            if on_progress is not None:
                on_progress(len(rows), len(sources))
    return pd.DataFrame([rows[name] for name in names])


@dataclass(frozen=True)
class _View:
    """The target as one encoder sees it, and the scores that no head has a part in."""

    labelled: LabelledVectors
    scores: dict[str, float]
    missing: dict[str, str]


def _view(encoder: Encoder, target: Task, settings: ScoreSettings) -> _View:
    labelled = labelled_vectors(encoder, target, settings.reading)
    scores, missing = transferability_scores(
        labelled.vectors, labelled.labels, regression=labelled.regression
    )
    # Drawn, not the first ones: files are often sorted by class.
    few = _sample(target, settings.few_shot.examples, settings.seed)
    try:
        scores[FEWSHOT] = -few_shot_loss(encoder, few, settings.few_shot, settings.reading)
    except (InputError, RunFailed) as error:
        scores[FEWSHOT], missing[FEWSHOT] = np.nan, str(error)
    return _View(labelled, scores, missing)


def _label_scores(
    encoder: Encoder, source: Task, target: LabelledVectors, settings: ScoreSettings
) -> tuple[dict[str, float], dict[str, str]]:
    """LEEP and NCE through a head fitted to the source, or the reason why there are none."""
    if target.regression:
        return {}, {}  # known to be missing, and why
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


def _check_names(
    target: Task, sources: Sequence[Task], checkpoints: Mapping[str, str | Path]
) -> list[str]:
    """The sources' names; an InputError where they do not tell the sources apart."""
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
    """The task with so many training examples alone, in memory."""
    size = sum(1 for _ in task.examples())
    chosen, _ = choose(task.name, size, min(examples, size), seed=seed, dev_examples=0)
    wanted = set(chosen.tolist())
    return replace(task, splits={"train": [e for i, e in enumerate(task.examples()) if i in wanted]})


def _load(encoder: str, start: Path | None, tasks: Sequence[Task]) -> Encoder:
    words: set[str] = set()
    if encoder.partition(":")[0] == BILSTM:
        examples = [example for task in tasks for example in task.examples()]
        words = words_of(text for e in examples for text in (e.text, e.text_pair or "", *e.choices))
    try:
        return load_encoder(encoder, words=words, start=start)
    except RunFailed as error:
        raise InputError(f"checkpoint of source '{tasks[-1].name}': {error}") from error


def _by_reason(missing: Mapping[str, str]) -> str:
    """Scores and why they are missing, in one line.

    Examples
    --------
    >>> _by_reason({"leep": "no classes", "gbc": "one class", "nce": "no classes"})
    'leep, nce: no classes; gbc: one class'
    """
    scores_of = defaultdict(list)
    for name, reason in missing.items():
        scores_of[reason].append(name)
    return "; ".join(f"{', '.join(scores)}: {reason}" for reason, scores in scores_of.items())
