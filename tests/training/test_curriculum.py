from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from toys import toy_task

from transfer_meta.encoding.batching import batcher_for
from transfer_meta.encoding.encoders import load_encoder
from transfer_meta.encoding.encoding_settings import EncodingSettings
from transfer_meta.encoding.language_model import load_pretrained
from transfer_meta.errors import InputError, RunFailed, StartUnusable, Stopped
from transfer_meta.records import TYPES_WITH_HEADS, Answer, Example, TaskType
from transfer_meta.runs.methods import stage_of
from transfer_meta.training.curriculum import BatchOrder, difficulties
from transfer_meta.training.finetune import finetune
from transfer_meta.training.method_settings import DIFFICULTIES, ORDERS, Curriculum
from transfer_meta.training.stage import Stage
from transfer_meta.training.task_data import Split, TaskData, select
from transfer_meta.training.training_settings import TrainingSettings

SETTINGS = TrainingSettings(
    epochs=2, batch_size=8, learning_rate=3e-3, max_length=32, stride=8, dev_examples=10, evaluations=4
)
STEPS = 24
LOSSES = [(6, 1.0), (12, 0.9), (18, 0.95)]
"""Dev losses with a plateau after 18 steps."""


def order_of(
    name: str,
    *,
    losses: Sequence[tuple[int, float]] = (),
    levels: int = 4,
    trains: Sequence[bool] = (True,) * STEPS,
    seed: int = 0,
) -> BatchOrder:
    """The order of batches of four among 40 units, of which unit i is the i-th easiest."""
    encoder = load_encoder("random:1x8", texts=["a"])
    task = toy_task(TaskType.CLASSIFICATION, train=40)
    split = _split(encoder, task.type, tuple(task.examples("train")), task.labels("train"))
    return BatchOrder(
        Curriculum(name, levels=levels),
        split.batcher,
        np.arange(40.0),
        trains=np.array(trains),
        dev_losses=lambda: losses,
        batch_size=4,
        key=("order", seed, "toy"),
    )


def _split(encoder: Any, type: TaskType, examples: tuple[Example, ...], labels: Sequence[str]) -> Split:
    from transfer_meta.encoding.batching import encode_examples

    encoded, _ = encode_examples(encoder, type, examples, EncodingSettings(32), labels)
    return Split(examples, encoded, batcher_for(encoder, type, encoded))


def levels_of(order: BatchOrder) -> list[set[int]]:
    """The levels in each batch."""
    return [{int(unit) // 10 for unit in order.units(i)} for i in range(STEPS)]


def test_naive_begins_with_the_easiest_level_and_adds_the_next_after_its_share() -> None:
    order = order_of("naive")
    assert order.starts() == [0, 6, 12, 18]
    found = levels_of(order)
    for level in range(4):
        assert set().union(*found[6 * level : 6 * level + 6]) == set(range(level + 1))
    # Passes begin with a level: none of its units comes twice before all have come.
    batches = [order.units(i) for i in range(3)]
    assert sorted(np.concatenate(batches)) == list(range(10))
    assert [len(units) for units in batches] in ([4, 4, 2], [4, 2, 4], [2, 4, 4])


@pytest.mark.parametrize(
    ("losses", "starts"),
    [
        ([(3, 1.0), (6, 1.0)], [0, 6, 12, 18]),
        ([(2, 1.0), (4, 1.0)], [0, 4, 12, 18]),
        ([(2, 1.0), (4, 1.0), (5, 1.1), (7, 0.9)], [0, 4, 5, 18]),
        ([(2, 1.0), (4, 1.0), (5, 1.1), (7, 1.0), (9, 1.0)], [0, 4, 5, 7]),
        ([(2, float("nan")), (4, float("nan"))], [0, 2, 4, 18]),
    ],
)
def test_a_plateau_adds_a_level_before_its_share(
    losses: list[tuple[int, float]], starts: list[int]
) -> None:
    assert order_of("naive", losses=losses).starts() == starts


def test_what_was_trained_on_does_not_depend_on_later_evaluations() -> None:
    for name in ("naive", "combined"):
        losses: list[tuple[int, float]] = []
        growing = order_of(name, losses=losses)
        found = []
        for step in range(STEPS):
            found.append(growing.units(step))
            losses += [one for one in LOSSES if one[0] == step + 1]
        again = order_of(name, losses=LOSSES)  # as after a resume
        assert all(np.array_equal(a, again.units(i)) for i, a in enumerate(found))


def test_mixed_draws_the_level_of_each_batch() -> None:
    found = levels_of(order_of("mixed"))
    assert all(len(levels) == 1 for levels in found)
    drawn = [levels.pop() for levels in found]
    assert set(drawn) == {0, 1, 2, 3}
    assert drawn != sorted(drawn)
    assert drawn == [levels.pop() for levels in levels_of(order_of("mixed"))]
    assert drawn != [levels.pop() for levels in levels_of(order_of("mixed", seed=1))]


def test_combined_takes_naive_and_mixed_batches_in_turn() -> None:
    order = order_of("combined")
    assert order.starts() == [0, 3, 6, 9]  # of twelve naive batches
    found = levels_of(order)
    assert all(levels == {0} for levels in found[0:6:2])
    assert all(len(levels) == 1 for levels in found[1::2])
    assert set().union(*found[18::2]) == {0, 1, 2, 3}


def test_only_the_steps_of_a_task_count() -> None:
    every_other = [step % 2 == 0 for step in range(STEPS)]
    assert order_of("naive", trains=every_other).starts() == [0, 3, 6, 9]
    found = order_of("naive", trains=every_other, losses=[(2, 1.0), (4, 1.0)])
    assert found.starts() == [0, 2, 6, 9]


def test_more_levels_than_units_are_as_many_as_units() -> None:
    assert [len(level) for level in order_of("mixed", levels=1000).levels] == [1] * 40


def test_batches_hold_units_of_similar_length() -> None:
    order = order_of("naive", levels=2)
    lengths = order._batcher.lengths
    within = np.mean([np.ptp(lengths[order.units(i)]) for i in range(12)])
    assert within < np.ptp(lengths[np.concatenate(order.levels[:1])]) / 2


TAGGED = (
    Example("a b", ("X", "Y"), tokens=("a", "b")),
    Example("a b c d e", ("X",) * 5, tokens=("a", "b", "c", "d", "e")),
    Example("a b c", ("X", "Y", "Z"), tokens=("a", "b", "c")),
)
CLASSES = tuple(Example("a " * n, label) for n, label in ((3, "x"), (1, "y"), (2, "x")))
CHOICES = tuple(
    Example("a", 0, text_pair="b", choices=choices) for choices in (("c", "d", "e"), ("c", "d"))
)
QUESTIONS = (
    Example("a", (Answer("b", 0), Answer("c", 2)), text_pair="b c"),
    Example("a", (), text_pair="b c d"),
    Example("a", (Answer("b", 0), Answer("b", 0)), text_pair="b c d e"),
)


@pytest.mark.parametrize(
    ("type", "examples", "by_length", "by_labels"),
    [
        (TaskType.TOKEN_CLASSIFICATION, TAGGED, [0, 2, 1], [1, 0, 2]),
        (TaskType.CLASSIFICATION, CLASSES, [1, 2, 0], None),
        (TaskType.MULTIPLE_CHOICE, CHOICES, [1, 0], [1, 0]),
        (TaskType.QUESTION_ANSWERING, QUESTIONS, [0, 1, 2], [1, 2, 0]),
    ],
)
def test_difficulty_by_length_and_by_labels(
    type: TaskType, examples: tuple[Example, ...], by_length: list[int], by_labels: list[int] | None
) -> None:
    labels = ("X", "Y", "Z") if type is TaskType.TOKEN_CLASSIFICATION else ("x", "y")
    encoder = load_encoder("random:1x8", texts=["a b c d e"])
    split = _split(encoder, type, examples, labels)
    for name, expected in (("length", by_length), ("labels", by_labels)):
        if expected is None:
            continue
        found = difficulties(
            Curriculum("naive", name, 2), type, split, encoder, labels, key=("difficulty", 0, "toy")
        )
        assert list(np.lexsort((split.batcher.lengths, found))) == expected


@pytest.mark.parametrize("type", TYPES_WITH_HEADS)
def test_difficulty_by_loss_finds_wrong_labels(tiny: str, type: TaskType) -> None:
    encoder = load_encoder(tiny)
    task = toy_task(type, train=160)
    examples = list(task.examples("train"))
    labels = task.labels("train")
    wrong = {0, 40, 41}
    for i in wrong:
        label: Any = examples[i].label
        if type is TaskType.CLASSIFICATION:
            label = "no" if label == "yes" else "yes"
        elif type is TaskType.REGRESSION:
            label = 8.0 - label
        elif type is TaskType.TOKEN_CLASSIFICATION:
            label = tuple({"O": "B-K"}.get(tag, "O") for tag in label)
        elif type is TaskType.MULTIPLE_CHOICE:
            label = (label + 1) % len(examples[i].choices)
        else:
            word = next(w for w in reversed(examples[i].text_pair.split()) if w.startswith("word"))
            label = (Answer(word, examples[i].text_pair.rindex(word)),)
        examples[i] = examples[i]._replace(label=label)
    split = _split(encoder, type, tuple(examples), labels)
    curriculum = Curriculum(difficulty="loss")
    found = [
        difficulties(curriculum, type, split, encoder, labels, key=("difficulty", 0, "toy"))
        for _ in range(2)
    ]
    assert np.array_equal(found[0], found[1])
    assert np.isfinite(found[0]).all()
    right = [i for i in range(160) if i not in wrong]
    assert found[0][list(wrong)].min() > np.quantile(found[0][right], 0.75)


@pytest.mark.parametrize("type", [TaskType.CLASSIFICATION, TaskType.REGRESSION])
def test_an_example_with_one_label_has_none_to_count(tiny: str, type: TaskType) -> None:
    stage = Stage(
        "toy", seed=0, encoder=tiny, training=SETTINGS, curriculum=Curriculum("naive", "labels")
    )
    with pytest.raises(RunFailed, match=f"difficulty 'labels' with a {type} task"):
        finetune(stage, {"toy": toy_task(type)})


def scores_and_losses(result: Any) -> tuple[Any, ...]:
    curve = result.curve
    return (result.scores, result.notes["steps"], curve.losses.tolist(), curve.dev_losses.tolist())


def test_the_baseline_order_equals_no_curriculum_and_no_order_changes_the_number_of_steps(
    tiny: str,
) -> None:
    tasks = {"toy": toy_task(TaskType.CLASSIFICATION, train=60)}
    plain = Stage("toy", seed=0, encoder=tiny, training=SETTINGS)
    results = {
        order: finetune(stage_of("curriculum", plain, sources=[], curriculum=Curriculum(order)), tasks)
        for order in ORDERS
    }
    alone = scores_and_losses(finetune(plain, tasks))
    assert scores_and_losses(results["baseline"]) == alone
    assert {result.notes["steps"] for result in results.values()} == {alone[1]}
    courses = {tuple(result.curve.losses) for result in results.values()}
    assert len(courses) == len(ORDERS)


def test_naive_begins_with_the_shortest(tiny: str) -> None:
    task = toy_task(TaskType.TOKEN_CLASSIFICATION, train=60)
    selection = select(task, None, seed=0, dev_examples=10, with_test=True)
    data = TaskData(
        selection, load_encoder(tiny), SETTINGS, seed=0, cache=None, curriculum=Curriculum(levels=5)
    )
    data.begin(0, [[(0, 1.0)]] * 20, list, batch_size=5)
    lengths = data.train.batcher.lengths
    first = lengths[np.unique(np.concatenate([data.units(i, 5) for i in range(2)]))]
    assert sorted(first) == sorted(lengths)[:10]
    whole = np.unique(np.concatenate([data.units(i, 5) for i in range(16, 20)]))
    assert lengths[whole].max() == lengths.max()


@pytest.mark.parametrize("order", ["naive", "mixed", "combined"])
@pytest.mark.parametrize("method", ["curriculum", "multitask"])
def test_a_stopped_run_with_a_curriculum_goes_on_to_the_bit(
    tiny: str, tmp_path: Path, order: str, method: str
) -> None:
    tasks = {
        "toy": toy_task(TaskType.CLASSIFICATION, train=60),
        "src": toy_task(TaskType.REGRESSION, name="src", train=40),
    }
    curriculum = Curriculum(order, "loss" if order == "naive" else "length")
    # A rate so high that the dev loss rises: levels begin at plateaus.
    settings = replace(SETTINGS, learning_rate=0.03)
    whole = Stage("toy", seed=0, encoder=tiny, training=settings, curriculum=curriculum)
    if method == "multitask":
        whole = stage_of("multitask", whole, sources=["src"])
    expected = finetune(whole, tasks, save=tmp_path / "expected.safetensors")
    steps = expected.notes["steps"]
    state, seen = tmp_path / "state", [0]
    for stop_at in (steps // 3, steps - 2):
        with pytest.raises(Stopped):
            finetune(
                whole,
                tasks,
                resume=state,
                should_stop=lambda limit=stop_at: seen[-1] == limit,
                on_progress=lambda done, _: seen.append(done),
            )
    found = finetune(whole, tasks, save=tmp_path / "found.safetensors", resume=state)
    assert scores_and_losses(found) == scores_and_losses(expected)
    weights = [load_file(tmp_path / f"{name}.safetensors") for name in ("expected", "found")]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


@pytest.mark.parametrize("encoder", ["random:1x16", "bilstm"])
def test_the_difficulty_of_an_earlier_run_is_that_of_its_encoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoder: str
) -> None:
    tasks = {"toy": toy_task(TaskType.CLASSIFICATION, train=60)}
    plain = Stage("toy", seed=0, encoder=encoder, training=SETTINGS)
    found: dict[str, Any] = {}

    def kept(curriculum: Curriculum, *arguments: Any, **named: Any) -> Any:
        found[curriculum.difficulty] = difficulties(curriculum, *arguments, **named)
        return found[curriculum.difficulty]

    starts: list[Path | None] = []

    def loaded(*arguments: Any, start: Path | None, **named: Any) -> Any:
        starts.append(start)
        return load_pretrained(*arguments, start=start, **named)

    monkeypatch.setattr("transfer_meta.training.task_data.difficulties", kept)
    monkeypatch.setattr("transfer_meta.training.finetune.load_pretrained", loaded)
    by_loss = replace(plain, curriculum=Curriculum("naive", "loss"))
    by_run = replace(plain, curriculum=Curriculum("naive", "run-loss"))
    assert (by_loss.prerequisite, by_run.prerequisite) == (None, plain)
    file = tmp_path / "alone.safetensors"
    finetune(plain, tasks, save=file)
    finetune(by_loss, tasks)
    first = finetune(by_run, tasks, start=file)
    # The encoder has learned the task: what its run has seen is easy.
    assert found["run-loss"].mean() < found["loss"].mean()
    assert scores_and_losses(finetune(by_run, tasks, start=file)) == scores_and_losses(first)
    # The run itself starts from the pretrained encoder; that of the file only reads the examples.
    assert starts == [None, None, None, file, None, file]
    assert replace(by_run, curriculum=Curriculum("baseline", "run-loss")).prerequisite is None
    with pytest.raises(InputError, match="start and stage.prerequisite go together"):
        finetune(by_run, tasks)
    other = replace(by_run, seed=1)
    with pytest.raises(StartUnusable, match="is another run's"):
        finetune(other, tasks, start=file)


def test_mixtures_and_chains_have_the_curriculum_too(tiny: str) -> None:
    base = Stage("toy", seed=0, encoder=tiny, training=SETTINGS, curriculum=Curriculum())
    chain = stage_of("chain", base, sources=["a", "b"])
    assert [stage.curriculum for stage in chain.chain] == [Curriculum()] * 3
    assert stage_of("soft", base, sources=["a"]).curriculum == Curriculum()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"order": "naiv"}, "unknown order 'naiv' (expected one of: baseline, naive, mixed, combined)"),
        ({"difficulty": "size"}, f"expected one of: {', '.join(DIFFICULTIES)}"),
        ({"levels": 1}, "levels = 1 (expected a whole number from 2 to 1,000)"),
        ({"levels": 2.5}, "levels = 2.5"),
    ],
)
def test_curricula_tell_what_is_wrong(values: dict[str, Any], message: str) -> None:
    stage = Stage("toy", seed=0, encoder="offline", curriculum=Curriculum(**values))
    (problem,) = stage.problems()
    assert message in problem
