from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from result_checks import check_result
from tiny_tasks import ALL_TYPES, EXAMPLES
from toys import toy_task
from trained_models import small_model

from transfer_meta.api.apply_model import apply_model
from transfer_meta.errors import InputError
from transfer_meta.records import Example, TaskType
from transfer_meta.training.finetune import finetune
from transfer_meta.training.model_folder import write_model_folder
from transfer_meta.training.stage import Stage
from transfer_meta.training.trained_file import load_trained_file
from transfer_meta.training.trained_model import TrainedModel
from transfer_meta.training.training_settings import TrainingSettings

COLUMNS = {
    TaskType.CLASSIFICATION: ["row", "label", "probability"],
    TaskType.REGRESSION: ["row", "value"],
    TaskType.TOKEN_CLASSIFICATION: ["row", "text", "label", "start", "end", "probability"],
    TaskType.QUESTION_ANSWERING: ["row", "text", "start", "end", "score"],
    TaskType.MULTIPLE_CHOICE: ["row", "choice", "text", "probability"],
}


@pytest.mark.parametrize("head", ["mean", "transformers"])
@pytest.mark.parametrize("type", ALL_TYPES)
def test_a_model_that_was_trained_predicts_from_its_folder_as_it_was_tested(
    tmp_path: Path, tiny: str, type: TaskType, head: str
) -> None:
    task = toy_task(type, train=60, test=30)
    training = TrainingSettings(epochs=2, learning_rate=2e-3, max_length=32, stride=8, evaluations=1)
    stage = Stage("toy", seed=1, encoder=tiny, training=training, head=head)
    run = finetune(stage, {"toy": task}, save_model=tmp_path / "model.safetensors")
    encoder, trained, facts = load_trained_file(tmp_path / "model.safetensors")
    write_model_folder(tmp_path / "model", encoder, trained, facts, card="")
    applied = apply_model(tmp_path / "model", task)
    assert applied.scores == pytest.approx(dict(run.scores), abs=1e-4, nan_ok=True)
    assert applied.texts == applied.labelled == 30


@pytest.mark.parametrize("type", ALL_TYPES)
def test_predictions_are_a_result(type: TaskType) -> None:
    found = TrainedModel(*small_model(type)).predict(EXAMPLES[type])
    check_result(found, COLUMNS[type])
    assert found.rows == tuple(range(len(EXAMPLES[type])))


@pytest.mark.parametrize("type", ALL_TYPES)
def test_a_prediction_does_not_depend_on_labels_and_other_texts(type: TaskType) -> None:
    model = TrainedModel(*small_model(type))
    together = model.predict(EXAMPLES[type]).predictions
    for example, found in zip(EXAMPLES[type], together, strict=True):
        (alone,) = model.predict([example._replace(label=None)]).predictions
        for name, value in found.items():
            if name in ("probabilities", "spans"):
                continue
            assert alone[name] == (
                pytest.approx(value, abs=1e-5) if isinstance(value, float) else value
            )


@pytest.mark.parametrize("type", ALL_TYPES)
def test_no_texts_are_no_predictions(type: TaskType) -> None:
    found = TrainedModel(*small_model(type)).predict([])
    assert list(found.to_frame()) == COLUMNS[type]
    assert len(found.to_frame()) == 0
    assert found.to_dict()["predictions"] == []


def test_the_probability_of_every_class_on_request() -> None:
    found = TrainedModel(*small_model(TaskType.CLASSIFICATION)).predict(["one", "two"])
    frame = found.to_frame(probabilities=True)
    shares = frame[["probability_a", "probability_b", "probability_c"]]
    assert shares.sum(axis=1).to_numpy() == pytest.approx(1, abs=1e-5)
    assert (frame["probability"] == shares.max(axis=1)).all()
    assert [f"probability_{label}" for label in frame["label"]] == list(shares.idxmax(axis=1))


def test_entities_lie_in_the_words_joined_by_blanks() -> None:
    words = [["one", "two", "three", "four"], ["five"], ["six", "seven"]]
    found = TrainedModel(*small_model(TaskType.TOKEN_CLASSIFICATION)).predict(words)
    spans = [(i, span) for i, one in enumerate(found.predictions) for span in one["spans"]]
    assert spans
    for index, span in spans:
        assert " ".join(words[index])[span["start"] : span["end"]] == span["text"]
    frame = found.to_frame()
    assert list(frame["row"]) == [index for index, _ in spans]
    assert frame["probability"].between(0, 1).all()


def test_tags_that_mark_no_entities_are_a_row_a_word() -> None:
    model = TrainedModel(*small_model(TaskType.TOKEN_CLASSIFICATION, labels=("DET", "NOUN")))
    long = ["word"] * 40
    found = model.predict(["the cat", long])
    frame = found.to_frame()
    assert list(frame) == ["row", "token", "label", "probability"]
    assert list(frame["token"]) == ["the", "cat", *long]
    assert set(frame["label"].dropna()) <= {"DET", "NOUN"}
    # Of words beyond the length there is no tag.
    (missing,) = np.flatnonzero(frame["label"].isna())[:1]
    assert frame["label"][missing:].isna().all()
    assert frame["probability"][missing:].isna().all()
    assert 2 < missing < 42


def test_a_question_may_have_no_answer() -> None:
    encoder, head, facts = small_model(TaskType.QUESTION_ANSWERING)
    questions = [{"question": "who?", "context": ""}, {"question": "who?", "context": "a cat"}]
    found = TrainedModel(encoder, head, facts).predict(questions).to_frame()
    assert list(found["text"].str.len() > 0) == [False, True]
    assert list(found["start"].isna()) == [True, False]
    assert str(found["start"].dtype) == "Int64"
    # Half of the questions of the training split have none: a model may say so of a context with words.
    may = TrainedModel(encoder, head, replace(facts, may_be_empty=True))
    contexts = [f"the {word} sat" for word in ("cat", "dog", "mouse", "old man", "x", "river mill")]
    answers = may.predict([("who?", context) for context in contexts]).to_frame()
    assert answers["score"].between(0, 1).all()


def test_a_long_context_is_searched_in_windows() -> None:
    model = TrainedModel(*small_model(TaskType.QUESTION_ANSWERING))
    context = " ".join(f"word{i}" for i in range(60))
    (found,) = model.predict([("who?", context)]).predictions
    assert context[found["start"] : found["end"]] == found["text"] != ""


def test_what_a_model_does_not_take_is_refused() -> None:
    model = TrainedModel(*small_model(TaskType.CLASSIFICATION))
    with pytest.raises(
        InputError, match=r"text 0 \(from 0\): a model for classification takes a string"
    ):
        model.predict([3])
    with pytest.raises(InputError, match="expected a list of texts, got one str"):
        model.predict("one text")
    assert model.predict([Example("a", "unheard of")]).to_frame()["label"][0] in model.labels


def test_without_torch_the_message_says_what_to_install() -> None:
    code = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Missing())
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name in ("torch", "transformers") else found(name, *more)
import transfer_meta as tm
assert tm.TrainedModel and tm.TextPredictions
try:
    tm.load_trained("model")
except tm.InputError as error:
    print(error)
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    expected = "this needs torch, which is not installed: pip install 'transfer-meta[harness]'"
    assert found.stdout.strip() == expected
