"""The tasks that ship, and their names."""

from __future__ import annotations

import csv

import pytest

from transfer_meta.cli.app import main
from transfer_meta.errors import InputError
from transfer_meta.recommender.recommend import RecommendSettings, recommend
from transfer_meta.runs.plan_file import read_plan_file
from transfer_meta.tasks.check import check_task
from transfer_meta.tasks.demo import demo_card, expand_demo
from transfer_meta.tasks.load import load_task
from transfer_meta.tasks.read import demo_task, read_task
from transfer_meta.tasks.resolve import find_tasks, resolve_tasks

SIZES = {
    "topic": (200, 60),
    "urgency": (200, 60),
    "reviews": (90, 30),
    "questions": (74, 26),
    "notes": (150, 50),
}
NAMES = [f"demo:{name}" for name in SIZES]


@pytest.mark.parametrize("name", SIZES)
def test_a_demo_task_is_complete_and_read_without_a_complaint(name: str) -> None:
    task = demo_task(name)
    assert task.name == name
    assert task.licence == "Apache-2.0"
    assert task.description.endswith(".")
    report = check_task(task, examples=0)
    assert tuple(split.examples for split in report.splits.values()) == SIZES[name]
    assert report.problems == ()
    assert task.reading_notes() == []


@pytest.mark.parametrize("name", SIZES)
def test_no_text_occurs_twice(name: str) -> None:
    task = demo_task(name)
    texts = [(e.text, e.text_pair) for split in task.splits for e in task.examples(split)]
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("name", ["topic", "urgency"])
def test_every_class_is_in_both_splits(name: str) -> None:
    task = demo_task(name)
    assert task.labels("train") == task.labels("test")


def test_no_question_is_in_both_splits() -> None:
    task = demo_task("questions")
    train, test = ({e.text for e in task.examples(split)} for split in ("train", "test"))
    assert not train & test


def test_the_messages_without_their_card_need_the_label_alone() -> None:
    path = demo_card("topic").with_name("messages.train.csv")
    assert main(["recommend", str(path), "--column", "label=topic", "--mode", "text", "--json"]) == 0
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["topic"] for row in rows] == [e.label for e in demo_task().examples()]


def test_names_lead_to_the_same_task_wherever_a_task_is_named() -> None:
    digests = [demo_task(name).digest for name in SIZES]
    assert [task.digest for task in resolve_tasks(NAMES)] == digests
    assert [read_task(name).digest for name in NAMES] == digests
    assert [load_task(name).digest for name in NAMES] == digests
    assert find_tasks(["demo:topic", str(demo_card("topic"))]) == [expand_demo("demo:topic")]


def test_a_plan_and_the_sources_of_a_recommendation_take_the_names(tmp_path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text(
        'grid = "all"\ntasks_folder = "elsewhere"\n[tasks]\na = "demo:topic"\nb = "demo:urgency"\n'
    )
    problems: list[str] = []
    assert read_plan_file(plan, problems).tasks == {
        "a": str(demo_card("topic")),
        "b": str(demo_card("urgency")),
    }
    assert problems == []
    found = recommend("demo:topic", RecommendSettings(mode="text"), sources=["demo:urgency", "trec"])
    assert {source.source for source in found.sources} == {"urgency", "trec"}


def test_an_unknown_name_offers_the_nearest() -> None:
    for read in (read_task, load_task, lambda name: resolve_tasks([name])):
        with pytest.raises(InputError, match="unknown demo task 'topics'.*did you mean 'topic'"):
            read("demo:topics")
