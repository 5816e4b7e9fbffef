"""Features that the recommender learns from: the same for a known pair and for a new file.

None grows with the number of examples, since the outcomes come from subsets of one size and new files have any
size.  None needs the texts beyond a task's vectors, so that ten thousand sources are compared at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from transfer_meta.features.scores.transferability_scores import FEATURE_SCORES, LABEL_SCORES
from transfer_meta.features.vectors.similarities import Vectors, mean_cosine, vector_kind, vector_kinds
from transfer_meta.records import TYPES_WITH_HEADS, Example, FloatArray, TaskProfile

MODES = ("text", "encoder", "sources", "measured")
"""What is known of a target: its text; also vectors of an encoder; also what source encoders make of it, or a
training run on it alone."""
OUTCOMES, SCORES, DESCRIPTION = BASES = ("outcomes", "scores", "description")
"""What the expected gain of a source rests on: its outcomes; without any, the scores of its own encoder on the
target; without such an encoder, its description."""
SCORE_FEATURES = (*FEATURE_SCORES, *LABEL_SCORES)
"""Pair features of mode ``sources``, see `transfer_meta.encoding.source_scores`."""

COMPARED_STATISTICS = (
    "n_labels",
    "label_entropy_normalised",
    "majority_share",
    "length_mean",
    "length_p95",
    "pair_share",
)
"""Entries of `TaskProfile.features` that every mode uses; the last one is from `pair_share`."""
COMPARED_CURVE_FEATURES = ("loss_done_10", "loss_done_30", "loss_done_50", "relative_slope_30")
"""Entries of `TaskProfile.features` that mode ``measured`` adds."""
KINDS_OF_MODE: dict[str, tuple[str, ...]] = {
    "text": ("tfidf", "desctext"),
    "encoder": ("tfidf", "desctext", "textemb", "descemb"),
    "sources": ("tfidf", "desctext", "textemb", "descemb"),
    "measured": ("tfidf", "desctext", "textemb", "descemb", "taskemb"),
}
"""Kinds of task vectors that each mode compares."""
NEW_SOURCE_COLUMNS = ("pair.mean_desctext", "pair.mean_descemb")
"""Features by which sources without outcomes are ranked, as far as they are known, with equal weights."""
TYPE_PREFIX = "type_"
LEARNED_COLUMNS = rf"^(target|source)\.|^pair\.|^ratio\.(?!{TYPE_PREFIX})"
"""Regular expression of the columns to learn from: no ratios of the 0/1 columns of task types."""


def pair_share(examples: Iterable[Example]) -> float:
    """Return the share of examples with a second text or choices, 0-1.

    Examples
    --------
    >>> pair_share([Example("a"), Example("a", text_pair="b")])
    0.5
    """
    paired = [bool(example.text_pair or example.choices) for example in examples]
    return sum(paired) / len(paired) if paired else math.nan


def task_features(profiles: Sequence[TaskProfile], mode: str) -> pd.DataFrame:
    """Return the features of tasks that a mode uses, one row per task; NaN for an unknown one."""
    names = (*COMPARED_STATISTICS, *(COMPARED_CURVE_FEATURES if mode == "measured" else ()))
    values = np.array([[p.features.get(name, np.nan) for name in names] for p in profiles])
    frame = pd.DataFrame(values.reshape(len(profiles), len(names)), columns=list(names))
    # Without a column for generation, which no table of outcomes has: shipped models know these columns.
    for type in TYPES_WITH_HEADS:
        frame[f"{TYPE_PREFIX}{type}"] = [float(p.type == type) for p in profiles]
    return frame.set_index(pd.Index([p.name for p in profiles], name="task"))


def pair_columns(mode: str) -> list[str]:
    """Return the names of a mode's pair features."""
    names = ["same_type"]
    for kind in KINDS_OF_MODE[mode]:
        names.append(f"mean_{kind}")
        if kind not in ("tfidf", "desctext", "descemb"):
            # An encoder's vectors of any two texts are alike, so the mean of all tasks is subtracted.
            names.append(f"centred_{kind}")
    return [*names, *SCORE_FEATURES] if mode == "sources" else names


def pair_table(
    *,
    target: TaskProfile,
    sources: Sequence[TaskProfile],
    vectors: Mapping[str, Vectors],
    reference: Sequence[bool],
    mode: str,
    scores: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return ``source``, ``target`` and the `pair_columns` of a target with each source, one row per source.

    Parameters
    ----------
    target, sources
        Profiles.
    vectors
        Of all of them, by task name.
    reference : sequence of bool
        Mask of the known sources.  Vectors are centred on their mean, so that the features of a source do not
        depend on which others are compared.
    mode : str
        One of `MODES`.
    scores : DataFrame, optional
        `SCORE_FEATURES` of sources on the target, indexed by source; used in mode ``sources``.
    """
    wanted = {
        name: v for name, v in vectors[target.name].items() if vector_kind(name) in KINDS_OF_MODE[mode]
    }
    frame = similarities(
        target=wanted, sources=[vectors[s.name] for s in sources], reference=np.asarray(reference)
    )
    frame["same_type"] = [float(s.type == target.type) for s in sources]
    if scores is not None:
        known = scores.reindex(index=[s.name for s in sources], columns=list(SCORE_FEATURES))
        frame = frame.join(known.set_index(frame.index))
    frame = frame.reindex(columns=pair_columns(mode)).astype(float)
    frame.insert(0, "source", [s.name for s in sources])
    frame.insert(1, "target", target.name)
    return frame


def similarities(
    *, target: Vectors, sources: Sequence[Vectors], reference: NDArray[np.bool_]
) -> pd.DataFrame:
    """Return ``mean_KIND`` and ``centred_KIND`` (`features.vectors.similarities`), one row per source.

    The centre is the mean of the sources in `reference`, a mask of shape (n,); ``centred_KIND`` is NaN where
    fewer than three of them have the vector.
    """
    plain: dict[str, FloatArray] = {}
    centred: dict[str, FloatArray] = {}
    for name, vector in target.items():
        absent = np.full(len(vector), np.nan)
        rows = np.array([v.get(name, absent) for v in sources], dtype=float)
        lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
        lengths = np.where(lengths > 0, lengths, np.nan)
        one = np.asarray(vector, dtype=float)
        unit = one / (np.linalg.norm(one) or np.nan)
        cosine = rows @ unit / lengths
        plain[name] = np.clip(cosine, -1.0, 1.0)
        known = reference & np.isfinite(lengths)
        centred[name] = np.full(len(sources), np.nan)
        if known.sum() >= 3:
            centre = (rows[known] / lengths[known, None]).mean(axis=0)
            # (u - c)(t - c) and |u - c|² of unit vectors u, t from products alone, without a second matrix.
            along, square = rows @ centre / lengths, centre @ centre
            inner = cosine - along - unit @ centre + square
            norm = np.sqrt(np.maximum(1 - 2 * along + square, 0) * ((unit - centre) @ (unit - centre)))
            centred[name] = np.clip(inner / np.where(norm > 1e-12, norm, np.nan), -1.0, 1.0)
    columns = {}
    for kind in vector_kinds(target):
        names = [name for name in target if vector_kind(name) == kind]
        columns[f"mean_{kind}"] = mean_cosine(np.column_stack([plain[n] for n in names]))
        columns[f"centred_{kind}"] = mean_cosine(np.column_stack([centred[n] for n in names]))
    return pd.DataFrame(columns, index=range(len(sources)))
