"""Task vectors that need a short tuning with LoRA, for models of every kind."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_language_models import LANGUAGE_MODELS, save_language_model
from tiny_tasks import ALL_TYPES, EXAMPLES, tiny

from transfer_meta.encoding.encoding_settings import LoraSettings, VectorSettings
from transfer_meta.encoding.language_model import LanguageModel
from transfer_meta.encoding.lora_fisher import answer_fisher, lora_layers
from transfer_meta.errors import InputError
from transfer_meta.features.vectors.similarities import similarity_features
from transfer_meta.records import Example, TaskType
from transfer_meta.runs.store.run_store import Store
from transfer_meta.tasks import Task
from transfer_meta.training.tuned_vectors import TuningEmbedder, lora_added, tune

MODELS = ("encoder", *LANGUAGE_MODELS)
SETTINGS = VectorSettings(lora=LoraSettings(rank=2, steps=3, learning_rate=1e-2, batch_size=4))


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    base = tmp_path_factory.mktemp("models")
    found = {kind: save_language_model(kind, base / kind) for kind in LANGUAGE_MODELS}
    return {"encoder": "random:2x32", **found}


@pytest.fixture(scope="module", params=MODELS)
def embedder(request: pytest.FixtureRequest, names: dict[str, str]) -> TuningEmbedder:
    return TuningEmbedder(names[request.param], SETTINGS)


@pytest.mark.parametrize("type", [*ALL_TYPES, TaskType.GENERATION])
def test_every_kind_works_for_every_type_or_says_why_not(
    embedder: TuningEmbedder, type: TaskType
) -> None:
    written = [Example("one", ("two",)), Example("three", ("four or five",), text_pair="Count.")]
    task = Task.from_iterable("t", type, {"train": EXAMPLES.get(type, written)}, description="Words.")
    result = embedder.embed(task, embedder.makers)
    kinds = {name.partition(".")[0] for name in result.vectors}
    assert kinds | set(result.missing) == set(embedder.makers)
    assert all(np.isfinite(v).all() and np.any(v) for v in result.vectors.values())
    has_names = type in (TaskType.CLASSIFICATION, TaskType.TOKEN_CLASSIFICATION)
    expected = set() if has_names else {"labelemb"}
    if embedder.kind == "encoder":
        expected.add("lastemb")
        if type is TaskType.GENERATION:
            expected |= {"taskemb", "loraemb", "classemb"}
    else:
        if embedder.kind == "encoder-decoder":
            expected.add("lastemb")
        if type not in (TaskType.CLASSIFICATION, TaskType.REGRESSION):
            expected.add("classemb")
    assert set(result.missing) == expected
    assert all("\n" not in reason for reason in result.missing.values())


def test_the_model_stays_as_it_was(embedder: TuningEmbedder) -> None:
    def state() -> dict[str, torch.Tensor]:
        return {name: weight.clone() for name, weight in embedder.encoder.model.state_dict().items()}

    task = tiny(TaskType.CLASSIFICATION)
    before, text = state(), embedder.embed(task, ["textemb"]).vectors["textemb"]
    embedder.embed(task, ["loraemb", "taskemb"])
    after = state()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], weight) for name, weight in before.items())
    np.testing.assert_array_equal(embedder.embed(task, ["textemb"]).vectors["textemb"], text)


def test_vectors_depend_on_content_and_settings_alone(
    embedder: TuningEmbedder, recwarn: pytest.WarningsRecorder
) -> None:
    task = tiny(TaskType.CLASSIFICATION)
    kinds = ["loraemb", "taskemb"]
    first = embedder.embed(task, kinds).vectors
    torch.manual_seed(5)
    other = TuningEmbedder(embedder.name, SETTINGS)
    other.embed(tiny(TaskType.REGRESSION), kinds)
    again = other.embed(replace(task, name="another name"), kinds[::-1]).vectors
    assert again.keys() == first.keys()
    for name, values in first.items():
        np.testing.assert_array_equal(again[name], values)
    for changed in ({"seed": 1}, {"steps": 2}, {"rank": 1}, {"learning_rate": 1e-3}):
        lora = replace(SETTINGS.lora, **changed)  # type: ignore[arg-type]
        differs = TuningEmbedder(embedder.name, replace(SETTINGS, lora=lora)).embed(task, ["loraemb"])
        assert not any(np.array_equal(v, first[name]) for name, v in differs.vectors.items())
    assert not [str(w.message) for w in recwarn if "PEFT" in str(w.message)]


def test_the_weights_are_a_vector_of_each_layer(embedder: TuningEmbedder) -> None:
    whole = TuningEmbedder(embedder.name, replace(SETTINGS, dimension=None))
    task = tiny(TaskType.CLASSIFICATION)
    found = whole.embed(task, ["loraemb"]).vectors
    with lora_added(whole.encoder, SETTINGS.lora) as model:
        layers = lora_layers(model.model)
        assert list(found) == [f"loraemb.{layer}" for layer in layers]
        for layer, (first, second) in layers.items():
            assert len(found[f"loraemb.{layer}"]) == first.weight.numel() + second.weight.numel()
            assert not second.weight.any()
            bound = first.weight.shape[1] ** -0.5
            assert 0.8 * bound < float(first.weight.detach().abs().max()) <= bound
    short = TuningEmbedder(embedder.name, replace(SETTINGS, dimension=16))
    assert {len(v) for v in short.embed(task, ["loraemb"]).vectors.values()} == {16}


def test_without_steps(embedder: TuningEmbedder) -> None:
    lora = replace(SETTINGS.lora, steps=0)
    untuned = TuningEmbedder(embedder.name, replace(SETTINGS, lora=lora, dimension=None))
    result = untuned.embed(tiny(TaskType.CLASSIFICATION), ["loraemb", "taskemb"])
    assert "at least one step" in result.missing["loraemb"]
    if embedder.kind == "encoder":
        return
    for name, values in result.vectors.items():
        # The second factor is zero at first, and with it the gradient of the first one.
        with lora_added(untuned.encoder, lora) as model:
            first, second = lora_layers(model.model)[name.removeprefix("taskemb.")]
        size = first.weight.numel()
        assert len(values) == size + second.weight.numel()
        assert not values[:size].any()
        assert values[size:].any()


def test_tuning_lowers_the_loss_and_taskemb_is_of_the_tuned_model(names: dict[str, str]) -> None:
    rows = [Example(f"{word} {i}", word) for i in range(12) for word in ("yes", "no")]
    task = Task.from_iterable("t", TaskType.CLASSIFICATION, {"train": rows})
    lora = LoraSettings(rank=4, steps=40, learning_rate=1e-2)
    settings = VectorSettings(lora=lora, dimension=None)
    embedder = TuningEmbedder(names["llama"], settings)
    found = embedder.embed(task, ["taskemb"]).vectors
    sample = embedder._sample(task)
    lengths = []
    with lora_added(embedder.encoder, lora) as model:
        assert isinstance(model, LanguageModel)
        for tuned in (False, True):
            if tuned:
                tune(model, sample, lora, settings.encoding)
            parts = answer_fisher(model, sample, settings.fisher, settings.encoding)
            lengths.append(math.sqrt(sum(float(np.square(part).sum()) for part in parts.values())))
    assert found.keys() == {f"taskemb.{name}" for name in parts}
    for name, part in parts.items():
        np.testing.assert_allclose(found[f"taskemb.{name}"], part, rtol=1e-5)
    # What is answered right has small gradients.
    assert lengths[1] < lengths[0] / 2


@pytest.mark.parametrize("model", LANGUAGE_MODELS)
def test_halves_of_a_task_are_nearest(model: str, names: dict[str, str]) -> None:
    """Tasks on the same words with other answers: vectors of their texts tell none of them from another."""
    random = np.random.default_rng(0)

    def half(answers: tuple[str, str]) -> Task:
        texts = ["".join(random.permutation(list("abcdef"))) for _ in range(24)]
        rows = [Example(text, answers[text.index("a") < text.index("b")]) for text in texts]
        return Task.from_iterable("t", TaskType.CLASSIFICATION, {"train": rows})

    lora = LoraSettings(steps=8, learning_rate=1e-2, batch_size=8)
    embedder = TuningEmbedder(names[model], VectorSettings(lora=lora))
    kinds = ("loraemb", "taskemb")
    pairs = [("yes", "no"), ("up", "down"), ("1", "2")]
    first, second = ({p[0]: embedder.embed(half(p), kinds).vectors for p in pairs} for _ in range(2))
    for name, target in first.items():
        found = similarity_features(target=target, sources=second)
        assert {found[f"centred_{kind}"].idxmax() for kind in kinds} == {name}


def test_no_vector_of_another_model_is_taken_from_a_store(
    names: dict[str, str], tmp_path: Path
) -> None:
    store = Store(str(tmp_path / "runs.sqlite"), create=True)
    task = tiny(TaskType.CLASSIFICATION)
    kinds = ("textemb", "lastemb", "taskemb", "loraemb")
    folder = tmp_path / "model"

    def stored(name: str, settings: VectorSettings = SETTINGS) -> tuple[str, ...]:
        return TuningEmbedder(name, settings, store=store).embed(task, kinds).stored

    shutil.copytree(names["gpt2"], folder)
    assert stored(str(folder)) == ()
    assert stored(str(folder)) == kinds
    # Another model in the same place.
    shutil.rmtree(folder)
    shutil.copytree(names["llama"], folder)
    assert stored(str(folder)) == ()
    tuning = replace(SETTINGS, lora=replace(SETTINGS.lora, steps=2))
    assert stored(str(folder), tuning) == ("textemb", "lastemb")


def test_taskemb_of_an_encoder_does_not_depend_on_lora(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "runs.sqlite"), create=True)
    task = tiny(TaskType.CLASSIFICATION)
    for steps, expected in ((3, ()), (2, ("taskemb",))):
        settings = replace(SETTINGS, lora=replace(SETTINGS.lora, steps=steps))
        embedder = TuningEmbedder("random:2x32", settings, store=store)
        assert embedder.embed(task, ["taskemb", "loraemb"]).stored == expected


def test_what_cannot_be_tuned() -> None:
    alone = Task.from_iterable("t", "classification", {"train": [Example("a", "x"), Example("b", "x")]})
    result = TuningEmbedder("random:2x32", SETTINGS).embed(alone, ["loraemb"])
    assert "single class" in result.missing["loraemb"]
    result = TuningEmbedder("bilstm", SETTINGS).embed(tiny(TaskType.CLASSIFICATION), ["loraemb"])
    assert "needs a transformer" in result.missing["loraemb"]
    for settings, message in (
        ({"rank": 0}, "rank = 0"),
        ({"steps": -1}, "steps of LoRA = -1"),
        ({"learning_rate": 0.0}, "learning_rate = 0.0"),
    ):
        with pytest.raises(InputError, match=message):
            LoraSettings(**settings)  # type: ignore[arg-type]
