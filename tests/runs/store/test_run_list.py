"""What a page shows of a run store: numbers, filters, pages of runs, and when something has changed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from store_values import RESULT, new

from transfer_meta.errors import InputError
from transfer_meta.runs.store.run_list import (
    RunFilter,
    list_runs,
    list_values,
    store_digest,
    store_overview,
)
from transfer_meta.runs.store.run_store import Claim, Store

KEYS = {f"k{i}" for i in range(9)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    """Nine runs: five done, one failed, one in work, two pending."""
    made = Store(str(path), create=True)
    made.add([new(f"k{i}", target=f"t{i % 3}", source="" if i < 3 else "100%_s") for i in range(9)])
    for i in range(7):
        held = claim(made)
        if i < 5:
            made.finish(held, replace(RESULT, score=0.1 * i, seconds=10.0 * (i + 1)))
        elif i == 5:
            made.fail(held, "out of memory")
    yield made
    made.close()


def claim(store: Store, *, seconds: float = 60) -> Claim:
    held = store.claim(KEYS, worker="here|1", lease_seconds=seconds)
    assert held is not None
    return held


def ids(store: Store, **wanted: str) -> list[int]:
    return [row["id"] for row in list_runs(store, RunFilter(**wanted)).rows]


def test_an_overview_has_numbers_workers_and_reasons(store: Store) -> None:
    found = store_overview(store)
    assert sum(found.counts.values()) == 9
    by_status = {status: n for (_, status), n in found.counts.items()}
    assert by_status == {"done": 5, "failed": 1, "running": 1, "pending": 2}
    assert sorted(t for _, t in found.seconds) == [10, 20, 30, 40, 50]
    assert [(run["worker"], run["is_lost"]) for run in found.running] == [("here|1", False)]
    assert found.reasons == [("out of memory", 1)]
    assert found.digest == store_digest(store)


def test_a_run_whose_lease_has_ended_is_lost(store: Store) -> None:
    before = store_digest(store)
    claim(store, seconds=-1)
    assert [run["is_lost"] for run in store_overview(store).running] == [False, True]
    assert store_digest(store) != before


def test_the_digest_changes_with_every_step_of_a_run(store: Store) -> None:
    seen = [store_digest(store)]
    held = claim(store)
    seen.append(store_digest(store))
    store.finish(held, RESULT)
    seen.append(store_digest(store))
    store.retry()
    seen.append(store_digest(store))
    store.add([new("k9")])
    seen.append(store_digest(store))
    assert len(set(seen)) == len(seen)


def test_the_digest_stays_while_nothing_happens(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "still.sqlite"), create=True)
    store.add([new("k0"), new("k1")])
    store.finish(claim(store), RESULT)
    assert store_digest(store) == store_digest(store)
    store.close()


def test_runs_are_filtered(store: Store) -> None:
    assert ids(store, status="failed") == [6]
    assert set(ids(store, target="t1")) == {2, 5, 8}
    assert set(ids(store, source="100%_s", status="done")) == {4, 5}
    assert ids(store, text="MEMORY") == [6]
    # Neither sign stands for other characters.
    assert len(ids(store, text="100%_")) == 6
    assert ids(store, text="1%s") == ids(store, text="0__s") == ids(store, text="'; --") == []


def test_runs_are_sorted_those_without_a_value_last(store: Store) -> None:
    assert ids(store, sort="score")[:5] == [1, 2, 3, 4, 5]
    assert ids(store, sort="-score")[:5] == [5, 4, 3, 2, 1]
    assert ids(store)[0] == 6  # the last one that ended
    assert set(ids(store, sort="-score")[5:]) == {6, 7, 8, 9}
    with pytest.raises(InputError, match="unknown column 'settings'"):
        RunFilter(sort="-settings")
    with pytest.raises(InputError, match="unknown status"):
        RunFilter(status="lost")


def test_runs_come_some_at_a_time(store: Store) -> None:
    wanted = RunFilter(sort="id")
    pages = [list_runs(store, wanted, first=first, count=4) for first in (0, 4, 8, 12)]
    assert [row["id"] for page in pages for row in page.rows] == list(range(1, 10))
    assert {page.total for page in pages} == {9}
    assert [row["has_curves"] for row in pages[0].rows] == [True] * 4
    chosen = list_runs(store, RunFilter(), ids=(2, 7, 99))
    assert {row["id"]: row["has_curves"] for row in chosen.rows} == {2: True, 7: False}
    assert "settings" not in pages[0].rows[0]


def test_values_to_choose_from_are_in_order(store: Store) -> None:
    assert list_values(store, "target") == ["t0", "t1", "t2"]
    assert list_values(store, "source") == ["100%_s"]


def test_values_of_other_types_do_no_harm(store: Store, path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE runs SET seconds = 'soon', score = 'good' WHERE id = 1")
        connection.execute("UPDATE runs SET target = x'ff00', started = 'x' WHERE id = 7")
        connection.commit()
    assert len(store_overview(store).seconds) == 4
    rows = {row["id"]: row for row in list_runs(store, RunFilter()).rows}
    assert (rows[1]["score"], rows[1]["seconds"], rows[7]["started"]) == (None, None, None)
    assert isinstance(rows[7]["target"], str)
