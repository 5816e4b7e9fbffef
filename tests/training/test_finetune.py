from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from toys import toy_examples, toy_task

from transfer_meta.encoding.encoder import Encoder
from transfer_meta.encoding.encoding_settings import HEADS
from transfer_meta.errors import InputError, RunFailed, StartUnusable, Stopped
from transfer_meta.records import TYPES_WITH_HEADS, Example, TaskType
from transfer_meta.runs.methods import stage_of
from transfer_meta.tasks import Task
from transfer_meta.training import finetune as module
from transfer_meta.training.finetune import finetune
from transfer_meta.training.method_settings import Mixing
from transfer_meta.training.run_result import RunResult
from transfer_meta.training.stage import Stage
from transfer_meta.training.training_settings import TrainingSettings

SETTINGS = TrainingSettings(
    epochs=4, batch_size=16, learning_rate=3e-3, max_length=32, stride=8, dev_examples=20, evaluations=3
)


def stage(encoder: str, **changes: Any) -> Stage:
    return dataclasses.replace(Stage("toy", seed=0, encoder=encoder, training=SETTINGS), **changes)


def with_training(of: Stage, **changes: Any) -> Stage:
    return dataclasses.replace(of, training=dataclasses.replace(of.training, **changes))


def same_result(a: RunResult, b: RunResult) -> bool:
    curves = all(
        np.array_equal(getattr(a.curve, f.name), getattr(b.curve, f.name), equal_nan=True)
        for f in dataclasses.fields(a.curve)
    )
    return curves and a.scores == b.scores and a.score == b.score


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("type", TYPES_WITH_HEADS)
def test_every_task_type_is_learned(tiny: str, type: TaskType, head: str) -> None:
    tasks = {"toy": toy_task(type, train=200)}
    settings = {"epochs": 12 if type is TaskType.QUESTION_ANSWERING else 6}
    result = finetune(with_training(stage(tiny, head=head), **settings), tasks)
    assert result.score > 0.8
    assert result.score == result.scores[result.main_metric]
    assert len(result.curve.steps) == result.notes["steps"]
    assert result.curve.steps[-1] == result.notes["steps"]
    assert result.curve.losses[-3:].mean() < result.curve.losses[:3].mean() / 2
    assert len(result.curve.dev_scores) == 3
    assert result.curve.dev_steps[-1] == result.notes["steps"]
    assert result.curve.dev_scores[-1] > 0.7
    assert result.tokens_per_second > 0
    assert result.peak_memory_bytes > 0


def test_the_bilstm_is_learned_too() -> None:
    settings = {"epochs": 10, "learning_rate": 1e-2}
    result = finetune(
        with_training(stage("bilstm"), **settings), {"toy": toy_task(TaskType.TOKEN_CLASSIFICATION)}
    )
    assert result.main_metric == "entity_f1"
    assert result.score > 0.8


def test_same_stage_same_result_whatever_the_cache_and_the_callers_random_numbers(
    tiny: str, tmp_path: Path
) -> None:
    tasks = {"toy": toy_task(TaskType.CLASSIFICATION)}
    first = finetune(stage(tiny, target_examples=50), tasks)
    torch.manual_seed(99)
    before = torch.get_rng_state()
    for _ in range(2):
        assert same_result(first, finetune(stage(tiny, target_examples=50), tasks, cache=tmp_path))
    assert torch.equal(before, torch.get_rng_state())
    other = finetune(stage(tiny, target_examples=50, seed=1), tasks)
    assert not same_result(first, other)


def test_a_baseline_and_its_transfers_see_the_same_examples(tiny: str, tmp_path: Path) -> None:
    tasks = {
        "toy": toy_task(TaskType.CLASSIFICATION),
        "src": toy_task(TaskType.REGRESSION, name="src", seed=7),
    }
    base = with_training(stage(tiny, target_examples=30), epochs=1)
    alone = finetune(base, tasks)
    intermediate = stage_of("intermediate", base, sources=["src"], source_examples=60)
    assert intermediate.start is not None
    finetune(intermediate.start, tasks, save=tmp_path / "src.safetensors")
    after = finetune(intermediate, tasks, start=tmp_path / "src.safetensors")
    together = finetune(stage_of("multitask", base, sources=["src"], source_examples=60), tasks)
    subset = alone.notes["subsets"]["toy"]
    assert subset == after.notes["subsets"]["toy"] == together.notes["subsets"]["toy"]
    assert together.notes["examples"] == {"toy": 30, "src": 60}
    assert alone.curve.losses[0] != after.curve.losses[0]


def test_a_source_without_a_test_split_is_enough(tiny: str) -> None:
    source = Task.from_iterable(
        "src", "classification", {"train": toy_examples(TaskType.CLASSIFICATION, 40, 3)}
    )
    tasks = {"toy": toy_task(TaskType.CLASSIFICATION), "src": source}
    base = with_training(stage(tiny), epochs=1)
    assert finetune(stage_of("multitask", base, sources=["src"]), tasks).score > 0
    alone = finetune(dataclasses.replace(base, target="src"), tasks)
    assert (alone.score > 0, alone.notes["scored_on"]) == (True, "held out of train")
    nothing = finetune(with_training(dataclasses.replace(base, target="src"), dev_examples=0), tasks)
    assert (math.isnan(nothing.score), nothing.scores, nothing.notes["scored_on"]) == (True, {}, "")


def test_sampling_draws_one_task_a_step_and_weights_train_on_all(tiny: str) -> None:
    tasks = {
        "toy": toy_task(TaskType.CLASSIFICATION, train=80),
        "src": toy_task(TaskType.TOKEN_CLASSIFICATION, name="src", train=80),
    }
    base = with_training(stage(tiny), dev_examples=0)
    drawn = finetune(stage_of("multitask", base, sources=["src"]), tasks)
    # Four epochs of five batches, the target in every other step: 40 steps.
    assert drawn.notes["steps"] == 40
    own, others = drawn.curve.steps, drawn.source_curves["src"].steps
    assert sorted([*own, *others]) == list(range(1, 41))
    assert 10 < len(own) < 30
    weighted = stage_of("multitask", base, sources=["src"], mixing=Mixing(weights=(0.9, 0.1)))
    summed = finetune(weighted, tasks)
    assert len(summed.curve.steps) == len(summed.source_curves["src"].steps) == 20


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("checkpoint", ["last", "best"])
def test_a_stopped_run_goes_on_to_the_bit(
    tiny: str, tmp_path: Path, checkpoint: str, head: str
) -> None:
    tasks = {
        "toy": toy_task(TaskType.CLASSIFICATION),
        "src": toy_task(TaskType.REGRESSION, name="src"),
    }
    base = with_training(stage(tiny, head=head), checkpoint=checkpoint)
    whole = stage_of("multitask", base, sources=["src"])
    expected = finetune(whole, tasks, save=tmp_path / "expected.safetensors")
    state, seen = tmp_path / "state.safetensors", []
    for stop_at in (7, 21):
        with pytest.raises(Stopped, match=f"after step {stop_at} of"):
            finetune(
                whole,
                tasks,
                save=tmp_path / "found.safetensors",
                resume=state,
                should_stop=lambda limit=stop_at: bool(seen) and seen[-1] == limit,
                on_progress=lambda done, _: seen.append(done),
            )
        assert state.is_file()
    found = finetune(
        whole,
        tasks,
        save=tmp_path / "found.safetensors",
        resume=state,
        on_progress=lambda done, _: seen.append(done),
    )
    assert same_result(expected, found)
    assert seen == list(range(1, expected.notes["steps"] + 1))
    assert not state.exists()
    weights = [load_file(tmp_path / f"{name}.safetensors") for name in ("expected", "found")]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def test_dropout_goes_on_to_the_bit(tmp_path: Path) -> None:
    tasks = {"toy": toy_task(TaskType.CLASSIFICATION, train=60)}
    whole = with_training(stage("random:1x16"), epochs=2)  # BERT's dropout of 0.1
    expected = finetune(whole, tasks)
    steps: list[int] = []
    with pytest.raises(Stopped):
        finetune(
            whole,
            tasks,
            resume=tmp_path / "s",
            should_stop=lambda: len(steps) == 3,
            on_progress=lambda done, _: steps.append(done),
        )
    assert same_result(expected, finetune(whole, tasks, resume=tmp_path / "s"))


def cut_off(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-50] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (None, "is the state of another run"),
        (cut_off, "cannot read the state of the stopped run"),
        (flip_a_bit, "is a damaged state"),
        (lambda file: file.write_bytes(b""), "cannot read the state"),
    ],
)
def test_a_state_that_cannot_be_used_is_discarded_and_the_run_begins_anew(
    tiny: str, tmp_path: Path, damage: Callable[[Path], object] | None, reason: str
) -> None:
    tasks = {"toy": toy_task(TaskType.CLASSIFICATION)}
    one, other = (with_training(stage(tiny, seed=seed), epochs=1) for seed in (0, 1))
    seen: list[int] = []
    with pytest.raises(Stopped) as stopped:
        finetune(
            one,
            tasks,
            resume=tmp_path / "s",
            should_stop=lambda: bool(seen),
            on_progress=lambda done, _: seen.append(done),
        )
    assert not stopped.value.unsaved
    wanted = other
    if damage is not None:
        damage(tmp_path / "s")
        wanted = one
    found = finetune(wanted, tasks, resume=tmp_path / "s")
    assert reason in found.notes["discarded_state"]
    assert same_result(finetune(wanted, tasks), replace(found, notes=finetune(wanted, tasks).notes))
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [(cut_off, "cannot read"), (flip_a_bit, "is damaged"), (None, "another run's")],
)
def test_an_encoder_to_start_from_that_is_damaged_or_of_another_run_is_noticed(
    tiny: str, tmp_path: Path, damage: Callable[[Path], object] | None, reason: str
) -> None:
    tasks = {"toy": toy_task(TaskType.CLASSIFICATION)}
    first = with_training(stage(tiny), epochs=1)
    made = first if damage else replace(first, seed=first.seed + 1)
    finetune(made, tasks, save=tmp_path / "encoder")
    if damage:
        damage(tmp_path / "encoder")
    with pytest.raises(StartUnusable, match=reason):
        finetune(replace(first, start=first), tasks, start=tmp_path / "encoder")


def test_a_state_that_cannot_be_saved_stops_the_run_and_keeps_the_earlier_state(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = {"toy": toy_task(TaskType.CLASSIFICATION)}
    seen: list[int] = []

    def stop_after(steps: int) -> Stopped:
        with pytest.raises(Stopped) as stopped:
            finetune(
                stage(tiny),
                tasks,
                resume=tmp_path / "s",
                should_stop=lambda: len(seen) == steps,
                on_progress=lambda done, _: seen.append(done),
            )
        return stopped.value

    assert stop_after(2).unsaved == ""
    before = (tmp_path / "s").read_bytes()

    def full_disk(*_: object, **__: object) -> None:
        raise SafetensorError(
            "Error while serializing: I/O error: No space left on device (os error 28)"
        )

    monkeypatch.setattr("safetensors.torch.save_file", full_disk)
    assert "No space left on device" in stop_after(4).unsaved
    assert (tmp_path / "s").read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["s"]
    assert seen == [1, 2, 3, 4]


def test_out_of_memory_halves_the_micro_batch_and_changes_nothing_else(
    tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = {"toy": toy_task(TaskType.TOKEN_CLASSIFICATION)}
    plain = finetune(stage(tiny), tasks)
    outputs = Encoder.outputs

    def limited(self: Encoder, ids: torch.Tensor, *rest: Any) -> Any:
        if self.model.training and len(ids) > 5:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return outputs(self, ids, *rest)

    monkeypatch.setattr(Encoder, "outputs", limited)
    found = finetune(stage(tiny), tasks)
    assert found.notes["micro_batches"] == 4
    # Dropout of the head draws other numbers; the first loss and the course of the others stay.
    assert found.notes["steps"] == plain.notes["steps"]
    assert found.curve.losses[0] == pytest.approx(plain.curve.losses[0], rel=0.1)
    assert found.score == pytest.approx(plain.score, abs=0.15)


def test_micro_batches_give_the_gradient_of_the_whole(
    tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transfer_meta.encoding import heads
    from transfer_meta.training.loop import Loop

    monkeypatch.setattr(heads, "HEAD_DROPOUT", 0.0)
    found = []
    for pieces in (1, 4):
        step = Loop._step

        def first(self: Loop, pieces: int = pieces, step: Any = step) -> None:
            self.pieces = pieces
            step(self)

        monkeypatch.setattr(Loop, "_step", first)
        found.append(finetune(stage(tiny), {"toy": toy_task(TaskType.TOKEN_CLASSIFICATION)}))
        monkeypatch.setattr(Loop, "_step", step)
    np.testing.assert_allclose(found[0].curve.losses, found[1].curve.losses, rtol=2e-3, atol=1e-4)


def test_one_example_too_large_fails_the_run(tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Encoder, "outputs", never)
    with pytest.raises(RunFailed, match="out of memory with a single example"):
        finetune(stage(tiny), {"toy": toy_task(TaskType.CLASSIFICATION)})


def test_a_loss_that_is_no_number_fails_the_run(tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs, calls = Encoder.outputs, []

    def broken(self: Encoder, *inputs: Any) -> Any:
        calls.append(self.model.training)
        vectors, pooled = outputs(self, *inputs)
        return vectors * (torch.nan if sum(calls) > 3 else 1.0), pooled

    monkeypatch.setattr(Encoder, "outputs", broken)
    with pytest.raises(RunFailed, match="not a finite number at step 4"):
        finetune(stage(tiny), {"toy": toy_task(TaskType.CLASSIFICATION)})


@pytest.mark.parametrize(
    ("type", "label", "message"),
    [
        (TaskType.CLASSIFICATION, None, "label None"),
        (TaskType.REGRESSION, float("nan"), "label nan"),
        (TaskType.TOKEN_CLASSIFICATION, ("O",), "1 tags for 2 tokens"),
        (TaskType.MULTIPLE_CHOICE, 5, "label 5 .expected 0 to 1"),
        (TaskType.QUESTION_ANSWERING, (("gold", 0),), "'gold' is not in the context at character 0"),
    ],
)
def test_a_bad_label_fails_the_run_and_is_named(
    tiny: str, type: TaskType, label: Any, message: str
) -> None:
    from transfer_meta.records import Answer

    if type is TaskType.QUESTION_ANSWERING:
        label = tuple(Answer(*answer) for answer in label)
    bad = Example("a b", label, text_pair="a b", choices=("x", "y"), tokens=("a", "b"))
    task = toy_task(type)
    test = [*task.examples("test"), bad]
    with pytest.raises(RunFailed, match=f"task 'toy', test example 41: .*{message}"):
        finetune(stage(tiny), {"toy": dataclasses.replace(task, splits={**task.splits, "test": test})})


def test_more_examples_than_there_are_fail_the_run(tiny: str) -> None:
    with pytest.raises(RunFailed, match="110 training examples wanted, 100 are there"):
        finetune(stage(tiny, target_examples=110), {"toy": toy_task(TaskType.CLASSIFICATION)})


def test_a_file_that_is_gone_fails_the_run(tiny: str) -> None:
    class Gone:
        def __iter__(self) -> Any:
            raise FileNotFoundError(2, "No such file or directory", "toy.train.csv")

    task = Task.from_iterable("toy", "classification", {"train": Gone(), "test": []})
    with pytest.raises(RunFailed, match=r"toy\.train\.csv"):
        finetune(stage(tiny), {"toy": task})


def test_too_little_disk_fails_the_run_before_it_trains(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10})())
    with pytest.raises(RunFailed, match="too little disk"):
        finetune(
            stage(tiny),
            {"toy": toy_task(TaskType.CLASSIFICATION)},
            save=tmp_path / "new" / "e.safetensors",
        )


def test_contradictions_are_told_before_anything_begins(tiny: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"epochs = 0.*start and stage\.prerequisite go together"):
        finetune(with_training(stage(tiny), epochs=0), {}, start=tmp_path / "x")


def test_the_best_checkpoint_is_that_of_the_highest_dev_score(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transfer_meta.training import loop, task_data

    # Dev scores 0.2, 0.9, 0.9: the second, the earlier of equals; the test split comes last.
    values = iter([0.2, 0.9, 0.9, 0.5])
    monkeypatch.setattr(task_data, "score", lambda *_: {"accuracy": next(values)})
    tasks = {"toy": toy_task(TaskType.CLASSIFICATION)}
    best = finetune(with_training(stage(tiny), checkpoint="best"), tasks, save=tmp_path / "best")
    assert best.notes["best_step"] == best.curve.dev_steps[1]
    assert best.score == 0.5

    # The run that stops there has the same weights: evaluation changes nothing.
    saved = {}
    step = loop.Loop._step

    def note(self: loop.Loop) -> None:
        step(self)
        if self.step == best.notes["best_step"]:
            self._set_mode(training=False)
            self._set_mode(training=True)
            saved.update({k: v.clone() for k, v in self.encoder.model.state_dict().items()})

    monkeypatch.setattr(loop.Loop, "_step", note)
    values = iter([0.2, 0.9, 0.9, 0.5])
    finetune(with_training(stage(tiny), checkpoint="best"), tasks)
    table = "embeddings.word_embeddings"
    for key, value in load_file(tmp_path / "best").items():
        assert torch.equal(value, saved[key.replace(table, f"{table}.full")]), key


def test_lora_trains_few_weights_and_leaves_a_plain_encoder(tiny: str, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    tasks = {"toy": toy_task(TaskType.CLASSIFICATION, train=200)}
    low = with_training(stage(tiny), lora_rank=8, learning_rate=1e-2, epochs=6)
    result = finetune(low, tasks, save=tmp_path / "e.safetensors")
    assert result.score > 0.8
    before = load_file(Path(tiny) / "model.safetensors")
    after = load_file(tmp_path / "e.safetensors")
    assert before.keys() == after.keys()
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed
    assert all(
        key.endswith("weight") and "embeddings" not in key and "Norm" not in key for key in changed
    )
    again = with_training(stage(tiny, start=low), epochs=1, learning_rate=1e-6)
    assert finetune(again, tasks, start=tmp_path / "e.safetensors").score > 0.5


def test_lora_trains_the_head_of_transformers_too(tiny: str, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    tasks = {"toy": toy_task(TaskType.CLASSIFICATION, train=200)}
    low = with_training(
        stage(tiny, head="transformers"), lora_rank=8, learning_rate=1e-2, epochs=6, dev_examples=40
    )
    assert finetune(low, tasks, save=tmp_path / "e.safetensors").score > 0.8
    saved = load_file(tmp_path / "e.safetensors").keys()
    assert saved - load_file(Path(tiny) / "model.safetensors").keys() == {
        "pooler.dense.weight",
        "pooler.dense.bias",
    }


def test_a_pooler_is_carried_over_and_drawn_by_the_seed_where_there_is_none(
    tiny: str, tmp_path: Path
) -> None:
    tasks = {
        "toy": toy_task(TaskType.CLASSIFICATION),
        "src": toy_task(TaskType.TOKEN_CLASSIFICATION, name="src"),
    }
    name = "pooler.dense.weight"

    def pooler_after(
        task: str, path: Path, *, start: Path | None = None, before: Stage | None = None, **changes: Any
    ) -> Any:
        last = with_training(stage(tiny, target=task, start=before, **changes), epochs=1)
        finetune(last, tasks, start=start, save=path)
        return load_file(path).get(name)

    theirs: dict[str, Any] = {"head": "transformers"}
    # The head for tags does not read the pooler: it stays as it was drawn.
    drawn = pooler_after("src", tmp_path / "drawn", **theirs)
    assert not torch.equal(drawn, pooler_after("src", tmp_path / "other", seed=1, **theirs))
    trained = pooler_after("toy", tmp_path / "trained", **theirs)
    assert not torch.equal(drawn, trained)
    first = with_training(stage(tiny, **theirs), epochs=1)
    assert torch.equal(
        trained,
        pooler_after("src", tmp_path / "next", start=tmp_path / "trained", **theirs, before=first),
    )
    # One trained for another head goes on without a pooler, and gets one.
    ours: dict[str, Any] = {"head": "mean", "before": first}
    assert pooler_after("src", tmp_path / "plain", start=tmp_path / "trained", **ours) is None
    plain = with_training(stage(tiny, target="src", start=first, head="mean"), epochs=1)
    theirs = {"head": "transformers", "before": plain}
    assert torch.equal(
        drawn, pooler_after("src", tmp_path / "back", start=tmp_path / "plain", **theirs)
    )


def test_the_bilstm_has_neither_head_of_transformers_nor_trained_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="head = 'transformers' needs a transformer"):
        finetune(stage("bilstm", head="transformers"), {})
    with pytest.raises(InputError, match="save_model needs a transformer"):
        finetune(stage("bilstm"), {}, save_model=tmp_path / "m.safetensors")


def test_a_bilstm_carries_its_words_over(tmp_path: Path) -> None:
    source = Task.from_iterable(
        "src",
        "classification",
        {s: [Example("other words", "a"), Example("more", "b")] * 8 for s in ("train", "test")},
    )
    tasks = {"toy": toy_task(TaskType.CLASSIFICATION), "src": source}
    base = with_training(stage("bilstm"), epochs=1)
    transfer = stage_of("intermediate", base, sources=["src"])
    assert transfer.start is not None
    finetune(transfer.start, tasks, save=tmp_path / "src")
    finetune(transfer, tasks, start=tmp_path / "src", save=tmp_path / "toy")
    assert (
        load_file(tmp_path / "toy")["words.weight"].shape[0]
        > load_file(tmp_path / "src")["words.weight"].shape[0]
    )


def test_bf16_learns_too(tiny: str) -> None:
    tasks = {"toy": toy_task(TaskType.CLASSIFICATION, train=200)}
    assert finetune(with_training(stage(tiny), precision="bf16", epochs=6), tasks).score > 0.8


def test_everything_is_trained_and_written(tiny: str, tmp_path: Path) -> None:
    finetune(stage(tiny), {"toy": toy_task(TaskType.CLASSIFICATION)}, save=tmp_path / "e.safetensors")
    before, after = load_file(Path(tiny) / "model.safetensors"), load_file(tmp_path / "e.safetensors")
    assert before.keys() == after.keys()
    for key, value in before.items():
        assert value.shape == after[key].shape
        # A bias of the keys moves every score of a query alike: its gradient is zero but for rounding.
        if "token_type" not in key and "attention.self.key.bias" not in key:
            assert not torch.equal(value, after[key]), key
