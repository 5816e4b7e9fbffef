"""`recommend_sets`, and the commands that read a plan with ``sets = "top-K"``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fake_training import make_tasks

import transfer_meta as tm
from transfer_meta.cli.app import main

PLAN: dict[str, Any] = {
    "tasks_folder": "tasks",
    "tasks": ["a", "b", "c", "t"],
    "sources": ["a", "b", "c"],
    "targets": ["t", "a"],
    "sets": "top-2",
    "methods": ["chain", "multitask"],
    "regimes": ["16-8"],
    "encoder": "random:1x8",
    "training": {"dev_examples": 8},
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with tasks; the recommender puts c before a before b."""

    def choose(target: str, tasks: dict[str, str], size: int, **_: Any) -> list[str]:
        assert target in tasks
        return [name for name in ("c", "a", "b") if name in tasks and name != target][:size]

    monkeypatch.setattr("transfer_meta.api.recommended_sets.recommended_set", choose)
    make_tasks(tmp_path / "tasks", "a b c t")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_recommenders_set_of_each_target(here: Path) -> None:
    lines: list[str] = []
    found = tm.recommend_sets(PLAN, tell=lines.append)
    assert isinstance(found, dict)
    assert found["sets"] == {"t": [["c", "a"]], "a": [["c", "b"]]}
    assert lines[0] == "t: the recommender's set is c, a"
    preview = tm.plan(found)
    rows = preview.runs[["source", "target"]].itertuples(index=False)
    several = {tuple(row) for row in rows if ">" in row.source or "+" in row.source}
    assert several == {("c>a", "t"), ("c>b", "a"), ("a+c", "t"), ("b+c", "a")}
    assert preview.shared == 1  # c, before both targets
    pairs = tm.plan({**PLAN, "sets": "pairs"})
    assert pairs.shared == pairs.to_dict()["shared"] == 5  # a, b, c; b>c and c>b of both targets
    assert "starts that several runs share: 5" in str(pairs)
    with pytest.raises(tm.InputError, match="sets = 'top-2' needs the recommender's order"):
        tm.plan(PLAN)


def test_a_plan_without_such_sets_or_with_problems_is_left_as_it_is(here: Path) -> None:
    for plan in ({**PLAN, "sets": "pairs"}, {**PLAN, "seeds": []}, Path("absent.toml")):
        assert tm.recommend_sets(plan) is plan
    excluded = {**PLAN, "targets": ["t"], "exclude": [["c", "t"], ["b", "t"]]}
    with pytest.raises(tm.InputError, match="'top-2' needs two sources or more for a target"):
        tm.recommend_sets(excluded)


def test_commands_take_the_recommenders_order(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    (here / "sub").mkdir()
    (here / "sub" / "plan.toml").write_text(
        'tasks_folder = "../tasks"\ntasks = ["a", "b", "c", "t"]\nsources = ["a", "b", "c"]\ntargets = ["t"]\n'
        'sets = "top-3"\nmethods = ["chain"]\nencoder = "random:1x8"\n'
    )
    assert main(["runs", "plan", "sub/plan.toml", "--list"]) == 0
    printed = capsys.readouterr()
    assert "c>a>b" in printed.out
    assert "t: the recommender's set is c, a, b" in printed.err


def test_the_recommender_itself_ranks_the_sources_of_a_plan() -> None:
    names = ("topic", "urgency", "reviews", "questions")
    plan = {
        "tasks": {name: f"demo:{name}" for name in names},
        "sources": ["urgency", "reviews", "questions"],
        "targets": ["topic"],
        "sets": "top-2",
        "methods": ["multitask"],
    }
    found = tm.recommend_sets(plan)
    assert isinstance(found, dict)
    (chosen,) = found["sets"]["topic"]
    assert len(set(chosen)) == 2
    assert set(chosen) < {"urgency", "reviews", "questions"}


def test_sets_of_known_sources_are_those_of_recommend() -> None:
    names = ("sick_entailment", "sick_relatedness", "squad")
    plan = {
        # Known sources by their names: the files are not read for it.
        "tasks": {"topic": "demo:topic", **dict.fromkeys(names, "absent.csv")},
        "sources": list(names),
        "targets": ["topic"],
        "sets": "top-2",
        "methods": ["chain"],
    }
    found = tm.recommend_sets(plan)
    assert isinstance(found, dict)
    (chosen,) = found["sets"]["topic"]
    # The two others have the same texts.
    assert "squad" in chosen
