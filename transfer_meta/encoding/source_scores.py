"""Transferability scores of many source encoders on one target."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import queue
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from transfer_meta.encoding.encoder import Encoder
from transfer_meta.encoding.encoders import encoder_revision, file_sha256, load_encoder
from transfer_meta.encoding.encoding_settings import EncodingSettings, check_positive
from transfer_meta.encoding.frozen_features import LabelledReader, LabelledVectors
from transfer_meta.encoding.source_encoders import (
    SourceEncoder,
    SwitchableEncoder,
    load_source_encoder,
)
from transfer_meta.encoding.tokens import checked_examples
from transfer_meta.errors import InputError, RunFailed
from transfer_meta.features.profile_cache import cache_folder
from transfer_meta.features.scores.transferability_scores import (
    FEATURE_SCORES,
    LABEL_SCORES,
    transferability_scores,
)
from transfer_meta.files import atomic_file, digest
from transfer_meta.records import OnProgress
from transfer_meta.tasks.subsets import draw_examples
from transfer_meta.tasks.task import Task

SOURCE_SCORES = (*FEATURE_SCORES, *LABEL_SCORES)
"""Scores of source encoders: all but the few-shot loss, which needs training on each source."""
SCORE_VERSION = 1
"""Part of the key of cached scores; increment it when a change in the code changes scores."""


@dataclass(frozen=True, kw_only=True)
class SourceScoreSettings:
    """Settings of `score_source_encoders`.

    Parameters
    ----------
    examples : int
        Maximum number of the target's training examples, drawn without replacement.
    max_vectors : int
        Maximum number of vectors, of which a tagging or question answering task has several an example.
    max_length, max_tokens : int
        See `EncodingSettings`.
    seed : int
        Seed of what is drawn.
    precision : {"auto", "fp32", "bf16"}
        ``auto``: bf16 where the processor multiplies it in hardware (AMX), fp32 elsewhere.
    workers : int, optional
        Threads, each with a copy of the encoder; by default one per core, at most 8.
    cache : bool
        Whether scores are read from the cache and stored there.

    Raises
    ------
    InputError
        A number below 1.
    """

    examples: int = 500
    max_vectors: int = 1000
    max_length: int = EncodingSettings.max_length
    max_tokens: int = EncodingSettings.max_tokens
    seed: int = 0
    precision: str = "auto"
    workers: int | None = None
    cache: bool = True

    def __post_init__(self) -> None:
        check_positive(self, "examples", "max_vectors", "max_length", "max_tokens")

    @property
    def is_bf16(self) -> bool:
        """Whether texts are read in bf16."""
        # Absent before torch 2.10.
        found: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
        return self.precision == "bf16" or (
            self.precision == "auto" and bool(found.get("amx_bf16", False))
        )


def score_source_encoders(
    target: Task,
    files: Mapping[str, Path],
    settings: SourceScoreSettings | None = None,
    *,
    on_progress: OnProgress = lambda done, total: None,
) -> pd.DataFrame:
    """Score source encoders on a target with published measures; higher is better.

    See `transfer_meta.encoding.score_sources.score_sources` for the measures.

    Parameters
    ----------
    target : Task
        Only its training split is read.
    files : mapping of str to path
        Files of source encoders by name, all of the same pretrained encoder.
    settings : SourceScoreSettings, optional
    on_progress : callable
        Called with the number of finished sources and of all.

    Returns
    -------
    DataFrame
        One row per source, indexed by name in the order given; one float column for each of `SOURCE_SCORES`, NaN
        if it does not apply.

    Raises
    ------
    InputError
        A file that is no source encoder, encoders of several kinds, or a target without usable labels.
    """
    settings = settings or SourceScoreSettings()
    sample = _sample(target, settings)
    keys = {name: _key(sample, path, settings) for name, path in files.items()}
    found = {name: _cached(keys[name]) if settings.cache else None for name in files}
    missing = {name: path for name, path in files.items() if found[name] is None}
    done = len(files) - len(missing)
    on_progress(done, len(files))
    for name, scores in _scored(sample, missing, settings):
        found[name] = scores
        if settings.cache:
            _store(keys[name], scores)
        done += 1
        on_progress(done, len(files))
    rows = {name: found[name] or {} for name in files}
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(SOURCE_SCORES)).astype(float)


def _sample(target: Task, settings: SourceScoreSettings) -> Task:
    if not target.is_labelled:
        raise InputError(f"target '{target.name}' has no labels, which every score needs")
    drawn, size = draw_examples(target, "train", settings.examples, seed=settings.seed)
    if not size:
        raise InputError(f"task '{target.name}' has no training examples")
    sample = replace(target, splits={"train": drawn})
    try:
        checked_examples(sample)
    except RunFailed as error:
        raise InputError(str(error)) from error
    return sample


def _scored(
    target: Task, files: Mapping[str, Path], settings: SourceScoreSettings
) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield the scores of each source as they are ready."""
    if not files:
        return
    from threadpoolctl import threadpool_limits

    sources = {name: load_source_encoder(path) for name, path in files.items()}
    encoder = _encoder_of(sources)
    reader = LabelledReader(encoder, target, EncodingSettings(settings.max_length, settings.max_tokens))
    workers = min(settings.workers or min(os.cpu_count() or 1, 8), len(files))
    # One thread per copy: the products of a batch are too small to be divided, and results do not depend on it.
    copies: queue.SimpleQueue[SwitchableEncoder] = queue.SimpleQueue()
    for number in range(workers):
        copies.put(
            SwitchableEncoder(
                encoder if number == 0 else replace(encoder, model=copy.deepcopy(encoder.model))
            )
        )

    def score(source: SourceEncoder) -> dict[str, float]:
        switchable = copies.get()
        try:
            with torch.autocast("cpu", torch.bfloat16, enabled=settings.is_bf16):
                labelled = reader.read(switchable.use(source))
        finally:
            copies.put(switchable)
        return _scores(source, labelled, settings)

    with _single_threaded(), threadpool_limits(1), ThreadPoolExecutor(workers) as pool:
        jobs = {pool.submit(score, source): name for name, source in sources.items()}
        try:
            for job in as_completed(jobs):
                yield jobs[job], job.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _scores(
    source: SourceEncoder, labelled: LabelledVectors, settings: SourceScoreSettings
) -> dict[str, float]:
    vectors, labels = labelled.vectors, labelled.labels
    if len(labels) > settings.max_vectors:
        random = np.random.default_rng(settings.seed)
        kept = np.sort(random.permutation(len(labels))[: settings.max_vectors])
        vectors, labels = vectors[kept], labels[kept]
    chances: NDArray[np.float64] | None = None
    if source.head is not None and not labelled.regression:
        logits = vectors.astype(np.float64) @ source.head.weight.T.double().numpy()
        logits += source.head.bias.double().numpy()
        chances = np.exp(logits - logits.max(axis=1, keepdims=True))
        chances /= chances.sum(axis=1, keepdims=True)
    return transferability_scores(
        vectors, labels, regression=labelled.regression, source_probabilities=chances
    )[0]


def _encoder_of(sources: Mapping[str, SourceEncoder]) -> Encoder:
    """Return the pretrained encoder of the sources; InputError if they are of several, or of another version."""
    kinds = {source.facts.encoder for source in sources.values()}
    if len(kinds) > 1:
        raise InputError(f"source encoders of several encoders: {', '.join(sorted(kinds))}")
    encoder = next(iter(kinds))
    revision = encoder_revision(encoder)
    for name, source in sources.items():
        if source.facts.revision != revision:
            raise InputError(
                f"source encoder '{name}' was trained from another version of encoder '{encoder}': add it anew"
            )
    return load_encoder(encoder)


@contextlib.contextmanager
def _single_threaded() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _key(sample: Task, file: Path, settings: SourceScoreSettings) -> str:
    """Return the digest of everything that scores depend on."""
    used = {k: v for k, v in asdict(settings).items() if k not in ("workers", "cache", "precision")}
    used["bf16"] = settings.is_bf16
    content = digest(*(repr(example) for example in sample.examples()))
    return digest(str(SCORE_VERSION), content, file_sha256(file), json.dumps(used, sort_keys=True))


def _cache_file(key: str) -> Path:
    return cache_folder() / "source_scores" / key[:2] / f"{key}.json"


def _cached(key: str) -> dict[str, float] | None:
    try:
        values = json.loads(_cache_file(key).read_text(encoding="utf-8"))
        return {
            name: float("nan") if values[name] is None else float(values[name])
            for name in SOURCE_SCORES
        }
    except (OSError, ValueError, KeyError, TypeError):
        return None  # absent or broken: computed anew


def _store(key: str, scores: Mapping[str, float]) -> None:
    values = {name: float(v) if np.isfinite(v) else None for name, v in scores.items()}
    # A cache that cannot be written must not stop the answer.
    with contextlib.suppress(OSError, InputError):
        file = _cache_file(key)
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(file) as temporary:
            temporary.write_text(json.dumps(values), encoding="utf-8")
