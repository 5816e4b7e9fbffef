"""What the catalogue says of sources: facts, and vectors of the words of their descriptions."""

from __future__ import annotations

import functools

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from transfer_meta.features.vectors.similarities import Vectors
from transfer_meta.features.vectors.vector_files import load_vectors
from transfer_meta.outcomes import shipped
from transfer_meta.records import FloatArray, TaskProfile
from transfer_meta.tasks.catalogue import CatalogueSource, find_in_catalogue, load_catalogue

DESCRIPTION_KIND = "desctext"
"""Kind of the vectors made by `description_vector`."""
VECTORS_FILE = "descriptions.npz"
"""File, beside the models of the atlas, with an encoder's vectors of the catalogue's descriptions."""


def catalogue() -> tuple[CatalogueSource, ...]:
    """Return the catalogue; empty where the data folder has none."""
    return load_catalogue() if (shipped.data_folder() / "catalogue.csv").is_file() else ()


def facts_of(task: str) -> CatalogueSource | None:
    """Return the catalogue's entry of a known task, by its name or another one of it."""
    return find_in_catalogue(task) if catalogue() else None


def description_vector(text: str) -> Vectors:
    """Return the TF-IDF vector of a description's character n-grams, weighted as in the catalogue's descriptions.

    Empty without text or without a catalogue.
    """
    vectorizer = _vectorizer(tuple(source.description for source in catalogue()))
    if vectorizer is None or not text.strip():
        return {}
    return {DESCRIPTION_KIND: _dense(vectorizer, [text])[0]}


def catalogue_vectors() -> dict[str, Vectors]:
    """Return the vectors of the catalogue's descriptions by name: n-grams, and the encoder's where they ship."""
    sources, vectorizer = catalogue(), _vectorizer(tuple(source.description for source in catalogue()))
    if vectorizer is None:
        return {}
    rows = _dense(vectorizer, [source.description for source in sources])
    file = shipped.data_folder() / "atlas" / VECTORS_FILE
    embedded = load_vectors(file)[0] if file.is_file() else {}
    return {
        source.name: {**embedded.get(source.name, {}), DESCRIPTION_KIND: row}
        for source, row in zip(sources, rows, strict=True)
    }


def catalogue_profile(source: CatalogueSource) -> TaskProfile:
    """Return what the catalogue knows of a source, as a profile without texts."""
    features = {
        "n_labels": np.nan if source.classes is None else float(source.classes),
        "length_mean": np.nan if source.mean_length is None else float(source.mean_length),
        "pair_share": float(bool({"text_pair", "choices", "context"} & set(source.columns))),
    }
    return TaskProfile(name=source.name, type=source.type, features=features)


@functools.cache
def _vectorizer(texts: tuple[str, ...]) -> TfidfVectorizer | None:
    return TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5)).fit(texts) if texts else None


def _dense(vectorizer: TfidfVectorizer, texts: list[str]) -> FloatArray:
    return np.asarray(vectorizer.transform(texts).todense(), dtype=np.float64)
