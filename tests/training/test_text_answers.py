"""Folders of language models: what was trained predicts as it was tested, here and with transformers alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from result_checks import check_result
from tiny_language_models import save_language_model
from toys import toy_task

from transfer_meta.api.apply_model import ApplySettings, apply_model
from transfer_meta.encoding.language_model import LanguageModel
from transfer_meta.errors import InputError
from transfer_meta.records import Example, TaskType
from transfer_meta.tasks import Task
from transfer_meta.training.finetune import finetune
from transfer_meta.training.model_card import CardRecord, model_card
from transfer_meta.training.model_folder import FACTS_FILE, write_model_folder
from transfer_meta.training.run_result import RunResult
from transfer_meta.training.stage import Stage
from transfer_meta.training.trained_file import load_trained_file, read_trained_facts
from transfer_meta.training.trained_model import TrainedModel, load_trained
from transfer_meta.training.training_settings import TrainingSettings

SETTINGS = TrainingSettings(
    epochs=2, batch_size=8, learning_rate=3e-3, max_length=128, dev_examples=8, evaluations=1
)
INPUTS: dict[TaskType, Any] = {
    TaskType.CLASSIFICATION: "one text",
    TaskType.REGRESSION: ("one text", "and another"),
    TaskType.TOKEN_CLASSIFICATION: ["some", "words"],
    TaskType.QUESTION_ANSWERING: {"question": "who?", "context": "a cat sat"},
    TaskType.MULTIPLE_CHOICE: {
        "context": "it rained",
        "question": "so?",
        "choices": ["sun", "mud", "x"],
    },
    TaskType.GENERATION: "one text",
}


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    base = tmp_path_factory.mktemp("models")
    return {kind: save_language_model(kind, base / kind) for kind in ("gpt2", "llama", "t5")}


def trained(encoder: str, type: TaskType, folder: Path, **values: Any) -> tuple[RunResult, Task]:
    """Train a model on a toy task and write its folder."""
    task = toy_task(type, train=values.pop("train", 32), test=12)
    stage = Stage("toy", seed=1, encoder=encoder, training=SETTINGS, **values)
    file = folder.parent / f"{folder.name}.safetensors"
    run = finetune(stage, {"toy": task}, save_model=file)
    model, head, facts = load_trained_file(file)
    write_model_folder(folder, model, head, facts, card=model_card(facts, CardRecord()))
    return run, task


@pytest.mark.parametrize("type", TaskType)
@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_a_folder_predicts_as_the_model_was_tested(
    names: dict[str, str], tmp_path: Path, kind: str, type: TaskType
) -> None:
    run, task = trained(names[kind], type, tmp_path / "model")
    applied = apply_model(tmp_path / "model", task)
    assert applied.scores == pytest.approx(dict(run.scores), abs=1e-6, nan_ok=True)
    assert applied.texts == applied.labelled == 12
    model = load_trained(tmp_path / "model")
    found = model.predict([INPUTS[type]])
    check_result(found, list(found.to_frame()))
    check_result(applied, list(applied.to_frame()))
    (values,) = found.predictions
    for name in ("score", "probability"):
        assert 0 <= values.get(name, 0) <= 1
    if type is TaskType.MULTIPLE_CHOICE:
        assert sum(values["probabilities"]) == pytest.approx(1, abs=1e-5)
    out = tmp_path / "p.csv"
    written = apply_model(model, task, ApplySettings(out=out))
    again = apply_model(model, task)
    assert written.to_frame().astype(str).equals(again.to_frame().astype(str))
    card = (tmp_path / "model" / "README.md").read_text()
    assert ("AutoModelForSeq2SeqLM" if kind == "t5" else "AutoModelForCausalLM") in card
    assert model.facts.templates.of_texts(pair=False).splitlines()[-1] in card


@pytest.mark.parametrize("kind", ["gpt2", "llama", "t5"])
def test_transformers_writes_what_the_folder_writes(
    names: dict[str, str], tmp_path: Path, kind: str
) -> None:
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

    trained(names[kind], TaskType.GENERATION, tmp_path / "model", train=120)
    texts = ["good text", "a bad one"]
    ours = load_trained(tmp_path / "model").predict(texts).predictions
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    auto: Any = AutoModelForSeq2SeqLM if kind == "t5" else AutoModelForCausalLM
    theirs = auto.from_pretrained(tmp_path / "model")
    for text, found in zip(texts, ours, strict=True):
        ids = tokenizer(text, return_tensors="pt").input_ids
        with torch.no_grad():
            written = theirs.generate(ids, return_dict_in_generate=True, output_logits=True)
        answer = written.sequences[0, 0 if kind == "t5" else ids.shape[1] :]
        assert tokenizer.decode(answer, skip_special_tokens=True).strip() == found["text"]
        tokens = answer[1:] if kind == "t5" else answer
        shares = [step[0].log_softmax(-1)[t] for step, t in zip(written.logits, tokens, strict=True)]
        assert found["score"] == pytest.approx(float(torch.stack(shares).mean().exp()), abs=1e-4)


def test_lora_is_merged(names: dict[str, str], tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    task = toy_task(TaskType.CLASSIFICATION, train=32, test=12)
    training = replace(SETTINGS, lora_rank=2)
    stage = Stage("toy", seed=1, encoder=names["llama"], training=training)
    run = finetune(stage, {"toy": task}, save_model=tmp_path / "m.safetensors")
    model, head, facts = load_trained_file(tmp_path / "m.safetensors")
    write_model_folder(tmp_path / "model", model, head, facts, card="")
    plain = AutoModelForCausalLM.from_pretrained(names["llama"])
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert theirs.state_dict().keys() == plain.state_dict().keys()
    assert apply_model(tmp_path / "model", task).scores == pytest.approx(dict(run.scores))


def test_the_templates_of_the_folder_are_used_not_those_of_the_code(
    names: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(names["gpt2"], TaskType.CLASSIFICATION, tmp_path / "model")
    before = load_trained(tmp_path / "model").predict(["a text", ("a", "pair")]).to_frame()
    from transfer_meta.tasks import text_templates

    monkeypatch.setitem(text_templates.TEMPLATES, TaskType.CLASSIFICATION, ("{text} =>", "{text} =>"))
    monkeypatch.setattr(text_templates, "label_words", lambda labels: tuple(f"<{n}>" for n in labels))
    assert load_trained(tmp_path / "model").predict(["a text", ("a", "pair")]).to_frame().equals(before)


def test_a_prediction_does_not_depend_on_the_others(names: dict[str, str], tmp_path: Path) -> None:
    trained(names["t5"], TaskType.CLASSIFICATION, tmp_path / "model")
    model = load_trained(tmp_path / "model")
    texts = ["short", "a much longer text than the others", "middling, rather"]
    together = model.predict(texts).to_frame()["probability"]
    alone = [model.predict([text]).to_frame()["probability"][0] for text in texts]
    np.testing.assert_allclose(together, alone, atol=2e-6)
    assert model.predict([]).to_frame().empty


def test_an_answer_that_is_not_in_the_context_has_no_place(
    names: dict[str, str], tmp_path: Path
) -> None:
    trained(names["gpt2"], TaskType.QUESTION_ANSWERING, tmp_path / "model")
    found = load_trained(tmp_path / "model").predict([("who?", "zzz")]).to_frame()
    assert found["start"].isna().all()
    assert str(found["start"].dtype) == "Int64"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "encoder-decoder"}, "config.json is of no encoder-decoder"),
        ({"kind": "other"}, "corrupt: transfer_meta.json: text = "),
        ({"template": "{texts}"}, "unknown field in the template"),
        ({"words": ["a"]}, "expected 2 different words"),
        ({"words": ["a", "a"]}, "expected 2 different words"),
        ({"answer_tokens": 0}, "corrupt: transfer_meta.json: text = "),
        ({"more": 1}, "corrupt: transfer_meta.json: "),
    ],
)
def test_facts_that_do_not_fit_are_refused_in_one_line(
    names: dict[str, str], tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    folder = tmp_path / "model"
    if not _FOLDERS:
        trained(names["gpt2"], TaskType.CLASSIFICATION, folder)
        _FOLDERS.append({file.name: file.read_bytes() for file in folder.iterdir()})
    folder.mkdir(exist_ok=True)
    for name, content in _FOLDERS[0].items():
        (folder / name).write_bytes(content)
    content = json.loads((folder / FACTS_FILE).read_text())
    content["facts"]["text"] |= change
    (folder / FACTS_FILE).write_text(json.dumps(content))
    with pytest.raises(InputError, match="^[^\n]*" + said):
        load_trained(folder)


_FOLDERS: list[dict[str, bytes]] = []


def test_weights_that_were_changed_are_noticed(names: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "model"
    trained(names["gpt2"], TaskType.GENERATION, folder)
    facts = json.loads((folder / FACTS_FILE).read_text())
    assert set(facts["digests"]) == {"model.safetensors", "tokenizer.json"}
    file = folder / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(InputError, match=r"model.safetensors is not what was saved"):
        load_trained(folder)


def test_without_its_facts_a_language_model_has_no_task(names: dict[str, str]) -> None:
    with pytest.raises(InputError, match=r"the model in '.*' is 'LlamaForCausalLM' \(expected an arch"):
        load_trained(names["llama"])


def test_the_file_of_a_run_names_its_facts(names: dict[str, str], tmp_path: Path) -> None:
    trained(names["gpt2"], TaskType.REGRESSION, tmp_path / "model")
    facts = read_trained_facts(tmp_path / "model.safetensors")
    assert facts.text is not None
    assert facts.head == ""
    assert len(facts.text.words) == len(facts.text.numbers) > 1
    with pytest.raises(InputError, match="is no decoder"):
        load_trained_file(tmp_path / "model.safetensors", encoder=names["t5"])


def test_predictions_of_a_model_in_memory(names: dict[str, str], tmp_path: Path) -> None:
    trained(names["gpt2"], TaskType.GENERATION, tmp_path / "model")
    model, head, facts = load_trained_file(tmp_path / "model.safetensors")
    assert isinstance(model, LanguageModel)
    (found,) = TrainedModel(model, head, facts).predict([Example("good", ("never read",))]).predictions
    assert set(found) == {"text", "score"}
