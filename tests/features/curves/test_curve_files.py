from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import numpy as np
import pytest

from transfer_meta.errors import InputError
from transfer_meta.features.curves.curve_files import read_curves

TRAINER = {
    "best_metric": None,
    "log_history": [
        {"epoch": 0.5, "grad_norm": 1.0, "learning_rate": 1e-5, "loss": 2.5, "step": 100},
        {"epoch": 1.0, "loss": float("nan"), "step": 200},
        {"epoch": 1.0, "eval_loss": 1.5, "eval_accuracy": 0.75, "eval_runtime": 3.0,
         "eval_samples_per_second": 9.0, "eval_steps_per_second": 1.0, "step": 200},
        {"epoch": 1.5, "loss": 1.25, "step": 300},
        {"epoch": 1.5, "step": 300, "total_flos": 1e9, "train_loss": 1.9, "train_runtime": 60.0},
    ],
}  # fmt: skip


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_trainer_state(tmp_path: Path) -> None:
    (log,) = read_curves(write(tmp_path / "trainer_state.json", json.dumps(TRAINER))).values()
    assert log.steps.tolist() == [100, 200, 300]
    np.testing.assert_array_equal(log.losses, [2.5, np.nan, 1.25])
    assert (log.dev_steps.tolist(), log.dev_losses.tolist(), log.dev_scores.tolist()) == (
        [200],
        [1.5],
        [0.75],
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "iter,train_loss,dev_loss,dev_f1\n10,3,,\n20,2,1.5,0.5\n30,1,,\n"),
        ("a.tsv", "Step\tTrain/Loss\tval/loss\tval/acc\n10\t3\t\t\n20\t2\t1.5\t0.5\n30\t1\t\t\n"),
        ("a.jsonl", '{"step": 10, "loss": 3}\n{"step": 20, "loss": 2, "eval_loss": 1.5, "eval_f1": 0.5}\n'
                    '\n{"global": 1, "step": 30, "loss": 1, "eval_loss": null}\n'),
    ],
)  # fmt: skip
@pytest.mark.parametrize("packed", [False, True])
def test_tables(tmp_path: Path, name: str, text: str, packed: bool) -> None:
    content = gzip.compress(text.encode()) if packed else text.encode()
    (log,) = read_curves(write(tmp_path / (name + ".gz" * packed), content)).values()
    assert log.steps.tolist() == [10, 20, 30]
    assert log.losses.tolist() == [3, 2, 1]
    assert (log.dev_steps.tolist(), log.dev_losses.tolist(), log.dev_scores.tolist()) == (
        [20],
        [1.5],
        [0.5],
    )


def test_many_tasks_in_one_file(tmp_path: Path) -> None:
    text = "task,step,loss\na,1,3\nb,1,9\na,2,2\na,1,5\n"
    logs = read_curves(write(tmp_path / "a.csv", text))
    assert list(logs) == ["a", "b"]
    assert logs["a"].steps.tolist() == [1, 2, 1]  # as it was written, for the paper's recipe
    assert logs["b"].losses.tolist() == [9]


def test_the_papers_file(shared: Path) -> None:
    logs = read_curves(shared / "bingel_soegaard" / "curves.csv.gz")
    assert {task: len(log.steps) for task, log in logs.items() if len(log.steps) != 5000} == {
        "COM": 10_000,
        "HYP": 5010,
    }
    assert all(
        len(log.dev_steps) == len(log.steps) // 10 - (task == "HYP") for task, log in logs.items()
    )


def test_tensorboard_file_and_folder(tmp_path: Path, event_file: bytes) -> None:
    path = write(tmp_path / "events.out.tfevents.1.host", event_file)
    for place in (path, tmp_path):
        (log,) = read_curves(place).values()
        assert log.steps.tolist() == [100, 200, 300, 400]
        assert np.isnan(log.losses[2])
        assert (log.dev_steps.tolist(), log.dev_losses.tolist()) == ([400], [1.5])
        assert log.dev_scores.tolist() == [0.75]


def test_several_dev_scores_require_a_choice(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "step,loss,eval_f1,eval_accuracy\n1,2,0.5,0.75\n2,1,0.6,0.8\n")
    with pytest.raises(InputError, match=r"several dev scores \(eval_f1, eval_accuracy\).*--dev-score"):
        read_curves(path)
    (log,) = read_curves(path, dev_score="eval/accuracy").values()
    assert log.dev_scores.tolist() == [0.75, 0.8]
    with pytest.raises(
        InputError, match="no column 'eval_acc' for the dev score; did you mean 'eval_accuracy'"
    ):
        read_curves(path, dev_score="eval_acc")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", "the file is empty"),
        ("a.csv", "step,loss\n", "a header and no rows"),
        ("a.csv", "x,loss\n1,2\n", r"no column with the step \(one of: step.*got: x, loss\)"),
        ("a.csv", "step,x\n1,2\n", "no column with the training loss"),
        ("a.csv", "step,loss\n1,2\n2,two\n", r"a.csv:3: loss is not a number: 'two'"),
        ("a.csv", "step,loss\n1,2\n,3\n", r"a.csv:3: no step"),
        ("a.csv", "step,loss\n1,\n2,\n", "no training loss in it"),
        ("a.jsonl", '{"step": 1, "loss": 2}\n{"step": 2,', "a.jsonl:2: not JSON"),
        ("a.jsonl", '{"step": 1, "loss": [2]}\n', "a.jsonl:1: loss is not a number"),
        ("trainer_state.json", "{}", "no list log_history"),
        ("trainer_state.json", "{", "not JSON"),
        (
            "trainer_state.json",
            '{"log_history": [3]}',
            "record 1 of log_history: expected a JSON object",
        ),
        ("trainer_state.json", '{"log_history": []}', "no column with the step"),
        ("events.out.tfevents.1", "step,loss", "not a TensorBoard event file"),
        ("a.txt", "step loss", "not recognised as a training log by its name"),
    ],
)
def test_bad_files(tmp_path: Path, name: str, content: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_curves(write(tmp_path / name, content))
    assert "\n" not in str(caught.value)


def test_no_such_file(tmp_path: Path) -> None:
    for name in ("a.csv", "a.jsonl", "trainer_state.json", "events.out.tfevents.1"):
        with pytest.raises(InputError, match="no such file"):
            read_curves(tmp_path / name)
    with pytest.raises(InputError, match="the folder holds no event file"):
        read_curves(tmp_path)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "trainer_state.json"])
def test_mutations_give_a_result_or_an_error(tmp_path: Path, name: str) -> None:
    text = {
        "a.csv": "step,loss,dev_f1\n1,2.5,\n2,2.0,0.5\n",
        "a.jsonl": '{"step": 1, "loss": 2.5}\n{"step": 2, "loss": 2, "eval_f1": 0.5}\n',
        "trainer_state.json": json.dumps(TRAINER),
    }[name].encode()
    rng = random.Random(0)
    for _ in range(500):
        content = bytearray(text)
        for _ in range(rng.randint(1, 4)):
            content[rng.randrange(len(content))] = rng.randrange(256)
        try:
            read_curves(write(tmp_path / name, bytes(content)))
        except InputError as error:
            assert "\n" not in str(error)
