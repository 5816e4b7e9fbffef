"""Texts beyond the maximum length: what of them is read, and that it is enough to learn from."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from toys import NEUTRAL, toy_task

from transfer_meta.encoding.batching import EncodedBatch
from transfer_meta.encoding.encoder import Encoder
from transfer_meta.encoding.encoders import load_encoder
from transfer_meta.encoding.encoding_settings import (
    HEADS,
    LONG_INPUTS,
    MEAN_HEAD,
    MEMORY_VECTORS,
    SPLIT,
)
from transfer_meta.encoding.heads import build_head
from transfer_meta.errors import RunFailed, Stopped
from transfer_meta.records import Example, TaskType
from transfer_meta.tasks import Task
from transfer_meta.training.finetune import finetune
from transfer_meta.training.method_settings import Curriculum, Mixing, SoftSharing
from transfer_meta.training.model_folder import write_model_folder
from transfer_meta.training.run_result import RunResult
from transfer_meta.training.stage import Stage
from transfer_meta.training.trained_file import load_trained_file
from transfer_meta.training.trained_model import TrainedModel, load_trained
from transfer_meta.training.training_settings import TrainingSettings

WINDOW = 16
SETTINGS = TrainingSettings(
    epochs=4, batch_size=8, learning_rate=3e-3, max_length=WINDOW, stride=4, evaluations=0
)


def long_task(
    train: int = 300, test: int = 60, *, after: int = WINDOW, name: str = "long", words: int = 8
) -> Task:
    """One word decides the class; `after` others stand before it, and more follow."""
    random = np.random.default_rng(3)

    def examples(count: int) -> list[Example]:
        found = []
        for number in range(count):
            text = list(random.choice(NEUTRAL[:6], size=after + int(random.integers(words, 2 * words))))
            text[int(random.integers(after, len(text) - 2))] = "good" if number % 2 else "bad"
            found.append(Example(" ".join(text), "yes" if number % 2 else "no"))
        return found

    splits = {"train": examples(train), "test": examples(test)}
    return Task.from_iterable(name, TaskType.CLASSIFICATION, splits)


def stage(encoder: str, how: str, *, head: str = MEAN_HEAD, **changes: Any) -> Stage:
    training = dataclasses.replace(SETTINGS, long_inputs=how, **changes)
    return Stage("long", seed=0, encoder=encoder, training=training, head=head)


def same(a: RunResult, b: RunResult) -> bool:
    return np.array_equal(a.curve.losses, b.curve.losses) and a.scores == b.scores


@pytest.mark.parametrize("how", LONG_INPUTS)
def test_what_stands_beyond_the_first_window_is_learned_where_it_is_read(tiny: str, how: str) -> None:
    result = finetune(stage(tiny, how), {"long": long_task()})
    if how == "head":
        assert result.score < 0.6
    # The window of head-tail misses some of the words that count, and one segment that has it is outvoted by two.
    elif how not in ("head-tail", "votes"):
        assert result.score >= 0.9
    if how in SPLIT:
        assert 2 <= result.notes["segments"]["long"] < 4
        assert "cut" not in result.notes
    else:
        assert result.notes["cut"] == {"long": 1.0}


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("type", [TaskType.CLASSIFICATION, TaskType.REGRESSION])
def test_without_long_texts_only_the_memory_makes_a_difference(
    tiny: str, type: TaskType, head: str
) -> None:
    tasks = {"long": toy_task(type, name="long", train=60)}
    results = [
        finetune(stage(tiny, how, head=head, epochs=1, max_length=32), tasks)
        for how in LONG_INPUTS
        if how != "memory" and (how != "votes" or type is TaskType.CLASSIFICATION)
    ]
    assert all(same(results[0], other) for other in results[1:])
    assert results[0].notes["cut"] == {"long": 0.0}
    assert results[-1].notes["segments"] == {"long": 1.0}


def test_most_votes_decide(tiny: str) -> None:
    """Each of three windows has words for a class, two of them for the right one."""
    random = np.random.default_rng(3)

    def examples(count: int) -> list[Example]:
        found = []
        for number in range(count):
            right, wrong = ("good", "bad") if number % 2 else ("bad", "good")
            windows = [
                [*random.choice(NEUTRAL[:6], size=8), *[word] * 6] for word in (right, wrong, right)
            ]
            text = [word for own in random.permutation(3) for word in random.permutation(windows[own])]
            found.append(Example(" ".join(text), "yes" if number % 2 else "no"))
        return found

    splits = {"train": examples(120), "test": examples(40)}
    task = Task.from_iterable("long", TaskType.CLASSIFICATION, splits)
    result = finetune(stage(tiny, "votes", stride=0), {"long": task})
    assert result.score > 0.8
    assert finetune(stage(tiny, "head"), {"long": task}).score < 0.8


def test_votes_are_counted_and_a_tie_goes_to_the_surer_ones() -> None:
    head = build_head(TaskType.CLASSIFICATION, 2, labels=2, targets=np.zeros(1)).eval()
    head.votes = True
    with torch.no_grad():
        head.linear.weight.copy_(torch.eye(2))
        head.linear.bias.zero_()
    logits = torch.tensor([[3.0, 0.0], [0.0, 0.1], [0.0, 0.1], [2.0, 0.0], [0.0, 1.0], [0.5, 0.0]])
    slots = torch.tensor([[0, 1, 2], [3, 4, -1], [5, -1, -1]])
    batch = EncodedBatch(
        ids=torch.zeros(6, 1, dtype=torch.long),
        types=torch.zeros(6, 1, dtype=torch.long),
        mask=None,
        target=torch.tensor([1, 0, 0]),
        context=None,
        slots=slots,
        tokens=6,
        weight=3,
    )
    outputs = head(logits[:, None], batch)
    shares = logits.softmax(dim=1)
    expected = torch.stack(
        [
            (torch.tensor([1.0, 2.0]) + shares[:3].mean(dim=0)) / 4,
            (torch.tensor([1.0, 1.0]) + shares[3:5].mean(dim=0)) / 3,
            shares[5],
        ]
    )
    torch.testing.assert_close(outputs.exp(), expected)
    assert head.predict(outputs).tolist() == [1, 0, 0]
    # While training the loss of a text is the mean of those of its segments.
    head.train()
    head.dropout.p = 0.0
    each = torch.nn.functional.cross_entropy(logits, torch.tensor([1, 1, 1, 0, 0, 0]), reduction="none")
    wanted = each[:3].mean() + each[3:5].mean() + each[5]
    torch.testing.assert_close(head.loss(head(logits[:, None], batch), batch), wanted)


@pytest.mark.parametrize("how", SPLIT)
def test_a_stopped_run_resumes_bit_for_bit(tiny: str, tmp_path: Path, how: str) -> None:
    tasks = {"long": long_task(80, 20)}
    settings = stage(tiny, how, epochs=1, evaluations=2, checkpoint="best", dev_examples=10)
    whole = finetune(settings, tasks)
    for steps in (1, 5):
        should_stop = iter([False] * steps + [True]).__next__
        with pytest.raises(Stopped):
            finetune(settings, tasks, resume=tmp_path / "state", should_stop=should_stop)
        assert same(whole, finetune(settings, tasks, resume=tmp_path / "state"))


@pytest.mark.parametrize("how", SPLIT)
@pytest.mark.parametrize("lora_rank", [None, 4])
def test_the_memory_is_trained_and_the_model_is_read_back(
    tiny: str, tmp_path: Path, how: str, lora_rank: int | None
) -> None:
    if lora_rank:
        pytest.importorskip("peft")
    task = long_task(60, 30)
    settings = stage(tiny, how, epochs=1, lora_rank=lora_rank)
    file = tmp_path / "model.safetensors"
    result = finetune(settings, {"long": task}, save_model=file, cache=tmp_path / "cache")
    encoder, head, facts = load_trained_file(file)
    assert facts.long_inputs == how
    assert ("head.memory.weight" in load_file(file)) == (how == "memory")
    write_model_folder(tmp_path / "model", encoder, head, facts, card="")
    examples = list(task.examples("test"))
    texts = [example.text for example in examples]
    found = [
        model.predict(texts).to_frame()
        for model in (TrainedModel(encoder, head, facts), load_trained(tmp_path / "model"))
    ]
    assert found[0].equals(found[1])
    right = (found[0]["label"] == [example.label for example in examples]).mean()
    assert right == pytest.approx(result.scores["accuracy"])
    if how == "memory":
        untrained = finetune(
            dataclasses.replace(
                settings, training=dataclasses.replace(settings.training, learning_rate=1e-12)
            ),
            {"long": task},
            save_model=file,
        )
        assert untrained.notes["steps"] == result.notes["steps"]
        before, after = load_file(file)["head.memory.weight"], head.state_dict()["memory.weight"]
        assert before.shape == (MEMORY_VECTORS, 32)
        assert ((before - after).abs() > 1e-5).float().mean() > 0.95


@pytest.mark.parametrize("how", SPLIT)
def test_micro_batches_give_the_gradients_of_the_whole_batch(
    tiny: str, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    tasks = {"long": long_task(40, 10)}
    whole = finetune(stage(tiny, how, epochs=1), tasks)
    read, most = Encoder.on_batch, 4

    def limited(encoder: Encoder, batch: Any) -> Any:
        if torch.is_grad_enabled() and len(batch.target) > most:
            raise torch.OutOfMemoryError
        return read(encoder, batch)

    monkeypatch.setattr(Encoder, "on_batch", limited)
    parts = finetune(stage(tiny, how, epochs=1), tasks)
    assert parts.notes["micro_batches"] == 2
    np.testing.assert_allclose(parts.curve.losses, whole.curve.losses, rtol=1e-4, atol=1e-5)


def test_each_task_of_a_mixture_or_a_chain_has_a_memory_of_its_own(tiny: str, tmp_path: Path) -> None:
    tasks = {"long": long_task(40, 10), "other": long_task(40, 10, name="other")}
    alone = stage(tiny, "memory", epochs=1)
    for changes in ({"mixing": Mixing()}, {"soft": SoftSharing("l2", 0.1)}):
        finetune(dataclasses.replace(alone, sources=("other",), **changes), tasks)
    before = dataclasses.replace(alone, target="other")
    finetune(before, tasks, save=tmp_path / "start")
    assert not any("memory" in name for name in load_file(tmp_path / "start"))
    after = finetune(dataclasses.replace(alone, start=before), tasks, start=tmp_path / "start")
    assert not same(after, finetune(alone, tasks))


def test_the_bilstm_reads_segments() -> None:
    result = finetune(stage("bilstm", "segments", epochs=1), {"long": long_task(20, 10)})
    assert result.notes["segments"]["long"] > 2


@pytest.mark.parametrize(
    ("how", "type", "line"),
    [
        ("memory", TaskType.TOKEN_CLASSIFICATION, "is for classification, regression (got token-"),
        ("segments", TaskType.MULTIPLE_CHOICE, "is for classification, regression (got multiple-"),
        ("votes", TaskType.REGRESSION, "is for classification (got regression)"),
        ("tail", TaskType.QUESTION_ANSWERING, "classification, regression, multiple-choice (got quest"),
    ],
)
def test_types_whose_texts_cannot_be_read_so(tiny: str, how: str, type: TaskType, line: str) -> None:
    with pytest.raises(RunFailed) as error:
        finetune(stage(tiny, how), {"long": toy_task(type, name="long", train=20)})
    assert f"long_inputs = '{how}' " in str(error.value)
    assert line in str(error.value)


@pytest.mark.parametrize(
    ("of", "line"),
    [
        (stage("e", "memory", head="transformers"), "needs head = 'mean' (got 'transformers')"),
        (stage("bilstm", "memory"), "needs a transformer (got encoder 'bilstm')"),
        (stage("e", "memory", compile=True), "does not go with compile"),
        (stage("e", "start"), "unknown long_inputs 'start' (expected one of: head, tail"),
        (
            dataclasses.replace(stage("e", "segments"), curriculum=Curriculum(difficulty="loss")),
            "difficulty = 'loss' does not go with long_inputs = 'segments'",
        ),
    ],
)
def test_settings_that_do_not_go_together(of: Stage, line: str) -> None:
    (problem,) = of.problems()
    assert line in problem
    assert of.problems_of_kind("decoder")


def test_an_encoder_with_narrow_embeddings_has_no_memory(tmp_path: Path) -> None:
    from transformers import AlbertConfig, AlbertModel

    encoder = load_encoder("random:1x32")
    encoder.tokenizer.save_pretrained(tmp_path)
    config = AlbertConfig(
        vocab_size=len(encoder.tokenizer),
        embedding_size=16,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
    )
    AlbertModel(config).save_pretrained(tmp_path)
    with pytest.raises(RunFailed, match=r"as wide as its outputs \(got 16 and 32\)"):
        finetune(stage(str(tmp_path), "memory"), {"long": long_task(20, 10)})
