"""One task to its profile: statistics of its texts and labels, features of its learning curve."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from transfer_meta.errors import InputError
from transfer_meta.features.curves.curve_features import curve_features
from transfer_meta.features.curves.curve_log import CurveLog
from transfer_meta.features.missing import Group, collect
from transfer_meta.features.profile_cache import ProfileCache
from transfer_meta.features.text.counts import OnExamples, count_split
from transfer_meta.features.text.statistics import STATISTICS, Corpus
from transfer_meta.features.text.text_hashes import Sketch
from transfer_meta.features.text.tokenize import as_tokenize, name_tokenize, tokenize
from transfer_meta.features.text.vocabulary import Vocabulary
from transfer_meta.files import digest
from transfer_meta.records import LearningCurve, TaskProfile
from transfer_meta.tasks.task import Task

#: Goes up when a statistic's definition changes, so that cached profiles of the old one are not used.
VERSION = 1


def profile_task(
    task: Task,
    *,
    vocabulary: Vocabulary | None = None,
    tokenizer: Any = None,
    tokens: Any = tokenize,
    curve: CurveLog | LearningCurve | None = None,
    workers: int = 1,
    cache: ProfileCache | None = None,
    on_examples: OnExamples | None = None,
) -> TaskProfile:
    """The profile of a task.

    Parameters
    ----------
    task : Task
        With a train split; the test split, or else the dev split, is what it is compared with.
    vocabulary : Vocabulary or None
        Known words, for `oov_rate`; None: the train split's own, and then of the test tokens.
    tokenizer : tokenizers.Tokenizer or None
        Cuts words into subwords, for `subword_fertility`.
    tokens : callable or tokenizers.Tokenizer
        Cuts texts into tokens; by default the rule of `transfer_meta.features.text.tokenize`.
    curve : CurveLog, LearningCurve or None
        Its features come after the statistics.
    processes : int
        Processes that count (see `transfer_meta.features.text.counts.count_split`).
    cache : ProfileCache or None
        Where statistics are looked up by the task's content and the settings, and kept.  Not used where
        `tokens` is a function of one's own, whose content nobody knows.
    on_examples : callable or None
        Called with the number of examples counted so far.

    Returns
    -------
    TaskProfile
        Its features are those of `transfer_meta.features.text.statistics.STATISTICS` and, with a curve, those of
        `transfer_meta.features.curves.curve_features.curve_features`.

    Raises
    ------
    InputError
        The task has no train split or no training example, or a file of it cannot be read.

    Examples
    --------
    >>> from transfer_meta.records import Example
    >>> examples = [Example("a fine film", "good"), Example("no film", "bad")]
    >>> profile = profile_task(Task.from_iterable("reviews", "classification", {"train": examples}))
    >>> profile.features["size"], profile.features["tokens_types"], profile.missing["jsd"]
    (2.0, 1.25, 'no test split')
    """
    rule = as_tokenize(tokens)
    settings: dict[str, Any] = {
        "version": VERSION,
        "tokens": name_tokenize(rule) or "custom",
        "vocabulary": vocabulary.name if vocabulary else "train",
        "subwords": name_tokenize(as_tokenize(tokenizer)) if tokenizer is not None else None,
    }
    key = None
    if cache is not None and name_tokenize(rule):
        key = digest(task.digest, *(f"{name}={value}" for name, value in settings.items()))
    profile = cache.get(key) if cache is not None and key else None
    if profile is None:
        train, test = _splits(task)
        count = functools.partial(
            count_split, type=task.type, tokenize=rule, workers=workers, on_examples=on_examples
        )
        corpus = Corpus(
            type=task.type,
            train=count(task.examples(train)),
            test=count(task.examples(test)) if test else None,
            vocabulary=vocabulary,
            tokenizer=tokenizer,
        )
        if not corpus.train.n_examples:
            raise InputError(f"task {task.name}: the split {train} has no examples")
        profile = replace(profile_counts(corpus), settings=settings)
        if cache is not None and key:
            cache.put(key, profile)
    profile = replace(profile, name=task.name, digest=task.digest if key else "")
    return add_curve(profile, curve) if curve is not None else profile


def profile_counts(corpus: Corpus) -> TaskProfile:
    """The profile of what has been counted, without a name: all statistics, and the sketches for pairs."""
    groups: list[Group] = [
        ([name], functools.partial(_one, function, corpus)) for name, function in STATISTICS.items()
    ]
    features, missing = collect(groups)
    return TaskProfile(
        name="",
        type=corpus.type,
        features=features,
        missing=missing,
        sketches=Sketch.from_counts(corpus.train, corpus.type).to_arrays(),
    )


def add_curve(profile: TaskProfile, curve: CurveLog | LearningCurve) -> TaskProfile:
    """The profile with the features of a learning curve."""
    found = curve_features(curve)
    return replace(
        profile,
        features={**profile.features, **found.values},
        missing={**profile.missing, **found.missing},
        notes=(*profile.notes, *(f"learning curve: {note}" for note in found.notes)),
    )


def _one(function: Callable[[Corpus], float], corpus: Corpus) -> tuple[float]:
    return (function(corpus),)


def _splits(task: Task) -> tuple[str, str | None]:
    if "train" not in task.splits:
        raise InputError(
            f"task {task.name} has no train split (got: {', '.join(task.splits) or 'none'})"
        )
    return "train", next((name for name in ("test", "dev") if name in task.splits), None)
