from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import numpy as np
import pytest

from transfer_meta.errors import InputError
from transfer_meta.features.curves.curve_columns import CurveColumns
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
    (log,) = read_curves(path, columns=CurveColumns(dev_score="eval/accuracy")).values()
    assert log.dev_scores.tolist() == [0.75, 0.8]
    with pytest.raises(
        InputError,
        match=r"no column 'eval_acc' for --dev-score \(columns: .*; did you mean 'eval_accuracy'",
    ):
        read_curves(path, columns=CurveColumns(dev_score="eval_acc"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", "the file is empty"),
        ("a.csv", "step,loss\n", "a header and no rows"),
        ("a.csv", "x,loss\n1,2\n", r"no column with the step \(columns: x, loss\); set --step"),
        (
            "a.csv",
            "step,x\n1,2\n",
            r"no column with the training loss \(columns: step, x\); set --train-loss",
        ),
        ("a.csv", "step,loss\n1,2\n2,two\n", r"a.csv:3: loss is not a number: 'two'"),
        ("a.csv", "step,loss\n1,2\n,3\n", r"a.csv:3: no step"),
        ("a.csv", "step,loss\n1,\n2,\n", "no column with the training loss"),
        ("a.jsonl", '{"step": 1, "loss": 2}\n{"step": 2,\n{', "2 of 3 rows left out: not JSON"),
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


def curve(tmp_path: Path, name: str, text: str, **columns: str) -> dict[str, list[float]]:
    """Return the arrays of the only curve of a file."""
    (log,) = read_curves(write(tmp_path / name, text), columns=CurveColumns(**columns)).values()
    return {field: values.tolist() for field, values in vars(log).items()}


LIGHTNING = """epoch,step,train_loss_epoch,train_loss_step,val_acc,val_loss
0,9,,2.5,,
0,19,,2.25,,
0,19,,,0.5,1.5
0,19,2.375,,,
1,29,,2.0,,
1,39,,1.75,,
1,39,,,0.75,1.25
1,39,1.875,,,
"""
KERAS = "epoch,accuracy,loss,val_accuracy,val_loss\n0,.25,2.5,.5,1.5\n1,.5,2.0,.75,1.25\n"
FLAIR = (
    "EPOCH\tTIMESTAMP\tLEARNING_RATE\tTRAIN_LOSS\tDEV_LOSS\tDEV_ACCURACY\n"
    "1\t09:30:00\t0.1\t2.5\t1.5\t0.5\n2\t09:31:00\t0.1\t2.0\t1.25\t0.75\n"
)
NOTEBOOK = """,Step,Training Loss,Validation Loss,Model Preparation Time,Accuracy
0,500,No log,1.5,0.01,50.0%
1,"1,000",2.5,1.25,0.01,75.0%
2,"1,500",2.0,1.0,0.01,
"""
FASTAI = "epoch,train_loss,valid_loss,accuracy,time\n0,2.5,1.5,0.5,00:10\n1,2.0,1.25,0.75,00:10\n"
GERMAN = "Epoche;epoch;Training Loss;Valid. Loss;Valid. Accur.\n1;1;2,5;1,5;0,5\n2;2;2,0;1,25;0,75\n"
WANDB = (
    '"Step","run 7 - train/loss","run 7 - train/loss__MIN","run 7 - train/loss__MAX","run 7 - eval/loss",'
    '"run 7 - eval/f1"\n"1","2.5","2.5","2.5","",""\n"2","2.0","2.0","2.0","1.5","0.5"\n'
    '"3","","","","1.25","0.75"\n'
)
MLFLOW = """run_id,key,value,step,timestamp
a,train_loss,2.5,1,0
a,val_loss,1.5,1,0
a,val_f1,0.5,1,0
a,train_loss,2.0,2,0
a,val_loss,1.25,2,0
a,val_f1,0.75,2,0
"""
HISTORY = json.dumps({"loss": [2.5, 2.0], "val_loss": [1.5, 1.25], "val_acc": [0.5, 0.75]})


@pytest.mark.parametrize(
    ("name", "text", "steps", "losses", "dev_steps"),
    [
        ("metrics.csv", LIGHTNING, [9, 19, 29, 39], [2.5, 2.25, 2.0, 1.75], [19, 39]),
        ("keras.csv", KERAS, [0, 1], [2.5, 2.0], [0, 1]),
        ("loss.tsv", FLAIR, [1, 2], [2.5, 2.0], [1, 2]),
        ("fastai.csv", FASTAI, [0, 1], [2.5, 2.0], [0, 1]),
        ("german.csv", GERMAN, [1, 2], [2.5, 2.0], [1, 2]),
        ("wandb.csv", WANDB, [1, 2], [2.5, 2.0], [2, 3]),
        ("history.json", HISTORY, [0, 1], [2.5, 2.0], [0, 1]),
    ],
)
def test_logs_of_common_trainers(
    tmp_path: Path,
    name: str,
    text: str,
    steps: list[float],
    losses: list[float],
    dev_steps: list[float],
) -> None:
    found = curve(tmp_path, name, text)
    assert (found["steps"], found["losses"], found["dev_steps"]) == (steps, losses, dev_steps)
    assert (found["dev_losses"], found["dev_scores"]) == ([1.5, 1.25], [0.5, 0.75])


def test_the_table_of_a_notebook(tmp_path: Path) -> None:
    found = curve(tmp_path, "notebook.csv", NOTEBOOK)
    assert (found["steps"], found["losses"]) == ([1000, 1500], [2.5, 2.0])
    assert (found["dev_steps"], found["dev_losses"]) == ([500, 1000, 1500], [1.5, 1.25, 1.0])
    np.testing.assert_array_equal(found["dev_scores"], [0.5, 0.75, np.nan])


def test_a_table_with_a_row_for_every_value(tmp_path: Path) -> None:
    found = curve(tmp_path, "mlflow.csv", MLFLOW)
    assert (found["steps"], found["losses"]) == ([1, 2], [2.5, 2.0])
    assert found["dev_steps"] == [1, 1, 2, 2]  # a loss and a score each


def several_sets() -> str:
    history: list[dict[str, float]] = []
    for step in (1, 2):
        history.append({"step": step, "epoch": step, "loss": 3.0 - step})
        for name, loss in (("sea", 1.0), ("land", 2.0)):
            values = {"loss": loss / step, "f1": step / 4, "runtime": 1.5, "samples_per_second": 9.0}
            values |= {"steps_per_second": 2.0, "model_preparation_time": 0.1}
            history.append({"step": step} | {f"eval_{name}_{key}": v for key, v in values.items()})
    return json.dumps({"log_history": history})


def test_the_dev_loss_is_that_of_the_chosen_evaluation_set(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"several dev scores \(eval_sea_f1, eval_land_f1\);"):
        curve(tmp_path, "trainer_state.json", several_sets())
    found = curve(tmp_path, "trainer_state.json", several_sets(), dev_score="eval_land_f1")
    assert (found["dev_losses"], found["dev_scores"]) == ([2.0, 1.0], [0.25, 0.5])
    found = curve(
        tmp_path,
        "trainer_state.json",
        several_sets(),
        dev_score="eval_land_f1",
        dev_loss="eval_sea_loss",
    )
    assert found["dev_losses"][0] == 1.0


def test_losses_of_several_sets_without_a_score_require_a_choice(tmp_path: Path) -> None:
    text = "step,loss,eval_a_loss,eval_b_loss\n1,2,3,4\n"
    with pytest.raises(
        InputError, match=r"several dev losses \(eval_a_loss, eval_b_loss\); .*--dev-loss"
    ):
        curve(tmp_path, "a.csv", text)
    assert curve(tmp_path, "a.csv", text, dev_loss="eval_b_loss")["dev_losses"] == [4]


def test_a_loss_of_another_set_is_not_that_of_the_score(tmp_path: Path) -> None:
    found = curve(tmp_path, "a.csv", "step,loss,eval_a_loss,eval_b_f1\n1,2,3,0.5\n")
    assert (np.isnan(found["dev_losses"]).all(), found["dev_scores"]) == (True, [0.5])


def test_columns_by_name(tmp_path: Path) -> None:
    text = "Batches seen,objective,held out\n10,2.5,1.5\n20,2.0,1.25\n"
    found = curve(
        tmp_path,
        "a.csv",
        text,
        step="Batches seen",
        train_loss="Objective",
        dev_loss="held_out",
    )
    assert (found["steps"], found["losses"]) == ([10, 20], [2.5, 2.0])
    assert found["dev_losses"] == [1.5, 1.25]


def test_columns_of_several_runs_require_a_choice(tmp_path: Path) -> None:
    text = '"Step","a - train/loss","b - train/loss"\n1,2.5,3.5\n2,2.0,3.0\n'
    with pytest.raises(InputError, match=r"2 columns may be the train loss .*--train-loss"):
        curve(tmp_path, "a.csv", text)
    assert curve(tmp_path, "a.csv", text, train_loss="b - train/loss")["losses"] == [3.5, 3.0]


def test_what_was_found_and_what_was_left_out_is_told(tmp_path: Path) -> None:
    text = (
        "step,loss,val_loss\n1,4,\n2,3,2.5\nstep,loss,val_loss\n3,2,x\n4,1\n5,1,2\n,1,\n6,y,1\n7,1,\n"
    )
    lines: list[str] = []
    path = write(tmp_path / "a.csv", text)
    (log,) = read_curves(path, tell=lines.append).values()
    assert log.steps.tolist() == [1, 2, 3, 5, 6, 7]
    assert log.dev_losses.tolist() == [2.5, 2, 1]
    told = "\n".join(lines)
    assert "step = step, training loss = loss, dev loss = val_loss" in told
    assert "2 of 9 rows left out: the header again (first" in told
    assert "records without a step left out: 1" in told
    assert "values left out: 1 (first" in told
    assert "loss is not a number: 'y'" in told
