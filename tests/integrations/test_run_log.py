"""Runs of other loops in the store: what is written, what is refused, and what becomes of them as outcomes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import transfer_meta as tm
from transfer_meta.cli.app import main
from transfer_meta.integrations import LogSettings, log_outcome, log_run
from transfer_meta.runs.store.run_store import Store

pytest.importorskip("sqlalchemy")

SETTINGS = LogSettings(encoder="bert", metric="accuracy", regime="100-50", training={"lr": 1e-4})


def quiet(_line: str) -> None:
    """Take no notes."""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def outcomes() -> pd.DataFrame:
    return tm.export().to_frame()


def test_a_transfer_and_its_baseline(
    store_address: str,
    here: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with log_run("rte", seed=1, store=store_address, settings=SETTINGS) as run:
        for step in range(1, 4):
            run.log(step, np.float32(1 / step))
        run.dev(3, np.float64(0.5), 0.7)
        run.score(accuracy=0.5, loss=3.0)
    with log_run("rte", "mnli", seed=1, store=store_address, settings=SETTINGS) as run:
        run.score(accuracy=0.6)
    assert capsys.readouterr().out == ""

    exported = tm.export(tm.ExportSettings(store=store_address))
    exported.save("own.csv")
    (row,) = tm.load_outcomes("own.csv").runs.to_dict("records")
    assert (row["source"], row["target"], row["seed"]) == ("mnli", "rte", 1)
    assert (row["baseline"], row["score"], row["gain"]) == pytest.approx((0.5, 0.6, 0.2))
    assert list(exported.table[["method", "regime"]].iloc[0]) == ["intermediate", "100-50"]
    store = Store(store_address)
    curve = store.curves(store.run("1").id)["rte"]
    assert curve.steps.tolist() == [1, 2, 3]
    assert curve.losses.tolist() == pytest.approx([1, 1 / 2, 1 / 3])
    assert [curve.dev_steps.tolist(), curve.dev_losses.tolist(), curve.dev_scores.tolist()] == [
        [3],
        [0.7],
        [0.5],
    ]
    assert store.curves(store.run("2").id) == {}
    store.close()
    monkeypatch.setenv("TRANSFER_META_STORE", store_address)  # it may hold a password
    assert main(["runs", "show", "1"]) == 0
    assert "logged_by: log_run" in capsys.readouterr().out
    assert main(["runs", "status"]) == 0


@pytest.mark.parametrize(
    ("sources", "method", "expected"),
    [
        ((), None, ("single", "")),
        (None, "multitask", ("single", "")),
        ("none", None, ("single", "")),
        ("a", None, ("intermediate", "a")),
        ("a", "multitask", ("multitask", "a")),
        (["a"], "chain", ("intermediate", "a")),
        (["a", "b"], None, ("chain", "a>b")),
        (["a", "b"], "multitask", ("multitask", "a+b")),
    ],
)
def test_method_and_sources(
    here: Path, sources: object, method: str | None, expected: tuple[str, str]
) -> None:
    log_outcome("t", sources, 0.5, seed=0, settings=LogSettings(method=method))
    (run,) = tm.run_status().runs.to_dict("records")
    assert (run["method"], run["source"]) == expected


def test_logged_outcomes_are_ranked(here: Path) -> None:
    random = np.random.default_rng(0)
    for target in ("x", "y", "z"):
        log_outcome(target, None, 0.5, seed=0)
        for source in ("a", "b", "c", "d"):
            log_outcome(target, source, float(random.uniform(0.4, 0.6)), seed=0)
    tm.export().save("own.csv")
    table = tm.load_outcomes("own.csv")
    assert (len(table.pairs), table.has_gain) == (12, True)
    tm.fit("own.csv", tm.FitSettings(predictor="source-popularity", judge=False))
    settings = tm.BenchmarkSettings(predictors=("source-popularity",), protocol="leave-one-target-out")
    assert len(tm.benchmark("own.csv", settings).to_frame())


@pytest.mark.parametrize("again", ["done", "failed"])
def test_logged_again(here: Path, again: str) -> None:
    lines: list[str] = []
    log_outcome("t", "a", 0.5, seed=0, tell=lines.append)
    assert lines == []
    if again == "done":
        log_outcome("t", "a", 0.7, seed=0, tell=lines.append)
        assert "replaces the run of the same settings" in lines[0]
    else:
        with pytest.raises(ZeroDivisionError), log_run("t", "a", seed=0, tell=lines.append):
            _ = 1 / 0
        assert "the finished run of the same settings is kept" in lines[0]
    (run,) = tm.run_status().runs.to_dict("records")
    assert (run["status"], run["score"]) == ("done", 0.7 if again == "done" else 0.5)
    # Other settings or another seed make another run.
    log_outcome("t", "a", 0.7, seed=0, settings=LogSettings(training={"lr": np.float64(0.1)}))
    log_outcome("t", "a", 0.7, seed=np.int64(1))
    assert len(tm.run_status().runs) == 3


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("first\nsecond"), "ValueError: first"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (tm.InputError("no such file"), "no such file"),
    ],
)
def test_a_failure_in_the_loop(here: Path, error: BaseException, reason: str) -> None:
    with pytest.raises(type(error)), log_run("t", "a", seed=0, tell=quiet) as run:
        run.log(1, 0.5)
        raise error
    status = tm.run_status()
    assert list(status.failed["reason"]) == [reason]
    assert "runs retry" not in str(status)
    assert "only the program that logged them can try them again" in str(status)
    # Nobody can do it again but the loop itself, which then replaces it.
    assert main(["runs", "retry", "--failed"]) == 0
    assert tm.run_status().counts == {"failed": 1}
    log_outcome("t", "a", 0.5, seed=0)
    assert tm.run_status().counts == {"done": 1}


def test_the_error_of_the_loop_comes_first(here: Path) -> None:
    with pytest.raises(ZeroDivisionError) as caught, log_run("t", seed=0):
        Path("runs.sqlite").unlink()
        Path("runs.sqlite").mkdir()
        _ = 1 / 0
    assert "was not logged" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ({"accuracy": 71.3}, "accuracy = 71.3 (expected a score on 0-1: 0.713 if it is in percent)"),
        ({"accuracy": "0.7"}, "accuracy = '0.7' (expected a number)"),
        ({"accuracy": True}, "accuracy = True (expected a number)"),
        ({"accuracy": None}, "accuracy = None (expected a number)"),
        ({"accuracy": [0.7, 0.8]}, "accuracy = [0.7, 0.8] (expected a number)"),
        ({"accuracy": float("nan")}, "accuracy = nan (expected a score on 0-1)"),
        ({"accuracy": -0.1}, "accuracy = -0.1 (expected a score on 0-1)"),
        ({"acuracy": 0.7}, "unknown metric 'accuracy' (expected one of: acuracy); did you mean"),
        ({"accuracy": -5}, "accuracy = -5 (expected a score on 0-1)"),
        ({}, "no score was logged"),
    ],
)
def test_scores_that_cannot_be_used(here: Path, scores: dict[str, object], message: str) -> None:
    with (
        pytest.raises(tm.InputError) as caught,
        log_run("t", seed=0, settings=SETTINGS, tell=quiet) as run,
    ):
        run.score(**scores)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert tm.run_status().counts == {"failed": 1}
    Path("runs.sqlite").unlink()
    with pytest.raises(tm.InputError):
        log_outcome("t", None, scores, seed=0, settings=SETTINGS)
    assert not Path("runs.sqlite").exists()


@pytest.mark.parametrize(
    ("scores", "metric", "expected"),
    [
        ({"loss": 2.0, "f1": 0.6, "accuracy": 0.7}, None, ("f1", 0.6)),
        ({"f1": 0.6, "accuracy": 0.7}, "accuracy", ("accuracy", 0.7)),
        ({"pearson": -0.2}, None, ("pearson", 0.0)),
        ({"matthews_correlation": float("nan")}, None, ("matthews_correlation", 0.0)),
        ({"accuracy": np.float32(1.0000001)}, None, ("accuracy", 1.0)),
    ],
)
def test_the_main_metric(
    here: Path, scores: dict[str, float], metric: str | None, expected: tuple[str, float]
) -> None:
    log_outcome("t", None, scores, seed=0, settings=LogSettings(metric=metric))
    store = Store("runs.sqlite")
    run = store.run("1")
    store.close()
    assert (run.main_metric, run.score) == expected
    assert run.seconds is None


def test_a_score_of_torch(here: Path) -> None:
    torch = pytest.importorskip("torch")
    with log_run("t", seed=0) as run:
        run.log(1, torch.tensor(0.5, requires_grad=True))
        run.score(accuracy=torch.tensor(0.25))
    assert list(tm.run_status().runs["score"]) == [0.25]


def test_baselines_that_do_not_fit_are_counted(here: Path) -> None:
    log_outcome("t", None, {"accuracy": 0.5}, seed=0)
    log_outcome("t", "a", {"f1": 0.5}, seed=0)  # another metric
    log_outcome("t", "b", {"accuracy": 0.5}, seed=1)  # another seed
    log_outcome("t", "c", {"accuracy": 0.5}, seed=0, settings=LogSettings(encoder="bert"))
    log_outcome("t", "d", {"f1": 0.8, "accuracy": 0.6}, seed=0, settings=LogSettings(metric="accuracy"))
    exported = tm.export()
    assert list(exported.table["source"]) == ["d"]
    assert exported.left_out == [
        "3 left out: their baseline is not done (same target, seed, encoder, settings and metric, no source)"
    ]


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        (("t", "a>b"), {}, "task name 'a>b'"),
        (("", "a"), {}, "task name ''"),
        (("t", "t"), {}, "named twice"),
        (("t", ["a", "b"]), {"method": "intermediate"}, "takes exactly one source"),
        (("t", "a"), {"method": "chian"}, "did you mean 'chain'?"),
        (("t", "a"), {"regime": "100"}, "expected SOURCE-TARGET"),
        (("t", "a"), {"metric": "eval_loss"}, "lower is better"),
        (("t", "a"), {"training": {"f": print}}, "expected values that JSON can hold"),
    ],
)
def test_names_and_settings_that_cannot_be_used(
    here: Path, arguments: tuple[str, object], settings: dict[str, object], message: str
) -> None:
    with (
        pytest.raises(tm.InputError, match=message),
        log_run(*arguments, seed=0, settings=LogSettings(**settings)),
    ):
        pytest.fail("the loop did not begin")
    assert not Path("runs.sqlite").exists()


@pytest.mark.parametrize("seed", [-1, 0.5, None, "1"])
def test_a_seed_that_is_none(here: Path, seed: object) -> None:
    with pytest.raises(tm.InputError, match="expected a whole number"):
        log_outcome("t", None, 0.5, seed=seed)


def test_a_score_that_is_better_the_lower_it_is(here: Path) -> None:
    with pytest.raises(tm.InputError, match=r"no score where higher is better was logged \(got loss\)"):
        log_outcome("t", None, {"loss": 0.5}, seed=0)
    assert not Path("runs.sqlite").exists()


@pytest.mark.parametrize("step", [2, 1, -1, float("nan")])
def test_steps_increase(here: Path, step: float) -> None:
    with pytest.raises(tm.InputError, match="step"), log_run("t", seed=0, tell=quiet) as run:
        run.log(2, 0.5)
        run.log(step, 0.4)


def test_a_dev_score_in_percent(here: Path) -> None:
    with pytest.raises(tm.InputError, match="0.71 if it is in percent"), log_run("t", seed=0) as run:
        run.dev(1, 71)
    assert list(tm.run_status().failed["reason"]) == [
        "score = 71 (expected a score on 0-1: 0.71 if it is in percent)"
    ]


def test_a_store_that_cannot_be_opened(here: Path) -> None:
    with (
        pytest.raises(tm.InputError, match="its folder does not exist"),
        log_run("t", seed=0, store="absent/runs.sqlite"),
    ):
        pytest.fail("the loop did not begin")


def test_a_loop_may_change_the_folder(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "elsewhere").mkdir()
    with log_run("t", seed=0) as run:
        monkeypatch.chdir(here / "elsewhere")
        run.score(accuracy=0.5)
    assert tm.run_status(here / "runs.sqlite").counts == {"done": 1}
    assert not Path("runs.sqlite").exists()


def test_a_plan_does_not_take_a_logged_run_for_its_own(here: Path) -> None:
    pytest.importorskip("torch")
    from fake_training import make_tasks

    make_tasks(here / "tasks", "a b")
    plan = {
        "tasks_folder": "tasks",
        "tasks": ["a", "b"],
        "grid": "all",
        "methods": ["intermediate"],
        "encoder": "random:1x8",
    }
    before = tm.plan(plan).left
    settings = LogSettings(encoder="random:1x8")
    for task, source in (("a", None), ("b", None), ("a", "b"), ("b", "a")):
        log_outcome(task, source, 0.5, seed=0, settings=settings)
    assert tm.plan(plan).left == before
    assert tm.export(tm.ExportSettings(plan=plan)).table.empty
    assert len(outcomes()) == 2


def test_several_processes_log_at_once(store_address: str) -> None:
    script = (
        "import sys; from transfer_meta.integrations import log_outcome\n"
        "for seed in range(5): log_outcome('t', sys.argv[1], 0.5, seed=seed, store=sys.argv[2])"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", script, f"s{n}", store_address]) for n in range(2)
    ]
    assert [process.wait(60) for process in processes] == [0, 0]
    assert tm.run_status(store_address).counts == {"done": 10}


def test_only_the_callback_needs_torch() -> None:
    script = "import sys, transfer_meta.integrations as i; assert not {'torch', 'transformers'} & {*sys.modules}"
    subprocess.run([sys.executable, "-c", script], check=True)
    import transfer_meta.integrations

    with pytest.raises(AttributeError, match="nothing"):
        _ = transfer_meta.integrations.nothing
