"""The library, the models and the catalogue that ship, as a user meets them."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from transfer_meta.recommender.catalogue_facts import catalogue, catalogue_vectors
from transfer_meta.recommender.fitting import UNKNOWN_SETTING
from transfer_meta.recommender.inputs import DESCRIPTION, MODES, SCORES
from transfer_meta.recommender.library import ATLAS, ATLAS_TABLES, Library, methods_of, open_library
from transfer_meta.recommender.persistence import model_name, shipped_models, shipped_recommender
from transfer_meta.recommender.recommend import RecommendSettings, recommend
from transfer_meta.recommender.recommendation import Recommendation
from transfer_meta.tasks import ReadSettings

SHIPPED = [(method, mode) for method in ("intermediate", "multitask") for mode in MODES]
opened = functools.cache(open_library)


@functools.cache
def answer(**values: object) -> Recommendation:
    """The answer in mode text for the reviews of the demo."""
    return recommend("demo:reviews", RecommendSettings(**{"mode": "text", **values}))


def test_every_method_and_mode_has_its_model() -> None:
    assert methods_of(ATLAS) == ("intermediate", "multitask")
    assert set(shipped_models(ATLAS)) == {model_name(mode, method) for method, mode in SHIPPED}


@pytest.mark.parametrize(("method", "mode"), SHIPPED)
def test_a_shipped_model_loads_and_is_of_the_tables_that_ship(method: str, mode: str) -> None:
    library: Library = opened(ATLAS, method=method)
    recommender = shipped_recommender(library, mode)
    card = recommender.card
    assert (card["dataset"], card["method"], card["mode"]) == (ATLAS, method, mode)
    assert card["data_digest"] == library.digest
    assert card["n_outcomes"] == library.n_outcomes
    assert card["n_targets"] == len(library.targets)
    names = {setting.name for setting in library.settings}
    assert set(card["figures"]) == {*names, UNKNOWN_SETTING}
    assert set(recommender.gain_model.scales) == names
    for name in (*names, None):
        figures = recommender.figures(name)
        if name is None and len(library.settings) > 1:
            # The widest known interval: every left-out encoder is covered, most of them more than promised.
            assert figures["coverage_least"] >= 0.86
        else:
            assert figures["coverage"] == pytest.approx(0.9, abs=0.04)
        assert np.isfinite(list(figures.values())).all()
        assert recommender.interval(name).high_offset > 0
        for basis in (DESCRIPTION, *((SCORES,) if mode == "sources" else ())):
            assert recommender.interval(name, basis=basis).high_offset > 0


@pytest.mark.parametrize("mode", MODES)
def test_intermediate_transfer_is_ranked_better_than_by_chance(mode: str) -> None:
    recommender = shipped_recommender(opened(ATLAS), mode)
    for name in (*recommender.gain_model.scales, None):
        assert recommender.figures(name)["spearman"] > 0.25


def test_the_library_has_both_tables_and_every_task_a_description() -> None:
    library = opened(ATLAS)
    assert library.tables == ATLAS_TABLES
    assert len(library.settings) == 6
    assert len({s.encoder for s in library.settings}) == 5
    assert all("desctext" in vectors for vectors in library.vectors.values())
    for name, examples, setting in (
        (None, None, "all-MiniLM-L6-v2, 200 examples"),
        ("sentence-transformers/all-MiniLM-L6-v2", 10_000, "all-MiniLM-L6-v2, 200 examples"),
        ("FacebookAI/roberta-base", 200, "roberta-base, 1,000 examples"),
        ("google-t5/t5-base", 50, "t5-base, 1,000 examples"),
    ):
        found = library.find_setting(name, examples)
        assert found is not None
        assert found.name == setting
    assert library.find_setting("google-bert/bert-base-uncased") is None


def test_the_catalogue_has_vectors_of_both_kinds() -> None:
    found = catalogue_vectors()
    assert set(found) == {source.name for source in catalogue()}
    assert {tuple(sorted(vectors)) for vectors in found.values()} == {("descemb", "desctext")}


def test_reviews_of_the_demo() -> None:
    found = answer(top=300)
    library = opened(ATLAS)
    assert found.target == "reviews"
    assert found.n_candidates == len(found.sources) > 120
    names = {s.source for s in found.sources}
    assert set(library.sources) <= names
    assert len(names) == len(found.sources)
    assert all(
        np.isfinite([s.probability, s.expected_gain, s.low, s.high]).all() for s in found.sources
    )
    tried = [s for s in found.sources if s.n_outcomes]
    assert {s.source for s in tried} == set(library.sources)
    # Each source says where it is found.
    assert all(s.address.startswith("hf:") for s in found.sources)
    assert all(s.to_dict()["hub"] for s in found.sources)
    assert found.model["encoders"] == sorted({s.encoder for s in library.settings})


@pytest.mark.parametrize(
    ("encoder", "setting"),
    [
        ("roberta-base", "roberta-base, 1,000 examples"),
        ("google-t5/t5-large", "t5-large, 1,000 examples"),
        ("bert-base-uncased", UNKNOWN_SETTING),
    ],
)
def test_another_encoder_gives_another_answer(encoder: str, setting: str) -> None:
    found, usual = answer(encoder=encoder), answer()
    assert found.model["setting"] == setting
    assert [s.expected_gain for s in found.sources] != [s.expected_gain for s in usual.sources]
    assert usual.checkpoints is None
    assert found.checkpoints is not None
    # Its table of checkpoints has one encoder that the others lack, and lacks one of theirs.
    assert len(found.checkpoints.points) == (0 if "large" in encoder else 3)


def test_filters_and_a_description_alone() -> None:
    settings = RecommendSettings(
        mode="text",
        top=300,
        description="Questions about a passage of a news article, answered by a span of it.",
        types=("question-answering",),
        max_size=50_000,
        read=ReadSettings(type="question-answering"),
    )
    found = recommend(None, settings)
    facts = {s.name: s for s in catalogue()}
    assert found.sources
    assert all(s.facts is not None and (s.facts.train_size or 0) <= 50_000 for s in found.sources)
    assert {facts[s.source].type for s in found.sources} == {"question-answering"}
    assert any(f"of {len(answer(top=300).sources)} sources are left out" in n for n in found.notes)
