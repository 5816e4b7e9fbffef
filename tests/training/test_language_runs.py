"""Runs of language models: what they have beside what holds for models of every kind."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_language_models import LANGUAGE_MODELS, save_language_model
from toys import short_examples, short_task, toy_task

from transfer_meta.encoding.language_model import LanguageModel, load_pretrained
from transfer_meta.errors import InputError, RunFailed, Stopped
from transfer_meta.records import Example, TaskType
from transfer_meta.runs.methods import stage_of
from transfer_meta.tasks import Task
from transfer_meta.tasks.text_templates import TextTemplates
from transfer_meta.training.finetune import finetune
from transfer_meta.training.loop import Loop
from transfer_meta.training.lora import add_lora, merge_lora
from transfer_meta.training.method_settings import Curriculum, Mixing, SoftSharing
from transfer_meta.training.stage import Stage
from transfer_meta.training.task_data import select
from transfer_meta.training.text_task_data import TextTaskData
from transfer_meta.training.training_settings import TrainingSettings

LINEAR_LAYERS = {
    "gpt2": {"c_attn", "c_proj", "c_fc"},
    "llama": {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"},
    "t5": {"q", "k", "v", "o", "wi", "wo"},
}
SETTINGS = TrainingSettings(
    epochs=5, batch_size=8, learning_rate=1e-2, max_length=128, dev_examples=20, evaluations=1
)


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Names by which the models are loaded."""
    base = tmp_path_factory.mktemp("models")
    return {kind: save_language_model(kind, base / kind) for kind in LANGUAGE_MODELS}


def stage(name: str, **training: Any) -> Stage:
    return Stage("toy", seed=0, encoder=name, training=dataclasses.replace(SETTINGS, **training))


@pytest.mark.parametrize("model", ["gpt2", "t5"])
def test_dropout_goes_on_to_the_bit(names: dict[str, str], model: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    own = load_pretrained(names[model])
    for key in ("resid_pdrop", "embd_pdrop", "attn_pdrop", "dropout_rate"):
        if hasattr(own.model.config, key):
            setattr(own.model.config, key, 0.2)
    own.model.save_pretrained(folder)  # type: ignore[operator]
    own.tokenizer.save_pretrained(folder)
    tasks = {"toy": short_task(TaskType.GENERATION, train=60)}
    of = stage(str(folder), epochs=1, checkpoint="best", evaluations=2)
    whole = finetune(of, tasks)
    calls = iter(range(1000))
    with pytest.raises(Stopped):
        finetune(of, tasks, resume=tmp_path / "state", should_stop=lambda: next(calls) == 4)
    again = finetune(of, tasks, resume=tmp_path / "state")
    np.testing.assert_array_equal(again.curve.losses, whole.curve.losses)
    np.testing.assert_array_equal(again.curve.dev_losses, whole.curve.dev_losses)
    assert again.scores == whole.scores


@pytest.mark.parametrize("model", ["llama", "t5"])
@pytest.mark.parametrize("type", TaskType)
def test_every_type_is_learned_as_text(names: dict[str, str], model: str, type: TaskType) -> None:
    epochs = 2 if type is TaskType.TOKEN_CLASSIFICATION else 4
    result = finetune(stage(names[model], epochs=epochs), {"toy": short_task(type)})
    assert result.score > 0.9
    assert result.score == result.scores[result.main_metric]
    assert result.curve.dev_scores[-1] > 0.8


@pytest.mark.parametrize("model", LANGUAGE_MODELS)
def test_lora_learns_and_leaves_a_plain_model(
    names: dict[str, str], model: str, tmp_path: Path
) -> None:
    of = stage(names[model], lora_rank=4, learning_rate=3e-2)
    result = finetune(of, {"toy": short_task(TaskType.CLASSIFICATION)}, save=tmp_path / "w.safetensors")
    assert result.score > 0.9
    trained, plain = (
        load_pretrained(of.encoder, start=tmp_path / "w.safetensors"),
        load_pretrained(of.encoder),
    )
    assert trained.model.state_dict().keys() == plain.model.state_dict().keys()
    # Output layer and token table are as they were.
    for part in ("get_input_embeddings", "get_output_embeddings"):
        one, other = (getattr(m.model, part)().weight for m in (trained, plain))
        assert torch.equal(one, other)


@pytest.mark.parametrize("model", LANGUAGE_MODELS)
def test_lora_merges_exactly(names: dict[str, str], model: str) -> None:
    plain = load_pretrained(names[model])
    assert isinstance(plain, LanguageModel)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        adapted = add_lora(plain, 4)
        adapted.model.eval()
        for name, weights in adapted.model.named_parameters():
            if "lora_" in name:
                torch.nn.init.normal_(weights, std=0.05)
    trained = {
        name.split(".lora_")[0].rsplit(".", 1)[-1]
        for name, weights in adapted.model.named_parameters()
        if weights.requires_grad
    }
    assert trained == LINEAR_LAYERS[model]
    inputs = {"input_ids": torch.arange(3, 13)[None]}
    if plain.is_encoder_decoder:
        inputs["decoder_input_ids"] = torch.tensor([[0, 5, 6]])
    with torch.no_grad():
        before = adapted.model(**inputs).logits
        untouched = load_pretrained(names[model]).model.eval()(**inputs).logits
        merge_lora(adapted)
        after = plain.model(**inputs).logits
    torch.testing.assert_close(after, before, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(before, untouched, atol=1e-2)


def test_lora_goes_on_to_the_bit(names: dict[str, str], tmp_path: Path) -> None:
    tasks = {"toy": short_task(TaskType.CLASSIFICATION, train=60)}
    of = stage(names["gpt2"], lora_rank=4, epochs=1)
    whole = finetune(of, tasks)
    calls = iter(range(1000))
    with pytest.raises(Stopped):
        finetune(of, tasks, resume=tmp_path / "state", should_stop=lambda: next(calls) == 4)
    again = finetune(of, tasks, resume=tmp_path / "state")
    np.testing.assert_array_equal(again.curve.losses, whole.curve.losses)
    assert again.scores == whole.scores


def test_transfer_of_every_kind(names: dict[str, str], tmp_path: Path) -> None:
    tasks = {
        "toy": short_task(TaskType.CLASSIFICATION, train=30),
        "src": short_task(TaskType.GENERATION, name="src", train=60, seed=7),
    }
    base = stage(names["llama"], epochs=1)
    intermediate = stage_of("intermediate", base, sources=["src"], source_examples=40)
    assert intermediate.start is not None
    finetune(intermediate.start, tasks, save=tmp_path / "src.safetensors")
    alone = finetune(base, tasks)
    after = finetune(intermediate, tasks, start=tmp_path / "src.safetensors")
    assert after.curve.losses[0] < alone.curve.losses[0]
    assert after.notes["subsets"]["toy"] == alone.notes["subsets"]["toy"]
    for mixing in (Mixing(), Mixing(weights=(0.5, 0.5)), Mixing(weighting="uncertainty")):
        together = finetune(dataclasses.replace(base, sources=("src",), mixing=mixing), tasks)
        assert np.isfinite(together.curve.losses).all()
        assert set(together.source_curves) == {"src"}
    tied = dataclasses.replace(base, sources=("src",), soft=SoftSharing(strength=0.0))
    np.testing.assert_allclose(finetune(tied, tasks).curve.losses, alone.curve.losses)


def test_a_curriculum_by_length(names: dict[str, str]) -> None:
    of = dataclasses.replace(
        stage(names["llama"], epochs=1), curriculum=Curriculum("naive", "length", levels=2)
    )
    result = finetune(of, {"toy": toy_task(TaskType.GENERATION, train=40, test=8)})
    assert len(result.curve.steps) == result.notes["steps"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"head": "transformers"}, "head = 'transformers' needs an encoder"),
        ({"curriculum": Curriculum("naive", "loss")}, "difficulty = 'loss' needs an encoder"),
        ({"sources": ("src",), "soft": SoftSharing("kl")}, "tie = 'kl' needs an encoder"),
        (
            {"training": dataclasses.replace(SETTINGS, compile="graphs")},
            "compile = 'graphs' needs an encoder",
        ),
    ],
)
def test_what_needs_an_encoder_is_refused(
    names: dict[str, str], changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=rf"^{said} \(got the decoder '.*gpt2'\)$"):
        finetune(dataclasses.replace(stage(names["gpt2"]), **changes), {})


def test_an_encoder_does_not_write_texts(tiny: str) -> None:
    with pytest.raises(RunFailed, match="does not write"):
        finetune(stage(tiny), {"toy": toy_task(TaskType.GENERATION, train=20)})


def test_a_class_that_is_only_in_the_test_split_counts_as_wrong(names: dict[str, str]) -> None:
    train = short_examples(TaskType.CLASSIFICATION, 60, 0)
    test = [*short_examples(TaskType.CLASSIFICATION, 20, 1), Example("a good", "new")]
    task = Task.from_iterable("toy", TaskType.CLASSIFICATION, {"train": train, "test": test})
    result = finetune(stage(names["llama"], epochs=4), {"toy": task})
    assert result.scores["accuracy"] == pytest.approx(20 / 21)


@pytest.mark.parametrize("fits", [2, 1, 0])
def test_out_of_memory_halves_micro_batches_and_then_keeps_no_activations(
    names: dict[str, str], fits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = {"toy": short_task(TaskType.GENERATION, train=40)}
    of = stage(names["gpt2"], epochs=1)
    expected = finetune(of, tasks)
    on_batch = LanguageModel.on_batch

    def with_little_memory(self: LanguageModel, batch: Any) -> Any:
        room = fits or int(
            any(getattr(m, "gradient_checkpointing", False) for m in self.model.modules())
        )
        if self.model.training and len(batch.ids) > room:
            raise torch.OutOfMemoryError("too large")
        return on_batch(self, batch)

    monkeypatch.setattr(LanguageModel, "on_batch", with_little_memory)
    found = finetune(of, tasks)
    assert found.notes["micro_batches"] == {2: 4, 1: 8, 0: 8}[fits]
    np.testing.assert_allclose(found.curve.losses, expected.curve.losses, atol=1e-4)


def test_recomputed_activations_give_the_same_gradients(
    names: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = {"toy": short_task(TaskType.GENERATION, train=40)}
    found = {}
    for rank in (None, 4):
        for recomputes in (False, True):
            of = stage(names["llama"], epochs=1, lora_rank=rank)
            if recomputes:
                monkeypatch.setattr(Loop, "run", _recomputing(Loop.run))
            found[rank, recomputes] = finetune(of, tasks).curve.losses
            monkeypatch.undo()
        np.testing.assert_allclose(found[rank, True], found[rank, False], atol=1e-5)


def _recomputing(run: Any) -> Any:
    def wrapped(self: Loop, **given: Any) -> None:
        assert self._start_recomputing()
        assert not self._start_recomputing()
        run(self, **given)

    return wrapped


@pytest.mark.parametrize("model", LANGUAGE_MODELS)
def test_losses_are_those_of_transformers_trainer(
    names: dict[str, str], model: str, tmp_path: Path
) -> None:
    """Twenty steps on the same batches with equal settings."""
    pytest.importorskip("accelerate")
    from transformers import Trainer, TrainerCallback, TrainingArguments

    task = toy_task(TaskType.GENERATION, train=200)
    training = dataclasses.replace(
        SETTINGS,
        batch_size=8,
        epochs=1,
        dev_examples=40,
        warmup_fraction=0.0,
        weight_decay=0.0,
        learning_rate=1e-3,
        precision="fp32",
    )
    of = Stage("toy", seed=0, encoder=names[model], training=training)
    ours = finetune(of, {"toy": task}).curve.losses
    assert len(ours) == 20

    own = load_pretrained(names[model])
    assert isinstance(own, LanguageModel)
    selection = select(task, None, seed=0, dev_examples=40, with_test=True)
    data = TextTaskData(selection, own, training, templates=TextTemplates.of_task(task), seed=0)
    batches = []
    for number in range(20):
        rows = [
            (data.train.encoded.prompts[u].tolist(), data.train.encoded.answers[u].tolist())
            for u in data.units(number, 8)
        ]
        if own.is_encoder_decoder:
            inputs, labels = [p for p, _ in rows], [a for _, a in rows]
        else:
            inputs = [p + a for p, a in rows]
            labels = [[-100] * len(p) + a for p, a in rows]
        width, longest = max(map(len, inputs)), max(map(len, labels))
        batches.append(
            {
                "input_ids": torch.tensor([ids + [0] * (width - len(ids)) for ids in inputs]),
                "attention_mask": torch.tensor(
                    [[1] * len(ids) + [0] * (width - len(ids)) for ids in inputs]
                ),
                "labels": torch.tensor([ids + [-100] * (longest - len(ids)) for ids in labels]),
            }
        )
    theirs: list[float] = []

    class Record(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if "loss" in logs:
                theirs.append(logs["loss"])

    class SameBatches(Trainer):
        def get_train_dataloader(self) -> Any:
            return batches

        def log(self, logs: Any, *given: Any, **more: Any) -> None:
            super().log(logs, *given, **more)

    arguments = TrainingArguments(
        output_dir=str(tmp_path),
        max_steps=20,
        per_device_train_batch_size=8,
        learning_rate=1e-3,
        weight_decay=0.0,
        lr_scheduler_type="linear",
        warmup_steps=0,
        max_grad_norm=1.0,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        seed=0,
    )
    trainer = SameBatches(
        model=own.model, args=arguments, train_dataset=[0] * 160, callbacks=[Record()]
    )
    trainer.train()
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_the_order_of_batches_depends_on_the_seed(names: dict[str, str]) -> None:
    tasks = {"toy": short_task(TaskType.GENERATION, train=60)}
    of = stage(names["llama"], epochs=1)
    one, other = finetune(of, tasks), finetune(dataclasses.replace(of, seed=1), tasks)
    assert not np.array_equal(one.curve.losses, other.curve.losses)
