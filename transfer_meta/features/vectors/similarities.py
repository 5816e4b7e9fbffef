"""How near two tasks are by their vectors: cosines, their aggregates, and rankings of sources.

The vectors of one task are a mapping of name to array.  A name is a kind (``textemb``) or a kind and a
component of it (``taskemb.layer.0.query``); the kind is what stands before the first dot.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from transfer_meta.errors import InputError, unknown
from transfer_meta.records import FloatArray

Vectors = Mapping[str, NDArray[np.floating]]

RRF_CONSTANT = 60  # Cormack et al. 2009; Vu et al. 2020 use the same


def cosine(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Cosine of the angle between two vectors, -1 to 1; NaN where one of them is all zeros.

    Raises
    ------
    InputError
        The lengths differ: the vectors come from different encoders or settings.
    """
    return float(_cosines(np.asarray(a, dtype=float), np.asarray(b, dtype=float)[None])[0])


def component_cosines(
    *, target: Vectors, sources: Mapping[str, Vectors], centred: bool = False
) -> pd.DataFrame:
    """The cosine of every source with the target, component by component.

    Parameters
    ----------
    target : mapping of name to array of shape (d,)
    sources : mapping of source name to such a mapping
    centred : bool
        Subtract from all unit vectors the mean of the sources' first: what all tasks have in common, which
        is most of a Fisher information, says nothing about which of them are near.  Needs three sources.

    Returns
    -------
    DataFrame
        A row a source, in the order given, a column a component of the target; NaN where the source
        lacks the component or one of the two vectors is zero.

    Raises
    ------
    InputError
        Two vectors of one name differ in length.
    """
    columns = {}
    for name, vector in target.items():
        values = np.full(len(sources), np.nan)
        present = [i for i, vectors in enumerate(sources.values()) if name in vectors]
        if present:
            rows = [np.asarray(v[name], dtype=float) for v in sources.values() if name in v]
            if {len(row) for row in rows} != {len(vector)}:
                lengths = sorted({len(vector), *(len(row) for row in rows)})
                raise InputError(
                    f"vectors '{name}' of lengths {lengths} cannot be compared: they come from "
                    "different encoders or settings"
                )
            one: FloatArray = np.asarray(vector, dtype=float)
            matrix = np.stack(rows)
            values[present] = _cosines(*(_centre(one, matrix) if centred else (one, matrix)))
        columns[name] = values
    return pd.DataFrame(columns, index=pd.Index(list(sources), name="source"), dtype=float)


def mean_cosine(cosines: NDArray[np.floating]) -> FloatArray:
    """The mean over components, (n_sources, n_components) -> (n_sources,); missing ones left out."""
    known = ~np.isnan(cosines)
    count = known.sum(axis=1)
    total = np.where(known, cosines, 0.0).sum(axis=1)
    return np.divide(total, count, out=np.full(len(cosines), np.nan), where=count > 0)


def concatenated_cosine(
    cosines: NDArray[np.floating], source_counts: NDArray[np.integer], target_count: int
) -> FloatArray:
    """The cosine of the concatenations of unit-length components.

    For unit components the inner product of the concatenations is the sum of the cosines and their
    lengths are the roots of the numbers of components: Σ cos / √(C_source · C_target).  Where both
    tasks have the same components that equals `mean_cosine`; a component that one of them lacks lowers
    it.

    Parameters
    ----------
    cosines : array of shape (n_sources, n_components)
        NaN where a component is missing or zero.
    source_counts : array of shape (n_sources,)
        How many components that are not zero each source has.
    target_count : int
        The same for the target.
    """
    shared = ~np.isnan(cosines)
    total = np.where(shared, cosines, 0.0).sum(axis=1)
    scale = np.sqrt(source_counts * float(target_count))
    return np.divide(total, scale, out=np.full(len(total), np.nan), where=shared.any(axis=1))


def reciprocal_rank_fusion(scores: NDArray[np.floating], *, constant: int = RRF_CONSTANT) -> FloatArray:
    """Fuse several rankings into one score: Σ 1 / (constant + rank), rank 1 for the highest.

    Equal scores (to 1e-12) share the mean of their ranks; a missing score adds nothing; NaN where all are missing.

    Parameters
    ----------
    scores : array of shape (n_sources, n_rankings)
        The higher, the better.

    References
    ----------
    Cormack, Clarke & Büttcher 2009, "Reciprocal rank fusion outperforms Condorcet and individual rank
    learning methods".

    Examples
    --------
    >>> reciprocal_rank_fusion(np.array([[0.9, 0.2], [0.5, 0.8]]), constant=1).round(3)
    array([0.833, 0.833])
    """
    from scipy.stats import rankdata

    # Sums of the same ranks in another order differ in the last digits and are ties all the same.
    rounded = np.round(np.asarray(scores, dtype=float), 12)
    ranks = rankdata(-rounded, axis=0, nan_policy="omit")
    fused = np.where(np.isnan(ranks), 0.0, 1.0 / (constant + ranks)).sum(axis=1)
    return np.where(np.isnan(ranks).all(axis=1), np.nan, fused)


def similarity_features(*, target: Vectors, sources: Mapping[str, Vectors]) -> pd.DataFrame:
    """Every similarity of every source to the target, as named pair features.

    Returns
    -------
    DataFrame
        A row a source.  Columns: ``cosine_NAME`` for every component, then for every kind ``mean_KIND``
        (mean of its cosines), ``centred_KIND`` (the same with the sources' mean subtracted, see
        `component_cosines`), ``concat_KIND`` (cosine of the concatenated unit components), ``rrf_KIND``
        (`reciprocal_rank_fusion` of its components' rankings among these sources), then ``rrf_all``
        (fusion of the kinds' rankings by ``rrf_KIND``, each kind one vote, as Vu et al. 2020 fuse text and
        task embeddings) and ``rrf_centred`` (the same by ``centred_KIND``).  The ``centred_`` and ``rrf_``
        columns depend on which sources are ranked together.
    """
    cosines = component_cosines(target=target, sources=sources)
    centred = component_cosines(target=target, sources=sources, centred=True)
    features = {f"cosine_{name}": cosines[name].to_numpy() for name in cosines}
    fused = {}
    for kind in kinds_of(target):
        names = [name for name in target if kind_of(name) == kind]
        of_kind = cosines[names].to_numpy()
        counts = np.array([_count(vectors, kind) for vectors in sources.values()], dtype=int)
        features[f"mean_{kind}"] = mean_cosine(of_kind)
        features[f"centred_{kind}"] = mean_cosine(centred[names].to_numpy())
        features[f"concat_{kind}"] = concatenated_cosine(of_kind, counts, _count(target, kind))
        features[f"rrf_{kind}"] = fused[kind] = reciprocal_rank_fusion(of_kind)
    if fused:
        features["rrf_all"] = reciprocal_rank_fusion(np.column_stack(list(fused.values())))
        by_kind = [features[f"centred_{kind}"] for kind in fused]
        features["rrf_centred"] = reciprocal_rank_fusion(np.column_stack(by_kind))
    return pd.DataFrame(features, index=cosines.index)


def rank_sources(
    *, target: Vectors, sources: Mapping[str, Vectors], by: str = "rrf_all"
) -> pd.DataFrame:
    """The sources from nearest to farthest.

    Parameters
    ----------
    by : str
        A column of `similarity_features`.

    Returns
    -------
    DataFrame with columns ``source``, ``similarity``, ``rank`` (from 1); missing similarities last
    """
    features = similarity_features(target=target, sources=sources)
    if by not in features:
        raise unknown("similarity", by, features.columns)
    ranked = features[by].sort_values(ascending=False, kind="stable", na_position="last")
    return pd.DataFrame(
        {
            "source": list(ranked.index),
            "similarity": ranked.to_numpy(),
            "rank": np.arange(1, len(ranked) + 1),
        }
    )


def kind_of(name: str) -> str:
    """The kind that a vector's name belongs to.

    Examples
    --------
    >>> kind_of("taskemb.layer.0.query"), kind_of("textemb")
    ('taskemb', 'textemb')
    """
    return name.partition(".")[0]


def kinds_of(vectors: Vectors) -> list[str]:
    """The kinds among the names of `vectors`, in order of first appearance."""
    return list(dict.fromkeys(kind_of(name) for name in vectors))


def _count(vectors: Vectors, kind: str) -> int:
    """How many components of a kind are there and not zero."""
    return sum(bool(np.any(v)) for name, v in vectors.items() if kind_of(name) == kind)


def _centre(vector: FloatArray, rows: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Unit vectors less the mean of those in `rows`; zeros stay zeros, below three rows all are zeros."""
    units = _units(rows)
    nonzero = units.any(axis=1)
    if nonzero.sum() < 3:
        return np.zeros_like(vector), np.zeros_like(rows)
    mean = units[nonzero].mean(axis=0)
    units[nonzero] -= mean
    return (_units(vector[None])[0] - mean if vector.any() else vector), units


def _units(rows: FloatArray) -> FloatArray:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)


def _cosines(vector: FloatArray, rows: FloatArray) -> FloatArray:
    """Cosines of `vector` (d,) with `rows` (n, d)."""
    if rows.shape[1:] != vector.shape:
        raise InputError(
            f"vectors of lengths {len(vector)} and {rows.shape[1]} cannot be compared: they come from "
            "different encoders or settings"
        )
    lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(vector)
    cosines = np.divide(rows @ vector, lengths, out=np.full(len(rows), np.nan), where=lengths > 0)
    return np.clip(cosines, -1.0, 1.0)
