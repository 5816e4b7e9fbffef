from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tiny_tasks import ALL_TYPES, EXAMPLES
from trained_models import ARCHITECTURES, LABELS, MAX_LENGTH, small_folder, small_model

from transfer_meta.encoding.encoders import load_encoder
from transfer_meta.encoding.transformers_head import default_head
from transfer_meta.errors import InputError
from transfer_meta.records import Example, TaskType
from transfer_meta.training.model_folder import write_model_folder
from transfer_meta.training.trained_model import TrainedModel, load_trained

QA = TaskType.QUESTION_ANSWERING
CLASSES = {
    TaskType.CLASSIFICATION: transformers.AutoModelForSequenceClassification,
    TaskType.REGRESSION: transformers.AutoModelForSequenceClassification,
    TaskType.TOKEN_CLASSIFICATION: transformers.AutoModelForTokenClassification,
    TaskType.QUESTION_ANSWERING: transformers.AutoModelForQuestionAnswering,
    TaskType.MULTIPLE_CHOICE: transformers.AutoModelForMultipleChoice,
}


def theirs(folder: Path, type: TaskType, example: Example) -> Any:
    """The outputs of transformers' own class for one example, tokenised by hand."""
    model: Any = CLASSES[type].from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    assert tokenizer.model_max_length == MAX_LENGTH
    if type is TaskType.MULTIPLE_CHOICE:
        second = [f"{example.text_pair} {choice}" for choice in example.choices]
        batch = tokenizer(
            [example.text] * len(second), second, padding=True, truncation=True, return_tensors="pt"
        )
        batch = {name: values[None] for name, values in batch.items()}
    elif type is TaskType.TOKEN_CLASSIFICATION:
        batch = tokenizer(
            list(example.tokens), is_split_into_words=True, truncation=True, return_tensors="pt"
        )
    else:
        texts = [example.text, *([example.text_pair] if example.text_pair else [])]
        batch = tokenizer(*texts, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        return model(**batch), tokenizer


@pytest.mark.parametrize("type", ALL_TYPES)
@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_transformers_gives_our_predictions(tmp_path: Path, kind: str, type: TaskType) -> None:
    model = TrainedModel(*small_model(type, kind=kind))
    folder = small_folder(tmp_path / "model", type, kind=kind)
    # Questions of more than a quarter of the length are cut.
    examples = [e for e in EXAMPLES[type] if type is not QA or len(e.text) < MAX_LENGTH // 4]
    ours = model.predict(examples).predictions
    again = load_trained(folder).predict(examples).predictions
    for example, mine, loaded in zip(examples, ours, again, strict=True):
        found, tokenizer = theirs(folder, type, example)
        if type is TaskType.REGRESSION:
            assert mine["value"] == pytest.approx(float(found.logits[0, 0]), abs=1e-4)
            assert loaded["value"] == pytest.approx(mine["value"], abs=1e-4)
        elif type is TaskType.CLASSIFICATION:
            shares = found.logits[0].softmax(-1).tolist()
            assert list(mine["probabilities"].values()) == pytest.approx(shares, abs=1e-4)
            assert list(loaded["probabilities"].values()) == pytest.approx(shares, abs=1e-4)
        elif type is TaskType.MULTIPLE_CHOICE:
            shares = found.logits[0].softmax(-1).tolist()
            assert mine["probabilities"] == pytest.approx(shares, abs=1e-4)
            assert loaded["probabilities"] == pytest.approx(shares, abs=1e-4)
        elif type is TaskType.QUESTION_ANSWERING:
            _check_answer(mine, found, tokenizer, example)
            assert loaded == mine
        else:
            assert loaded["tags"] == mine["tags"]
            assert loaded["probabilities"] == pytest.approx(mine["probabilities"], abs=1e-4)


def _check_answer(mine: dict[str, Any], found: Any, tokenizer: Any, example: Example) -> None:
    """The answer is the best span of the context, with the probability of its two ends among context and start."""
    batch = tokenizer(example.text, example.text_pair, return_offsets_mapping=True)
    inside = np.array([sequence == 1 for sequence in batch.sequence_ids()])
    allowed = inside.copy()
    allowed[0] = True
    begin, end = (
        np.exp(np.where(allowed, logits[0].numpy(), -np.inf))
        for logits in (found.start_logits, found.end_logits)
    )
    begin, end = begin / begin.sum(), end / end.sum()
    share, first, last = max(
        (begin[i] * end[j], i, j)
        for i in np.flatnonzero(inside)
        for j in range(i, min(i + 30, len(inside)))
        if inside[j]
    )
    places = batch["offset_mapping"]
    assert (mine["start"], mine["end"]) == (places[first][0], places[last][1])
    assert example.text_pair[mine["start"] : mine["end"]] == mine["text"]
    assert mine["score"] == pytest.approx(share, abs=1e-4)


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_pipelines_give_our_labels_and_probabilities(tmp_path: Path, kind: str) -> None:
    folder = str(small_folder(tmp_path / "classes", TaskType.CLASSIFICATION, kind=kind))
    texts = ["good", "a much longer text, cut where the model was " + "trained " * 30, "x"]
    pipeline = transformers.pipeline("text-classification", model=folder)
    found = pipeline(texts, truncation=True)
    frame = load_trained(folder).predict(texts).to_frame()
    assert list(frame["label"]) == [row["label"] for row in found]
    assert list(frame["probability"]) == pytest.approx([row["score"] for row in found], abs=1e-4)

    folder = str(small_folder(tmp_path / "tags", TaskType.TOKEN_CLASSIFICATION, kind=kind))
    (found,) = load_trained(folder).predict(["the cat sat"]).predictions
    rows = transformers.pipeline("token-classification", model=folder, ignore_labels=[])("the cat sat")
    firsts = [next(row for row in rows if row["end"] > start) for start in (0, 4, 8)]
    assert found["tags"] == [row["entity"] for row in firsts]
    assert found["probabilities"] == pytest.approx([float(row["score"]) for row in firsts], abs=1e-4)


@pytest.mark.parametrize("type", ALL_TYPES)
def test_the_head_on_mean_vectors_is_kept_beside_the_encoder(tmp_path: Path, type: TaskType) -> None:
    encoder, head, facts = small_model(type, head="mean")
    folder = small_folder(tmp_path / "model", type, head="mean")
    ours = TrainedModel(encoder, head, facts).predict(EXAMPLES[type])
    assert load_trained(folder).predict(EXAMPLES[type]).to_dict() == ours.to_dict()
    assert type is not TaskType.REGRESSION or ours.to_frame()["value"].between(-20, 30).all()
    assert default_head(str(folder)) == "mean"
    vectors = transformers.AutoModel.from_pretrained(folder).state_dict()["embeddings.LayerNorm.weight"]
    assert torch.equal(vectors, encoder.model.state_dict()["embeddings.LayerNorm.weight"])


def test_the_files_are_those_of_a_folder_of_transformers(tmp_path: Path) -> None:
    folder = small_folder(tmp_path / "model", TaskType.CLASSIFICATION)
    names = {file.name for file in folder.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"} <= names
    assert {"README.md", "transfer_meta.json"} <= names
    modes = {file.stat().st_mode & 0o777 for file in folder.iterdir()}
    assert modes == {(folder / "README.md").stat().st_mode & 0o777}
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pkl", ".py"))]
    config = json.loads((folder / "config.json").read_text())
    assert config["id2label"] == {"0": "a", "1": "b", "2": "c"}
    assert config["label2id"] == {"a": 0, "b": 1, "c": 2}
    assert config["architectures"] == ["BertForSequenceClassification"]
    assert (folder / "README.md").read_text() == "# A model\n"


def test_a_regression_is_on_the_scale_of_the_labels(tmp_path: Path) -> None:
    folder = small_folder(tmp_path / "model", TaskType.REGRESSION)
    config = json.loads((folder / "config.json").read_text())
    assert config["problem_type"] == "regression"
    (row,) = transformers.pipeline("text-classification", model=str(folder))(["one"])
    (value,) = load_trained(folder).predict(["one"]).to_frame()["value"]
    assert row["score"] == pytest.approx(value, abs=1e-4)


def test_a_folder_that_exists_is_not_overwritten_unasked(tmp_path: Path) -> None:
    type = TaskType.CLASSIFICATION
    folder = small_folder(tmp_path / "model", type)
    with pytest.raises(InputError, match="it holds a model already"):
        write_model_folder(folder, *small_model(type), card="new")
    write_model_folder(folder, *small_model(type), card="new", overwrite=True)
    assert (folder / "README.md").read_text() == "new"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="it exists and holds other files"):
        write_model_folder(tmp_path / "other", *small_model(type), card="new", overwrite=True)
    with pytest.raises(InputError, match="a file of that name exists"):
        write_model_folder(tmp_path / "other" / "thesis.txt", *small_model(type), card="new")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["model", "other"]


def test_nothing_is_left_of_a_folder_that_cannot_be_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder, head, facts = small_model(TaskType.CLASSIFICATION)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(encoder.tokenizer), "save_pretrained", full)
    with pytest.raises(InputError, match=r"cannot write .*model.*No space left on device"):
        write_model_folder(tmp_path / "model", encoder, head, facts, card="")
    assert list(tmp_path.iterdir()) == []


def test_a_bilstm_is_refused(tmp_path: Path) -> None:
    _, head, facts = small_model(TaskType.CLASSIFICATION, head="mean")
    with pytest.raises(InputError, match="transformers has no such encoder"):
        write_model_folder(tmp_path / "m", load_encoder("bilstm", texts=["a"]), head, facts, card="")


def _damage(folder: Path, how: str) -> None:
    facts = folder / "transfer_meta.json"
    content = json.loads(facts.read_text())
    if how == "weights":
        data = bytearray((folder / "model.safetensors").read_bytes())
        data[-1] ^= 1
        (folder / "model.safetensors").write_bytes(data)
    elif how == "no weights":
        (folder / "model.safetensors").unlink()
    elif how == "no head":
        (folder / "head.safetensors").unlink()
    elif how == "no config":
        (folder / "config.json").unlink()
    elif how == "not json":
        facts.write_text("{")
    elif how == "list":
        facts.write_text("[]")
    elif how == "no digests":
        facts.write_text(json.dumps(content | {"digests": {}}))
    elif how == "deep":
        facts.write_text("[" * 10**5)
    elif how == "format":
        facts.write_text(json.dumps(content | {"format": "transfer-meta model folder 9"}))
    else:
        more = {"labels": {"labels": ["a", "b"]}, "type": {"type": "regression", "labels": []}}[how]
        facts.write_text(json.dumps(content | {"facts": content["facts"] | more}))


@pytest.mark.parametrize(
    ("head", "how", "message"),
    [
        ("transformers", "weights", "model.safetensors is not what was saved"),
        ("transformers", "no weights", "there is no model.safetensors"),
        ("mean", "no head", "there is no head.safetensors"),
        ("transformers", "no config", "there is no config.json"),
        ("transformers", "not json", "is corrupt: transfer_meta.json"),
        ("transformers", "list", "is corrupt: transfer_meta.json"),
        ("transformers", "no digests", "has no digest of model.safetensors"),
        ("transformers", "deep", "is corrupt: transfer_meta.json: it is nested deeper than"),
        ("transformers", "format", "has format 'transfer-meta model folder 9'"),
        ("transformers", "labels", "config.json has 3 labels"),
        ("mean", "labels", "the head of the model in .* does not fit: expected one for classification"),
        ("transformers", "type", "config.json is of classification"),
    ],
)
def test_files_that_do_not_fit_are_refused_in_one_line(
    tmp_path: Path, head: str, how: str, message: str
) -> None:
    folder = small_folder(tmp_path / "model", TaskType.CLASSIFICATION, head=head)
    _damage(folder, how)
    with pytest.raises(InputError, match=message) as found:
        load_trained(folder)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("type", ALL_TYPES)
def test_a_plain_folder_of_transformers_predicts_as_well(tmp_path: Path, type: TaskType) -> None:
    folder = small_folder(tmp_path / "model", type)
    ours = load_trained(folder).predict(EXAMPLES[type]).to_dict()
    (folder / "transfer_meta.json").unlink()
    plain = load_trained(folder)
    assert plain.type is type
    assert plain.labels == LABELS.get(type, ())
    assert plain.predict(EXAMPLES[type]).to_dict() == ours


def test_what_is_no_model_with_a_head_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a folder with transfer_meta.json or config.json"):
        load_trained(tmp_path)
    with pytest.raises(InputError, match=r"no model in '.*nowhere'"):
        load_trained(tmp_path / "nowhere")
    folder = small_folder(tmp_path / "model", TaskType.CLASSIFICATION, head="mean")
    (folder / "transfer_meta.json").unlink()
    with pytest.raises(InputError, match="is 'BertModel' .expected an architecture that ends in"):
        load_trained(folder)
    folder = small_folder(tmp_path / "whole", TaskType.CLASSIFICATION)
    (folder / "transfer_meta.json").unlink()
    shutil.copy(tmp_path / "model" / "model.safetensors", folder / "model.safetensors")
    with pytest.raises(InputError, match=r"is incomplete: \d tensors are missing"):
        load_trained(folder)
    (folder / "model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="does not load|corrupt") as found:
        load_trained(folder)
    assert "\n" not in str(found.value)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps(config | {"model_type": "mine", "auto_map": {"AutoConfig": "x.X"}})
    )
    with pytest.raises(InputError, match="no model in"):
        load_trained(folder)
