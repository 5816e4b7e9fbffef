"""Recommendations in mode ``sources``: sources without outcomes are ranked by their own encoders."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from known_tasks import (
    ALL_NAMES,
    ENCODER,
    FILM,
    FILM_WORDS,
    HARMFUL,
    HELPFUL,
    NEVER_TRIED,
    RAIN,
    RAIN_WORDS,
    WITH_ENCODER,
    make_task,
    scores_of,
    task_named,
    true_gain,
    write_csv,
)

from transfer_meta.encoding.source_files import encoder_folder, find_source_encoders
from transfer_meta.errors import InputError
from transfer_meta.features.profile_files import save_profile
from transfer_meta.features.vectors.vector_files import save_vectors
from transfer_meta.recommender.candidates import CandidatePairs
from transfer_meta.recommender.describe_target import (
    TargetDescription,
    describe_target,
    stored_sources,
)
from transfer_meta.recommender.inputs import DESCRIPTION, OUTCOMES, SCORE_FEATURES, SCORES
from transfer_meta.recommender.library import Library
from transfer_meta.recommender.persistence import shipped_recommender
from transfer_meta.recommender.recommend import RecommendSettings, recommend, recommend_described
from transfer_meta.recommender.recommendation import RankedSource, Recommendation, skill_of, verdict_of
from transfer_meta.recommender.source_readers import SourceReaders
from transfer_meta.tasks import ReadSettings, Task
from transfer_meta.tasks.load import load_task

ONLY = "toy-mini, 40 examples"
SCORER = "transfer_meta.encoding.source_scores.score_source_encoders"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSFER_META_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def library(scored_library: Library) -> Library:
    return scored_library


@pytest.fixture
def target(library: Library) -> Task:
    return make_task("cinema", FILM, seed=50)


@pytest.fixture
def own(library: Library, own_sources: Path) -> dict[str, Task]:
    """Two sources that the user has added."""
    tasks = [make_task("b_films", FILM, seed=60), make_task("a_weather", RAIN, seed=61)]
    for task in tasks:
        add(task, library, own_sources)
    return {task.name: task for task in tasks}


def add(task: Task, library: Library, folder: Path, *, encoder: str = ENCODER) -> Path:
    """Write the files of an added source: what the recommender knows of it, and its encoder."""
    from source_samples import save_sample

    here = folder / encoder_folder(encoder)
    here.mkdir(parents=True, exist_ok=True)
    found = describe_target(task, library, "encoder")
    facts = {"encoder": ENCODER, "types": {task.name: str(task.type)}}
    save_vectors(here / f"{task.name}.npz", {task.name: found.vectors}, facts)
    save_profile(here / f"{task.name}.json", found.profile)
    return save_sample(here / f"{task.name}.safetensors", task, seed=7, encoder=encoder)


def settings(**values: Any) -> RecommendSettings:
    """Settings of an answer with all sources, and without checkpoints."""
    defaults = {"top": 40, "description": FILM_WORDS, "checkpoints": 0}
    return RecommendSettings(**{**defaults, **values})


def by_label(found: Recommendation) -> dict[str, RankedSource]:
    return {source.label: source for source in found.sources}


def of_basis(found: Recommendation, basis: str) -> set[str]:
    return {source.label for source in found.sources if source.basis == basis}


def assert_alike(one: RankedSource, other: RankedSource) -> None:
    """Check that all is said alike of a source in two answers, whatever its rank."""
    assert replace(one, rank=0, reasons=()) == replace(other, rank=0, reasons=())
    for a, b in zip(one.reasons, other.reasons, strict=True):
        # Similarities are products of matrices, whose last digit depends on how many sources there are.
        value = pytest.approx(b.value) if isinstance(b.value, float) else b.value
        assert (a.feature, a.value, a.effect, a.text) == (b.feature, value, b.effect, b.text)


def stub_scores(monkeypatch: pytest.MonkeyPatch, gains: Mapping[str, float]) -> list[list[str]]:
    """Let encoders of known sources score as their gain on a film task is, others as `gains` say."""
    asked: list[list[str]] = []

    def score(task: Task, files: Mapping[str, Path], **_: Any) -> pd.DataFrame:
        asked.append(list(files))
        return scores_of({name: gains.get(name, true_gain(name, "film")) for name in files})

    monkeypatch.setattr(SCORER, score)
    return asked


def test_sources_without_outcomes_are_ranked_by_their_encoders(
    library: Library, target: Task, own: dict[str, Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The scores say the opposite of the descriptions: the weather helps.
    gains = {"studio": 0.0, "festival-alias": 0.03, "a_weather": 0.09, "b_films": -0.09}
    asked = stub_scores(monkeypatch, gains)
    found = recommend(target, settings(mode="sources"))
    assert asked == [sorted([*WITH_ENCODER, *own])]
    assert found.mode == "sources"
    sources = by_label(found)
    assert set(sources) == {*ALL_NAMES, *NEVER_TRIED, *own}
    assert of_basis(found, OUTCOMES) == set(ALL_NAMES)
    # One of the two of the catalogue by its own name, one by an alias.
    assert of_basis(found, SCORES) == {"studio", "festival", *own}
    assert of_basis(found, DESCRIPTION) == {"harbour", "harvest"}
    order = sorted(of_basis(found, SCORES), key=lambda name: sources[name].rank)
    assert order == ["a_weather", "festival", "studio", "b_films"]
    assert sources["a_weather"].expected_gain > 0 > sources["b_films"].expected_gain
    # What has outcomes is ranked as before.
    assert sources[HELPFUL].rank <= 2
    assert sources[HARMFUL].expected_gain < sources["rain_d"].expected_gain
    # The reason for it, in words.
    (reason,) = (r for r in sources["a_weather"].reasons if r.feature == "its encoder on the target")
    assert reason.effect > 0
    assert "a linear model on its vectors reaches 0.09, typical is " in reason.text
    assert not any("encoder on" in r.feature for n in NEVER_TRIED[2:] for r in sources[n].reasons)


def test_each_basis_has_its_interval_probability_and_figure(
    library: Library, target: Task, own: dict[str, Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    stub_scores(monkeypatch, {"studio": 0.0, "festival-alias": 0.0, "a_weather": 0.0, "b_films": 0.0})
    recommender = shipped_recommender(library, "sources")
    found = recommend(target, settings(mode="sources"))
    gain_model = recommender.gain_model
    for source in found.sources:
        interval = recommender.interval(ONLY, basis=source.basis)
        low, high = interval.interval(source.expected_gain, widen=found.widened)
        assert (source.low, source.high) == (pytest.approx(low), pytest.approx(high))
        probability = gain_model.probability(
            pd.Series([source.expected_gain]).to_numpy(), ONLY, basis=source.basis, doubt=found.widened
        )
        assert source.probability == pytest.approx(probability[0])
    figures = found.model["figures"]
    assert figures == recommender.figures(ONLY)
    notes = {"by what their own encoders make of the target": (SCORES, of_basis(found, SCORES)),
             "by descriptions alone": (DESCRIPTION, of_basis(found, DESCRIPTION))}  # fmt: skip
    for how, (basis, names) in notes.items():
        (note,) = (note for note in found.notes if f"are known: ranked {how}" in note)
        assert f"for sources that were left out {figures[f'spearman_{basis}']:.2f})" in note
        listed = note.removeprefix("no outcomes of ").split(" are known")[0].split(", ")
        assert set(listed) == names


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([HELPFUL], [OUTCOMES]),
        (["studio"], [SCORES]),
        (["harbour"], [DESCRIPTION]),
        ([HELPFUL, "studio"], [OUTCOMES, SCORES]),
        ([HELPFUL, "studio", "harbour"], [OUTCOMES, SCORES, DESCRIPTION]),
    ],
)
def test_the_closing_line_states_the_figure_of_each_basis_that_is_shown(
    target: Task, monkeypatch: pytest.MonkeyPatch, names: list[str], said: list[str]
) -> None:
    stub_scores(monkeypatch, {"studio": 0.0, "festival-alias": 0.0})
    found = recommend(target, settings(mode="sources"), sources=names)
    closing = str(found).splitlines()[-1]
    words = {
        OUTCOMES: "of sources with outcomes",
        SCORES: "of sources ranked by their encoders",
        DESCRIPTION: "of sources ranked by descriptions",
    }
    figures = found.model["figures"]
    for basis, text in words.items():
        figure = figures["spearman" if basis == OUTCOMES else f"spearman_{basis}"]
        assert (f"{figure:.2f} {text}" in closing) == (basis in said)
    assert "also through the encoders that were fine-tuned on the sources" in closing


def test_json_says_what_each_gain_rests_on(target: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    stub_scores(monkeypatch, {"studio": 0.0, "festival-alias": 0.0})
    names = [HELPFUL, "studio", "harbour"]
    found = recommend(target, settings(mode="sources"), sources=names).to_dict()
    basis = {source["source"]: (source["basis"], source["tried"]) for source in found["sources"]}
    assert basis == {
        HELPFUL: (OUTCOMES, True),
        "studio": (SCORES, False),
        "harbour": (DESCRIPTION, False),
    }


def test_the_verdict_rests_on_the_figure_of_what_is_shown(
    library: Library, target: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub_scores(monkeypatch, {"studio": 0.06, "festival-alias": 0.0})
    described = describe_target(replace(target, description=FILM_WORDS), library, "sources")
    recommender = shipped_recommender(library, "sources")
    figures = {**recommender.figures(ONLY), "spearman_description": -0.02}
    card = {**recommender.card, "figures": {**recommender.card["figures"], ONLY: figures}}
    poor = replace(recommender, card=card)

    def verdict(*names: str) -> str:
        return recommend_described(described, library, poor, settings(), known=names).verdict

    assert "no better than chance (rank correlation −0.02)" in verdict("harbour", "harvest")
    # Descriptions tell nothing; the others' figures are good.
    for names in (["studio"], ["studio", "harbour"], [HELPFUL, "harbour"]):
        assert verdict(*names).startswith(f"Try {names[0]} first")


def test_skill_is_that_of_the_basis() -> None:
    figures = {"spearman": 0.6, "spearman_scores": 0.5, "spearman_description": 0.2}
    assert [skill_of(figures, basis) for basis in (OUTCOMES, SCORES, DESCRIPTION)] == [0.6, 0.5, 0.2]
    unknown = skill_of({"spearman": 0.6}, SCORES)
    assert unknown != unknown
    # A figure that was not measured supports nothing.
    assert verdict_of((), coverage=0.9, skill=unknown).startswith("No recommendation: how well")


def test_sources_with_outcomes_keep_what_is_said_of_them(
    library: Library, target: Task, own: dict[str, Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    stub_scores(monkeypatch, {"studio": 0.05, "festival-alias": 0.0, "a_weather": 0.0, "b_films": 0.0})
    every = by_label(recommend(target, settings(mode="sources")))
    alone = by_label(recommend(target, settings(mode="sources"), sources=[*ALL_NAMES]))
    assert set(alone) == set(ALL_NAMES)
    for name, source in alone.items():
        assert replace(source, rank=0) == replace(every[name], rank=0)


OTHER_ENCODERS = pytest.mark.parametrize(
    ("encoder", "setting"), [("toy-encoder", "toy-encoder, 400 examples"), ("another", None)]
)


@OTHER_ENCODERS
def test_source_encoders_have_no_part_in_an_answer_for_another_encoder(
    library: Library,
    target: Task,
    monkeypatch: pytest.MonkeyPatch,
    encoder: str,
    setting: str | None,
) -> None:
    asked = stub_scores(monkeypatch, {"studio": 0.06, "festival-alias": -0.06})
    found = recommend(target, settings(mode="sources", encoder=encoder))
    assert asked == []
    assert found.mode == "encoder"
    notes = [note for note in found.notes if "source encoders had no part" in note]
    assert notes == [
        f"source encoders had no part in the answer: there are none of '{encoder}'"
        " (`transfer-meta sources build` trains them)"
    ]
    assert of_basis(found, DESCRIPTION) == set(NEVER_TRIED)
    assert not of_basis(found, SCORES)
    recommender = shipped_recommender(library, "encoder")
    assert found.model["figures"] == recommender.figures(setting)
    for source in found.sources:
        interval = recommender.interval(setting, basis=source.basis)
        assert source.high - source.expected_gain == pytest.approx(interval.high_offset * found.widened)
    plain = recommend(target, settings(mode="encoder", encoder=encoder))
    assert plain.sources == found.sources


@pytest.mark.parametrize("encoder", [None, "offline", "toy-mini", "somebody/Toy-Mini"])
def test_source_encoders_are_read_for_the_encoder_that_they_are_of(
    library: Library, target: Task, monkeypatch: pytest.MonkeyPatch, encoder: str | None
) -> None:
    asked = stub_scores(monkeypatch, {"studio": 0.06, "festival-alias": -0.06})
    found = recommend(target, settings(mode="sources", encoder=encoder))
    assert asked == [sorted(WITH_ENCODER)]
    assert (found.mode, found.model["setting"]) == ("sources", ONLY)
    assert of_basis(found, SCORES) == {"studio", "festival"}


@OTHER_ENCODERS
def test_another_encoder_with_source_encoders_of_its_own(
    library: Library,
    target: Task,
    own_sources: Path,
    monkeypatch: pytest.MonkeyPatch,
    encoder: str,
    setting: str | None,
) -> None:
    here = own_sources / encoder_folder(encoder)
    here.mkdir(parents=True)
    for file in find_source_encoders(ENCODER).values():
        shutil.copy(file, here)
    asked = stub_scores(monkeypatch, {"studio": 0.06, "festival-alias": -0.06})
    found = recommend(target, settings(mode="sources", encoder=encoder))
    assert asked == [sorted(WITH_ENCODER)]
    assert found.mode == "sources"
    assert f"the sources' encoders are those of '{encoder}'" in " ".join(found.notes)
    recommender = shipped_recommender(library, "sources")
    sources = by_label(found)
    assert of_basis(found, SCORES) == {"studio", "festival"}
    assert sources["studio"].expected_gain > sources["festival"].expected_gain + 0.03
    for source in sources.values():
        interval = recommender.interval(setting, basis=source.basis)
        assert source.high - source.expected_gain == pytest.approx(interval.high_offset * found.widened)


def test_a_known_target_is_left_out_and_its_encoder_is_no_source(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = stub_scores(monkeypatch, {"studio": 0.03, "festival-alias": -0.06})
    found = recommend(replace(task_named("film_a"), name="renamed"), settings(mode="sources"))
    assert asked == [sorted(name for name in WITH_ENCODER if name != "film_a")]
    sources = by_label(found)
    assert set(sources) == {*ALL_NAMES, *NEVER_TRIED} - {"film_a"}
    assert any("is the known task film_a" in note for note in found.notes)
    assert found.sources[0].source == HELPFUL
    assert sources["studio"].expected_gain > sources["festival"].expected_gain + 0.03


def test_end_to_end_with_a_small_encoder(library: Library, target: Task, own: dict[str, Task]) -> None:
    lines: list[str] = []
    seen: list[tuple[int, int]] = []
    found = recommend(target, settings(), tell=lines.append, on_progress=lambda *at: seen.append(at))
    # Sources were added, so their encoders read the target by default.
    assert found.mode == "sources"
    count = len(WITH_ENCODER) + len(own)
    assert lines == [
        f"embedding cinema with the encoder '{ENCODER}'",
        f"reading cinema with {count} source encoders",
    ]
    assert seen == [(done, count) for done in range(count + 1)]
    assert {*own, "studio", "festival"} == of_basis(found, SCORES)
    assert {s.label for s in found.sources if s.is_own} == set(own)
    assert not any("transfer-meta sources add" in note for note in found.notes)
    # The scores of a second answer come from the cache.
    seen.clear()
    again = recommend(target, settings(), on_progress=lambda *at: seen.append(at))
    assert seen == [(count, count)]
    assert again == found


def test_an_added_source_is_found_by_name_and_by_its_data(
    library: Library, target: Task, own: dict[str, Task], tmp_path: Path
) -> None:
    every = by_label(recommend(target, settings()))
    (named,) = recommend(target, settings(), sources=["b_films"]).sources
    assert_alike(named, every["b_films"])
    again = replace(own["b_films"], name="mine")
    (source,) = recommend(target, settings(), sources=[again]).sources
    assert (source.source, source.basis, source.is_own) == ("mine", SCORES, True)
    assert source.expected_gain == pytest.approx(named.expected_gain)
    both = recommend(target, settings(), sources=["b_films", "a_weather", "b_films", HELPFUL])
    assert {s.source for s in both.sources} == {*own, HELPFUL}
    assert len(both.sources) == 3


def test_an_added_source_is_known_by_its_file(
    library: Library, target: Task, own_sources: Path, tmp_path: Path
) -> None:
    first = write_csv(tmp_path / "b_films.csv", make_task("b_films", FILM, seed=60))
    add(load_task(first), library, own_sources)
    (named,) = recommend(target, settings(), sources=["b_films"]).sources
    (tmp_path / "elsewhere").mkdir()
    copied = shutil.copy(first, tmp_path / "elsewhere" / "mine.csv")
    for file, name in ((first, "b_films"), (str(first), "b_films"), (copied, "mine")):
        found = recommend(target, settings(), sources=[file])
        assert found.mode == "sources"
        (source,) = found.sources
        assert (source.source, source.basis, source.is_own) == (name, SCORES, True)
        assert source.expected_gain == pytest.approx(named.expected_gain)
    # What was changed since is another source.
    copied.write_text(copied.read_text().replace("film", "screen"))
    found = recommend(target, settings(), sources=[copied])
    assert (found.mode, found.sources[0].basis) == ("encoder", DESCRIPTION)
    assert any("trains an encoder of mine to rank it by" in note for note in found.notes)


def test_an_added_source_and_a_file_of_one_name(
    library: Library, target: Task, own: dict[str, Task]
) -> None:
    with pytest.raises(InputError, match="two sources are named 'b_films'") as error:
        recommend(target, settings(), sources=["b_films", own["b_films"]])
    assert "\n" not in str(error.value)


def test_an_added_source_comes_before_one_of_the_catalogue(
    library: Library, target: Task, own_sources: Path
) -> None:
    add(make_task("harbour", FILM, seed=62), library, own_sources)
    for given in (None, ["harbour"]):
        (source,) = (
            s for s in recommend(target, settings(), sources=given).sources if s.source == "harbour"
        )
        assert (source.is_own, source.basis, source.facts) == (True, SCORES, None)


def test_the_targets_own_encoder_has_no_part(
    library: Library, own: dict[str, Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = stub_scores(monkeypatch, {"studio": 0.0, "festival-alias": 0.0, "a_weather": 0.0})
    found = recommend(replace(own["b_films"], name="other_name"), settings())
    assert asked == [sorted([*WITH_ENCODER, "a_weather"])]
    assert "b_films" not in by_label(found)
    assert "a_weather" in by_label(found)
    assert any("b_films is the target itself: it is not ranked" in note for note in found.notes)


@pytest.mark.parametrize("mode", [None, "sources"])
def test_a_target_without_labels_is_read_by_the_plain_encoder(
    target: Task, own: dict[str, Task], mode: str | None, tmp_path: Path
) -> None:
    texts = [example.text for example in target.examples()]
    (tmp_path / "cinema.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in texts))
    read = ReadSettings(type="classification")
    found = recommend(tmp_path / "cinema.jsonl", settings(mode=mode, read=read))
    assert found.mode == "encoder"
    notes = [note for note in found.notes if "source encoders had no part" in note]
    assert notes == ["source encoders had no part in the answer: the task has no labels"]
    assert set(own) < of_basis(found, DESCRIPTION)
    assert not of_basis(found, SCORES)
    # They have been added: nothing is gained by adding them.
    assert not any("transfer-meta sources add" in note for note in found.notes)


def test_a_description_alone_is_read_by_the_plain_encoder(
    library: Library, own: dict[str, Task]
) -> None:
    found = recommend(None, settings(mode="sources"))
    assert found.mode == "encoder"
    notes = [note for note in found.notes if "source encoders had no part" in note]
    assert notes == [
        "source encoders had no part in the answer: there are no examples for them to read"
    ]
    assert set(own) < of_basis(found, DESCRIPTION)
    usual = recommend(None, settings())
    assert usual.mode == "encoder"
    assert not any("source encoders had no part" in note for note in usual.notes)
    assert usual.sources == found.sources


def test_without_source_encoders_the_answer_is_that_of_the_plain_encoder(
    library: Library, target: Task, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("transfer_meta.encoding.source_files.data_folder", lambda: tmp_path)
    found = recommend(target, settings(mode="sources"))
    assert found.mode == "encoder"
    assert (
        f"source encoders had no part in the answer: there are none of '{ENCODER}'"
        " (`transfer-meta sources build` trains them)"
    ) in found.notes


def test_a_source_that_was_not_added_says_what_adding_would_bring(
    library: Library, target: Task, own: dict[str, Task]
) -> None:
    figures = shipped_recommender(library, "sources").figures(ONLY)
    new = replace(make_task("new_films", FILM, seed=63), description=FILM_WORDS)
    for mode, sources in (
        ("encoder", [new]),
        ("text", [new]),
        ("sources", [new]),
        (None, [new, "b_films"]),
        ("encoder", [new, "b_films"]),
    ):
        found = recommend(target, settings(mode=mode), sources=sources)
        (note,) = (note for note in found.notes if "transfer-meta sources add" in note)
        assert "`transfer-meta sources add` trains an encoder of new_films to rank it by" in note
        assert f"{figures['spearman_scores']:.2f} by their encoders" in note
        assert f"{figures['spearman_description']:.2f} by descriptions" in note
    known = recommend(target, settings(mode="encoder"), sources=[HELPFUL, "studio"])
    assert not any("transfer-meta sources add" in note for note in known.notes)


def test_what_the_source_encoders_would_add_is_told(library: Library, target: Task) -> None:
    figures = shipped_recommender(library, "sources").figures(ONLY)
    found = recommend(target, settings(mode="encoder"))
    (note,) = (note for note in found.notes if note.startswith("with --mode sources"))
    assert f"{figures['spearman']:.2f}" in note
    assert not any("with an encoder" in note for note in found.notes)


def test_nothing_is_said_of_adding_where_it_would_not_help(
    atlas_library: Library,
) -> None:
    target = make_task("cinema", FILM, seed=50)
    # No recommender of mode sources ships with this library.
    found = recommend(target, settings(mode="text"), sources=[make_task("new", FILM, seed=63)])
    assert not any("transfer-meta sources add" in note for note in found.notes)


def test_a_library_without_scores_answers_with_added_sources(
    atlas_library: Library, own_sources: Path
) -> None:
    target = make_task("cinema", FILM, seed=50)
    add(make_task("b_films", FILM, seed=60), atlas_library, own_sources)
    assert atlas_library.scores is None
    found = recommend(target, settings())
    assert found.mode == "encoder"
    assert by_label(found)["b_films"].basis == DESCRIPTION
    (named,) = recommend(target, settings(), sources=["b_films"]).sources
    assert named.basis == DESCRIPTION
    with pytest.raises(InputError, match="mode 'sources' ships with 'atlas'"):
        recommend(target, settings(mode="sources"))


def test_added_sources_of_another_encoder_are_not_listed(
    library: Library, target: Task, own_sources: Path
) -> None:
    add(make_task("b_films", FILM, seed=60), library, own_sources, encoder="random:2x32")
    assert stored_sources(library) == []
    found = recommend(target, settings(description=None))
    assert found.mode == "encoder"
    assert "b_films" not in by_label(found)


@pytest.mark.parametrize("suffix", [".json", ".npz", ".safetensors"])
def test_a_source_that_lacks_a_file_is_not_listed(
    library: Library, own: dict[str, Task], own_sources: Path, suffix: str
) -> None:
    (own_sources / encoder_folder(ENCODER) / f"b_films{suffix}").unlink()
    assert [source.profile.name for source in stored_sources(library)] == ["a_weather"]
    assert stored_sources(library, ["b_films"]) == []


def test_added_sources_are_what_their_data_are(
    library: Library, own: dict[str, Task], own_sources: Path
) -> None:
    for source in stored_sources(library):
        task = own[source.profile.name]
        found = describe_target(task, library, "encoder")
        assert source.encoder == task.name
        assert source.profile.digest == found.profile.digest == task.digest
        assert source.vectors.keys() == found.vectors.keys()
    trained = SourceReaders.of(library.encoder).names
    assert {trained[task.digest] for task in own.values()} == set(own)
    assert trained[task_named("film_a").digest] == "film_a"
    # One that is named as a known task is that task.
    add(make_task("film_a", RAIN, seed=64), library, own_sources)
    assert [source.profile.name for source in stored_sources(library)] == ["a_weather", "b_films"]


def test_an_encoder_without_scores_on_the_target_is_none(library: Library, target: Task) -> None:
    described = replace(
        describe_target(target, library, "encoder"), mode="sources", scores=scores_of({"film_a": 0.1})
    )
    new = describe_target(make_task("b_films", FILM, seed=60), library, "encoder")

    def basis(source: TargetDescription) -> str:
        pairs = CandidatePairs(described, library, list(library.sources), [source], setting=ONLY)
        assert pairs.X[f"pair.{SCORE_FEATURES[0]}"].notna().sum() == 1 + (source.encoder == "film_a")
        return str(pairs.basis[-1])

    assert basis(new) == DESCRIPTION
    assert basis(replace(new, encoder="not_scored")) == DESCRIPTION
    assert basis(replace(new, encoder="film_a")) == SCORES


def test_a_weather_target_end_to_end(library: Library, own: dict[str, Task]) -> None:
    found = recommend(make_task("storms", RAIN, seed=51), settings(description=RAIN_WORDS))
    assert found.mode == "sources"
    assert found.sources[-1].source != HELPFUL
    assert {s.basis for s in found.sources} == {OUTCOMES, SCORES, DESCRIPTION}


@pytest.mark.parametrize("suffix", [".json", ".npz", ".safetensors"])
def test_a_broken_file_costs_its_source_alone(
    library: Library, target: Task, own: dict[str, Task], own_sources: Path, suffix: str
) -> None:
    (own_sources / encoder_folder(ENCODER) / f"b_films{suffix}").write_bytes(b"broken")
    told: list[str] = []
    found = recommend(target, settings(), tell=told.append)
    assert len([line for line in told if "left out" in line and "b_films" in line]) == 1
    assert by_label(found)["a_weather"].basis == SCORES
    kept = by_label(found).get("b_films")
    assert kept is None if suffix != ".safetensors" else kept.basis == DESCRIPTION


def test_source_encoders_of_the_model_to_be_tuned_come_first(
    library: Library, target: Task, own_sources: Path
) -> None:
    other = "random:2x32"
    add(make_task("b_films", FILM, seed=60), library, own_sources, encoder=other)
    found = recommend(target, settings(encoder=other, mode="sources"), sources=["film_a", "film_b"])
    assert f"the sources' encoders are those of '{other}'" in " ".join(found.notes)
    plain = recommend(target, settings(encoder="another", mode="sources"), sources=["film_a"])
    assert "the sources' encoders are those of" not in " ".join(plain.notes)
