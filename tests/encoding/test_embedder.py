from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_tasks import ALL_TYPES, EXAMPLES, tiny

from transfer_meta.encoding.embedder import Embedder, centroid_mean
from transfer_meta.encoding.encoders import load_encoder, save_encoder
from transfer_meta.encoding.encoding_settings import EncodingSettings, FisherSettings, VectorSettings
from transfer_meta.encoding.frozen_features import LabelledVectors
from transfer_meta.errors import InputError
from transfer_meta.features.vectors.similarities import cosine
from transfer_meta.records import Example, TaskType
from transfer_meta.runs.store.run_store import Store
from transfer_meta.tasks import Task
from transfer_meta.tasks.subsets import draw_examples

EMBEDDER = Embedder("random:2x32")


@pytest.mark.parametrize("type", ALL_TYPES)
def test_every_kind_works_for_every_type_or_says_why_not(type: TaskType) -> None:
    result = EMBEDDER.embed(tiny(type, "Sort texts by what they say."), EMBEDDER.makers)
    kinds = {name.partition(".")[0] for name in result.vectors}
    assert kinds | set(result.missing) == set(EMBEDDER.makers)
    unnamed = {TaskType.REGRESSION, TaskType.QUESTION_ANSWERING, TaskType.MULTIPLE_CHOICE}
    assert set(result.missing) == {"lastemb", *(["labelemb"] if type in unnamed else [])}
    assert all("\n" not in reason for reason in result.missing.values())
    for values in result.vectors.values():
        assert values.dtype == np.float64
        assert np.isfinite(values).all()
        assert cosine(values, values) == pytest.approx(1)


def test_text_vectors_need_no_labels() -> None:
    task = tiny(TaskType.CLASSIFICATION)
    bare = Task.from_iterable(
        "bare", task.type, {"train": [e._replace(label=None) for e in task.examples()]}
    )
    result = EMBEDDER.embed(bare, ["textemb", "taskemb", "classemb"])
    np.testing.assert_array_equal(
        result.vectors["textemb"], EMBEDDER.embed(task, ["textemb"]).vectors["textemb"]
    )
    assert "train example 1" in result.missing["taskemb"]
    assert "train example 1" in result.missing["classemb"]


def test_a_description_is_asked_for() -> None:
    result = EMBEDDER.embed(tiny(TaskType.CLASSIFICATION), ["descemb"])
    assert result.vectors == {}
    assert "has no description" in result.missing["descemb"]


def test_examples_are_drawn() -> None:
    task = tiny(TaskType.CLASSIFICATION)
    drawn, size = draw_examples(task, "train", 2)
    assert len(drawn) == 2 < size
    assert drawn != EXAMPLES[task.type][:2]
    short = replace(task, splits={"train": drawn})
    limited = Embedder("random:2x32", VectorSettings(max_examples=2))
    for kind in ("textemb", "taskemb", "classemb"):
        a, b = limited.embed(task, [kind]).vectors, EMBEDDER.embed(short, [kind]).vectors
        assert a.keys() == b.keys()
        assert all(np.array_equal(a[name], b[name]) for name in a)


def test_large_components_are_projected_and_cosines_kept() -> None:
    first, second = (
        Task.from_iterable("t", "classification", {"train": EXAMPLES[TaskType.CLASSIFICATION][i:]})
        for i in (0, 1)
    )
    name = "taskemb.layer.0.query"

    def similarity(dimension: int | None, seed: int = 0) -> float:
        settings = VectorSettings(dimension=dimension, projection_seed=seed)
        embedder = Embedder("random:2x32", settings)
        a, b = (embedder.embed(t, ["taskemb"]).vectors[name] for t in (first, second))
        assert len(a) == (dimension or 32 * 32 + 32)
        return cosine(a, b)

    whole = similarity(None)
    assert similarity(256) == pytest.approx(whole, abs=0.1)
    assert similarity(256) != similarity(256, seed=1)


def test_class_centroids_weigh_every_class_alike() -> None:
    vectors = np.array([[0.0], [0.0], [0.0], [4.0]], dtype=np.float32)
    assert centroid_mean(LabelledVectors(vectors, np.array(["a", "a", "a", "b"]))) == [2.0]
    numbers = LabelledVectors(vectors, np.array([1.0, 2.0, 3.0, 9.0]), regression=True)
    # Thirds: {1}, {2}, {3, 9}.
    assert centroid_mean(numbers) == pytest.approx([(0 + 0 + 2) / 3])
    balanced = tiny(TaskType.CLASSIFICATION)
    rows = [e for e in balanced.examples() if e.label != "c"]  # two of a, two of b
    task = Task.from_iterable("t", "classification", {"train": rows})
    result = EMBEDDER.embed(task, ["textemb", "classemb"]).vectors
    np.testing.assert_allclose(result["classemb"], result["textemb"], atol=1e-6)


def test_stored_vectors_are_found_by_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(str(tmp_path / "runs.sqlite"), create=True)
    task = tiny(TaskType.CLASSIFICATION, "What a text says.")
    kinds = ["textemb", "taskemb", "descemb"]
    first = Embedder("random:2x32", store=store).embed(task, kinds)
    assert first.stored == ()

    again = Embedder("random:2x32", store=store)
    monkeypatch.setattr(
        Embedder, "encoder", property(lambda _: pytest.fail("nothing is to be computed"))
    )
    second = again.embed(replace(task, name="another name"), kinds)
    assert second.stored == tuple(kinds)
    assert second.vectors.keys() == first.vectors.keys()
    assert all(np.array_equal(second.vectors[k], first.vectors[k]) for k in first.vectors)
    monkeypatch.undo()

    def computed(embedder: Embedder, what: Task) -> set[str]:
        return set(kinds) - set(embedder.embed(what, kinds).stored)

    one_less = replace(task, splits={"train": EXAMPLES[task.type][1:]})
    assert computed(again, one_less) == {"textemb", "taskemb"}
    assert computed(again, replace(task, description="Another.")) == {"descemb"}
    fisher = VectorSettings(fisher=FisherSettings("theoretical"))
    assert computed(Embedder("random:2x32", fisher, store=store), task) == {"taskemb"}
    length = VectorSettings(encoding=EncodingSettings(max_length=64))
    assert computed(Embedder("random:2x32", length, store=store), task) == set(kinds)
    # How much is read at once decides nothing.
    memory = VectorSettings(encoding=EncodingSettings(max_tokens=64))
    assert computed(Embedder("random:2x32", memory, store=store), task) == set()
    assert computed(Embedder("random:1x32", store=store), task) == set(kinds)


def test_a_checkpoint_is_another_encoder(tmp_path: Path) -> None:
    trained = load_encoder("random:2x32")
    with torch.no_grad():
        trained.model.encoder.layer[0].output.dense.weight.mul_(2)  # type: ignore[union-attr,index]
    path = tmp_path / "after.safetensors"
    save_encoder(trained, path)
    embedder = Embedder("random:2x32", start=path)
    assert embedder.revision != EMBEDDER.revision
    task = tiny(TaskType.CLASSIFICATION)
    before = EMBEDDER.embed(task, ["taskemb"]).vectors
    after = embedder.embed(task, ["taskemb"]).vectors
    assert not np.allclose(before["taskemb.layer.1.query"], after["taskemb.layer.1.query"])
    with pytest.raises(InputError, match="cannot read the checkpoint"):
        Embedder("random:2x32", start=tmp_path / "none.safetensors")


def test_bad_input() -> None:
    task = tiny(TaskType.CLASSIFICATION)
    with pytest.raises(InputError, match="did you mean 'textemb'"):
        EMBEDDER.embed(task, ["textembb"])
    with pytest.raises(InputError, match="no training examples"):
        EMBEDDER.embed(Task.from_iterable("t", "regression", {"train": []}), ["textemb"])
    with pytest.raises(InputError, match="max_examples = 0"):
        VectorSettings(max_examples=0)
    with pytest.raises(InputError, match="dimension = 0"):
        VectorSettings(dimension=0)


def test_an_encoder_without_known_parts_gives_texts_and_a_reason() -> None:
    result = Embedder("bilstm").embed(tiny(TaskType.CLASSIFICATION), ["textemb", "taskemb"])
    assert "the parts of encoder" in result.missing["taskemb"]
    assert "textemb" in result.vectors


def test_one_example() -> None:
    task = Task.from_iterable("t", "regression", {"train": [Example("one", 1.0)]})
    result = EMBEDDER.embed(task, ["textemb", "taskemb", "classemb"])
    assert "textemb" in result.vectors
    assert "classemb" in result.vectors
