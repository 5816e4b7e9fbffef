"""The callback in a real Trainer, with a tiny model: the store holds what the loop printed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import transfer_meta as tm
from transfer_meta.runs.store.run_store import Store
from transfer_meta.runs.store.schema import Run

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")

from transfer_meta.integrations import LogSettings, TransferLogger  # noqa: E402

SETTINGS = LogSettings(encoder="toy")


class Parity(torch.utils.data.Dataset):
    """Token sequences whose first token gives the label, or the opposite of it."""

    def __init__(self, count: int, seed: int, *, inverted: bool = False) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.ids = torch.randint(0, 20, (count, 6), generator=generator)
        self.labels = ((self.ids[:, 0] > 9) ^ inverted).long()

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"input_ids": self.ids[index], "labels": self.labels[index]}


def new_model() -> Any:
    torch.manual_seed(0)
    return transformers.BertForSequenceClassification(
        transformers.BertConfig(
            vocab_size=20,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=8,
        )
    )


def scores(prediction: Any) -> dict[str, float]:
    right = prediction.predictions.argmax(-1) == prediction.label_ids
    return {"accuracy": float(right.mean()), "error": float(1 - right.mean())}


def trainer(
    model: Any,
    callback: Any,
    *,
    data: Parity | None = None,
    compute: Callable[..., Any] | None = scores,
    **arguments: Any,
) -> Any:
    settings = {
        "num_train_epochs": 2,
        "learning_rate": 1e-2,
        "logging_steps": 2,
        "eval_strategy": "epoch",
        "save_strategy": "no",
        **arguments,
    }
    return transformers.Trainer(
        model,
        transformers.TrainingArguments(
            "out", seed=3, report_to=[], disable_tqdm=True, use_cpu=True, **settings
        ),
        train_dataset=data or Parity(32, 1),
        eval_dataset=Parity(20, 9),
        compute_metrics=compute,
        callbacks=[callback] if callback else None,
    )


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def stored(name: str = "1") -> Run:
    store = Store("runs.sqlite")
    try:
        return store.run(name)
    finally:
        store.close()


def test_outcomes_are_those_that_the_loop_printed() -> None:
    test = Parity(50, 5)
    loop = trainer(new_model(), TransferLogger("small", settings=SETTINGS))
    loop.train()
    baseline = loop.evaluate(test, metric_key_prefix="test")
    model = new_model()
    trainer(model, None, data=Parity(80, 2)).train()  # the source, not logged
    loop = trainer(model, TransferLogger("small", "large", settings=SETTINGS))
    loop.train()
    transfer = loop.predict(test, metric_key_prefix="test").metrics
    loop.evaluate()  # of the dev split: the score of the test split stays

    tm.export().save("own.csv")
    (row,) = tm.load_outcomes("own.csv").runs.to_dict("records")
    printed = (baseline["test_accuracy"], transfer["test_accuracy"])
    assert (row["baseline"], row["score"]) == printed
    assert row["gain"] == pytest.approx(printed[1] / printed[0] - 1)
    assert (row["source"], row["target"], row["seed"]) == ("large", "small", 3)
    run = stored("2")
    assert run.main_metric == "accuracy"
    assert run.scores == {name: transfer[f"test_{name}"] for name in ("accuracy", "error")}
    assert run.notes == {"logged_by": "TransferLogger", "steps": 8, "scored_on": "test"}
    assert run.settings["training"]["learning_rate"] == 0.01
    assert run.settings["training"]["batch_size"] == 8
    assert (run.attempts, run.encoder) == (1, "toy")

    history = [r for r in loop.state.log_history if "loss" in r]
    store = Store("runs.sqlite")
    curve = store.curves(run.id)["small"]
    store.close()
    assert curve.steps.tolist() == [r["step"] for r in history] == [2, 4, 6, 8]
    assert curve.losses.tolist() == [r["loss"] for r in history]
    assert curve.dev_steps.tolist() == [4, 8]
    dev = [r for r in loop.state.log_history if "eval_loss" in r][:2]
    assert curve.dev_losses.tolist() == [r["eval_loss"] for r in dev]
    assert curve.dev_scores.tolist() == [r["eval_accuracy"] for r in dev]


def test_without_an_evaluation_afterwards_the_last_one_counts() -> None:
    loop = trainer(new_model(), TransferLogger("small", settings=SETTINGS))
    loop.train()
    assert stored().score == loop.state.log_history[-2]["eval_accuracy"]
    assert stored().notes["scored_on"] == "eval, during training"


def test_the_best_model_counts_where_it_is_loaded() -> None:
    values = iter((0.9, 0.2, 0.3))
    loop = trainer(
        new_model(),
        TransferLogger("small", settings=SETTINGS),
        compute=lambda _: {"other": 0.1, "f1": next(values)},
        num_train_epochs=3,
        save_strategy="epoch",
        load_best_model_at_end=True,
        metric_for_best_model="f1",
    )
    loop.train()
    assert (stored().main_metric, stored().score) == ("f1", 0.9)


def test_trained_again_and_evaluated_afterwards_alone() -> None:
    lines: list[str] = []
    for number in range(2):
        callback = TransferLogger("small", settings=SETTINGS, tell=lines.append)
        loop = trainer(new_model(), callback, eval_strategy="no", num_train_epochs=1)
        loop.train()
        assert stored().status == ("done" if number else "failed")
        loop.evaluate()
    assert lines == [
        "small, seed 3: replaces the run of the same settings in " + str(Path("runs.sqlite").absolute())
    ]
    assert (stored().status, stored().attempts) == ("done", 2)


def test_a_training_that_goes_on_has_its_whole_curve() -> None:
    def callback() -> TransferLogger:
        return TransferLogger("small", settings=SETTINGS, tell=lambda _: None)

    arguments = {"save_strategy": "epoch"}
    trainer(new_model(), callback(), **arguments).train()
    trainer(new_model(), callback(), **arguments).train(resume_from_checkpoint="out/checkpoint-4")
    curves = tm.export().curves
    assert curves.loc[curves["split"] == "train", "step"].tolist() == [2, 4, 6, 8]
    assert len(tm.run_status().runs) == 1


def test_without_a_score() -> None:
    loop = trainer(new_model(), TransferLogger("small", settings=SETTINGS), compute=None)
    loop.train()
    loop.evaluate()
    assert (stored().status, stored().score) == ("failed", None)
    assert "expected compute_metrics" in stored().reason
    # The curve of the losses is there nevertheless.
    store = Store("runs.sqlite")
    assert len(store.curves(1)["small"].dev_losses) == 2
    store.close()
    loop.compute_metrics = scores
    found = loop.evaluate()
    assert (stored().status, stored().score) == ("done", found["eval_accuracy"])


@pytest.mark.parametrize(
    ("compute", "metric", "message"),
    [
        (lambda _: {"accuracy": 71.3}, None, "accuracy = 71.3 .*0.713 if it is in percent"),
        (lambda _: {"accuracy": float("nan")}, None, "accuracy = nan .*on 0-1"),
        (lambda _: {"accuracy": 0.7}, "acuracy", "unknown metric 'acuracy'.*did you mean 'accuracy'"),
        (lambda _: {"accuracy": "0.7"}, "accuracy", "gives no scores"),
        (lambda _: {"perplexity": 0.7}, None, "no score where higher is better"),
        (None, "accuracy", "gives no scores"),
    ],
)
def test_a_score_that_cannot_be_used_stops_at_the_first_evaluation(
    compute: Callable[..., Any] | None, metric: str | None, message: str
) -> None:
    settings = LogSettings(encoder="toy", metric=metric)
    loop = trainer(new_model(), TransferLogger("small", settings=settings), compute=compute)
    with pytest.raises(tm.InputError, match=message):
        loop.train()
    assert loop.state.global_step == 4


def test_a_model_from_a_folder_needs_the_name_of_its_encoder() -> None:
    new_model().save_pretrained("trained")
    model = transformers.BertForSequenceClassification.from_pretrained("trained")
    with pytest.raises(tm.InputError, match=r"folder 'trained' \(expected LogSettings\(encoder=NAME\)"):
        trainer(model, TransferLogger("small", "large")).train()
    assert not Path("runs.sqlite").exists()


def test_only_one_process_of_several_writes() -> None:
    callback = TransferLogger("small", settings=SETTINGS)
    loop = trainer(new_model(), callback)
    loop.state.is_world_process_zero = False
    callback.on_train_begin(loop.args, loop.state, loop.control, model=loop.model)
    callback.on_train_end(loop.args, loop.state, loop.control)
    callback.on_evaluate(loop.args, loop.state, loop.control, metrics={"eval_runtime": 1.0})
    assert not Path("runs.sqlite").exists()


def test_hyperparameters_are_plain_json() -> None:
    trainer(new_model(), TransferLogger("small", settings=SETTINGS), max_steps=2).train()
    training = stored().settings["training"]
    assert training["max_steps"] == 2
    assert training["lr_scheduler_type"] == "linear"
    assert json.loads(json.dumps(training)) == training
