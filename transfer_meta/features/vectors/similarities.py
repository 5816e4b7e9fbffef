"""Similarities of tasks by their vectors: cosines, their aggregates, rankings of sources.

The vectors of a task are a mapping of name to array.  A name is a kind (``textemb``) or a kind and a component
(``taskemb.layer.0.query``); the kind ends at the first dot.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from transfer_meta.errors import InputError, unknown
from transfer_meta.records import FloatArray

Vectors = Mapping[str, NDArray[np.floating]]

RRF_CONSTANT = 60
"""Constant of reciprocal rank fusion in Cormack et al. 2009 and Vu et al. 2020."""


def cosine(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Return the cosine of two vectors, -1 to 1; NaN if one of them is zero.

    Raises
    ------
    InputError
        The lengths differ: the vectors come from different encoders or settings.
    """
    return float(_cosines(np.asarray(a, dtype=float), np.asarray(b, dtype=float)[None])[0])


def cosine_matrix(vectors: Sequence[NDArray[np.floating] | None]) -> FloatArray:
    """Return the cosines of all pairs of vectors, shape (n, n); NaN where one is missing (None) or zero.

    Raises
    ------
    InputError
        The lengths differ.
    """
    found = {
        i: np.asarray(vector, dtype=float) for i, vector in enumerate(vectors) if vector is not None
    }
    lengths = {len(vector) for vector in found.values()}
    if len(lengths) > 1:
        raise _different_lengths("vectors", lengths)
    cosines = np.full((len(vectors), len(vectors)), np.nan)
    units = _units(np.stack(list(found.values())))
    is_zero = ~units.any(axis=1)
    inner = np.clip(units @ units.T, -1.0, 1.0)
    inner[is_zero], inner[:, is_zero] = np.nan, np.nan
    cosines[np.ix_(list(found), list(found))] = inner
    return cosines


def component_cosines(
    *, target: Vectors, sources: Mapping[str, Vectors], centred: bool = False
) -> pd.DataFrame:
    """Return the cosine of every source with the target by component.

    Parameters
    ----------
    target : mapping of name to array of shape (d,)
    sources : mapping of source name to such a mapping
    centred : bool
        Subtract the mean of the sources' unit vectors first: it dominates Fisher information and does not
        discriminate between tasks.  Needs three sources.

    Returns
    -------
    DataFrame
        One row per source, one column per component of the target; NaN where the source lacks the component or
        one of the two vectors is zero.

    Raises
    ------
    InputError
        Two vectors of one name differ in length.
    """
    columns = {}
    for name, vector in target.items():
        values = np.full(len(sources), np.nan)
        found = {i: np.asarray(v[name], float) for i, v in enumerate(sources.values()) if name in v}
        if found:
            one: FloatArray = np.asarray(vector, dtype=float)
            lengths = {len(row) for row in (one, *found.values())}
            if len(lengths) > 1:
                raise _different_lengths(f"vectors '{name}'", lengths)
            rows = np.stack(list(found.values()))
            values[list(found)] = _cosines(*(_centre(one, rows) if centred else (one, rows)))
        columns[name] = values
    return pd.DataFrame(columns, index=pd.Index(list(sources), name="source"), dtype=float)


def mean_cosine(cosines: NDArray[np.floating]) -> FloatArray:
    """Return the mean over components, (n_sources, n_components) -> (n_sources,), ignoring NaN."""
    known = ~np.isnan(cosines)
    count = known.sum(axis=1)
    total = np.where(known, cosines, 0.0).sum(axis=1)
    return np.divide(total, count, out=np.full(len(cosines), np.nan), where=count > 0)


def concatenated_cosine(
    cosines: NDArray[np.floating], source_counts: NDArray[np.integer], target_count: int
) -> FloatArray:
    """Return the cosine of the concatenated unit-length components: Σ cos / √(C_source · C_target).

    Equals `mean_cosine` if both tasks have the same components; a component that only one of them has lowers
    it.

    Parameters
    ----------
    cosines : array of shape (n_sources, n_components)
        NaN where a component is missing or zero.
    source_counts : array of shape (n_sources,)
        Number of nonzero components of each source, C_source.
    target_count : int
        Number of nonzero components of the target, C_target.
    """
    shared = ~np.isnan(cosines)
    total = np.where(shared, cosines, 0.0).sum(axis=1)
    scale = np.sqrt(source_counts * float(target_count))
    return np.divide(total, scale, out=np.full(len(total), np.nan), where=shared.any(axis=1))


def reciprocal_rank_fusion(scores: NDArray[np.floating], *, constant: int = RRF_CONSTANT) -> FloatArray:
    """Combine rankings into one score: Σ 1 / (constant + rank), rank 1 for the highest.

    Scores equal to 1e-12 share their mean rank; a missing score adds nothing; NaN if all are missing.

    Parameters
    ----------
    scores : array of shape (n_sources, n_rankings)
        Higher is better.
    constant : int

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

    # Sums of the same ranks in different order differ in the last digits only: treat them as ties.
    rounded = np.round(np.asarray(scores, dtype=float), 12)
    ranks = rankdata(-rounded, axis=0, nan_policy="omit")
    fused = np.where(np.isnan(ranks), 0.0, 1.0 / (constant + ranks)).sum(axis=1)
    return np.where(np.isnan(ranks).all(axis=1), np.nan, fused)


def similarity_features(*, target: Vectors, sources: Mapping[str, Vectors]) -> pd.DataFrame:
    """Compute all similarities of every source to the target as named pair features.

    Returns
    -------
    DataFrame
        One row per source.  Columns: ``cosine_NAME`` for every component; for every kind ``mean_KIND`` (mean of
        its cosines), ``centred_KIND`` (the same with ``centred=True``, see `component_cosines`),
        ``concat_KIND``
        (`concatenated_cosine`) and ``rrf_KIND`` (`reciprocal_rank_fusion` of its components' rankings);
        ``rrf_all`` (fusion of the ``rrf_KIND`` rankings, as Vu et al. 2020 combine text and task embeddings) and
        ``rrf_centred`` (fusion of the ``centred_KIND`` rankings).  The ``centred_`` and ``rrf_`` columns depend
        on the set of sources.
    """
    cosines = component_cosines(target=target, sources=sources)
    centred = component_cosines(target=target, sources=sources, centred=True)
    features = {f"cosine_{name}": cosines[name].to_numpy() for name in cosines}
    fused = {}
    for kind in vector_kinds(target):
        names = [name for name in target if vector_kind(name) == kind]
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
    """Rank the sources from most to least similar.

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
    ranks = np.arange(1, len(ranked) + 1)
    return pd.DataFrame({"source": ranked.index, "similarity": ranked.to_numpy(), "rank": ranks})


def vector_kind(name: str) -> str:
    """Return the kind of a vector's name.

    Examples
    --------
    >>> vector_kind("taskemb.layer.0.query"), vector_kind("textemb")
    ('taskemb', 'textemb')
    """
    return name.partition(".")[0]


def vector_kinds(vectors: Vectors) -> list[str]:
    """Return the kinds among the names of `vectors`, in order of first appearance."""
    return list(dict.fromkeys(vector_kind(name) for name in vectors))


def _count(vectors: Vectors, kind: str) -> int:
    """Return the number of nonzero components of a kind."""
    return sum(bool(np.any(v)) for name, v in vectors.items() if vector_kind(name) == kind)


def _centre(vector: FloatArray, rows: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return unit vectors minus the mean of those in `rows`.

    Zero vectors stay zero; with fewer than three nonzero rows all results are zero.
    """
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


def _different_lengths(vectors: str, lengths: Collection[int]) -> InputError:
    listed = " and ".join(map(str, sorted(lengths)))
    return InputError(
        f"{vectors} of lengths {listed} cannot be compared: they come from different encoders or settings"
    )


def _cosines(vector: FloatArray, rows: FloatArray) -> FloatArray:
    """Return the cosines of `vector` (d,) with `rows` (n, d)."""
    if rows.shape[1:] != vector.shape:
        raise _different_lengths("vectors", {len(vector), rows.shape[1]})
    lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(vector)
    cosines = np.divide(rows @ vector, lengths, out=np.full(len(rows), np.nan), where=lengths > 0)
    return np.clip(cosines, -1.0, 1.0)
