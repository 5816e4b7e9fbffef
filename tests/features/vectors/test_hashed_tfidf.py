from __future__ import annotations

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from transfer_meta.errors import InputError
from transfer_meta.features.text.tokenize import tokenize
from transfer_meta.features.vectors.hashed_tfidf import example_text, hashed_text_vector
from transfer_meta.records import Example

FILMS = ["a fine film", "a dull, dull film", "the acting was fine", "no plot at all"]
WEATHER = ["rain at noon", "sun and a little rain", "snow in the north", "no wind at all"]


def test_without_projection_the_cosine_is_that_of_tfidf_centroids() -> None:
    def centroid(texts: list[str]) -> dict[str, float]:
        fitted = TfidfVectorizer(sublinear_tf=True, analyzer=tokenize)
        weights = np.asarray(fitted.fit_transform(texts).mean(axis=0)).ravel()
        return dict(zip(fitted.get_feature_names_out(), weights, strict=True))

    a, b = centroid(FILMS), centroid(WEATHER)
    inner = sum(a[word] * b[word] for word in set(a) & set(b))
    expected = inner / np.sqrt(sum(v * v for v in a.values()) * sum(v * v for v in b.values()))
    films, weather = (hashed_text_vector(t, dimension=2**18) for t in (FILMS, WEATHER))
    assert films @ weather == pytest.approx(expected)


def test_depends_on_its_own_texts_alone_and_not_on_their_order() -> None:
    before = hashed_text_vector(FILMS)
    hashed_text_vector(WEATHER)
    np.testing.assert_allclose(hashed_text_vector(FILMS[::-1]), before)
    assert np.linalg.norm(before) == pytest.approx(1)
    assert before.shape == (1024,)


def test_only_the_first_texts_are_read() -> None:
    def endless() -> object:
        while True:
            yield from FILMS

    np.testing.assert_allclose(hashed_text_vector(endless(), max_texts=4), hashed_text_vector(FILMS))


def test_a_language_without_blanks_is_read_by_character() -> None:
    a, b, c = (hashed_text_vector([t]) for t in ("好电影很好看", "这电影好看", "明天下雨"))
    assert a @ b > a @ c


@pytest.mark.parametrize("texts", [[], [" ", "\n"], [""]])
def test_nothing_to_embed(texts: list[str]) -> None:
    with pytest.raises(InputError, match="a task vector needs at least one"):
        hashed_text_vector(texts)


def test_example_text_has_all_parts() -> None:
    example = Example("It rained.", 1, text_pair="What then?", choices=("sun", "floods"))
    assert example_text(example) == "It rained. What then? sun floods"
