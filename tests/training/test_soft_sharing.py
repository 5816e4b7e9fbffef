from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from toys import toy_examples, toy_task

from transfer_meta.encoding.encoders import load_encoder
from transfer_meta.encoding.tokens import IGNORED
from transfer_meta.errors import RunFailed, Stopped
from transfer_meta.records import Example, TaskType
from transfer_meta.runs.methods import stage_of
from transfer_meta.tasks import Task
from transfer_meta.training import soft_sharing
from transfer_meta.training.finetune import finetune
from transfer_meta.training.loop import Loop
from transfer_meta.training.method_settings import SoftSharing
from transfer_meta.training.run_result import RunResult
from transfer_meta.training.soft_sharing import Tie, free_memory, memory_of, symmetric_kl
from transfer_meta.training.stage import Stage
from transfer_meta.training.training_settings import TrainingSettings

SETTINGS = TrainingSettings(
    epochs=2, batch_size=16, learning_rate=3e-3, max_length=32, stride=8, dev_examples=20, evaluations=2
)
CLASSES, NUMBERS, TAGS = (
    toy_task(type, name=name, train=60, seed=seed)
    for type, name, seed in (
        (TaskType.CLASSIFICATION, "src", 3),
        (TaskType.REGRESSION, "src", 4),
        (TaskType.TOKEN_CLASSIFICATION, "src", 5),
    )
)
TOY = toy_task(TaskType.CLASSIFICATION, train=60)


def base(encoder: str, **changes: Any) -> Stage:
    training = replace(SETTINGS, **changes)
    return Stage("toy", seed=0, encoder=encoder, training=training)


def soft(encoder: str, strength: float = 0.1, tie: str = "l2", **changes: Any) -> Stage:
    settings = SoftSharing(tie, strength)
    return stage_of("soft", base(encoder, **changes), sources=["src"], soft=settings)


def same(a: RunResult, b: RunResult) -> bool:
    curves = all(np.array_equal(getattr(a.curve, k), getattr(b.curve, k)) for k in vars(a.curve))
    return curves and a.scores == b.scores


@pytest.mark.parametrize("tie", ["l2", "kl"])
@pytest.mark.parametrize(
    ("encoder", "changes"),
    [
        ("random:1x16", {}),
        ("random:1x16", {"checkpoint": "best"}),
        ("random:1x16", {"lora_rank": 2}),
        ("bilstm", {}),
    ],
)
def test_without_a_tie_the_target_is_trained_as_alone(
    tmp_path: Path, encoder: str, changes: dict[str, Any], tie: str
) -> None:
    if "lora_rank" in changes:
        pytest.importorskip("peft")
    tasks = {"toy": TOY, "src": CLASSES}
    alone, tied = tmp_path / "alone", tmp_path / "tied"
    expected = finetune(base(encoder, **changes), tasks, save=alone)
    found = finetune(soft(encoder, 0.0, tie, **changes), tasks, save=tied)
    assert same(expected, found)
    weights = [load_file(path) for path in (alone, tied)]
    # A bi-LSTM has a vector for every word of all tasks.
    shared = [key for key in weights[0] if weights[0][key].shape == weights[1][key].shape]
    assert len(shared) >= len(weights[0]) - 1
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in shared)


def test_the_stronger_the_tie_the_nearer_the_encoders(tiny: str) -> None:
    tasks = {"toy": TOY, "src": NUMBERS}
    strengths = (1e-6, 1e-4, 1e-2, 1, 1e9)
    runs = [finetune(soft(tiny, strength), tasks) for strength in strengths]
    distances = [run.notes["encoder_distance"] for run in runs]
    assert distances == sorted(distances, reverse=True)
    assert distances[0] > 0.5
    assert distances[-1] < 1e-5 * distances[0]
    assert "encoder_distance" not in finetune(soft(tiny, 0.0), tasks).notes


def test_the_limit_of_a_strong_tie_is_one_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    ties: list[Tie] = []
    start = Tie.__init__

    def kept(self: Tie, *arguments: Any) -> None:
        start(self, *arguments)
        ties.append(self)

    monkeypatch.setattr(Tie, "__init__", kept)
    tasks = {"toy": TOY, "src": NUMBERS, "tags": toy_task(TaskType.TOKEN_CLASSIFICATION, name="tags")}
    stage = stage_of("soft", base("random:1x16"), sources=["src", "tags"], soft=SoftSharing("l2", 1e9))
    finetune(stage, tasks)
    (tie,) = ties
    states = [encoder.model.state_dict() for encoder in tie.encoders]
    fresh = load_encoder("random:1x16").model.state_dict()
    # The others' token tables still are the rows that were trained.
    moved = [
        key
        for key in fresh.keys() & states[1].keys()
        if fresh[key].shape == states[1][key].shape and not torch.equal(states[0][key], fresh[key])
    ]
    assert len(moved) > 10
    for key in moved:
        for other in states[1:]:
            torch.testing.assert_close(states[0][key], other[key], rtol=1e-6, atol=1e-8)


def test_the_pull_is_the_minimum_of_penalty_and_distance(tiny: str) -> None:
    """Three encoders, one weight each: compare with a numerical minimum."""
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    weights = [torch.nn.Parameter(torch.tensor([value])) for value in (1.0, -2.0, 0.5)]
    moments = (0.04, 0.25, 1.0)
    for weight, moment in zip(weights, moments, strict=True):
        optimizer.state[weight] = {"exp_avg_sq": torch.tensor([moment]), "step": torch.tensor(1e9)}
    tie = Tie([load_encoder(tiny)] * 3, [], SoftSharing("l2", 0.3))
    tie._weights = [[weight] for weight in weights]
    before = torch.cat([weight.detach() for weight in weights]).double()
    tie.pull(optimizer, 0.1)
    metric = torch.tensor(moments).double().sqrt() / 0.1

    point = before.clone().requires_grad_()
    search = torch.optim.LBFGS([point], lr=0.5, max_iter=500, tolerance_grad=1e-12)

    def objective() -> torch.Tensor:
        search.zero_grad()
        pairs = (point[0] - point[1]) ** 2 + (point[0] - point[2]) ** 2 + (point[1] - point[2]) ** 2
        total: torch.Tensor = 0.3 * pairs + (metric * (point - before) ** 2).sum() / 2
        total.backward()
        return total

    search.step(objective)
    found = torch.cat([weight.detach() for weight in weights])
    torch.testing.assert_close(found.double(), point.detach(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("type", [TaskType.CLASSIFICATION, TaskType.TOKEN_CLASSIFICATION])
def test_predictions_come_nearer_by_the_kl_tie(tiny: str, type: TaskType) -> None:
    """A target and a source that contradict it: what is "yes" in one is "no" in the other."""
    other = {"yes": "no", "no": "yes", "B-K": "I-K", "I-K": "B-K", "O": "O"}
    examples = toy_examples(type, 60, 9)
    contrary = [
        e._replace(label=other[e.label] if isinstance(e.label, str) else tuple(map(other.get, e.label)))
        for e in examples
    ]
    tasks = {
        "toy": Task.from_iterable("toy", type, {"train": examples, "test": examples[:20]}),
        "src": Task.from_iterable("src", type, {"train": contrary}),
    }
    divergences = []
    for strength in (1e-3, 10.0):
        loops: list[Loop] = []
        start = Loop.__init__

        def kept(self: Loop, *given: Any, start: Any = start, loops: Any = loops, **named: Any) -> None:
            start(self, *given, **named)
            loops.append(self)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Loop, "__init__", kept)
            finetune(soft(tiny, strength, "kl"), tasks)
        (loop,) = loops
        assert loop.tie is not None
        batch = loop.tasks[0].train.batcher.batch(np.arange(30))
        with torch.no_grad():
            outputs = [
                head(hidden, batch, pooled)
                for encoder, head in zip(loop.tie.encoders, loop.tie.heads, strict=True)
                for hidden, pooled in [encoder.outputs(batch.ids, batch.types, batch.mask)]
            ]
        divergences.append(float(symmetric_kl(outputs[0], outputs[1], batch.target)))
    assert divergences[1] < divergences[0]


def test_symmetric_kl_is_that_of_its_definition_and_skips_ignored_places() -> None:
    first, second = torch.tensor([[0.7, 0.3], [0.5, 0.5]]), torch.tensor([[0.4, 0.6], [0.9, 0.1]])
    there = torch.nn.functional.kl_div(second.log(), first, reduction="none").sum(1)
    back = torch.nn.functional.kl_div(first.log(), second, reduction="none").sum(1)
    expected = (there + back) / 2
    found = symmetric_kl(first.log(), second.log(), torch.tensor([0, 1]))
    assert float(found) == pytest.approx(float(expected.sum()), rel=1e-5)
    found = symmetric_kl(first.log(), second.log(), torch.tensor([0, IGNORED]))
    assert float(found) == pytest.approx(float(expected[0]), rel=1e-5)


OTHER_LABELS = Task.from_iterable(
    "src", "classification", {"train": [Example(f"w{i}", "ab"[i % 2]) for i in range(40)]}
)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (NUMBERS, "tie 'kl' compares predicted classes or tags .got 'src': regression"),
        (
            OTHER_LABELS,
            "one type with the same labels .* with no, yes; 'src': classification with a, b",
        ),
        (TAGS, "one type with the same labels"),
    ],
)
def test_a_kl_tie_of_other_labels_is_refused_in_one_line(tiny: str, source: Task, message: str) -> None:
    with pytest.raises(RunFailed, match=message):
        finetune(soft(tiny, tie="kl"), {"toy": TOY, "src": source})


@pytest.mark.parametrize(("tie", "checkpoint"), [("l2", "last"), ("l2", "best"), ("kl", "last")])
def test_a_stopped_run_goes_on_to_the_bit(tmp_path: Path, tie: str, checkpoint: str) -> None:
    tasks = {"toy": TOY, "src": CLASSES}
    stage = soft("random:1x16", 0.05, tie, checkpoint=checkpoint)
    expected = finetune(stage, tasks, save=tmp_path / "expected")
    seen: list[int] = []
    for stop_at in (2, 4):
        with pytest.raises(Stopped) as stopped:
            finetune(
                stage,
                tasks,
                resume=tmp_path / "state",
                should_stop=lambda limit=stop_at: len(seen) == limit,
                on_progress=lambda done, _: seen.append(done),
            )
        assert not stopped.value.unsaved
    found = finetune(stage, tasks, resume=tmp_path / "state", save=tmp_path / "found")
    assert "discarded_state" not in found.notes
    assert same(expected, found)
    assert expected.notes["encoder_distance"] == found.notes["encoder_distance"]
    weights = [load_file(tmp_path / name) for name in ("expected", "found")]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def test_encoders_that_do_not_fit_are_refused_in_one_line(
    tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soft_sharing, "free_memory", lambda _: 123_456)
    with pytest.raises(
        RunFailed, match=r"soft sharing of 2 tasks needs \S+ MB for .*, 0 MB of memory are free"
    ):
        finetune(soft(tiny), {"toy": TOY, "src": CLASSES})


def test_the_memory_of_encoders(tiny: str) -> None:
    encoder = load_encoder(tiny)
    weights = 4 * sum(w.numel() for w in encoder.model.parameters())
    rows = len(encoder.model.get_input_embeddings().weight)
    assert memory_of(encoder, SETTINGS, tasks=2, seen=rows) == (1 + 2 * 3) * weights
    best = replace(SETTINGS, checkpoint="best")
    assert memory_of(encoder, best, tasks=3, seen=rows) == (2 + 3 * 4) * weights
    unseen = 4 * (rows - 5) * encoder.width
    assert memory_of(encoder, SETTINGS, tasks=2, seen=5) == weights + 6 * (weights - unseen)
    assert memory_of(encoder, replace(SETTINGS, lora_rank=4), tasks=2, seen=rows) == weights
    free = free_memory(torch.device("cpu"))
    assert free is None or free > 0
