"""A task vector from the core install: hashed TF-IDF through a fixed random projection.

Two tasks embedded on different machines, years apart, must be comparable, so nothing here is fitted on
a corpus of tasks: words are hashed into a fixed space, inverse document frequencies come from the
task's own texts (a task's vector depends on that task alone), and the reduction is a fixed random
projection where a truncated SVD would need a basis that changes with the tasks it was fitted on.
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
    """The mean TF-IDF vector of a task's texts, hashed and projected to `dimension` numbers.

    Tokens (`tokenize`) are hashed into 2^18 columns; a text's weights are (1 + ln tf) · idf, scaled to unit length,
    with idf = ln((1 + n) / (1 + df)) + 1 over the n texts given; the mean over texts goes through
    `transfer_meta.features.vectors.count_sketch.count_sketch` and is scaled to unit length.

    Parameters
    ----------
    texts : iterable of str
        One string an example; the first `max_texts` are used, so that memory is bounded.
    dimension : int
        Length of the vector.
    max_texts : int

    Returns
    -------
    array of shape (dimension,), of unit length

    Raises
    ------
    InputError
        No text, or no token in any of them.

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
        raise InputError("no text to make a task vector of")
    hashing = HashingVectorizer(
        n_features=_HASH_SPACE, alternate_sign=False, norm=None, analyzer=tokenize
    )
    weights = TfidfTransformer(sublinear_tf=True).fit_transform(hashing.transform(taken))
    vector = count_sketch(np.asarray(weights.mean(axis=0)).ravel(), dimension=dimension)
    length = float(np.linalg.norm(vector))
    if length == 0:
        raise InputError(f"no token in any of {len(taken)} texts to make a task vector of")
    return vector / length


def example_text(example: Example) -> str:
    """Everything that an example says, as one string: text, second text, choices."""
    return " ".join([example.text, example.text_pair or "", *example.choices])
