from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from transfer_meta.errors import InputError
from transfer_meta.features import task_profile as profile_module
from transfer_meta.features.profile_cache import ProfileCache
from transfer_meta.features.task_profile import profile_task
from transfer_meta.features.text.statistics import STATISTICS
from transfer_meta.features.text.vocabulary import Vocabulary
from transfer_meta.records import CurveLog, Example, TaskProfile
from transfer_meta.tasks.task import Task

TRAIN = [Example("a fine film", "good"), Example("no film", "bad"), Example("A film", "good")]
TEST = [Example("a rain", "good")]


def task_of(name: str = "reviews", **splits: list[Example]) -> Task:
    return Task.from_iterable(name, "classification", splits or {"train": TRAIN, "test": TEST})


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows by one for each split that is counted."""
    calls: list[str] = []
    count = profile_module.count_split

    def watched(*args, **kwargs):  # type: ignore[no-untyped-def]
        calls.append("split")
        return count(*args, **kwargs)

    monkeypatch.setattr(profile_module, "count_split", watched)
    return calls


def test_all_statistics_by_name() -> None:
    found = profile_task(task_of())
    assert list(found.features) == list(STATISTICS)
    assert found.features["size"] == 3
    assert found.features["tokens_types"] == pytest.approx(7 / 4)
    assert found.missing == {"subword_fertility": "no tokenizer given"}
    assert found.settings["vocabulary"] == "train"
    assert TaskProfile.from_json(found.to_json()).to_json() == found.to_json()


def test_the_dev_split_stands_in_for_the_test_split() -> None:
    dev = profile_task(task_of(train=TRAIN, dev=TEST))
    both = profile_task(task_of(train=TRAIN, dev=TRAIN, test=TEST))
    assert dev.features["jsd"] == both.features["jsd"] == profile_task(task_of()).features["jsd"]
    assert profile_task(task_of(train=TRAIN)).missing["jsd"] == "no test split"


def test_a_failing_statistic_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STATISTICS, "fro_norm", lambda corpus: 1 / 0)
    found = profile_task(task_of())
    assert math.isnan(found.features["fro_norm"])
    assert found.missing["fro_norm"] == "failed: ZeroDivisionError: division by zero"
    assert found.features["size"] == 3


def test_the_cache_saves_the_counting(tmp_path: Path, counted: list[str]) -> None:
    cache = ProfileCache(tmp_path)
    first = profile_task(task_of(), cache=cache)
    assert len(counted) == 2
    again = profile_task(task_of("other name"), cache=cache)
    assert len(counted) == 2
    assert (again.name, again.features) == ("other name", pytest.approx(first.features, nan_ok=True))
    assert again.digest == first.digest != ""
    np.testing.assert_array_equal(again.sketches["types"], first.sketches["types"])


def test_content_and_settings_make_the_key(tmp_path: Path, counted: list[str]) -> None:
    cache = ProfileCache(tmp_path)
    vocabularies = [None, Vocabulary.from_words(["a"]), Vocabulary.from_words(["film"])]
    rates = [
        profile_task(task_of(), cache=cache, vocabulary=v).features["oov_rate"] for v in vocabularies
    ]
    assert rates == pytest.approx([1 / 2, 5 / 7, 4 / 7])
    assert len(counted) == 6
    changed = profile_task(task_of(train=TRAIN[:2], test=TEST), cache=cache)
    assert changed.features["size"] == 2
    assert len(counted) == 8
    profile_task(task_of(), cache=cache, tokens=str.split)
    profile_task(task_of(), cache=cache, tokens=str.split)  # nobody knows what a function does
    assert len(counted) == 12


def test_a_broken_entry_is_computed_anew(tmp_path: Path, counted: list[str]) -> None:
    told: list[str] = []
    cache = ProfileCache(tmp_path, tell=told.append)
    first = profile_task(task_of(), cache=cache)
    next(tmp_path.rglob("*.profile")).write_bytes(b"broken")
    assert profile_task(task_of(), cache=cache).to_json() == first.to_json()
    assert len(told) == 1
    assert len(counted) == 4
    profile_task(task_of(), cache=cache)
    assert len(counted) == 4


def test_a_curve_is_added(tmp_path: Path) -> None:
    cache = ProfileCache(tmp_path)
    steps = np.arange(10.0, 5001, 10)
    for scale in (1.0, 2.0):  # the cache holds statistics alone
        log = CurveLog(
            np.append([10.0], steps), np.append([9.0], scale * (4 - 0.3 * np.log(steps + 9)))
        )
        found = profile_task(task_of(), curve=log, cache=cache)
        assert found.features["log_fit_b"] == pytest.approx(-0.3 * scale, rel=1e-4)
        assert found.features["size"] == 3
        assert found.missing["dev_overfit"] == "no dev curve"
        assert found.notes == (
            "learning curve: 1 record written twice for one step, the last one taken",
        )
    assert "log_fit_b" not in profile_task(task_of(), cache=cache).features


def test_splits_stream_once_each() -> None:
    class Stream:
        def __init__(self, examples: list[Example]) -> None:
            self.examples, self.passes = examples, 0

        def __iter__(self) -> Iterator[Example]:
            self.passes += 1
            return iter(self.examples)

    train, test = Stream(TRAIN), Stream(TEST)
    profile_task(Task.from_iterable("reviews", "classification", {"train": train, "test": test}))
    assert (train.passes, test.passes) == (1, 1)


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({"test": TEST}, "task reviews has no train split .got: test."),
        ({"train": []}, "the split train has no examples"),
    ],
)
def test_tasks_without_training_examples(splits: dict[str, list[Example]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        profile_task(Task.from_iterable("reviews", "classification", splits))


def test_an_invalid_tokenizer() -> None:
    with pytest.raises(InputError, match="got int"):
        profile_task(task_of(), tokens=3)
