"""Profile of a task: statistics of its texts and labels, features of its learning curve."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

from transfer_meta.errors import InputError
from transfer_meta.features.curves.curve_features import curve_features
from transfer_meta.features.missing import collect_features
from transfer_meta.features.profile_cache import ProfileCache
from transfer_meta.features.text.answer_statistics import statistics_of
from transfer_meta.features.text.counts import OnExamples, count_split
from transfer_meta.features.text.statistics import Corpus
from transfer_meta.features.text.text_hashes import TextHashes
from transfer_meta.features.text.tokenize import as_tokenize, name_tokenize, tokenize
from transfer_meta.features.text.vocabulary import Vocabulary
from transfer_meta.files import digest
from transfer_meta.records import CurveLog, TaskProfile
from transfer_meta.tasks.task import Task

STATISTICS_VERSION = 1
"""Incremented when the definition of a statistic changes, which invalidates cached profiles."""


def profile_task(
    task: Task,
    *,
    vocabulary: Vocabulary | None = None,
    tokenizer: Any = None,
    tokens: Any = tokenize,
    curve: CurveLog | None = None,
    workers: int = 1,
    cache: ProfileCache | None = None,
    on_examples: OnExamples | None = None,
) -> TaskProfile:
    """Compute the profile of a task.

    Parameters
    ----------
    task : Task
        Must have a train split, which is compared with the test split or else the dev split.
    vocabulary : Vocabulary or None
        Known words for `oov_rate`; None: compare test tokens with the train split.
    tokenizer : tokenizers.Tokenizer or None
        Splits words into subwords, for `subword_fertility`.
    tokens : callable or tokenizers.Tokenizer
        Splits texts into tokens; by default `features.text.tokenize.tokenize`.
    curve : CurveLog or None
        Learning curve whose features are added.
    workers : int
        Number of processes (see `features.text.counts.count_split`).
    cache : ProfileCache or None
        Cache of profiles by task content and settings.  Not used if `tokens` is an arbitrary function, which
        cannot be identified.
    on_examples : callable or None
        Called with the number of examples counted so far.

    Returns
    -------
    TaskProfile
        The features `features.text.statistics.STATISTICS`, for generation also those of
        `features.text.answer_statistics`, and with a curve those of `curve_features`.

    Raises
    ------
    InputError
        The task has no train split or no training example, or one of its files cannot be read.

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
        "version": STATISTICS_VERSION,
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
        notes = tuple(task.reading_notes())
        profile = replace(profile_counts(corpus), settings=settings, notes=notes)
        if cache is not None and key:
            cache.put(key, profile)
    profile = replace(profile, name=task.name, digest=task.digest if key else "")
    return add_curve(profile, curve) if curve is not None else profile


def profile_counts(corpus: Corpus) -> TaskProfile:
    """Return the profile of counted splits, without a name: all statistics, and hashes for pairs."""
    features, missing = collect_features(
        ([name], functools.partial(lambda compute: [compute(corpus)], function))
        for name, function in statistics_of(corpus.type).items()
    )
    return TaskProfile(
        name="",
        type=corpus.type,
        features=features,
        missing=missing,
        sketches=TextHashes.from_counts(corpus.train, corpus.type).to_arrays(),
    )


def add_curve(profile: TaskProfile, curve: CurveLog) -> TaskProfile:
    """Add the features of a learning curve to a profile."""
    found = curve_features(curve)
    return replace(
        profile,
        features={**profile.features, **found.values},
        missing={**profile.missing, **found.missing},
        notes=(*profile.notes, *(f"learning curve: {note}" for note in found.notes)),
    )


def _splits(task: Task) -> tuple[str, str | None]:
    if "train" not in task.splits:
        raise InputError(
            f"task {task.name} has no train split (got: {', '.join(task.splits) or 'none'})"
        )
    return "train", next((name for name in ("test", "dev") if name in task.splits), None)
