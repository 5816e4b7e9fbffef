"""Task vectors without an encoder: hashed TF-IDF through a fixed random projection.

Nothing is fitted on a corpus of tasks, so vectors made on different machines and at different times are
comparable: words are hashed into a fixed space, inverse document frequencies come from the task's own texts,
and a fixed projection replaces a truncated SVD.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import numpy as np

from transfer_meta.errors import InputError
from transfer_meta.features.text.tokenize import tokenize
from transfer_meta.features.vectors.count_sketch import count_sketch
from transfer_meta.records import Example, FloatArray

_HASH_SPACE = 2**18


def hashed_text_vector(
    texts: Iterable[str], *, dimension: int = 1024, max_texts: int = 10_000
) -> FloatArray:
    """Return the mean TF-IDF vector of a task's texts, hashed and projected to `dimension` numbers.

    Tokens are hashed into 2^18 columns; a text's weights are (1 + ln tf) · idf, scaled to unit length, with
    idf = ln((1 + n) / (1 + df)) + 1 over the n texts; the mean over texts is projected by `count_sketch`.

    Parameters
    ----------
    texts : iterable of str
        One string per example.
    dimension : int
    max_texts : int
        Only the first `max_texts` texts are used, to bound memory.

    Returns
    -------
    array of shape (dimension,), of unit length

    Raises
    ------
    InputError
        There is no text, or no token in any of them.

    Examples
    --------
    >>> film, review, weather = (
    ...     hashed_text_vector([t]) for t in ("a fine film", "fine acting, fine film", "rain at noon")
    ... )
    >>> film @ review > film @ weather
    np.True_
    """
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

    taken = list(islice(texts, max_texts))
    if not taken:
        raise InputError("a task vector needs at least one text")
    hashing = HashingVectorizer(
        n_features=_HASH_SPACE, alternate_sign=False, norm=None, analyzer=tokenize
    )
    weights = TfidfTransformer(sublinear_tf=True).fit_transform(hashing.transform(taken))
    vector = count_sketch(np.asarray(weights.mean(axis=0)).ravel(), dimension=dimension)
    length = float(np.linalg.norm(vector))
    if length == 0:
        raise InputError(f"a task vector needs at least one token (got {len(taken)} texts without any)")
    return vector / length


def example_text(example: Example) -> str:
    """Return all texts of an example as one string: text, second text, choices."""
    return " ".join([example.text, example.text_pair or "", *example.choices])
