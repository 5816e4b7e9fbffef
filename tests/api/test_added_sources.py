from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from source_samples import ENCODER

import transfer_meta as tm
from transfer_meta.api.added_sources import added_address, added_addresses
from transfer_meta.api.train_sources import named_sources, recommended_sources
from transfer_meta.encoding.source_files import find_own_files
from transfer_meta.errors import InputError
from transfer_meta.recommender import recommend as recommend_module
from transfer_meta.tasks import Task

SETTINGS = {"regime": "8-6", "epochs": 1, "encoder": "random:1x8", "device": "cpu", "budget": "1runs"}


@pytest.fixture
def added(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Source ``own``, added from a relative path: the file of films."""
    pytest.importorskip("peft")
    monkeypatch.chdir(folder.parent)
    tm.add_source("tasks/films.train.jsonl", tm.AddSettings(name="own", encoder=ENCODER))
    return folder / "films.train.jsonl"


def test_the_address_is_kept(added: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert added_addresses() == {"own": str(added)}
    monkeypatch.chdir("/")
    assert added_address("own") == str(added)
    assert added_address("films") is None
    rows = tm.list_sources(tm.ListSettings(trained=True, encoder=ENCODER)).to_frame()
    assert rows.set_index("name").loc["own", "address"] == str(added)
    tm.remove_source("own")
    assert added_addresses() == find_own_files() == {}


def test_a_plan_keeps_addresses_among_own_sources_alone(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    plan = {"encoder": ENCODER, "tasks": {"own": str(folder / "films")}, "training": {"lora_rank": 2}}
    tm.build_sources(plan, tm.BuildSettings(out=tmp_path / "out"))
    assert len(list((tmp_path / "out").glob("*/*"))) == 1
    tm.build_sources(plan)
    assert added_addresses() == {"own": str(folder / "films")}
    assert added_address("own") == str(folder / "films")


def test_a_pushed_source_leaves_its_address_behind(added: Path, tmp_path: Path) -> None:
    pytest.importorskip("fsspec")
    tm.push_sources(tmp_path / "team")
    assert [file.name for file in (tmp_path / "team").glob("*/*")] == ["own.safetensors"]
    tm.remove_source("own")
    tm.pull_sources(tmp_path / "team")
    with pytest.raises(InputError, match="'own' is not at hand: its encoder alone is .* --name own"):
        added_address("own")


def _moved(file: Path) -> None:
    for split in file.parent.glob("films.*"):
        split.rename(split.with_name(split.name.replace("films", "movies")))


def _no_path(file: Path) -> None:
    (address,) = file.parent.parent.glob("sources/*/own.address")
    address.write_text("a\0b.csv")


def _changed(file: Path) -> None:
    with file.open("a") as stream:
        stream.write("\n" + json.dumps({"text": "one more", "label": "y"}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_no_path, "the data of source 'own' is not at hand: .*names another file"),
        (_moved, "the data of source 'own' is not at hand: .*films.train.jsonl.*names another file"),
        (
            _changed,
            "the data of source 'own', .*films.train.jsonl, is not what its encoder was trained",
        ),
    ],
)
def test_data_that_moved_or_changed_are_one_line(change: Any, message: str, added: Path) -> None:
    change(added)
    with pytest.raises(InputError, match=message) as caught:
        named_sources(["own"], {"reviews": str(added.with_name("reviews.train.jsonl"))}, "reviews")
    assert "\n" not in str(caught.value)


def test_a_source_that_was_added_again_has_its_new_address(added: Path) -> None:
    _moved(added)
    again = tm.add_source(added.with_name("movies"), tm.AddSettings(name="own", encoder=ENCODER))
    assert again.rows["status"].tolist() == ["kept"]
    assert added_address("own") == str(added.with_name("movies"))


def test_data_in_memory_have_no_address(added: Path) -> None:
    task = Task.from_iterable("memory", "classification", tm.load_task(added).splits)
    tm.add_source(task, tm.AddSettings(encoder=ENCODER))
    with pytest.raises(InputError, match="the data of source 'memory' is not at hand"):
        added_address("memory")


def test_train_takes_an_added_source_by_name(added: Path) -> None:
    target = str(added.with_name("reviews.train.jsonl"))
    tasks = {"reviews": target}
    assert named_sources(["own"], tasks, "reviews").names == ("own",)
    assert tasks == {"reviews": target, "own": str(added)}
    with pytest.raises(InputError, match="source 'own' is the target itself"):
        named_sources(["own"], {"films": str(added)}, "films")


def test_train_tries_added_sources_that_are_recommended(
    added: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from types import SimpleNamespace

    seen: list[str] = []

    def recommend(_target: str, _settings: Any, *, sources: list[str], **_: Any) -> Any:
        seen.extend(sources)
        ranked = [SimpleNamespace(source="own", expected_gain=0.2, facts=None, address="", is_own=True)]
        return SimpleNamespace(sources=ranked)

    monkeypatch.setattr(recommend_module, "recommend", recommend)
    monkeypatch.setattr(
        "transfer_meta.api.train_sources.described_addresses", lambda: {"own": str(added)}
    )
    options: dict[str, Any] = {"tries": 1, "method": "intermediate", "encoder": "offline"}
    lines: list[str] = []
    tasks = {"reviews": str(added.with_name("reviews.train.jsonl"))}
    found, notes = recommended_sources("reviews", tasks, tell=lines.append, **options)
    assert [source.name for source in found] == ["own"]
    assert tasks["own"] == str(added)
    assert "own" in seen
    assert notes == lines == []
    _changed(added)
    del tasks["own"]
    found, notes = recommended_sources("reviews", tasks, tell=lines.append, **options)
    assert found == []
    assert "is not what its encoder was trained on" in lines[0]
    # The target is no source of itself.
    seen.clear()
    recommended_sources("films", {"films": str(added)}, tell=lines.append, **options)
    assert "own" not in seen


@pytest.mark.parametrize("named", [True, False])
def test_search_takes_added_sources(named: bool, added: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    settings = tm.SearchSettings(**SETTINGS, prior="none", store=tmp_path / "runs.sqlite")
    target = added.with_name("reviews.train.jsonl")
    found = tm.search(target, ["own"] if named else (), settings)
    assert [source.source for source in found.sources] == ["own"]


def test_search_without_sources_needs_some_that_were_added(folder: Path) -> None:
    with pytest.raises(
        InputError, match="no sources .expected files, hf:DATASET, or some that were added"
    ):
        tm.search(folder / "films.train.jsonl")
